"""Parameters of an image classifier by part, counted on torch's meta device: no weight is allocated."""

from collections.abc import Mapping
from typing import Any

import timm
import torch

from ...errors import UserError
from ...vision import RingClassifier
from ...vision.checkpoint import build_model
from .parts import PartCount, size, stack_parts, whole


def build_on_meta(arch: str, model_args: Mapping[str, Any] = {}) -> RingClassifier:
    """timm's model `arch` with the keywords `model_args`, without allocating it.

    Raises:
        UserError: if it is no model of this package, or they make none.
    """
    with torch.device("meta"):
        model = build_model(arch, model_args)
    if not isinstance(model, RingClassifier):
        raise UserError(f"{arch} is timm's own: choose one of {', '.join(timm.list_models(module='registry'))}")
    return model


def count_parts(model: RingClassifier) -> list[PartCount]:
    """Every parameter of `model`, by part; the `unique` column adds up to the whole model."""
    counts = [whole("patch embedding", size(model.patch_embed), vocabulary=True)]
    counts.append(whole("class token", model.cls_token.numel(), vocabulary=True))
    if model.pos_embed is not None:
        counts.append(whole("positions", model.pos_embed.numel(), vocabulary=True))
    counts += stack_parts(model.stack)
    if head := size(model.head):
        counts.append(whole("head", head, vocabulary=True))
    return counts
