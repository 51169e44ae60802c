"""A GPU that is not there: tensors with a device and a shape that hold nothing, and so are refused where devices mix."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from fairseq import utils
from fairseq.modules import SinusoidalPositionalEmbedding
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class Answers(TorchDispatchMode):
    """What a program is told that reads such tensors.

    Attributes:
        flag: for a boolean, such as whether anything is padding.
        number: for an integer, such as the last position: beyond every table.
        equal: whether two tensors are equal, in turn, each time that it asks.
    """

    def __init__(self):
        super().__init__()
        self.flag, self.number, self.equal = True, 300, itertools.cycle([False])

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is aten._local_scalar_dense.default:
            return self.flag if args[0].dtype == torch.bool else self.number
        if func is aten.equal.default:
            assert args[0].device == args[1].device, f"equal: {args[0].device} and {args[1].device}"
            return next(self.equal)
        return func(*args, **(kwargs or {}))


@contextmanager
def fake_cuda(monkeypatch) -> Iterator[Answers]:
    """Tensors made inside are fake. Modules are made on ``cuda`` by ``torch.device``: fake ones do not move.

    There is no backward pass: torch's engine looks for the GPU. It goes on torch's ``meta`` device, where most operations
    refuse other devices, too (:func:`meta`).
    """
    with FakeTensorMode(), meta(monkeypatch) as answers:
        yield answers


@contextmanager
def meta(monkeypatch) -> Iterator[Answers]:
    """What tensors on ``meta`` are asked for is answered inside."""
    monkeypatch.setattr(SinusoidalPositionalEmbedding, "forward", _sinusoids)
    with Answers() as answers:
        yield answers


def _sinusoids(self, tokens: Tensor, incremental_state=None, **kwargs) -> Tensor:
    """fairseq's own, which computes shapes as tensors, without that."""
    positions = utils.make_positions(tokens, self.padding_idx)
    if incremental_state is not None:
        positions = positions[:, -1:]
    return self.weights.index_select(0, positions.view(-1)).view(*positions.shape, -1).detach()


def devices(tensors: Iterable[Tensor | None]) -> set[str]:
    """Where `tensors` are; ``nowhere`` for one that is missing."""
    return {"nowhere" if tensor is None else tensor.device.type for tensor in tensors}
