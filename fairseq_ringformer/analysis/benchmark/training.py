"""What training is to every benchmark: updates on batches, by a trainer of whatever kind."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import nn


class Training(Protocol):
    """One candidate and its trainer; `dtype` is that of its matrix products."""

    model: nn.Module
    dtype: torch.dtype

    def run(self, batches: list[Any]) -> None:
        """One update on each of `batches`: forward, backward, clipping, Adam; returns when the device is done."""

    def gradients_of(self, batch: Any) -> AbstractContextManager[None]:
        """Forward and backward pass alone, inside the context; gradients are dropped after it."""


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
