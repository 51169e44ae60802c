"""Where these tests run, and in which types: a GPU, or what RINGFORMER_TEST_DEVICE says (cpu, to try the tests themselves)."""

import copy
import os
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

DEVICE = os.environ.get("RINGFORMER_TEST_DEVICE", "cuda")
NO_DEVICE = DEVICE == "cuda" and not torch.cuda.is_available()
# What marks a file of tests for a GPU.
on_gpu = [pytest.mark.gpu, pytest.mark.skipif(NO_DEVICE, reason="torch finds no CUDA here")]


class Kind(NamedTuple):
    """How a model computes: the type of its weights, what its `autocast` option and torch.autocast say.

    `tolerance` is of what it computes, against float32 on the CPU; gradients may be five times as far off.
    """

    dtype: torch.dtype
    tolerance: float
    autocast: str = "none"
    amp: torch.dtype | None = None

    def context(self) -> AbstractContextManager:
        return nullcontext() if self.amp is None else torch.autocast(DEVICE, self.amp)

    def copy(self, model: nn.Module) -> nn.Module:
        """`model`, of float32 on the CPU, on the device and in this type."""
        copied = copy.deepcopy(model).to(DEVICE, self.dtype)
        if self.autocast != "none":
            copied.set_autocast(self.autocast)
        return copied


KINDS = {
    "float32": Kind(torch.float32, 1e-4),
    "bf16": Kind(torch.bfloat16, 6e-2),
    "fp16": Kind(torch.float16, 1e-2),
    "--autocast bf16": Kind(torch.float32, 6e-2, autocast="bf16"),
    "amp fp16": Kind(torch.float32, 1e-2, amp=torch.float16),
}
# Those that image classifiers have.
PLAIN_KINDS = [name for name in KINDS if KINDS[name].autocast == "none"]


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """`found`, of any type and device, lies within `tolerance` of `expected`, in units of its largest element."""
    assert found.device.type == torch.device(DEVICE).type
    scale = expected.abs().max().clamp(min=1.0)
    torch.testing.assert_close(found.detach().cpu().float() / scale, expected / scale, rtol=0, atol=tolerance)


def assert_gradients_near(found: nn.Module, expected: nn.Module, tolerance: float) -> None:
    """The gradients of `found` lie within `tolerance` of those of `expected`, by their norms."""
    gradients = {name: parameter.grad for name, parameter in expected.named_parameters()}
    least = 0.05 * max(gradient.norm() for gradient in gradients.values())
    for name, parameter in found.named_parameters():
        assert parameter.grad.device.type == torch.device(DEVICE).type
        distance = (parameter.grad.cpu().float() - gradients[name]).norm()
        assert distance <= tolerance * max(gradients[name].norm(), least), (name, distance, gradients[name].norm())
