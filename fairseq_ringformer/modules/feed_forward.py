"""Position-wise feed-forward with an optional level signal (arXiv 2502.13181, eq. 7)."""

from typing import Callable, Optional

import torch.nn.functional as F
from torch import Tensor, nn

from .signals import LevelSignal, project


class FeedForward(nn.Module):
    """``fc2(dropout(activation(fc1(x))))``; the signal acts at `fc1`, before it (eq. 7) or after it ("inter-FF").

    Args:
        embed_dim: channels in and out.
        ffn_dim: hidden channels.
        bias: whether both projections have biases.
        activation: element-wise function.
        dropout: module applied after the activation.
    """

    def __init__(
        self,
        embed_dim: int,
        ffn_dim: int,
        bias: bool = False,
        activation: Callable[[Tensor], Tensor] = F.gelu,
        dropout: Optional[nn.Module] = None,
    ):
        super().__init__()
        self.fc1 = nn.Linear(embed_dim, ffn_dim, bias=bias)
        self.fc2 = nn.Linear(ffn_dim, embed_dim, bias=bias)
        self.activation = activation
        self.dropout = dropout if dropout is not None else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for linear in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(linear.weight)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, signal: Optional[LevelSignal] = None) -> Tensor:
        """`(batch, length, embed_dim)` to the same; the caller adds the residual (x itself, without the signal)."""
        return self.fc2(self.dropout(self.activation(project(x, self.fc1, signal))))
