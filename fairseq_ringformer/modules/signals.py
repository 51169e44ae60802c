"""Level signals: what tells the levels of a ring apart (arXiv 2502.13181, section 3, eq. 6 and 7).

An adaptive signal is a matrix M, own to one level, that acts on the state itself, beside a projection W that all levels
share: after it, ``W x + M x`` (the paper's attention, eq. 6), or before it, ``W (x + M x)`` (its feed-forward, eq. 7).
Both are linear in x, so they fold into the weight: ``W + M`` and ``W (I + M)``. The static signal of the Universal
Transformer (arXiv 1807.03819) is a coordinate embedding added to the state instead.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .tracing import unbind

AFTER, BEFORE = "after", "before"


class ThinSignal(NamedTuple):
    """The signal of one level beside its projection: ``M = up @ down`` for every part, as two (thin) products.

    `down` `(parts, rank, in_dim)`, `up` `(parts, out_dim, rank)`, or None for a signal that is one matrix, `down`
    `(parts, out_dim, in_dim)`; `parts` is their number, `rank` the second size of `down`.
    """

    down: Tensor
    up: Tensor | None
    place: str
    parts: int
    rank: int

    def to(self, dtype: torch.dtype) -> "ThinSignal":
        return self._replace(down=self.down.to(dtype), up=None if self.up is None else self.up.to(dtype))

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None, read: Tensor) -> Tensor:
        """The projection of `x` `(..., in_dim)` by `weight` `(parts * out, in_dim)`, with the signal of `read`."""
        parts, shape, in_dim = self.parts, x.shape, x.size(-1)
        flat, read = x.reshape(-1, in_dim), read.reshape(-1, in_dim)
        thin = F.linear(read, self.down.flatten(0, 1)).view(-1, parts, self.rank).transpose(0, 1)
        if self.place == AFTER:
            plain = F.linear(flat, weight, bias).unflatten(-1, (parts, -1)).transpose(0, 1)
            out = self._add(plain, thin).transpose(0, 1)
        else:
            signalled = self._add(flat.expand(parts, -1, -1), thin)
            out = torch.bmm(signalled, weight.unflatten(0, (parts, -1)).transpose(1, 2)).transpose(0, 1)
            out = out if bias is None else out + bias.view(parts, -1)
        return out.reshape(shape[:-1] + (weight.size(0),))

    def _add(self, to: Tensor, thin: Tensor) -> Tensor:
        return to + thin if self.up is None else torch.baddbmm(to, thin, self.up.transpose(1, 2))


class LevelSignals(nn.Module):
    """The signals of all levels at one shared projection, or at several that are packed into one weight.

    Args:
        levels: N.
        parts: projections packed into the weight (3 for queries, keys and values), each with a signal of its own.
        in_dim: channels that M reads.
        out_dim: channels that M writes: those of one part's output if `place` is ``after``, else `in_dim`.
        place: ``after`` or ``before`` the shared projection.
    """

    def __init__(self, levels: int, parts: int, in_dim: int, out_dim: int, place: str):
        super().__init__()
        if place not in (AFTER, BEFORE):
            raise ValueError(f"a signal stands {AFTER} or {BEFORE} its projection, not {place!r}")
        if place == BEFORE and in_dim != out_dim:
            raise ValueError(f"a signal before the projection maps {in_dim} channels to as many, not to {out_dim}")
        self.levels, self.parts, self.in_dim, self.out_dim, self.place = levels, parts, in_dim, out_dim, place

    def fold(self, weight: Tensor, levels: list[int] | None = None) -> Tensor:
        """The shared `weight` `(parts * out, in_dim)` as each of `levels` (all) sees it, `(levels, parts * out, in_dim)`.

        Exact: the signal is folded in, and the projection's bias stays as it is.
        """
        shared = weight.view(self.parts, -1, self.in_dim)
        signal = self.matrix(levels) if self.place == AFTER else self._behind(shared, levels)
        return (shared + signal).flatten(1, 2)

    def matrix(self, levels: list[int] | None = None) -> Tensor:
        """M of `levels`, `(levels, parts, out_dim, in_dim)`."""
        raise NotImplementedError

    def _behind(self, shared: Tensor, levels: list[int] | None) -> Tensor:
        """W M of `levels`, `(levels, parts, out, in_dim)`, for W `(parts, out, in_dim)`."""
        raise NotImplementedError

    def beside(self) -> list[ThinSignal]:
        """Every level's signal as products of its own, beside the projection."""
        raise NotImplementedError

    def truncate(self, levels: int) -> None:
        """Keep the signals of the first `levels` levels."""
        self.levels = levels
        for name, parameter in list(self.named_parameters()):
            setattr(self, name, nn.Parameter(parameter.detach()[:levels].clone(), parameter.requires_grad))

    def pays_thin(self, tokens: int, out: int) -> bool:
        """Whether thin products over `tokens` need fewer multiply-adds than folding into a weight with `out` rows."""
        return False

    def extra_repr(self) -> str:
        return f"{self.in_dim}, {self.out_dim}, {self.place}, levels={self.levels}, parts={self.parts}"


def _of(stacked: Tensor, levels: list[int] | None) -> Tensor:
    return stacked if levels is None else stacked[levels]


def _times(shared: Tensor, matrices: Tensor) -> Tensor:
    """W X of every level, `(levels, parts, out, n)`, for W `(parts, out, in)` and X `(levels, parts, in, n)`.

    One product for all levels: broadcasting W over them would copy it.
    """
    levels, parts, in_dim, n = matrices.shape
    side_by_side = matrices.permute(1, 2, 0, 3).reshape(parts, in_dim, levels * n)
    return torch.bmm(shared, side_by_side).view(parts, -1, levels, n).permute(2, 0, 1, 3)


class LowRankSignals(LevelSignals):
    """``M = up @ down`` of rank `rank` (the paper's A B^T). `up` starts at zero, so training starts from the plain ring."""

    def __init__(
        self, levels: int, parts: int, in_dim: int, out_dim: int, place: str, rank: int, device=None, dtype=None
    ):
        super().__init__(levels, parts, in_dim, out_dim, place)
        if not 1 <= rank <= min(in_dim, out_dim):
            raise ValueError(f"signal rank {rank} must lie between 1 and {min(in_dim, out_dim)}, the width it reads")
        self.rank = rank
        self.down = nn.Parameter(torch.empty(levels, parts, rank, in_dim, device=device, dtype=dtype))
        self.up = nn.Parameter(torch.empty(levels, parts, out_dim, rank, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.down, std=self.in_dim**-0.5)
        nn.init.zeros_(self.up)

    def matrix(self, levels: list[int] | None = None) -> Tensor:
        return _of(self.up, levels) @ _of(self.down, levels)

    def _behind(self, shared: Tensor, levels: list[int] | None) -> Tensor:
        return _times(shared, _of(self.up, levels)) @ _of(self.down, levels)

    def beside(self) -> list[ThinSignal]:
        pairs = zip(unbind(self.down, self.levels), unbind(self.up, self.levels))
        return [ThinSignal(down, up, self.place, self.parts, self.rank) for down, up in pairs]

    def pays_thin(self, tokens: int, out: int) -> bool:
        per_token = self.parts * self.rank * (self.in_dim + self.out_dim)
        folding = self.rank * self.in_dim * out * (1 if self.place == AFTER else 2)
        return tokens * per_token < folding

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rank={self.rank}"


class FullRankSignals(LevelSignals):
    """``M`` as one unconstrained matrix (the paper's Table 4, full rank), zero at the start."""

    def __init__(self, levels: int, parts: int, in_dim: int, out_dim: int, place: str, device=None, dtype=None):
        super().__init__(levels, parts, in_dim, out_dim, place)
        self.weight = nn.Parameter(torch.empty(levels, parts, out_dim, in_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)

    def matrix(self, levels: list[int] | None = None) -> Tensor:
        return _of(self.weight, levels)

    def _behind(self, shared: Tensor, levels: list[int] | None) -> Tensor:
        return _times(shared, _of(self.weight, levels))

    def beside(self) -> list[ThinSignal]:
        matrices = unbind(self.weight, self.levels)
        return [ThinSignal(matrix, None, self.place, self.parts, self.out_dim) for matrix in matrices]


def coordinate_table(size: int, embed_dim: int, device=None) -> Tensor:
    """Sinusoids `(size, embed_dim)` of the indices 0..size-1, sine on even and cosine on odd channels.

    Row ``n``, channels ``2j`` and ``2j + 1``: ``sin(n / 10000^(2j/d))`` and ``cos(n / 10000^(2j/d))``.
    """
    channel = torch.arange(embed_dim, dtype=torch.float64, device=device)
    frequency = torch.exp(-math.log(10000.0) / embed_dim * 2 * torch.div(channel, 2, rounding_mode="floor"))
    angle = torch.arange(size, dtype=torch.float64, device=device).unsqueeze(1) * frequency
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()


class StaticSignal(nn.Module):
    """Coordinate embedding ``P^t[i] = S[i] + S[t]`` of the Universal Transformer (arXiv 1807.03819, section 2.1).

    Positions i and steps t count from 1; nothing is learned. It enters the residual stream, so it does not fold.
    """

    def __init__(self, embed_dim: int, levels: int, size: int = 256, device=None):
        super().__init__()
        self.embed_dim, self.levels = embed_dim, levels
        self.register_buffer("table", coordinate_table(max(size, levels + 1), embed_dim, device), persistent=False)

    def reset_parameters(self) -> None:
        """Compute the table anew, after it was built without memory (torch's meta device)."""
        self.table = coordinate_table(*self.table.shape, device=self.table.device).to(self.table.dtype)

    def positions(self, positions: Tensor) -> Tensor:
        """``S[i]`` for integer `positions` `(batch, length)`, as `(batch, length, embed_dim)`; once for all levels."""
        self._grow(int(positions.max()) + 1)
        return F.embedding(positions, self.table)

    def first(self, length: int) -> Tensor:
        """``S[1]`` to ``S[length]``, `(length, embed_dim)`."""
        if isinstance(length, int):  # not where torch.fx records
            self._grow(length + 1)
        return torch.narrow(self.table, 0, 1, length)  # a slice of a table cannot be recorded by torch.fx

    def _grow(self, needed: int) -> None:
        if needed > self.table.size(0):
            self.table = coordinate_table(2 * needed, self.embed_dim, self.table.device).to(self.table.dtype)

    def step(self, level: int) -> Tensor:
        """``S[t]`` of `level` (counted from 0, so t = level + 1), `(embed_dim,)`."""
        return self.table[level + 1]
