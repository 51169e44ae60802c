"""Bytes: peak resident memory of training, and checkpoints."""

import io
import multiprocessing
import resource
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from ..._fairseq import quiet
from .training import Training


def saved_bytes(state: dict[str, Any]) -> int:
    """Bytes of a file (``torch.save``) that holds these weights."""
    file = io.BytesIO()
    torch.save({"model": state}, file)
    return file.tell()


@dataclass(frozen=True)
class MemoryUse:
    """Resident bytes of a process that trains: at its peak, and after its imports, before there was a model."""

    peak: int
    imports: int


def training_memory(
    prepare: Callable[[], Any],
    trainer: Callable[[], Training],
    batches: list[Any],
    device: str,
    threads: int,
    steps: int,
) -> MemoryUse:
    """Peak memory of `steps` training steps over `batches`, in a process of its own.

    On a GPU, its allocator's peak instead of resident memory.

    Args:
        prepare: imports what training needs; picklable, like the next.
        trainer: builds the model and its trainer.
    """
    # One process that nothing else has run in: memory that others have used and given back is not its own.
    context = multiprocessing.get_context("spawn")
    # What it imports before its work begins warns, too.
    with ProcessPoolExecutor(1, context, warnings.simplefilter, ("ignore",)) as executor:
        return executor.submit(_train, prepare, trainer, batches, device, threads, steps).result()


def _train(
    prepare: Callable[[], Any],
    trainer: Callable[[], Training],
    batches: list[Any],
    device: str,
    threads: int,
    steps: int,
) -> MemoryUse:
    torch.set_num_threads(threads)
    with quiet():
        prepare()
        imports = _peak_resident()
        training = trainer()
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
