"""Classifiers as other tools read them: the ONNX file of ``ringformer export``, a folder of timm's ``save_for_hf``."""

import json
import os
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from torch import Tensor, nn

from ..errors import UserError, about, one_line
from .data import InputConfig

IR_VERSION = b"\x08"  # the first field of an ONNX file; neither a zip archive nor a pickle begins so


class OnnxClassifier(nn.Module):
    """An ONNX file, run by onnxruntime on the CPU: images `(batch, channels, height, width)` to logits."""

    def __init__(self, content: bytes):
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.image = self.session.get_inputs()[0].name

    @property
    def metadata(self) -> dict[str, str]:
        return self.session.get_modelmeta().custom_metadata_map

    def forward(self, x: Tensor) -> Tensor:
        (logits,) = self.session.run(None, {self.image: x.float().cpu().numpy()})
        return torch.from_numpy(logits).to(x.device)


def is_onnx(path: str) -> bool:
    """Whether a file begins as an ONNX file does."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as stream:
        return stream.read(1) == IR_VERSION


def read_onnx(path: str) -> tuple[nn.Module, dict[str, Any]]:
    """A classifier, and of its checkpoint ``arch``, ``classes``, ``num_classes`` and ``input``.

    Raises:
        UserError: if it is damaged, or does not say these.
    """
    try:
        with open(path, "rb") as stream:
            model = OnnxClassifier(stream.read())
        told = {name: json.loads(text) for name, text in model.metadata.items() if name in ("classes", "input")}
        outputs = model.session.get_outputs()[0].shape[-1]
    except ImportError:
        raise
    except Exception as error:  # onnxruntime has a class for each of its states
        raise UserError(f"{path}: no ONNX file that can be run ({one_line(error)})") from None
    if told.keys() != {"classes", "input"}:
        raise UserError(
            f"{path}: an ONNX file that does not say its classes and input, as ringformer export writes them"
        )
    return model.eval(), {"arch": "ONNX", "num_classes": int(outputs), **told}


def read_folder(path: str) -> tuple[nn.Module, dict[str, Any]]:
    """As :func:`read_onnx`, of a folder that timm's ``save_for_hf`` has written."""
    if not os.path.isfile(os.path.join(path, "config.json")):
        raise UserError(f"{path}: a folder without a config.json: name a checkpoint, or a folder of timm's save_for_hf")
    try:
        model = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    except Exception as error:  # timm raises what it likes
        raise UserError(f"{path}: timm cannot read this folder ({one_line(error)})") from None
    with about(path):
        return model, {"arch": model.pretrained_cfg["architecture"], **described(model)}


def described(model: nn.Module) -> dict[str, Any]:
    """``num_classes``, ``classes`` and ``input`` of a checkpoint, as timm knows them of its `model`."""
    config, labels = resolve_data_config(model=model), model.pretrained_cfg.get("label_names") or []
    if isinstance(labels, dict):  # by number
        labels = [labels.get(str(number), f"output {number}") for number in range(model.num_classes)]
    fields = {name: config[name] for name in ("mean", "std", "interpolation", "crop_pct", "crop_mode")}
    input = InputConfig(size=tuple(config["input_size"]), **fields)
    return {"num_classes": model.num_classes, "classes": list(labels), "input": {**vars(input)}}
