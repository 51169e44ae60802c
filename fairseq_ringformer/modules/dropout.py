"""Dropout with few random numbers: on CPUs, drawing them is a third of a training step with torch's own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tracing import is_traced

# An element is kept or dropped by 16 random bits, so its probability is a multiple of 1 / 65536.
GRAIN = 1 << 16


def drop_probability(dropout: nn.Module) -> float:
    """The probability with which `dropout` drops now: 0 in evaluation, unless it is told to stay on.

    fairseq's dropout can stay on at inference (``--retain-dropout``) and says so in an attribute.
    """
    active = dropout.training or getattr(dropout, "apply_during_inference", False)
    return dropout.p if active else 0.0


def keep_noise(x: Tensor, p: float) -> Tensor:
    """0 with probability `p` (to 1 / 65536), else one over the probability of being kept; shape and type of `x`.

    Four elements share one 64-bit random number of torch's generator.
    """
    dropped = min(round(p * GRAIN), GRAIN - 1)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    kept = words.view(torch.int16)[: x.numel()] >= dropped - GRAIN // 2
    return kept.to(x.dtype).mul_(GRAIN / (GRAIN - dropped)).view(x.shape)


def _drawn_here(x: Tensor) -> bool:
    """Whether :func:`keep_noise` is the way: elsewhere torch's own is quick, and a compiler knows it."""
    return not is_traced(x) and x.device.type == "cpu"


def dropout(x: Tensor, p: float) -> Tensor:
    """`x` with elements dropped with probability `p` and the others scaled up."""
    if p == 0.0:
        return x
    return x * keep_noise(x, p) if _drawn_here(x) else F.dropout(x, p)


def add_dropped(residual: Tensor, x: Tensor, p: float) -> Tensor:
    """``residual + dropout(x, p)`` in one pass."""
    if p == 0.0:
        return residual + x
    return torch.addcmul(residual, x, keep_noise(x, p)) if _drawn_here(x) else residual + F.dropout(x, p)


def drop_path(x: Tensor, p: float) -> Tensor:
    """`x` `(batch, ...)` with whole samples dropped with probability `p` and the others scaled up (stochastic depth)."""
    if p == 0.0:
        return x
    keep = torch.empty(x.size(0), *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device).bernoulli_(1.0 - p)
    return x * keep.div_(1.0 - p)
