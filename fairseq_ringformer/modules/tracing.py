"""Whether a graph is being recorded: then nothing may be chosen by shape, as the graph must hold for any."""

from collections.abc import Sequence

import torch
from torch import Tensor


def is_traced(x: Tensor) -> bool:
    """Whether torch.fx, torch.jit, torch.export or torch.compile is recording what is done to `x`."""
    return isinstance(x, torch.fx.Proxy) or torch.compiler.is_compiling() or torch.jit.is_tracing()


def unbind(x: Tensor, count: int) -> Sequence[Tensor]:
    """The `count` slices of `x` along its first dimension, which torch.fx cannot iterate over."""
    # Elsewhere not one by one: the gradient of each would be as large as x.
    return [x[index] for index in range(count)] if isinstance(x, torch.fx.Proxy) else x.unbind()
