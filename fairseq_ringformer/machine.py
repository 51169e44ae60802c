"""The machine: what figures depend on, and where a model runs."""

import os
import platform

from .errors import UserError


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


def choose_device(name: str) -> str:
    """``cpu`` or ``cuda``, of which `name` may be ``auto``; UserError if there is no GPU where one is wanted."""
    import torch

    gpu = torch.cuda.is_available()
    if name == "cuda" and not gpu:
        raise UserError("--device cuda: torch sees no GPU here; use --device cpu")
    return "cuda" if name != "cpu" and gpu else "cpu"
