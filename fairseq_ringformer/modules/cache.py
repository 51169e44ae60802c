"""Keys and values kept between the steps of incremental decoding, by level and never by module.

A ring runs one attention module at every level; a cache keyed by module would let each level overwrite the others.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .kernels import AbsorbedAttention

KeyValue = tuple[Tensor, Tensor]

# Steps by which the self-attention cache grows: each growth copies what is there.
GROWTH = 32


class Memory(NamedTuple):
    """What cross-attention reads, by level: `keys_values`, a pair `(sentences, heads, src_len, head_dim)`, the same
    object at levels that share it; and `absorbed`, a quicker form for one sentence alone, or None. The additive `mask`
    `(sentences, 1, 1, src_len)`, or None, is every level's.
    """

    keys_values: list[KeyValue]
    mask: Tensor | None
    absorbed: list[AbsorbedAttention | None]

    def select(self, sentences: Tensor) -> "Memory":
        """The same with sentence i taken from ``sentences[i]``."""
        selected = {
            id(pair): tuple(tensor.index_select(0, sentences) for tensor in pair)
            for pair in {id(pair): pair for pair in self.keys_values}.values()
        }
        mask = None if self.mask is None else self.mask.index_select(0, sentences)
        return Memory([selected[id(pair)] for pair in self.keys_values], mask, [None] * len(self.keys_values))


class DecoderCache:
    """The state of one decoder stack in the middle of a batch of sentences.

    The beams of a sentence share its memory, and their keys and values lie in one pool, `(levels, 2, sentences, heads,
    slots, head_dim)`, where every step adds a slot for each beam. Which slots a beam has come from is a mask, `(sentences,
    1, beams, slots)`, the same for all levels. So when beams are reordered, only the mask is; keys and values are copied
    only when a sentence leaves.

    Args:
        levels: N.
        sentences: whose beams are decoded together.
        beams: of each sentence; a step's states are `(sentences, beams, embed_dim)`.

    Attributes:
        length: steps so far.
        weights: the weights of the stack, prepared at the first step for all of them.
        memory: what cross-attention reads, None in a stack without.
    """

    def __init__(self, levels: int, sentences: int, beams: int = 1):
        self.levels, self.sentences, self.beams = levels, sentences, beams
        self.length = self.slots = 0
        self.weights: Any = None
        self.memory: Memory | None = None
        self._pool: Tensor | None = None
        self._mask: Tensor | None = None

    def append(self, level: int, keys_values: Tensor) -> KeyValue:
        """Add this step's keys and values `(2, sentences, heads, beams, head_dim)` at `level`; return all so far.

        Every level of a step adds to the same slots; the step ends with :meth:`advance`.
        """
        end = self.slots + self.beams
        if self._pool is None or end > self._pool.size(4):
            self._grow(keys_values)
        self._pool[level, :, :, :, self.slots : end] = keys_values
        key, value = self._pool[level, :, :, :, :end].unbind(0)
        return key, value

    def _grow(self, like: Tensor) -> None:
        _, sentences, heads, beams, head_dim = like.shape
        grown = like.new_zeros(self.levels, 2, sentences, heads, self.slots + GROWTH * beams, head_dim)
        if self._pool is not None:
            grown[..., : self.slots, :] = self._pool[..., : self.slots, :]
        self._pool = grown

    def step_mask(self, like: Tensor) -> Tensor | None:
        """Additive mask `(sentences, 1, beams, slots)` of this step: what each beam has come from, and itself."""
        if self.beams == 1 and self._mask is None:
            return None
        hidden = torch.full((self.beams, self.beams), float("-inf"), dtype=like.dtype, device=like.device)
        itself = hidden.fill_diagonal_(0.0).expand(self.sentences, 1, -1, -1)
        self._mask = itself if self._mask is None else torch.cat([self._mask, itself], dim=-1)
        return self._mask

    def advance(self) -> None:
        """End the step, which every level has now appended."""
        self.length += 1
        self.slots += self.beams

    def reorder(self, new_order: Tensor) -> None:
        """Select sentences or beams: row i becomes the old row ``new_order[i]``, at every level.

        Rows count sentence by sentence, beam by beam.
        """
        if not self.length:
            return
        of_sentence = new_order // self.beams
        groups = of_sentence.view(-1, self.beams) if len(new_order) % self.beams == 0 else None
        if groups is None or not torch.equal(groups, groups[:, :1].expand_as(groups)):
            # Rows that part from the other beams of their sentence: from now on each has a pool of its own.
            mask = None if self._mask is None else self._mask.transpose(1, 2).flatten(0, 1).unsqueeze(1)
            self._select(of_sentence)
            self._mask = None if mask is None else mask.index_select(0, new_order)
            self.beams = 1
            return
        if self._mask is not None:
            rows = self._mask.flatten(0, 2).index_select(0, new_order)
            self._mask = rows.view(len(groups), 1, self.beams, -1)
        self._select(groups[:, 0])

    def _select(self, sentences: Tensor) -> None:
        """Keep the memories and pools of `sentences` only."""
        if len(sentences) == self.sentences and torch.equal(sentences, torch.arange(len(sentences)).to(sentences)):
            return
        self.sentences = len(sentences)
        self._pool = self._pool.index_select(2, sentences)
        if self.memory is not None:
            self.memory = self.memory.select(sentences)
