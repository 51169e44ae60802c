"""Image classifiers as ONNX files, checked against torch before they are kept."""

import json
from typing import Any

import torch
from torch import nn

from ..errors import UserError
from ..vision import RingClassifier
from .timm_vit import fold_classifier, why_not_stock

TOLERANCE = 1e-4
BATCHES = (1, 3)  # what the check runs: the file must take any


def plain_classifier(model: nn.Module) -> nn.Module:
    """`model` folded into a plain VisionTransformer where it is a ring that folds, else itself."""
    folds = isinstance(model, RingClassifier) and why_not_stock(model) is None
    return fold_classifier(model) if folds else model


def export_onnx(model: nn.Module, path: str, info: dict[str, Any], original: nn.Module) -> float:
    """Write `model` to `path` as ONNX, with the batch's size left open.

    Args:
        model: a classifier in evaluation mode, on the CPU; it reads `(batch, channels, height, width)`.
        path: the file to write.
        info: what who runs the file should know (classes, mean and std, ...): kept in the file's metadata, as JSON.
        original: the model whose outputs the file must give: `model`, or the ring that was folded into it.

    Returns:
        the largest difference of an output of onnxruntime from torch's.

    Raises:
        UserError: if that is more than :data:`TOLERANCE`.
    """
    import onnx
    from timm.utils.onnx import onnx_export

    example = torch.randn(2, *info["input"]["size"])
    onnx_export(model, path, example, check=False, use_dynamo=True, input_names=["image"], output_names=["logits"])
    written = onnx.load(path)
    onnx.helper.set_model_props(written, {key: json.dumps(value) for key, value in info.items()})
    onnx.save(written, path)
    onnx.checker.check_model(path, full_check=True)
    worst = max(_difference(original, path, count, info["input"]["size"]) for count in BATCHES)
    if not worst <= TOLERANCE:
        raise UserError(f"the exported model's outputs differ from torch's by {worst:.1e}: not kept")
    return worst


@torch.no_grad()
def _difference(model: nn.Module, path: str, count: int, size) -> float:
    from timm.utils.onnx import onnx_forward

    images = torch.randn(count, *size)
    return (torch.from_numpy(onnx_forward(path, images)) - model(images)).abs().max().item()
