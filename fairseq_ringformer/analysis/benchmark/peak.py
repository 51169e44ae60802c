"""What matrix products this machine can do at most, and how many a training step asks for."""

import time
from typing import Any

import torch

from ..counts.compute import multiply_adds
from .training import Training, synchronise

# Rows, inner and outer size: square products of several sizes, and the shape of a feed-forward on a large batch.
SHAPES = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 512, 2048), (4096, 2048, 2048))


def matmul_peak(dtype: torch.dtype, device: str, seconds: float = 0.3) -> float:
    """Multiply-adds per second of the best of several matrix products, each repeated for about `seconds`."""
    best = 0.0
    for rows, inner, columns in SHAPES:
        left = torch.randn(rows, inner, device=device).to(dtype)
        right = torch.randn(inner, columns, device=device).to(dtype)
        left @ right  # the first one prepares
        fastest, until = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < until:
            synchronise(device)
            started = time.perf_counter()
            left @ right
            synchronise(device)
            fastest = min(fastest, time.perf_counter() - started)
        best = max(best, rows * inner * columns / fastest)
        if fastest > seconds:  # a type that this processor does not multiply: larger products tell nothing more
            break
    return best


def step_multiply_adds(training: Training, batch: Any) -> int:
    """Those of one forward and backward pass over `batch`."""

    def step() -> None:
        with training.gradients_of(batch):
            pass

    return multiply_adds(step)
