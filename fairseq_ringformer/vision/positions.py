"""Fixed sinusoids over a sequence of patches."""

import torch
from torch import Tensor, nn

from ..modules import coordinate_table


class FixedPositions(nn.Module):
    """Sinusoids of the positions 1 to `length`, class token first; nothing is learned, and nothing is saved.

    Args:
        length: tokens of an image, with the class token.
        embed_dim: channels.
        device, dtype: of the table.
    """

    def __init__(self, length: int, embed_dim: int, device=None, dtype=None):
        super().__init__()
        self.register_buffer("table", torch.empty(length, embed_dim, device=device, dtype=dtype), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Compute the table, after it was built without memory (torch's meta device), too."""
        self.resize(len(self.table))

    def resize(self, length: int) -> None:
        """Take images of `length` tokens."""
        self.table = _rows(length, self.table)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.reset_parameters()  # double() cannot make a rounded table exact
        return self

    def forward(self, length: int | None = None) -> Tensor:
        """Of the first `length` tokens, `(length, embed_dim)`; None: of as many as an image has."""
        return self.table if length is None else first_rows(self.table, length)


@torch.fx.wrap  # a recorded model knows `length` only when it runs
def first_rows(table: Tensor, length: int) -> Tensor:
    """The first `length` rows of a table of positions, or of a longer one."""
    return table[:length] if length <= len(table) else _rows(length, table)


def _rows(length: int, like: Tensor) -> Tensor:
    """The positions 1 to `length`, of the width, type and device of `like`."""
    return coordinate_table(length + 1, like.size(1), like.device, like.dtype)[1:]
