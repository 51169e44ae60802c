"""Position-wise feed-forward block (arXiv 2502.13181, eq. 7)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dropout import drop_probability, dropout
from .projection import Projection, reset_linears
from .tracing import is_traced

# Elements up to which four plain operations beat torch's GELU, which wakes its threads for any number.
FEW = 1 << 14


def gelu(x: Tensor) -> Tensor:
    """The exact GELU, ``x * (1 + erf(x / sqrt 2)) / 2``."""
    if is_traced(x) or torch.is_grad_enabled() or x.numel() > FEW or x.device.type != "cpu" or x.dtype != torch.float32:
        return F.gelu(x)
    return (x * 0.5**0.5).erf_().add_(1.0).mul_(x).mul_(0.5)


class FeedForward(nn.Module):
    """Weights of ``fc2(activation(fc1(x)))``.

    Args:
        embed_dim: channels in and out.
        ffn_dim: hidden channels.
        bias: whether both projections have biases.
        dropout: module whose probability drops after the activation.
        device, dtype: of the weights.
    """

    def __init__(
        self,
        embed_dim: int,
        ffn_dim: int,
        bias: bool = False,
        dropout: nn.Module | None = None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, ffn_dim, bias=bias, device=device, dtype=dtype)
        self.fc2 = nn.Linear(ffn_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.dropout = dropout if dropout is not None else nn.Dropout(0.0)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        reset_linears(self.fc1, self.fc2)


class FeedForwardWeights(NamedTuple):
    """A feed-forward as one level sees it; the residual adds x itself, without the signal."""

    fc1: Projection
    fc2: Projection
    activation: Callable[[Tensor], Tensor]
    dropout: nn.Module

    def __call__(self, x: Tensor, read: Tensor | None = None) -> Tensor:
        """`(batch, length, embed_dim)` to the same; `read` as in :class:`~.projection.Projection`."""
        return self.fc2(dropout(self.activation(self.fc1(x, read)), drop_probability(self.dropout)))
