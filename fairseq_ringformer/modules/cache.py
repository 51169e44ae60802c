"""Keys and values kept between the steps of incremental decoding, by level and never by module.

A ring runs one attention module at every level; a cache keyed by module would let each level overwrite the others.
"""

from typing import List, Optional, Tuple

import torch
from torch import Tensor

KeyValue = Tuple[Tensor, Tensor]

# Steps by which the self-attention cache grows: each growth copies what is there.
GROWTH = 32


class DecoderCache:
    """The state of one decoder stack in the middle of a batch of sentences.

    Self-attention keys and values of all levels live in one tensor `(levels, 2, batch, heads, capacity, head_dim)`, so
    that a beam reordering is one indexing. Cross-attention keys and values are one tensor per copy of the
    cross-attention, `(copies, 2, batch, heads, src_len, head_dim)`: computed at the first step, then only reordered.
    """

    def __init__(self, levels: int):
        self.levels = levels
        self.length = 0
        self._self: Optional[Tensor] = None
        self._cross: Optional[Tensor] = None

    def append(self, level: int, key: Tensor, value: Tensor) -> KeyValue:
        """Add this step's `key` and `value` `(batch, heads, 1, head_dim)` at `level`; return all so far.

        The step ends with :meth:`advance`, after the last level.
        """
        end = self.length + key.size(2)
        if self._self is None or end > self._self.size(4):
            self._grow(key, end)
        self._self[level, 0, :, :, self.length : end] = key
        self._self[level, 1, :, :, self.length : end] = value
        return self._self[level, 0, :, :, :end], self._self[level, 1, :, :, :end]

    def _grow(self, like: Tensor, needed: int) -> None:
        batch, heads, _, head_dim = like.shape
        capacity = (needed + GROWTH - 1) // GROWTH * GROWTH
        grown = like.new_zeros(self.levels, 2, batch, heads, capacity, head_dim)
        if self._self is not None:
            grown[..., : self.length, :] = self._self[..., : self.length, :]
        self._self = grown

    def advance(self, steps: int = 1) -> None:
        """Count the step that every level has now appended."""
        self.length += steps

    @property
    def has_cross(self) -> bool:
        return self._cross is not None

    def set_cross(self, keys_values: List[KeyValue]) -> None:
        """Keep the keys and values of the encoder's output, one pair per copy of the cross-attention."""
        self._cross = torch.stack([torch.stack(pair) for pair in keys_values])

    def cross(self, copy: int) -> KeyValue:
        """Keys and values `(batch, heads, src_len, head_dim)` of cross-attention `copy`."""
        return self._cross[copy, 0], self._cross[copy, 1]

    def reorder(self, new_order: Tensor) -> None:
        """Select sentences or beams: row i becomes the old row ``new_order[i]``, at every level."""
        if self._self is not None:
            self._self = self._self.index_select(2, new_order)
        if self._cross is not None:
            self._cross = self._cross.index_select(2, new_order)
