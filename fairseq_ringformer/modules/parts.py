"""The parts of a level: what is learned in attention, feed-forward and norm. :mod:`.level` computes with them."""

import functools
import warnings
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from .projection import Projection


def _warned(register: Callable) -> Callable:
    """`register`, a method of :class:`Part` that takes a hook, with a warning. fairseq's search for NaNs hooks all modules."""

    @functools.wraps(register)
    def warned(self, *args, **kwargs):
        names = ", ".join(name for name, module in self.named_children() if isinstance(module, nn.Linear))
        said = f"a hook on {type(self).__name__} is never called: put it on its projections, {names}"
        warnings.warn(said, stacklevel=2)
        return register(self, *args, **kwargs)

    return warned


class Part(nn.Module):
    """Projections that belong together. The level calls them one by one, never the part as a whole."""

    register_forward_hook = _warned(nn.Module.register_forward_hook)
    register_forward_pre_hook = _warned(nn.Module.register_forward_pre_hook)
    register_backward_hook = _warned(nn.Module.register_backward_hook)
    register_full_backward_hook = _warned(nn.Module.register_full_backward_hook)
    register_full_backward_pre_hook = _warned(nn.Module.register_full_backward_pre_hook)

    def reset_parameters(self) -> None:
        for projection in self.children():
            if isinstance(projection, Projection):
                projection.reset_parameters()


class SelfAttention(Part):
    """`qkv_proj`, queries, keys and values packed in this order, and `out_proj`.

    Args:
        embed_dim: channels in and out.
        bias: whether the projections have biases.
        device, dtype: of the weights.
        init: how the weights start, one of :data:`~.projection.INITS`.
    """

    def __init__(self, embed_dim: int, bias: bool = False, device=None, dtype=None, init: str = "xavier"):
        super().__init__()
        self.qkv_proj = Projection(embed_dim, 3 * embed_dim, bias, device, dtype, init)
        self.out_proj = Projection(embed_dim, embed_dim, bias, device, dtype, init)


class CrossAttention(Part):
    """`q_proj`, `kv_proj`, keys and values packed in this order, and `out_proj`.

    Args:
        embed_dim: channels of the queries and of the output.
        memory_dim: channels of what keys and values are read from.
        bias: whether the projections have biases.
        device, dtype: of the weights.
        init: how the weights start, one of :data:`~.projection.INITS`.
    """

    def __init__(
        self, embed_dim: int, memory_dim: int, bias: bool = False, device=None, dtype=None, init: str = "xavier"
    ):
        super().__init__()
        self.q_proj = Projection(embed_dim, embed_dim, bias, device, dtype, init)
        self.kv_proj = Projection(memory_dim, 2 * embed_dim, bias, device, dtype, init)
        self.out_proj = Projection(embed_dim, embed_dim, bias, device, dtype, init)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.q_proj.init != "xavier":
            return
        # As large as the queries, keys and values of a self-attention, which are drawn as one matrix (3 d, d).
        for weight in (self.q_proj.weight, *self.kv_proj.weight.chunk(2)):
            nn.init.xavier_uniform_(weight, gain=2**-0.5)


class FeedForward(Part):
    """`fc1` and `fc2`, with the activation between them.

    Args:
        embed_dim: channels in and out.
        ffn_dim: hidden channels.
        bias: whether both projections have biases.
        device, dtype: of the weights.
        init: how the weights start, one of :data:`~.projection.INITS`.
    """

    def __init__(self, embed_dim: int, ffn_dim: int, bias: bool = False, device=None, dtype=None, init: str = "xavier"):
        super().__init__()
        self.fc1 = Projection(embed_dim, ffn_dim, bias, device, dtype, init)
        self.fc2 = Projection(ffn_dim, embed_dim, bias, device, dtype, init)


class Norm(nn.LayerNorm):
    """A layer norm over `(..., embed_dim)` that computes in the type of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)
