"""Multi-head attention: its weights, and the attending itself (arXiv 2502.13181, eq. 6)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dropout import drop_probability
from .dropout import dropout as apply_dropout
from .projection import Projection, reset_linears
from .tracing import is_traced

# In training on CPUs, up to so many keys, two small products and a softmax in between beat torch's fused kernel where there
# is a mask. For bfloat16 its backward pass is several times slower at any length; the bound is there for memory.
SHORT, SHORT_BFLOAT16 = 64, 512
# Channels of a head below which the two products are in float32 whatever the type of the queries.
NARROW = 32
# Elements of an absorbed projection up to which only calls count: half a megabyte stays in a core's own cache.
ABSORBED = 1 << 17


class SelfAttention(nn.Module):
    """Weights of a self-attention: `qkv_proj`, queries, keys and values packed in this order, and `out_proj`.

    Args:
        embed_dim: channels in and out.
        bias: whether the projections have biases.
        dropout: module whose probability drops attention weights.
        device, dtype: of the weights.
    """

    def __init__(self, embed_dim: int, bias: bool = False, dropout: nn.Module | None = None, device=None, dtype=None):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.qkv_proj = nn.Linear(embed_dim, 3 * embed_dim, bias=bias, **factory)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias, **factory)
        self.dropout = dropout if dropout is not None else nn.Dropout(0.0)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # As one (3 d, d) product.
        reset_linears(self.qkv_proj, self.out_proj)


class CrossAttention(nn.Module):
    """Weights of an attention over a memory: `q_proj`, `kv_proj`, keys and values packed in this order, and `out_proj`.

    Args:
        embed_dim: channels of the queries and of the output.
        memory_dim: channels of what keys and values are read from.
        bias: whether the projections have biases.
        dropout: module whose probability drops attention weights.
        device, dtype: of the weights.
    """

    def __init__(
        self,
        embed_dim: int,
        memory_dim: int,
        bias: bool = False,
        dropout: nn.Module | None = None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.q_proj = nn.Linear(embed_dim, embed_dim, bias=bias, **factory)
        self.kv_proj = nn.Linear(memory_dim, 2 * embed_dim, bias=bias, **factory)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias, **factory)
        self.dropout = dropout if dropout is not None else nn.Dropout(0.0)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        reset_linears(self.q_proj, self.kv_proj, self.out_proj)
        # Initialised like the queries, keys and values of a self-attention.
        for part in (self.q_proj.weight, *self.kv_proj.weight.chunk(2)):
            nn.init.xavier_uniform_(part, gain=2**-0.5)


class SelfAttentionWeights(NamedTuple):
    """A self-attention as one level sees it."""

    qkv: Projection
    out: Projection
    dropout: nn.Module


class CrossAttentionWeights(NamedTuple):
    """A cross-attention as one level sees it; keys and values are projected apart, once for all levels."""

    q: Projection
    out: Projection
    dropout: nn.Module


def split_heads(x: Tensor, parts: int, num_heads: int) -> Tensor:
    """`parts` packed projections `(batch, length, parts * embed_dim)` as `(parts, batch, heads, length, head_dim)`."""
    batch, length, channels = x.shape
    return x.view(batch, length, parts, num_heads, channels // (parts * num_heads)).permute(2, 0, 3, 1, 4)


def merge_heads(x: Tensor) -> Tensor:
    """`(batch, heads, length, head_dim)` to `(batch, length, embed_dim)`."""
    batch, heads, length, head_dim = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * head_dim)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: nn.Module | None = None,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Weighted sum of the values; the weights are the softmax of the scaled products of queries and keys.

    Args:
        query, key, value: `(batch, heads, length, head_dim)`.
        mask: additive, broadcastable to `(batch, heads, tgt_len, src_len)`.
        causal: says that the mask hides what follows each position and nothing else.
        dropout: module whose probability drops weights.
        need_weights: also return the weights.

    Returns:
        `(batch, heads, tgt_len, head_dim)` and the weights `(batch, heads, tgt_len, src_len)` or None.
    """
    drop, own_dtype = 0.0 if dropout is None else drop_probability(dropout), query.dtype
    if not need_weights and _fused_is_quicker(query, key, mask):
        mask = None if causal else mask
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=drop, is_causal=causal), None
    batch, heads, length, head_dim = query.shape
    # Small products and the softmax between them are slower in bfloat16; the copy that lays heads out casts as well.
    dtype = torch.float32 if head_dim < NARROW else query.dtype
    query, key, value = (
        own.to(dtype, memory_format=torch.contiguous_format).flatten(0, 1) for own in (query, key, value)
    )
    scores = torch.baddbmm(  # beta 0: what is added is not read
        query.new_empty(()), query, key.transpose(1, 2), beta=0.0, alpha=head_dim**-0.5
    ).view(batch, heads, length, -1)
    weights = torch.softmax(scores if mask is None else scores.add_(mask), dim=-1)
    out = torch.bmm(apply_dropout(weights, drop).flatten(0, 1), value).view(batch, heads, length, head_dim)
    return out.to(own_dtype), weights if need_weights else None


def _fused_is_quicker(query: Tensor, key: Tensor, mask: Tensor | None) -> bool:
    if is_traced(query) or query.device.type != "cpu" or not torch.is_grad_enabled():
        return True
    if query.dtype == torch.bfloat16:
        return key.size(2) > SHORT_BFLOAT16
    return mask is None or key.size(2) > SHORT


class AbsorbedAttention(NamedTuple):
    """A cross-attention over one sentence, its queries' projection absorbed into the keys, its output's into the values.

    ``(W_Q x) . k = x . (W_Q^T k)``, and the output is linear in the values: for a short sentence both products are
    smaller than the projections, fewer, and the same at every level that shares the attention.

    `scores` maps to `heads * src_len` scaled scores, `out` maps the weights to `embed_dim`.
    """

    scores: Projection
    out: Projection
    dropout: nn.Module
    num_heads: int

    def __call__(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Output `(1, length, embed_dim)` for `x` of this shape, and weights `(1, heads, length, src_len)`."""
        scores = self.scores(x).view(1, x.size(1), self.num_heads, -1)
        weights = torch.softmax(scores if mask is None else scores.add_(mask), dim=-1)
        dropped = apply_dropout(weights, drop_probability(self.dropout))
        return self.out(dropped.flatten(2)), weights.transpose(1, 2)


def absorb(own: CrossAttentionWeights, key: Tensor, value: Tensor) -> AbsorbedAttention | None:
    """`own` over the memory of one sentence, `key` and `value` `(1, heads, src_len, head_dim)`; None if it does not pay.

    It pays where what is read at a step is no more than the projection, or so little that only the calls count.
    """
    sentences, heads, length, head_dim = key.shape
    embed_dim = len(own.out.weight)
    if sentences > 1 or heads * length * embed_dim > max(own.q.weight.numel(), ABSORBED):
        return None
    per_head = own.q.weight.unflatten(0, (heads, head_dim))
    scale = head_dim**-0.5
    queries = (key[0] @ per_head).mul_(scale).view(heads * length, embed_dim)
    bias = None if own.q.bias is None else (key[0] @ own.q.bias.view(heads, head_dim, 1)).mul_(scale).view(-1)
    outputs = value[0] @ own.out.weight.unflatten(1, (heads, head_dim)).permute(1, 2, 0)
    out = Projection(outputs.view(heads * length, embed_dim).t(), own.out.bias)
    return AbsorbedAttention(Projection(queries, bias), out, own.dropout, heads)


def causal_mask(length: int, like: Tensor) -> Tensor:
    """Additive mask `(length, length)` that hides what follows a position."""
    return torch.full((length, length), float("-inf"), dtype=like.dtype, device=like.device).triu(1)


def attention_mask(x: Tensor, padding_mask: Tensor | None, causal: bool) -> Tensor | None:
    """Additive mask `(batch or 1, 1, length or 1, length)` over `x` `(batch, length, channels)`; None without padding.

    A causal attention needs no mask where nothing is padding. With both, the diagonal stays visible: a padded position
    that sees nothing would turn into NaN.
    """
    if padding_mask is None:
        return None
    length = x.size(1)
    hidden = padding_mask[:, None, None, :]
    if causal:
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        hidden = (hidden | future) & ~torch.eye(length, dtype=torch.bool, device=x.device)
    return torch.zeros(hidden.shape, dtype=x.dtype, device=x.device).masked_fill(hidden, float("-inf"))
