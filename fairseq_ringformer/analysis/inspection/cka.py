"""Linear centred kernel alignment of states (Kornblith et al. 2019), in mini-batches (Nguyen et al. 2021).

CKA compares two sets of features of the same examples: 1 if they are equal up to rotation, scale and shift, about 0 if
they have nothing to do with each other. ``CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))`` for the kernels K and L,
inner products of the features. The mini-batch estimator takes the three means of the unbiased HSIC_1 (Song et al. 2012)
over mini-batches, by their numbers of rows, so that no matrix over all examples is needed.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ...errors import UserError
from .models import LoadedModel
from .states import level_counts, paired_rows

# Features that vary less than this, relative to their size, are constant up to rounding: they have no CKA.
CONSTANT = 1e-6


def unbiased_hsic(first: Tensor, second: Tensor) -> Tensor:
    """HSIC_1 of every kernel of `first` `(m, n, n)` with every kernel of `second` `(k, n, n)`, `(m, k)`.

    With K and L without their diagonals: ``(tr KL + 1'K1 1'L1 / ((n-1)(n-2)) - 2 1'KL1 / (n-2)) / (n (n-3))``.
    """
    rows = first.size(-1)
    if rows < 4:
        raise ValueError(f"the unbiased estimator needs at least 4 rows, there are {rows}")
    first, second = (kernels - torch.diag_embed(torch.diagonal(kernels, dim1=1, dim2=2)) for kernels in (first, second))
    sums, other = first.sum(-1), second.sum(-1)
    products = first.flatten(1) @ second.flatten(1).T
    totals = torch.outer(sums.sum(-1), other.sum(-1)) / ((rows - 1) * (rows - 2))
    return (products + totals - 2 / (rows - 2) * sums @ other.T) / (rows * (rows - 3))


def _kernels(levels: Sequence[Tensor]) -> Tensor:
    """Inner products `(levels, rows, rows)` of centred features. HSIC_1 is the same without centring, less exact."""
    kernels = []
    for features in levels:
        features = features.double()
        centred = features - features.mean(0)
        if centred.norm() <= CONSTANT * features.norm():
            centred = torch.zeros_like(centred)
        kernels.append(centred @ centred.T)
    return torch.stack(kernels)


class MiniBatchCKA:
    """CKA of all levels of one model with all levels of another, from rows that come bit by bit.

    Args:
        batch_rows: rows of a mini-batch, at least 4. The rest is a smaller one; of fewer than 4 rows it is left out.

    Attributes:
        rows: how many rows have counted so far.
    """

    def __init__(self, batch_rows: int = 512):
        if batch_rows < 4:
            raise ValueError(f"mini-batches of {batch_rows} rows: the unbiased estimator needs at least 4")
        self.batch_rows = batch_rows
        self.rows = 0
        self._waiting: list[list[Tensor]] = [[], []]
        self._sums: list[Tensor] | None = None

    def add(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> None:
        """Add the same rows as each level of either model has them, `(rows, channels)`."""
        counts = {len(features) for features in (*first, *second)}
        if len(counts) != 1:
            raise ValueError(f"levels have different numbers of rows: {sorted(counts)}")
        for side, levels in enumerate((first, second)):
            waiting = self._waiting[side]
            self._waiting[side] = [torch.cat(pair) for pair in zip(waiting, levels)] if waiting else list(levels)
        while len(self._waiting[0][0]) >= self.batch_rows:
            self._count([[features[: self.batch_rows] for features in waiting] for waiting in self._waiting])
            self._waiting = [[features[self.batch_rows :] for features in waiting] for waiting in self._waiting]

    def _count(self, features: list[list[Tensor]]) -> None:
        first, second = map(_kernels, features)
        rows = len(features[0][0])
        parts = [rows * part for part in (unbiased_hsic(first, second), _with_itself(first), _with_itself(second))]
        self._sums = parts if self._sums is None else [total + part for total, part in zip(self._sums, parts)]
        self.rows += rows

    def result(self) -> Tensor:
        """CKA `(levels, other levels)` in float64; NaN where the features of a level are constant.

        Raises:
            UserError: if there were fewer than 4 rows.
        """
        rest = len(self._waiting[0][0]) if self._waiting[0] else 0
        if self._sums is None and rest < 4:
            raise UserError(f"CKA needs at least 4 rows, there are {rest}: add --examples")
        if rest >= 4:
            self._count(self._waiting)
            self._waiting = [[], []]
        cross, first, second = self._sums
        return cross / torch.outer(first, second).sqrt()


def _with_itself(kernels: Tensor) -> Tensor:
    """HSIC_1 of each kernel with itself, `(levels,)`; it is never negative but for rounding."""
    return torch.stack([unbiased_hsic(kernel[None], kernel[None])[0, 0] for kernel in kernels]).clamp(min=0)


def compare(
    models: Sequence[LoadedModel], batches: Iterable[Sequence], side: str | None, tokens: str, batch_rows: int
) -> dict[str, MiniBatchCKA]:
    """The estimate of each side of two models.

    Args:
        batches, side, tokens: see :func:`~.states.paired_rows`.

    Raises:
        UserError: if a model has no class token.
    """
    wanted = (name for name in level_counts(models[0].model) if side in (None, name))
    estimates = {name: MiniBatchCKA(batch_rows) for name in wanted}
    for batch in paired_rows(models, batches, side, tokens):
        for name, rows in batch.items():
            estimates[name].add(rows.first, rows.second)
    return estimates
