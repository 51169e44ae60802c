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
        self.table = coordinate_table(length + 1, self.table.size(1), self.table.device, self.table.dtype)[1:]

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.reset_parameters()  # double() cannot make a rounded table exact
        return self

    def forward(self) -> Tensor:
        """`(length, embed_dim)`."""
        return self.table
