"""Level signals: what tells the levels of a ring apart (arXiv 2502.13181, section 3, eq. 6 and 7).

An adaptive signal is a matrix M, own to one level, that acts on the state itself, beside a projection W that all levels
share: after it, ``W x + M x`` (the paper's attention, eq. 6), or before it, ``W (x + M x)`` (its feed-forward, eq. 7).
Both are linear in x, so they fold into the weight: ``W + M`` and ``W (I + M)``. The static signal of the Universal
Transformer (arXiv 1807.03819) is a coordinate embedding added to the state instead.
"""

import math
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AFTER, BEFORE = "after", "before"


class LevelSignal(nn.Module):
    """The signal of one level at one projection, ``M`` of shape `(out_dim, in_dim)`.

    Args:
        in_dim: channels that M reads.
        out_dim: channels that M writes: the projection's output if `place` is ``after``, else `in_dim`.
        place: ``after`` or ``before`` the shared projection.
    """

    def __init__(self, in_dim: int, out_dim: int, place: str):
        super().__init__()
        if place not in (AFTER, BEFORE):
            raise ValueError(f"a signal stands {AFTER} or {BEFORE} its projection, not {place!r}")
        if place == BEFORE and in_dim != out_dim:
            raise ValueError(f"a signal before the projection maps {in_dim} channels to as many, not to {out_dim}")
        self.in_dim, self.out_dim, self.place = in_dim, out_dim, place

    def matrix(self) -> Tensor:
        """M, `(out_dim, in_dim)`."""
        raise NotImplementedError

    def apply_to(self, x: Tensor) -> Tensor:
        """M x for `x` of shape `(..., in_dim)`."""
        raise NotImplementedError

    def fold(self, weight: Tensor) -> Tensor:
        """The projection's weight `(out, in_dim)` with this level's signal folded in: exact, the bias stays."""
        return weight + (self.matrix() if self.place == AFTER else weight @ self.matrix())

    def extra_repr(self) -> str:
        return f"{self.in_dim}, {self.out_dim}, {self.place}"


class LowRankSignal(LevelSignal):
    """``M = up @ down`` of rank `rank` (the paper's A B^T). `up` starts at zero, so training starts from the plain ring."""

    def __init__(self, in_dim: int, out_dim: int, place: str, rank: int):
        super().__init__(in_dim, out_dim, place)
        if not 1 <= rank <= min(in_dim, out_dim):
            raise ValueError(f"signal rank {rank} must lie between 1 and {min(in_dim, out_dim)}, the width it reads")
        self.rank = rank
        self.down = nn.Parameter(torch.empty(rank, in_dim))
        self.up = nn.Parameter(torch.empty(out_dim, rank))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.down, std=self.in_dim**-0.5)
        nn.init.zeros_(self.up)

    def matrix(self) -> Tensor:
        return self.up @ self.down

    def apply_to(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.down), self.up)

    def fold(self, weight: Tensor) -> Tensor:
        if self.place == AFTER:
            return torch.addmm(weight, self.up, self.down)
        return torch.addmm(weight, weight @ self.up, self.down)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}"


class FullRankSignal(LevelSignal):
    """``M`` as one unconstrained matrix (the paper's Table 4, full rank), zero at the start."""

    def __init__(self, in_dim: int, out_dim: int, place: str):
        super().__init__(in_dim, out_dim, place)
        self.weight = nn.Parameter(torch.zeros(out_dim, in_dim))

    def matrix(self) -> Tensor:
        return self.weight

    def apply_to(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def project(x: Tensor, linear: nn.Linear, signal: Optional[LevelSignal] = None) -> Tensor:
    """Shared projection of `x`, with the level's signal if it has one (eq. 6 and 7).

    Args:
        x: `(..., in_dim)`.
        linear: the shared projection W.
        signal: this level's M, or None for the plain ring.

    Folding costs ``in * out * rank`` multiply-adds whatever the number of tokens, the thin products ``rank * (in + out)``
    per token: from about half as many tokens as channels, one product with the folded weight is cheaper.
    """
    if signal is None:
        return linear(x)
    if x.numel() > x.size(-1) * signal.in_dim // 2:
        return F.linear(x, signal.fold(linear.weight), linear.bias)
    if signal.place == AFTER:
        return linear(x) + signal.apply_to(x)
    return linear(x + signal.apply_to(x))


def coordinate_table(size: int, embed_dim: int) -> Tensor:
    """Sinusoids `(size, embed_dim)` of the indices 0..size-1, sine on even and cosine on odd channels.

    Row ``n``, channels ``2j`` and ``2j + 1``: ``sin(n / 10000^(2j/d))`` and ``cos(n / 10000^(2j/d))``.
    """
    channel = torch.arange(embed_dim, dtype=torch.float64)
    frequency = torch.exp(-math.log(10000.0) / embed_dim * 2 * torch.div(channel, 2, rounding_mode="floor"))
    angle = torch.arange(size, dtype=torch.float64).unsqueeze(1) * frequency
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()


class StaticSignal(nn.Module):
    """Coordinate embedding ``P^t[i] = S[i] + S[t]`` of the Universal Transformer (arXiv 1807.03819, section 2.1).

    Positions i and steps t count from 1; nothing is learned. It enters the residual stream, so it does not fold.
    """

    def __init__(self, embed_dim: int, levels: int, size: int = 256):
        super().__init__()
        self.embed_dim, self.levels = embed_dim, levels
        self.register_buffer("table", coordinate_table(max(size, levels + 1), embed_dim), persistent=False)

    def positions(self, positions: Tensor) -> Tensor:
        """``S[i]`` for integer `positions` `(batch, length)`, as `(batch, length, embed_dim)`; once for all levels."""
        needed = int(positions.max()) + 1
        if needed > self.table.size(0):
            self.table = coordinate_table(2 * needed, self.embed_dim).to(self.table)
        return F.embedding(positions, self.table)

    def step(self, level: int) -> Tensor:
        """``S[t]`` of `level` (counted from 0, so t = level + 1), `(embed_dim,)`."""
        return self.table[level + 1]
