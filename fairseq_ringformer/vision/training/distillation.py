"""Soft targets: what a trained classifier makes of the images that a student learns from (arXiv 1503.02531)."""

import os
import zlib
from collections.abc import Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from ...errors import UserError
from ..checkpoint import build_model, check_outputs, default_config, input_config, load_classifier
from ..data import InputConfig
from ..data.checking import other_classes
from ..exported import described, is_onnx
from .options import Options
from .run import check_outside

ALPHA, TEMPERATURE = 0.5, 2.0


class Teacher:
    """A trained classifier of the same classes, which adds its part to a student's loss.

    It sees the pixels that the student sees, augmented and mixed, in its own normalisation, size and number of channels.

    Args:
        options: ``teacher``, ``distill_alpha`` and ``distill_temperature`` among them.
        classes: names by target; num_classes: outputs of the student, which may be more.
        input: what the student's images are like.

    Attributes:
        about: the teacher and the images that it sees, in a line.
        fingerprint: what tells its weights from others, wherever they lie.

    Raises:
        UserError: if there is no such model or it has no weights, or if it knows other classes or cannot see such images.
    """

    def __init__(
        self, options: Options, classes: Sequence[str], num_classes: int, input: InputConfig, accelerator: Accelerator
    ):
        self.name = f"--teacher {options.teacher}"
        self.alpha = ALPHA if options.distill_alpha is None else options.distill_alpha
        self.temperature = TEMPERATURE if options.distill_temperature is None else options.distill_temperature
        model, state = _load(options.teacher)
        check_outside("--teacher", options.teacher, options.output)
        if state["num_classes"] != num_classes:
            raise UserError(f"{self.name} tells {state['num_classes']} classes apart, and the model {num_classes}")
        # timm's pretrained models do not all tell their classes' names.
        other = other_classes({"of the teacher": state["classes"] or classes, "of the data": classes})
        if other:
            raise UserError(f"{self.name} has other classes ({other})")
        self.own = input_config(state)
        self._check_input(input)
        device = accelerator.device
        mean, std, own_mean, own_std = (
            torch.tensor(values, device=device).view(-1, 1, 1)
            for values in (input.mean, input.std, self.own.mean, self.own.std)
        )
        # From the student's normalisation to the teacher's.
        self.scale, self.shift = std / own_std, (mean - own_mean) / own_std
        self.fingerprint = f"{state['arch']}, weights {_checksum(model):08x}"
        self.model = model.to(device).eval().requires_grad_(False)
        if hasattr(model, "reparameterize"):
            model.reparameterize()
        self.autocast = accelerator.autocast
        check_outputs(self.name, self.logits, torch.zeros(1, *input.size, device=device), num_classes)
        parameters = sum(weight.numel() for weight in model.parameters())
        channels, height, width = self.own.size
        seen = f"{width} x {height} {'grey' if channels == 1 else 'in colour'}"
        self.about = (
            f"teacher {options.teacher}: {state['arch']}, {parameters:,} parameters, sees the same images, {seen}; "
            f"alpha {self.alpha:g}, temperature {self.temperature:g}"
        )

    def _check_input(self, input: InputConfig) -> None:
        (channels, height, width), (own_channels, own_height, own_width) = input.size, self.own.size
        if channels > own_channels:
            raise UserError(f"{self.name} reads grey images, and the model images in colour: use --in-chans 1")
        if height * own_width != width * own_height:
            raise UserError(
                f"{self.name} reads images of {own_width} x {own_height}, and the model of {width} x {height}: "
                "their shapes differ, so it cannot see what the model sees"
            )

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """The teacher's logits `(batch, classes)` of images `(batch, channels, height, width)` as the student reads them."""
        if images.shape[-2:] != self.own.size[1:]:
            images = F.interpolate(images, self.own.size[1:], mode="bicubic", antialias=True)
        # A grey image gives all colours the same, by broadcasting.
        with self.autocast():
            return self.model(images * self.scale + self.shift).float()

    def add(self, loss: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        """``alpha T^2 KL(teacher || student) + (1 - alpha) loss``, of softmaxes at temperature T, by image.

        With T^2 the soft targets' gradients keep their size whatever T is (section 2 there).

        Args:
            loss: the student's, of the true classes.
            logits: the student's, `(batch, classes)`, of `images` `(batch, channels, height, width)`.
        """
        student = F.log_softmax(logits / self.temperature, dim=1)
        teacher = F.log_softmax(self.logits(images) / self.temperature, dim=1)
        divergence = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return self.alpha * self.temperature**2 * divergence + (1 - self.alpha) * loss


def _load(teacher: str) -> tuple[nn.Module, dict[str, Any]]:
    """The model, and ``arch``, ``classes``, ``num_classes`` and ``input``, of a checkpoint or of a name in timm."""
    if is_onnx(teacher):
        raise UserError(f"--teacher {teacher}: an ONNX file: name the checkpoint that it was made from")
    if os.path.exists(teacher):
        return load_classifier(teacher)
    if os.sep in teacher or os.path.splitext(teacher)[1] == ".pt":
        raise UserError(f"--teacher {teacher}: no such checkpoint")
    default_config(teacher)
    if not timm.is_model_pretrained(teacher):
        raise UserError(f"--teacher {teacher}: timm has no trained weights of this model: name a checkpoint")
    try:
        model = build_model(teacher, {"pretrained": True})
    except UserError as error:
        raise UserError(
            f"--teacher {teacher}: its trained weights cannot be had ({error}): name a checkpoint"
        ) from None
    return model, {"arch": teacher, **described(model)}


def _checksum(model: nn.Module) -> int:
    checksum = 0
    for weight in model.state_dict().values():
        checksum = zlib.crc32(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy(), checksum)
    return checksum
