"""The projections of the ring: a weight that levels share, with the signal of the level that computes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sharing import AFTER
from .signals import LevelSignals, Signal

INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier": nn.init.xavier_uniform_,
    "normal-0.02": partial(nn.init.normal_, std=0.02),
}


class Projection(nn.Linear):
    """``W x + b``, shared by levels; with a level's signal M ``W x + b + M x`` (eq. 6) or ``W (x + M x) + b`` (eq. 7).

    It computes in the type of its input, whatever the type of the weights. These start by `init`, one of :data:`INITS`.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None, init: str = "xavier"
    ):
        self.init = init  # nn.Linear draws its weights at once
        super().__init__(in_features, out_features, bias, device, dtype)

    def forward(self, x: Tensor, signal: Signal | None = None) -> Tensor:
        """The projection of `x` `(..., in_features)`, `(..., out_features)`.

        Args:
            signal: of the level that computes; None where there is none.
        """
        weight, bias = self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        if signal is None:
            return F.linear(x, weight, bias)  # W x + b
        m_x = signal(x)
        if signal.place == AFTER:
            return F.linear(x, weight, bias) + m_x  # W x + b + M x
        if signal.parts == 1:
            return F.linear(x + m_x, weight, bias)  # W (x + M x) + b
        # Several projections in one weight, each with an M of its own.
        m_xs, weights = m_x.chunk(signal.parts, dim=-1), weight.chunk(signal.parts)
        out = torch.cat([F.linear(x + m_xs[part], weights[part]) for part in range(signal.parts)], dim=-1)
        return out if bias is None else out + bias

    def reset_parameters(self) -> None:
        """Draw the weight, by default as Transformers do, Xavier-uniform; the bias starts at zero."""
        INITS[self.init](self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class NormalisingProjection(NamedTuple):
    """A projection whose signal reads the state before its norm, as in the paper's published vision models.

    ``W LN(x) + b + M x``, or ``W LN(x + M x) + b``: the signal is added to the state, and the sum is normalised.
    """

    projection: Callable[[Tensor], Tensor]
    signal: Signal | None
    norm: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        if self.signal is None:
            return self.projection(self.norm(x))
        m_x = self.signal(x)
        if self.signal.place == AFTER:
            return self.projection(self.norm(x)) + m_x
        if self.signal.parts == 1:
            return self.projection(self.norm(x + m_x))
        parts, m_xs = self.signal.parts, m_x.chunk(self.signal.parts, dim=-1)
        outs = [self.projection(self.norm(x + m_xs[part])).chunk(parts, dim=-1)[part] for part in range(parts)]
        return torch.cat(outs, dim=-1)


def fold(projections: list[nn.Linear], signals: LevelSignals | None) -> list[Tensor]:
    """The weight that each level computes with, `(out, in)`: its projection's, with its signal folded in.

    Args:
        projections: of each level; levels that share one are folded by one product.
        signals: of all levels, or None.
    """
    if signals is None:
        return [projection.weight for projection in projections]
    weights: dict[int, Tensor] = {}
    for copy in dict.fromkeys(projections):
        levels = [level for level, projection in enumerate(projections) if projection is copy]
        folded = signals.fold(copy.weight, None if len(levels) == len(projections) else levels)
        weights.update(zip(levels, folded.unbind()))
    return [weights[level] for level in range(len(projections))]
