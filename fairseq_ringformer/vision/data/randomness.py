"""Random choices that depend on what is drawn for, not on what was drawn before."""

import hashlib
import random
import struct
from typing import Any, Callable

import numpy
import torch

# Takes the place of numpy's global generator, whose state costs 100 us to read and write.
_NUMPY = numpy.random.MT19937(0)


def call_seeded(function: Callable[[Any], Any], value: Any, *numbers: int) -> Any:
    """``function(value)`` with the generators of python, numpy and torch seeded by `numbers`, and restored after.

    The transforms of timm and torchvision draw from all three, and none takes a generator of its own.
    (Of numpy's state, the second half of a pair of normal numbers that waits to be drawn is lost.)
    """
    digest = hashlib.blake2b(struct.pack(f"<{len(numbers)}q", *numbers), digest_size=8).digest()
    seed = int.from_bytes(digest, "little")
    of_python = random.getstate()
    of_numpy = numpy.random.get_bit_generator()
    of_torch = torch.default_generator.get_state()
    try:
        random.seed(seed)
        numpy.random.set_bit_generator(_NUMPY)
        numpy.random.seed(seed & 0xFFFFFFFF)
        torch.default_generator.manual_seed(seed)
        return function(value)
    finally:
        random.setstate(of_python)
        numpy.random.set_bit_generator(of_numpy)
        torch.default_generator.set_state(of_torch)
