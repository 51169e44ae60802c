"""What ends a command early: packages that lack, memory that is full, errors of the system."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .. import extras
from ..errors import UserError, one_line


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
        error = extras.explain(error) if isinstance(error, ImportError) else error
        raise UserError(one_line(error)) from None


def require_fairseq() -> None:
    """Register the translation models with fairseq; UserError unless a usable one is installed."""
    from .. import models  # noqa: F401


def require_timm() -> None:
    """Register the image classifiers with timm; UserError unless it is installed."""
    extras.require("timm")
    from .. import vision  # noqa: F401
