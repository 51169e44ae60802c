"""The machine: what figures depend on, and where a model runs."""

import os
import platform

from .errors import UserError

# More threads for each core only cost memory; far more of them end the process.
THREADS_OF_A_CORE = 16


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_threads() -> int:
    """As many threads, translators or processes as this machine can bear."""
    return THREADS_OF_A_CORE * cores()


def choose_device(name: str) -> str:
    """torch's name of the device `name`: a GPU if there is one for ``auto``; UserError unless torch finds it."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Asking starts no CUDA, which processes to come would not bear. Of the meta device nothing can be read.
        found = torch.cuda.is_available() if name == "cuda" else torch.zeros(1, device=name).item() == 0
    except (RuntimeError, AssertionError, NotImplementedError):
        found = False
    if not found:
        raise UserError(f"--device {name}: torch finds no such device here; use --device cpu")
    return name
