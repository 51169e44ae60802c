"""Whether a graph is being recorded: then nothing may be chosen by shape, as the graph must hold for any."""

import torch
from torch import Tensor


def is_traced(x: Tensor) -> bool:
    """Whether torch.fx, torch.jit, torch.export or torch.compile is recording what is done to `x`."""
    return isinstance(x, torch.fx.Proxy) or torch.compiler.is_compiling() or torch.jit.is_tracing()
