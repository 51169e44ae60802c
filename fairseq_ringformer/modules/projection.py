"""A projection as one level of the ring sees it: the shared weight, with the level's signal folded in or beside it."""

from typing import List, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .signals import LevelSignals, ThinSignal


class Projection(NamedTuple):
    """``W x + b`` with the level's signal.

    `weight` `(out, in)`; `bias` `(out,)` or None; `signal` None where there is none, or where it is in `weight`.
    """

    weight: Tensor
    bias: Optional[Tensor]
    signal: Optional[ThinSignal] = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.signal is None:
            return F.linear(x, self.weight, self.bias)
        return self.signal.project(x, self.weight, self.bias)


def project_levels(
    linears: List[nn.Linear], signals: Optional[LevelSignals], dtype: torch.dtype, fold: bool
) -> List[Projection]:
    """The projections of all levels in `dtype`.

    Args:
        linears: the shared module that each level uses.
        signals: their signals, or None for a plain ring.
        dtype: of the activations. Weights stay as they are and are rounded on the way, so that gradients of all levels
            add up in the weights' own precision.
        fold: whether to fold the signals in, or to leave them as thin products.
    """
    biases = [None if linear.bias is None else linear.bias.to(dtype) for linear in linears]
    if signals is None:
        return [Projection(linear.weight.to(dtype), bias) for linear, bias in zip(linears, biases)]
    thin = None if fold else signals.thin()
    if thin is not None:
        return [
            Projection(linear.weight.to(dtype), bias, signal.to(dtype))
            for linear, bias, signal in zip(linears, biases, thin)
        ]
    return [Projection(weight, bias) for weight, bias in zip(folded_weights(linears, signals, dtype), biases)]


def folded_weights(linears: List[nn.Linear], signals: LevelSignals, dtype: torch.dtype) -> List[Tensor]:
    """The weight of each level, `(out, in)`, with its signal folded in."""
    weights: List[Optional[Tensor]] = [None] * len(linears)
    for copy in dict.fromkeys(linears):
        users = [level for level, linear in enumerate(linears) if linear is copy]
        folded = signals.fold(copy.weight, None if len(users) == len(linears) else users)
        for level, weight in zip(users, folded.to(dtype).unbind()):
            weights[level] = weight
    return weights
