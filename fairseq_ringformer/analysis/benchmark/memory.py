"""Bytes: peak resident memory of training, and checkpoints."""

import io
import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..._fairseq import quiet
from .training import Training


@dataclass(frozen=True)
class CheckpointSize:
    """Bytes of the file that holds a model, whole and without embeddings and head; and the parameters of both."""

    bytes: int
    inner_bytes: int
    parameters: int
    inner_parameters: int


def checkpoint_size(model: nn.Module, is_outer: Callable[[str], bool]) -> CheckpointSize:
    """Write the weights of a checkpoint (``torch.save``), in memory, and see how long it is.

    Args:
        is_outer: whether a weight of this name belongs to embeddings or head.
    """
    state = model.state_dict()
    inner = {name: tensor for name, tensor in state.items() if not is_outer(name)}
    named = list(model.named_parameters())
    return CheckpointSize(
        _saved_bytes({"model": state}),
        _saved_bytes({"model": inner}),
        sum(p.numel() for _, p in named),
        sum(p.numel() for name, p in named if not is_outer(name)),
    )


def _saved_bytes(content: Any) -> int:
    file = io.BytesIO()
    torch.save(content, file)
    return file.tell()


@dataclass(frozen=True)
class MemoryUse:
    """Resident bytes of a process that trains: at its peak, and after its imports, before there was a model."""

    peak: int
    imports: int


def training_memory(
    prepare: Callable[[], Any], begin: Callable[[], Training], batches: list[Any], device: str, threads: int, steps: int
) -> MemoryUse:
    """Peak memory of `steps` training steps over `batches`, in a process of its own.

    On a GPU, its allocator's peak instead of resident memory.

    Args:
        prepare: imports what training needs; picklable, like the next.
        begin: builds the model and its trainer.
    """
    # One process that nothing else has run in: memory that others have used and given back is not its own.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_train, prepare, begin, batches, device, threads, steps).result()


def _train(
    prepare: Callable[[], Any], begin: Callable[[], Training], batches: list[Any], device: str, threads: int, steps: int
) -> MemoryUse:
    torch.set_num_threads(threads)
    with quiet():
        prepare()
        imports = _peak_resident()
        training = begin()
        for step in range(steps):
            training.run([batches[step % len(batches)]])
    if device == "cuda":
        return MemoryUse(torch.cuda.max_memory_allocated(), 0)
    return MemoryUse(_peak_resident(), imports)


def _peak_resident() -> int:
    """Bytes. Linux's ``ru_maxrss`` counts what the parent held when it started this process; VmHWM does not."""
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
