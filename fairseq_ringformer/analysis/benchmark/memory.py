"""Bytes: peak resident memory of training, and checkpoints."""

import io
import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Dict, List

import torch

from ..._fairseq import quiet
from .contenders import Contender, build_task, is_vocabulary
from .workload import Sample

@dataclass(frozen=True)
class CheckpointSize:
    """Bytes of the file that holds a model, whole and without embeddings and head; and the parameters of both."""

    bytes: int
    inner_bytes: int
    parameters: int
    inner_parameters: int


def checkpoint_size(contender: Contender) -> CheckpointSize:
    """Write the model part of a checkpoint as fairseq does (``torch.save``), in memory, and see how long it is."""
    model = contender.build(build_task(contender.vocabulary))
    state = model.state_dict()
    inner = {name: tensor for name, tensor in state.items() if not is_vocabulary(name)}
    named = list(model.named_parameters())
    return CheckpointSize(
        _saved_bytes(state),
        _saved_bytes(inner),
        sum(p.numel() for _, p in named),
        sum(p.numel() for name, p in named if not is_vocabulary(name)),
    )


def _saved_bytes(state: Dict[str, torch.Tensor]) -> int:
    file = io.BytesIO()
    torch.save({"model": state}, file)
    return file.tell()


@dataclass(frozen=True)
class MemoryUse:
    """Resident bytes of a process that trains: at its peak, and after its imports, before there was a model."""

    peak: int
    imports: int


def training_memory(
    contender: Contender, samples: List[Sample], criterion: str, device: str, threads: int, steps: int, seed: int
) -> MemoryUse:
    """Peak memory of `steps` training steps over `samples`, in a process of its own.

    On a GPU, its allocator's peak instead of resident memory.
    """
    # One process that nothing else has run in: memory that others have used and given back is not its own.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_train, contender, samples, criterion, device, threads, steps, seed).result()


def _train(
    contender: Contender, samples: List[Sample], criterion: str, device: str, threads: int, steps: int, seed: int
) -> MemoryUse:
    from .training import Training, trainer_config

    torch.set_num_threads(threads)
    with quiet():
        trainer_config(criterion, device, seed)  # imports, too
        imports = _peak_resident()
        training = Training(contender, build_task(contender.vocabulary), criterion, device, seed)
        for step in range(steps):
            training.run([samples[step % len(samples)]])
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
