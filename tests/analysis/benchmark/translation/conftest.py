"""Two tiny candidates, the baseline first."""

import numpy
import pytest

from fairseq_ringformer._fairseq import quiet
from fairseq_ringformer.analysis.benchmark.translation.candidates import build_task, choose
from fairseq_ringformer.analysis.benchmark.translation.workload import training_batches

VOCABULARY = 60
FLAGS = (
    "--encoder-embed-dim 32 --encoder-ffn-embed-dim 48 --encoder-layers 2 --decoder-layers 3 "
    "--encoder-attention-heads 4 --decoder-attention-heads 4 --max-source-positions 64 --max-target-positions 64"
).split()


@pytest.fixture(autouse=True)
def silence():
    with quiet():
        yield


@pytest.fixture(scope="session")
def task():
    return build_task(VOCABULARY)


@pytest.fixture(scope="session")
def tiny():
    """``tiny("--dropout", "0", vocabulary=80)``: fairseq's transformer and a ring, with further flags for both."""

    def tiny(*flags, vocabulary=VOCABULARY):
        return choose("ringformer_tiny", "transformer", (*FLAGS, *flags), (), vocabulary, seed=1)

    return tiny


@pytest.fixture(scope="session")
def candidates(tiny):
    return tiny()


@pytest.fixture(scope="session")
def samples(task):
    """Two batches of pairs of 7 and 5 and of 9 and 8 tokens."""
    lengths = numpy.array([(7, 5)] * 8 + [(9, 8)] * 8)
    return training_batches(lengths, task.target_dictionary, max_tokens=72, count=2, longest=60, seed=1)
