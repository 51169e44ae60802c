"""How far attention reaches: mean distance between a token and what it attends to, by head and level.

After Raghu et al. 2021 (arXiv 2108.08810) for images, as in Figure 3 of arXiv 2502.13181.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ...errors import UserError
from .models import TEXT, LoadedModel
from .states import trace


def patch_distances(grid: tuple[int, int], patch: tuple[int, int]) -> Tensor:
    """Euclidean distances in pixels between the centres of patches, row by row, `(patches, patches)`.

    Args:
        grid: rows and columns of patches.
        patch: height and width of one in pixels.
    """
    rows, columns = torch.meshgrid(
        torch.arange(grid[0], dtype=torch.float64) * patch[0],
        torch.arange(grid[1], dtype=torch.float64) * patch[1],
        indexing="ij",
    )
    centres = torch.stack([rows.flatten(), columns.flatten()], dim=1)
    return (centres[:, None] - centres[None]).norm(dim=-1)


def token_distances(length: int) -> Tensor:
    """|i - j| for a sentence of `length` tokens, `(length, length)`."""
    index = torch.arange(length, dtype=torch.float64)
    return (index[:, None] - index[None]).abs()


def patches_only(attn_weights: Tensor, prefix: int) -> Tensor:
    """Attention among patches: without the `prefix` tokens in front of them, weights renormalised."""
    weights = attn_weights[..., prefix:, prefix:]
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)


class MeanDistance:
    """Mean over queries of the distance to what they attend to, for one side of a model.

    Args:
        causal: whether a token sees only itself and what precedes it; tells what uniform attention would be.
    """

    def __init__(self, causal: bool = False):
        self.causal = causal
        self.queries = 0
        self._sums: Tensor | None = None
        self._uniform = 0.0

    def add(self, levels: Sequence[Tensor], distances: Tensor, present: Tensor) -> None:
        """Add a batch.

        Args:
            levels: attention weights of each level, `(batch, heads, length, length)`.
            distances: between tokens, `(length, length)`.
            present: true where there is a token, `(batch, length)`.
        """
        distances = distances.to(present.device)
        pairs = (present[:, :, None] & present[:, None, :]).double()
        # Weights on padding are zero already, except of queries that are padding themselves.
        sums = [torch.einsum("bhij,ij,bij->h", weights.double(), distances, pairs) for weights in levels]
        sums = torch.stack(sums).cpu()
        self._sums = sums if self._sums is None else self._sums + sums
        self.queries += int(present.sum())
        seen = pairs.tril() if self.causal else pairs
        means = torch.einsum("ij,bij->bi", distances, seen) / seen.sum(-1).clamp(min=1)
        self._uniform += float(means.sum())

    def result(self) -> list[list[float]]:
        """The mean distance of every level (rows) and head."""
        return (self._sums / self.queries).tolist()

    def uniform(self) -> float:
        """What the mean would be if every token attended equally to all that it sees."""
        return self._uniform / self.queries


def measure(
    models: Sequence[LoadedModel], batches: Iterable[Sequence], side: str | None
) -> list[dict[str, MeanDistance]]:
    """The mean distances of each model by side; in pixels between patches, or in tokens.

    Args:
        batches: for each model, what :func:`~.states.trace` reads.
        side: ``encoder`` or ``decoder`` alone, or None for all that there are.

    Raises:
        UserError: if a classifier has no grid of patches, or there is nothing in `batches`.
    """
    means: list[dict[str, MeanDistance]] = [{} for _ in models]
    pixels = [None if loaded.kind == TEXT else _pixels(loaded) for loaded in models]
    for batch in batches:
        for loaded, inputs, distances, by_side in zip(models, batch, pixels, means):
            for name, traced in trace(loaded.model, inputs, attn_weights=True).items():
                if side not in (None, name):
                    continue
                levels, present = [level["self_attn"] for level in traced.attn_weights], traced.present
                if loaded.kind == TEXT:
                    distances = token_distances(present.size(1))
                else:
                    prefix = loaded.model.num_prefix_tokens
                    levels, present = [patches_only(weights, prefix) for weights in levels], present[:, prefix:]
                by_side.setdefault(name, MeanDistance(causal=name == "decoder")).add(levels, distances, present)
    if not all(means):
        raise UserError("none of the examples can be read")
    return means


def _pixels(loaded: LoadedModel) -> Tensor:
    """Distances between the patches of a classifier."""
    embed = getattr(loaded.model, "patch_embed", None)
    if embed is None or not hasattr(embed, "grid_size"):
        raise UserError(f"{loaded.path}: {loaded.architecture} has no grid of patches")
    return patch_distances(embed.grid_size, embed.patch_size)
