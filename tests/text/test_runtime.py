"""How many translators CTranslate2 gets, and threads each."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from fairseq_ringformer.export import runtime
from fairseq_ringformer.export.runtime import compute_type, layout


@pytest.mark.parametrize(
    "threads, wanted, megabytes, alone, expected",
    [
        (2, None, 5, False, (2, 1)),
        (2, None, 5, True, (2, 1)),
        (2, None, 500, False, (2, 1)),
        (8, None, 500, True, (1, 8)),
        (8, 2, 500, True, (2, 4)),
        (8, 3, 5, False, (3, 2)),
        (1, 4, 5, False, (4, 1)),
    ],
)
def test_layout(threads, wanted, megabytes, alone, expected):
    assert layout(threads, wanted, megabytes * 10**6, alone) == expected


def test_a_gpu_has_one_translator_unless_told_otherwise():
    assert layout(64, None, 5 * 10**6, gpu=True) == (1, 64)
    assert layout(64, 4, 5 * 10**6, gpu=True) == (4, 16)


@pytest.mark.parametrize(
    "flags, largest, expected",
    [
        ({"avx2"}, 127, "float32"),
        ({"avx2"}, 63, "default"),
        ({"avx2", "avx_vnni"}, 127, "default"),
        ({"avx2", "avx512f", "avx512_vnni"}, 127, "default"),
        ({"avx2"}, None, "float32"),  # exported before it was noted
        (set(), 127, "default"),  # no x86
    ],
)
def test_weights_whose_products_overflow_are_not_multiplied_in_int8(monkeypatch, flags, largest, expected):
    monkeypatch.setattr(runtime, "processor_flags", lambda: flags)
    assert compute_type("int8", largest) == expected
    assert compute_type("float16", largest) == compute_type("int8", largest, gpu=True) == "default"


def test_the_library_reads_what_is_set_for_it():
    """A variable that it has renamed would be set for nobody."""
    package = Path(importlib.util.find_spec("ctranslate2").origin).parent
    libraries = [*package.glob("*.so*"), *package.parent.glob("ctranslate2.libs/*.so*")]
    known = {name for path in libraries for name in re.findall(rb"CT2_[A-Z0-9_]+", path.read_bytes())}
    names = set(re.findall(r"CT2_[A-Z0-9_]+", inspect.getsource(runtime)))
    assert names and {name.encode() for name in names} <= known
