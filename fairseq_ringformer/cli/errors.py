"""What ends a command early: packages that lack, memory that is full, errors of the system."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .. import extras
from ..errors import UserError, one_line


def reason(error: Exception) -> str:
    """An error as one line: with the file that the system names, with the remedy where a package lacks."""
    if isinstance(error, ImportError):
        error = extras.explain(error)
    return one_line(error)


@contextmanager
def gpu_memory(advice: str) -> Iterator[None]:
    """Say in a line that a GPU's memory is full, and what to do. (By name: torch is imported later.)"""
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        raise UserError(f"out of GPU memory: {advice}") from None


@contextmanager
def told_once() -> Iterator[None]:
    """Tell a mistake that all processes of torchrun or accelerate make alike in the first of each machine alone."""
    try:
        yield
    except (UserError, ImportError, OSError) as error:
        if int(os.environ.get("LOCAL_RANK", 0)):
            raise SystemExit(2) from None
        raise UserError(reason(error)) from None


def require_fairseq() -> None:
    """Register the translation models with fairseq; UserError unless a usable one is installed."""
    from .. import models  # noqa: F401


def require_timm() -> None:
    """Register the image classifiers with timm; UserError unless it is installed."""
    extras.require("timm")
    from .. import vision  # noqa: F401
