"""How CTranslate2 runs a model on this machine: instructions, translators and threads. Imports nothing heavy."""

import os

# Bytes of weights from which a sentence alone is translated faster by all threads together; see :func:`layout`.
LARGE_MODEL = 100_000_000


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_instructions() -> None:
    """Let CTranslate2 compute int8 rightly and fast on this processor; call this before it is imported.

    AVX-512, which it leaves out by default, gave 1.2 to 1.4 times as many sentences in int8 on two cores, at 128/512 and
    512/2048. Without VNNI instructions, oneDNN, which it takes on AMD's processors, adds pairs of int8 products in 16
    bits, and they overflow: log-probabilities of a random model were off by more than 1, with MKL by less than 0.3. What
    the environment says already is left alone.
    """
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as stream:
            flags = set(next((line.split() for line in stream if line.startswith("flags")), []))
    except OSError:
        return
    if not flags & {"avx512_vnni", "avx_vnni"}:
        os.environ.setdefault("CT2_USE_MKL", "1")
    if {"avx512f", "avx512cd", "avx512vl", "avx512bw", "avx512dq"} <= flags:
        os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")


def layout(
    threads: int, translators: int | None, weight_bytes: int, alone: bool = False, gpu: bool = False
) -> tuple[int, int]:
    """Translators that work side by side, and threads of each.

    Measured in int8 on two cores, greedy and beam 5, at widths 128/512 (5 MB), 512/2048 (40 MB) and 1024/4096 (132 MB):
    translators of one thread each are at least as fast in nearly every case, since threads that share a matrix product
    wait for each other. Only where sentences come one at a time and the weights are large do shared threads help: two
    were 1.6 times as fast as one at 132 MB, 0.9 times at 40 MB, 0.3 times at 5 MB.

    Args:
        threads: CPU threads in all.
        translators: how many are wanted; None for the choice made here.
        weight_bytes: size of the model.
        alone: whether sentences come one at a time.
        gpu: whether a GPU translates, where each translator holds buffers of its own (not measured).

    Returns:
        the number of translators, and of threads of each.
    """
    if translators is None:
        translators = 1 if gpu or (alone and weight_bytes >= LARGE_MODEL) else threads
    return translators, max(1, threads // translators)
