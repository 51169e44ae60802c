"""A projection as one level of the ring sees it: the shared weight, with the level's signal folded in or beside it."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .signals import LevelSignals, ThinSignal
from .tracing import unbind


def reset_linears(*linears: nn.Linear) -> None:
    """Initialise as Transformers do: Xavier-uniform weights, zero biases."""
    for linear in linears:
        nn.init.xavier_uniform_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


class Projection(NamedTuple):
    """``W x + b`` with the level's signal.

    `weight` `(out, in)`; `bias` `(out,)` or None; `signal` None where there is none, or where it is in `weight`.
    """

    weight: Tensor
    bias: Tensor | None
    signal: ThinSignal | None = None

    def __call__(self, x: Tensor, read: Tensor | None = None) -> Tensor:
        """The projection of `x` `(..., in)`, `(..., out)`; its signal reads `read`, of the same shape (default: `x`)."""
        if self.signal is None:
            return F.linear(x, self.weight, self.bias)
        return self.signal.project(x, self.weight, self.bias, x if read is None else read)


def project_levels(
    linears: list[nn.Linear], signals: LevelSignals | None, dtype: torch.dtype, fold: bool, kept: bool = False
) -> list[Projection]:
    """The projections of all levels in `dtype`.

    Args:
        linears: the shared module that each level uses.
        signals: their signals, or None for a plain ring.
        dtype: of the activations. Where something learns, a shared weight is rounded for each level anew, so that the
            gradients of all levels add up in the weight's own precision.
        fold: whether to fold the signals in, or to leave them beside the weights as products of their own.
        kept: whether the result will serve many passes where nothing learns: then what levels share is converted once,
            and laid out for products with few rows.
    """
    thin = None if fold or signals is None else signals.beside()
    if signals is not None and thin is None:
        weights = [lay_out(weight, kept) for weight in folded_weights(linears, signals, dtype)]
    else:
        of = _once(lambda weight: lay_out(weight.to(dtype), kept), kept)
        weights = [of(linear.weight) for linear in linears]
    of = _once(lambda bias: bias.to(dtype), kept)
    biases = [None if linear.bias is None else of(linear.bias) for linear in linears]
    beside = [None] * len(linears) if thin is None else [signal.to(dtype) for signal in thin]
    return list(map(Projection, weights, biases, beside))


def _once(convert: Callable[[Tensor], Tensor], kept: bool) -> Callable[[Tensor], Tensor]:
    return functools.cache(convert) if kept else convert


def lay_out(weight: Tensor, kept: bool) -> Tensor:
    """`weight` `(out, in)`; if it will be `kept`, with its columns contiguous: up to twice as fast for 5 to 40 rows."""
    return weight.t().contiguous().t() if kept else weight


def folded_weights(linears: list[nn.Linear], signals: LevelSignals, dtype: torch.dtype) -> list[Tensor]:
    """The weight of each level, `(out, in)`, with its signal folded in."""
    weights: list[Tensor | None] = [None] * len(linears)
    for copy in dict.fromkeys(linears):
        users = [level for level, linear in enumerate(linears) if linear is copy]
        folded = signals.fold(copy.weight, None if len(users) == len(linears) else users)
        for level, weight in zip(users, unbind(folded.to(dtype), len(users))):
            weights[level] = weight
    return weights
