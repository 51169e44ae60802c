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

from ..errors import UserError
from .sharing import AFTER, BEFORE


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
            raise UserError(f"a signal stands {AFTER} or {BEFORE} its projection, not {place!r}")
        if place == BEFORE and in_dim != out_dim:
            raise UserError(f"a signal before the projection maps {in_dim} channels to as many, not to {out_dim}")
        self.levels, self.parts, self.in_dim, self.out_dim, self.place = levels, parts, in_dim, out_dim, place

    def forward(self, x: Tensor, level: int) -> Tensor:
        """M x of `level`, one part beside the other: `(..., in_dim)` to `(..., parts * out_dim)`."""
        raise NotImplementedError

    def at(self, level: int) -> "Signal":
        """The signal of one level."""
        return Signal(self, level)

    def matrix(self, levels: list[int] | None = None) -> Tensor:
        """M of `levels` (all), `(levels, parts, out_dim, in_dim)`."""
        raise NotImplementedError

    def fold(self, weight: Tensor, levels: list[int] | None = None) -> Tensor:
        """The shared `weight` `(parts * out, in_dim)` as each of `levels` (all) sees it, `(levels, parts * out, in_dim)`.

        Exact: ``W + M`` or ``W (I + M)``; the projection's bias stays as it is.
        """
        shared = weight.view(self.parts, -1, self.in_dim)
        signal = self.matrix(levels) if self.place == AFTER else self._product(shared, levels)
        return (shared + signal).flatten(1, 2)

    def _product(self, shared: Tensor, levels: list[int] | None) -> Tensor:
        """W M of `levels`, `(levels, parts, out, in_dim)`, for W `(parts, out, in_dim)`."""
        raise NotImplementedError

    def multiply_adds(self, out: int) -> tuple[int, int]:
        """Of one level: M x for one token; folding M into a weight of `out` rows in all."""
        raise NotImplementedError

    def truncate(self, levels: int) -> None:
        """Keep the signals of the first `levels` levels."""
        self.levels = levels
        for name, parameter in list(self.named_parameters()):
            setattr(self, name, nn.Parameter(parameter.detach()[:levels].clone(), parameter.requires_grad))

    def extra_repr(self) -> str:
        return f"{self.in_dim}, {self.out_dim}, {self.place}, levels={self.levels}, parts={self.parts}"


class LowRankSignals(LevelSignals):
    """``M = up @ down`` of rank `rank` (the paper's A B^T). `up` starts at zero, so training starts from the plain ring.

    `down` starts normal, with deviation `init_std`; None for ``in_dim ** -0.5``.
    """

    def __init__(
        self,
        levels: int,
        parts: int,
        in_dim: int,
        out_dim: int,
        place: str,
        rank: int,
        device=None,
        dtype=None,
        init_std: float | None = None,
    ):
        super().__init__(levels, parts, in_dim, out_dim, place)
        if not 1 <= rank <= min(in_dim, out_dim):
            raise UserError(f"signal rank {rank} must lie between 1 and {min(in_dim, out_dim)}, the width it reads")
        self.rank = rank
        self.init_std = in_dim**-0.5 if init_std is None else init_std
        self.down = nn.Parameter(torch.empty(levels, parts, rank, in_dim, device=device, dtype=dtype))
        self.up = nn.Parameter(torch.empty(levels, parts, out_dim, rank, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.down, std=self.init_std)
        nn.init.zeros_(self.up)

    def forward(self, x: Tensor, level: int) -> Tensor:
        down, up = self.down[level].to(x.dtype), self.up[level].to(x.dtype)
        return torch.cat([F.linear(F.linear(x, down[part]), up[part]) for part in range(self.parts)], dim=-1)

    def matrix(self, levels: list[int] | None = None) -> Tensor:
        return _of(self.up, levels) @ _of(self.down, levels)

    def _product(self, shared: Tensor, levels: list[int] | None) -> Tensor:
        return _times(shared, _of(self.up, levels)) @ _of(self.down, levels)

    def multiply_adds(self, out: int) -> tuple[int, int]:
        folding = self.rank * self.in_dim * out * (1 if self.place == AFTER else 2)
        return self.parts * self.rank * (self.in_dim + self.out_dim), folding

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

    def forward(self, x: Tensor, level: int) -> Tensor:
        matrix = self.weight[level].to(x.dtype)
        return torch.cat([F.linear(x, matrix[part]) for part in range(self.parts)], dim=-1)

    def matrix(self, levels: list[int] | None = None) -> Tensor:
        return _of(self.weight, levels)

    def _product(self, shared: Tensor, levels: list[int] | None) -> Tensor:
        return _times(shared, _of(self.weight, levels))

    def multiply_adds(self, out: int) -> tuple[int, int]:
        return self.parts * self.in_dim * self.out_dim, 0 if self.place == AFTER else self.in_dim**2 * out


class DiagonalSignals(LevelSignals):
    """``M`` as a diagonal matrix, a scale for every channel, zero at the start (ResidualTransformer, arXiv 2310.02489).

    Where M is not square, its diagonal ends with its shorter side.
    """

    def __init__(self, levels: int, parts: int, in_dim: int, out_dim: int, place: str, device=None, dtype=None):
        super().__init__(levels, parts, in_dim, out_dim, place)
        self.weight = nn.Parameter(torch.empty(levels, parts, min(in_dim, out_dim), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)

    def forward(self, x: Tensor, level: int) -> Tensor:
        scaled = x[..., None, : self.out_dim] * self.weight[level].to(x.dtype)
        return F.pad(scaled, (0, max(0, self.out_dim - self.in_dim))).flatten(-2)

    def matrix(self, levels: list[int] | None = None) -> Tensor:
        size = min(self.in_dim, self.out_dim)
        return F.pad(torch.diag_embed(_of(self.weight, levels)), (0, self.in_dim - size, 0, self.out_dim - size))

    def _product(self, shared: Tensor, levels: list[int] | None) -> Tensor:
        return shared * _of(self.weight, levels).unsqueeze(-2)

    def multiply_adds(self, out: int) -> tuple[int, int]:
        # M x goes element by element, as norms do: no product to count, and none that folding would save.
        return 0, self.in_dim * out


class SummedSignals(LevelSignals):
    """``M`` as the sum of those of `terms`, which stand at the same projection."""

    def __init__(self, terms: list[LevelSignals]):
        first = terms[0]
        super().__init__(first.levels, first.parts, first.in_dim, first.out_dim, first.place)
        self.terms = nn.ModuleList(terms)

    def forward(self, x: Tensor, level: int) -> Tensor:
        return sum(term(x, level) for term in self.terms)

    def matrix(self, levels: list[int] | None = None) -> Tensor:
        return sum(term.matrix(levels) for term in self.terms)

    def _product(self, shared: Tensor, levels: list[int] | None) -> Tensor:
        return sum(term._product(shared, levels) for term in self.terms)

    def multiply_adds(self, out: int) -> tuple[int, int]:
        thin, folding = zip(*(term.multiply_adds(out) for term in self.terms))
        return sum(thin), sum(folding)

    def truncate(self, levels: int) -> None:
        self.levels = levels
        for term in self.terms:
            term.truncate(levels)


class Signal(NamedTuple):
    """The signal of one level: ``M x``."""

    signals: LevelSignals
    level: int

    @property
    def place(self) -> str:
        return self.signals.place

    @property
    def parts(self) -> int:
        return self.signals.parts

    def __call__(self, x: Tensor) -> Tensor:
        return self.signals(x, self.level)


def _of(stacked: Tensor, levels: list[int] | None) -> Tensor:
    return stacked if levels is None else stacked[levels]


def _times(shared: Tensor, matrices: Tensor) -> Tensor:
    """W X of every level, `(levels, parts, out, n)`, for W `(parts, out, in)` and X `(levels, parts, in, n)`.

    One product for all levels: broadcasting W over them would copy it.
    """
    levels, parts, in_dim, n = matrices.shape
    side_by_side = matrices.permute(1, 2, 0, 3).reshape(parts, in_dim, levels * n)
    return torch.bmm(shared, side_by_side).view(parts, -1, levels, n).permute(2, 0, 1, 3)


def coordinate_table(size: int, embed_dim: int, device=None, dtype=None, coordinates: str = "dehghani") -> Tensor:
    """Sinusoids `(size, embed_dim)` of the indices 0..size-1, sine on even and cosine on odd channels, exact in `dtype`.

    ``dehghani`` (arXiv 1807.03819, eq. 4 and 5), channels ``2j`` and ``2j + 1`` of row ``n``: ``sin(n / 10000^(2j/d))`` and
    ``cos(n / 10000^(2j/d))``. ``released``, as in the Universal Transformer that the RingFormer paper compares with:
    channels count from k = 1, each with a frequency of its own, ``f(n / 10000^(2k/d))``, f the sine for even k and the
    cosine for odd k.
    """
    channel = torch.arange(embed_dim, dtype=torch.float64)
    if coordinates == "released":
        channel = rate = channel + 1
    else:
        rate = torch.div(channel, 2, rounding_mode="floor")
    frequency = torch.exp(-math.log(10000.0) / embed_dim * 2 * rate)
    angle = torch.arange(size, dtype=torch.float64).unsqueeze(1) * frequency
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).to(
        device=device, dtype=dtype or torch.get_default_dtype()
    )


class StaticSignal(nn.Module):
    """Coordinate embedding ``P^t[i] = S[i] + S[t]`` of the Universal Transformer (arXiv 1807.03819, section 2.1).

    Positions i and steps t count from 1; nothing is learned. It enters the residual stream, so it does not fold.

    Args:
        embed_dim: channels of the state.
        levels: N.
        size: positions that the table begins with; it grows.
        coordinates: which sinusoids S are; see :func:`coordinate_table`.
    """

    def __init__(
        self, embed_dim: int, levels: int, size: int = 256, device=None, dtype=None, coordinates: str = "dehghani"
    ):
        super().__init__()
        self.embed_dim, self.levels, self.coordinates = embed_dim, levels, coordinates
        table = coordinate_table(max(size, levels + 1), embed_dim, device, dtype, coordinates)
        self.register_buffer("table", table, persistent=False)

    def reset_parameters(self) -> None:
        """Compute the table anew, after it was built without memory (torch's meta device)."""
        self._resize(self.table.size(0))

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.reset_parameters()  # double() cannot make a rounded table exact
        return self

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
            self._resize(2 * needed)

    def _resize(self, size: int) -> None:
        self.table = coordinate_table(size, self.embed_dim, self.table.device, self.table.dtype, self.coordinates)

    def step(self, level: int) -> Tensor:
        """``S[t]`` of `level` (counted from 0, so t = level + 1), `(embed_dim,)`."""
        return self.table[level + 1]
