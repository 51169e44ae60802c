"""Checkpoints of classifiers: what training, folding and exporting write, read without running what they hold.

A checkpoint is a dictionary that ``timm.create_model(arch, checkpoint_path=...)`` reads as well: ``arch`` (name in timm),
``model_args`` (its keywords), ``num_classes``, ``classes`` (names by target), ``input`` (size, mean, std, crop_pct,
interpolation), ``state_dict``, and ``state_dict_ema`` where the run kept an average of its weights.
"""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
import torch
from torch import nn

from ..errors import UserError, one_line
from ..files import read_checkpoint
from .data import InputConfig
from .exported import is_onnx, read_folder, read_onnx

REQUIRED = ("arch", "model_args", "state_dict", "num_classes", "classes", "input")


def load_classifier(path: str, ema: bool | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a checkpoint, in evaluation mode on the CPU, and the checkpoint without what only training needs.

    Args:
        path: a checkpoint, the ONNX file of one, or a folder of timm's ``save_for_hf``.
        ema: take the averaged weights; by default where there are any.

    Raises:
        UserError: if the file is missing, damaged or no classifier's, or has no averaged weights to take.
    """
    read = read_folder if os.path.isdir(path) else read_onnx if is_onnx(path) else None
    if read is None:
        return model_of(path, read_checkpoint(path), ema)
    if ema:
        raise UserError(f"{path} holds no averaged weights apart: leave --ema out")
    return read(path)


def model_of(path: str, state: dict[str, Any], ema: bool | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """As :func:`load_classifier`, of what was read from `path`."""
    check_classifier(path, state)
    weights = choose_weights(path, state, ema)
    model = build_model(state["arch"], {**state["model_args"], "num_classes": state["num_classes"]})
    problem = difference(weights, model.state_dict())
    if problem:
        raise UserError(f"{path}: its weights are not those of {state['arch']}: {problem}")
    model.load_state_dict(weights)
    return model.eval(), state


def class_name(classes: Sequence[str], output: int) -> str:
    """The class that an output of a model stands for; a model may have more outputs than names for them."""
    return classes[output] if output < len(classes) else f"output {output}"


def read_classifier(path: str) -> dict[str, Any]:
    """The checkpoint at `path`, on the CPU, read with torch's safe loader.

    Raises:
        UserError: if the file is missing, damaged, or no classifier's.
    """
    state = read_checkpoint(path)
    check_classifier(path, state)
    return state


def check_classifier(path: str, state: Mapping[str, Any]) -> None:
    """UserError unless what was read from `path` is a classifier's."""
    missing = [key for key in REQUIRED if key not in state]
    if missing:
        raise UserError(f"{path}: a readable file, but no classifier's checkpoint (it lacks {', '.join(missing)})")


def choose_weights(path: str, state: Mapping[str, Any], ema: bool | None = None) -> dict[str, torch.Tensor]:
    """The weights, or the averaged ones (`ema`; by default where there are any), of a checkpoint read from `path`."""
    averaged = state.get("state_dict_ema")
    if ema and averaged is None:
        raise UserError(f"{path} holds no averaged weights: the training had no --ema")
    return state["state_dict"] if averaged is None or ema is False else averaged


def input_config(state: Mapping[str, Any]) -> InputConfig:
    """What the model of a checkpoint wants its images like."""
    config = state["input"].items()
    return InputConfig(**{key: tuple(value) if isinstance(value, list) else value for key, value in config})


def default_config(arch: str) -> dict[str, Any]:
    """What timm knows of the model `arch`: ``input_size``, ``mean``, ...

    Raises:
        UserError: if there is no such model, with names like it, this project's before timm's.
    """
    from .registry import MODELS

    if not timm.is_model(arch):
        alike = [difflib.get_close_matches(arch, names, 3) for names in (MODELS, timm.list_models())]
        near = list(dict.fromkeys(alike[0] + alike[1]))[:3]
        raise UserError(f"no model {arch} in timm" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    known = timm.get_pretrained_cfg(arch)
    return known.to_dict() if known is not None else {"input_size": (3, 224, 224)}


def build_model(arch: str, model_args: Mapping[str, Any]) -> nn.Module:
    """timm's model `arch` with the keywords `model_args`.

    Raises:
        UserError: if there is no such model, or it refuses an argument.
    """
    default_config(arch)
    initial = model_args.get("checkpoint_path")
    if initial and not os.path.isfile(str(initial)):
        raise UserError(f"model {arch}: {initial}: no such checkpoint")
    try:
        return timm.create_model(arch, **model_args)
    except (TypeError, ValueError, AssertionError, RuntimeError, ArithmeticError, LookupError, OSError) as error:
        raise UserError(f"model {arch}: {one_line(error)}") from None


@torch.no_grad()
def check_outputs(name: str, model: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, classes: int) -> None:
    """Try `model`, which errors call `name`, on an image `(1, channels, height, width)`.

    Raises:
        UserError: unless it gives one number for each of so many classes.
    """
    try:
        shape = tuple(model(image).shape)
    except (AttributeError, TypeError, ValueError, AssertionError, RuntimeError, LookupError) as error:
        size = " x ".join(map(str, image.shape[1:]))
        raise UserError(f"{name} cannot read images of {size} (channels, height, width): {one_line(error)}") from None
    if shape != (1, classes):
        raise UserError(f"{name} gives an image {shape[1:]} numbers, not one for each of {classes} classes")


def difference(weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str | None:
    """In which weight, the first in order, two models differ in name or size; None if they do not."""
    for key in [*expected, *weights]:
        if key not in weights:
            return f"{key} is missing"
        if key not in expected:
            return f"{key} is not expected"
        ours, theirs = tuple(weights[key].shape), tuple(expected[key].shape)
        if ours != theirs:
            return f"{key} is {ours}, not {theirs}"
    return None
