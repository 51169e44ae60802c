"""Random choices that depend on what is drawn for, not on what was drawn before."""

import hashlib
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch

# Takes the place of numpy's global generator, whose state costs 100 us to read and write.
_NUMPY = numpy.random.MT19937(0)


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the generators of python, numpy and torch at the end. Not to be nested.

    (Of numpy's state, the second half of a pair of normal numbers that waits to be drawn is lost.)
    """
    of_python = random.getstate()
    of_numpy = numpy.random.get_bit_generator()
    of_torch = torch.default_generator.get_state()
    try:
        numpy.random.set_bit_generator(_NUMPY)
        yield
    finally:
        random.setstate(of_python)
        numpy.random.set_bit_generator(of_numpy)
        torch.default_generator.set_state(of_torch)


def seed_of(*numbers: int) -> int:
    """A seed of 64 bits, another for other `numbers`."""
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def seed_by(*numbers: int) -> None:
    """Seed the generators of python, numpy and torch, within :func:`preserved_random_state`.

    The transforms of timm and torchvision draw from all three, and none takes a generator of its own.
    """
    seed = seed_of(*numbers)
    random.seed(seed)
    numpy.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed)


def call_seeded(function: Callable[[Any], Any], value: Any, *numbers: int) -> Any:
    """``function(value)`` with the generators of python, numpy and torch seeded by `numbers`, and restored after."""
    with preserved_random_state():
        seed_by(*numbers)
        return function(value)
