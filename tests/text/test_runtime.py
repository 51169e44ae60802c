"""How many translators CTranslate2 gets, and threads each."""

import pytest

from fairseq_ringformer.export.runtime import layout


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
