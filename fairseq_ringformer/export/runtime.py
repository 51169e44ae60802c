"""How CTranslate2 runs a model on this machine: instructions, translators and threads. Imports nothing heavy."""

import os

# Bytes of weights from which a sentence alone is translated faster by all threads together; see :func:`layout`.
LARGE_MODEL = 100_000_000
INT8 = ("int8", "int8_float32")  # CTranslate2's names of one thing; older exports have the second
# The largest int8 weight whose products are right on every processor. Without VNNI instructions, two products with activations
# of up to 255 are added in 16 bits: 2 * 255 * 63 fits, 2 * 255 * 127 does not. There log probabilities of random models of three
# sizes were off by up to 1.6 with weights of up to 127, and by up to 0.11 with these; without overflow 127 gives 0.06.
SAFE_INT8 = 63


def processor_flags() -> set[str]:
    """What the processor can do, in Linux's words for x86; empty where they are not known."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as stream:
            return set(next((line.split() for line in stream if line.startswith("flags")), []))
    except OSError:
        return set()


def choose_instructions() -> None:
    """Let CTranslate2 use AVX-512, which it leaves out by default; call this before it is imported.

    It gave 1.2 to 1.4 times as many sentences in int8 on two cores, at 128/512 and 512/2048. What the environment says
    already is left alone.
    """
    if {"avx512f", "avx512cd", "avx512vl", "avx512bw", "avx512dq"} <= processor_flags():
        os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")


def compute_type(quantization: str, largest_int8: int | None, gpu: bool = False) -> str:
    """CTranslate2's compute type for weights of the type `quantization`: their own, but where int8 could overflow.

    See :data:`SAFE_INT8`; there it is float32, which is right, and slower.

    Args:
        largest_int8: the largest int8 weight; None if it is not known, and may be any.
        gpu: whether a GPU translates, which adds in 32 bits.
    """
    flags = processor_flags()
    overflows = "avx2" in flags and not flags & {"avx512_vnni", "avx_vnni"} and not gpu
    safe = quantization not in INT8 or (largest_int8 is not None and largest_int8 <= SAFE_INT8)
    return "float32" if overflows and not safe else "default"


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
