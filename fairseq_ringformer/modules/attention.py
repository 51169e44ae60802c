"""Multi-head attention whose projections may carry a level's signals (arXiv 2502.13181, eq. 6)."""

from typing import Mapping, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import KeyValue
from .signals import LevelSignal, project

NO_SIGNALS: Mapping[str, LevelSignal] = {}


class Attention(nn.Module):
    """Scaled dot-product attention with separate `q_proj`, `k_proj`, `v_proj` and `out_proj`.

    Args:
        embed_dim: channels of the queries and of the output.
        num_heads: must divide `embed_dim`.
        memory_dim: channels of what keys and values are read from; default `embed_dim`.
        bias: whether the four projections have biases.
        dropout: module whose probability drops attention weights.

    Raises:
        ValueError: if `num_heads` does not divide `embed_dim`.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        memory_dim: Optional[int] = None,
        bias: bool = False,
        dropout: Optional[nn.Module] = None,
    ):
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} is not divisible by the number of attention heads, {num_heads}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        memory_dim = memory_dim or embed_dim
        self.q_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.k_proj = nn.Linear(memory_dim, embed_dim, bias=bias)
        self.v_proj = nn.Linear(memory_dim, embed_dim, bias=bias)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self.dropout = dropout if dropout is not None else nn.Dropout(0.0)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # Queries, keys and values are one (3 d, d) product, initialised as such.
        for linear in (self.q_proj, self.k_proj, self.v_proj):
            nn.init.xavier_uniform_(linear.weight, gain=2**-0.5)
        nn.init.xavier_uniform_(self.out_proj.weight)
        for linear in (self.q_proj, self.k_proj, self.v_proj, self.out_proj):
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def _split_heads(self, x: Tensor) -> Tensor:
        """`(batch, length, embed_dim)` to `(batch, heads, length, head_dim)`."""
        return x.view(x.size(0), x.size(1), self.num_heads, self.head_dim).transpose(1, 2)

    def keys_values(self, memory: Tensor, signals: Mapping[str, LevelSignal] = NO_SIGNALS) -> KeyValue:
        """Keys and values `(batch, heads, length, head_dim)` of `memory` `(batch, length, memory_dim)`."""
        key = project(memory, self.k_proj, signals["k"] if "k" in signals else None)
        value = project(memory, self.v_proj, signals["v"] if "v" in signals else None)
        return self._split_heads(key), self._split_heads(value)

    def queries(self, x: Tensor, signals: Mapping[str, LevelSignal] = NO_SIGNALS) -> Tensor:
        """Queries `(batch, heads, length, head_dim)` of `x` `(batch, length, embed_dim)`."""
        return self._split_heads(project(x, self.q_proj, signals["q"] if "q" in signals else None))

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Optional[Tensor] = None, need_weights: bool = False
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Weighted sum of the values, projected.

        Args:
            query, key, value: `(batch, heads, length, head_dim)`.
            mask: additive, broadcastable to `(batch, heads, tgt_len, src_len)`.
            need_weights: also return the weights, from an explicit softmax that gives the same numbers.

        Returns:
            `(batch, tgt_len, embed_dim)` and the weights `(batch, heads, tgt_len, src_len)` or None.
        """
        weights = None
        drop = self._dropout_probability()
        if need_weights:
            scores = (query * self.head_dim**-0.5) @ key.transpose(-2, -1)
            weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
            context = F.dropout(weights, drop) @ value
        else:
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=drop)
        batch, _, length, _ = context.shape
        return self.out_proj(context.transpose(1, 2).reshape(batch, length, self.embed_dim)), weights

    def _dropout_probability(self) -> float:
        # fairseq's dropout can stay on at inference (--retain-dropout) and says so in this attribute.
        active = self.training or getattr(self.dropout, "apply_during_inference", False)
        return self.dropout.p if active else 0.0
