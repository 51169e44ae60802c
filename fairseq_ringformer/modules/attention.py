"""Multi-head attention without its projections: heads, masks, and the attending itself."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    mask: Tensor | None,
    causal: bool,
    dropout: nn.Module,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """``softmax(Q K^T / sqrt(head_dim) + mask) V``.

    Args:
        query, key, value: `(batch, heads, length, head_dim)`.
        mask: additive, broadcastable to `(batch, heads, tgt_len, src_len)`.
        causal: says that the mask hides what follows each position and nothing else.
        dropout: drops attention weights.
        need_weights: also return them, as they were before dropout.

    Returns:
        `(batch, heads, tgt_len, head_dim)`, and the weights `(batch, heads, tgt_len, src_len)` or None.
    """
    if not need_weights:
        drop = drop_probability(dropout)
        return F.scaled_dot_product_attention(query, key, value, None if causal else mask, drop, causal), None
    scores = query @ key.transpose(-1, -2) * query.size(-1) ** -0.5
    weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
    return dropout(weights) @ value, weights


def drop_probability(dropout: nn.Module) -> float:
    """The probability with which `dropout` drops now: 0 in evaluation, unless it is told to stay on.

    fairseq's dropout can stay on at inference (``--retain-dropout``) and says so in an attribute.
    """
    active = dropout.training or getattr(dropout, "apply_during_inference", False)
    return dropout.p if active else 0.0


def attention_mask(x: Tensor, padding_mask: Tensor | None, causal: bool) -> Tensor | None:
    """Additive mask over `x` `(batch, length, channels)` that hides padding, and if `causal` what follows a position.

    Args:
        padding_mask: true where `x` is padding, `(batch, length)`; None if nothing is.

    Returns:
        `(batch or 1, 1, length or 1, length)`; None if nothing is hidden. With both, the diagonal stays visible: a padded
        position that sees nothing would turn into NaN.
    """
    if padding_mask is None and not causal:
        return None
    length, options = x.size(1), {"dtype": torch.bool, "device": x.device}
    hidden = torch.zeros(1, 1, 1, length, **options) if padding_mask is None else padding_mask[:, None, None, :]
    if causal:
        hidden = (hidden | torch.ones(length, length, **options).triu(1)) & ~torch.eye(length, **options)
    return torch.zeros(hidden.shape, dtype=x.dtype, device=x.device).masked_fill(hidden, float("-inf"))
