"""Measure a model against a stock one: training, generation or inference, memory and size, in turn in one process.

  ringformer benchmark --size base
  ringformer benchmark --size small --autocast bf16 --json small.json --plot small.png
  ringformer benchmark --arch ringformer_small --against vanilla_transformer_small --measure training --rounds 9
  ringformer benchmark --arch vit_ring_512_l6_patch16_224 --mixed-precision bf16

Translation models meet fairseq's transformer, image classifiers (vit_ring_..., which need no fairseq) timm's
VisionTransformer. Both sides get random weights, the same sizes and options, and the same batches; with a translation
model, model flags of fairseq-train may follow and go to both. Rounds are run in turn, A B, B A, after one that is not
counted; ratios are of medians, with the middle half of the rounds' own ratios.
"""

import argparse
import os
import shlex
from collections.abc import Sequence

from .. import extras
from .._fairseq import quiet
from ..errors import UserError
from ..export.runtime import cores
from .arch import is_classifier
from .errors import require_fairseq

TAKES_MODEL_FLAGS = True
DEFAULT_DATA = os.path.join("data", "debian_de_en_quick")
# Flags of one side alone, with their defaults. The parser leaves them None, so that what was typed can be told.
TRANSLATION = {
    "size": None,
    "own_flags": "",
    "vocab_size": 8000,
    "autocast": "none",
    "ctranslate2": [],
    "translators": None,
    "data": None,
    "criterion": "cross_entropy",
    "max_tokens": 4096,
    "beam": [5, 1],
}
VISION = {"images": None, "mixed_precision": "no"}
# What is measured with the help of a flag; the others are of use to every measure.
USED_BY = {
    "criterion": ("training", "memory"),
    "max_tokens": ("training", "memory"),
    "images": ("training", "memory"),
    "beam": ("generation",),
    "ctranslate2": ("generation",),
    "batch_size": ("generation", "inference"),
    "profile": ("training", "generation", "inference"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models = parser.add_argument_group("models")
    models.add_argument(
        "--arch",
        help="model to measure: ringformer_SIZE (base), model flags may follow; or a "
        "classifier such as vit_ring_tiny_patch4_28",
    )
    models.add_argument(
        "--against",
        metavar="ARCH",
        help="model to compare with: fairseq's transformer or timm's VisionTransformer with the same "
        "sizes and options (default), or any other of fairseq or timm with its own",
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--measure",
        nargs="+",
        metavar="WHAT",
        help="of training, generation (translation), inference (classifiers), memory, checkpoint (all)",
    )
    work.add_argument(
        "--batch-size",
        type=int,
        nargs="+",
        metavar="N",
        help="sentences in a batch to generate (32 1), or images in a batch to classify (32 1; of small models 256 1)",
    )
    work.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that count (5)")
    work.add_argument("--seed", type=int, default=1, metavar="N", help="of weights, data and dropout (1)")
    work.add_argument("--threads", type=int, metavar="N", help="threads of torch (all cores)")
    work.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where (cpu)")
    translation = parser.add_argument_group("translation models alone")
    translation.add_argument(
        "--size", metavar="SIZE", help="tiny, small, base or large (base): architecture, and how much a round does"
    )
    translation.add_argument(
        "--own-flags", metavar="FLAGS", help='model flags for --arch alone, such as --own-flags="--signal-rank 4"'
    )
    translation.add_argument("--vocab-size", type=int, metavar="N", help="dictionary entries (8000)")
    translation.add_argument("--autocast", metavar="TYPE", help="measure --arch also with --autocast TYPE (bf16)")
    translation.add_argument(
        "--ctranslate2",
        nargs="+",
        metavar="TYPE",
        help="measure also --arch exported to CTranslate2, with these compute types: float32, "
        "int8, int8_float32, bfloat16, float16 (generation only)",
    )
    translation.add_argument(
        "--translators",
        type=int,
        metavar="N",
        help="CTranslate2's translators, side by side, which share --threads (by the model's size)",
    )
    translation.add_argument(
        "--data",
        metavar="DIR",
        help="folder of fairseq-preprocess, or that has it as bin: sentences get its lengths and "
        f"random tokens ({DEFAULT_DATA} if it is there, else lengths of a distribution "
        "fitted to it)",
    )
    translation.add_argument("--criterion", help="cross_entropy (default) or label_smoothed_cross_entropy")
    translation.add_argument(
        "--max-tokens", type=int, metavar="N", help="tokens of either side in a training batch, padding counted (4096)"
    )
    translation.add_argument("--beam", type=int, nargs="+", metavar="N", help="beams to generate with (5 1)")
    vision = parser.add_argument_group("image classifiers alone")
    vision.add_argument("--images", type=int, metavar="N", help="images in a training batch (by the size of the model)")
    vision.add_argument("--mixed-precision", metavar="TYPE", help="measure --arch also under torch.autocast (bf16)")
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write everything here, raw times included")
    output.add_argument("--profile", action="store_true", help="also show where the time of one batch goes, by part")
    output.add_argument("--plot", metavar="FILE", help="draw the ratios as bars: a PNG")


def run(args: argparse.Namespace) -> int:
    vision = is_classifier(args.arch or "")
    if vision:
        try:
            import timm  # noqa: F401
        except ImportError:
            raise UserError(f"timm is not installed: {extras.VISION}") from None
    else:
        require_fairseq()
    given = [name for name in USED_BY if getattr(args, name)]
    if args.translators is not None and not args.ctranslate2:
        raise UserError("--translators are CTranslate2's: add --ctranslate2 TYPE, or leave it out")
    _take_defaults(args, vision)
    _check(args)
    (_check_vision if vision else _check_translation)(args)
    _refuse_unused(given, args.measure)
    from ..analysis.benchmark.plot import draw_ratios
    from ..analysis.benchmark.report import Outcome

    with quiet():
        try:
            benchmark = (_vision if vision else _translation)(args)
        except ValueError as error:
            raise UserError(str(error)) from None
        try:
            outcome = Outcome.of(benchmark, args.profile)
        except MemoryError as error:
            raise UserError(str(error)) from None
        print(outcome.table())
        if args.profile:
            print("\n" + outcome.profile_tables())
        problems = []
        for path, write in ((args.json, outcome.write_json), (args.plot, lambda path: draw_ratios(outcome, path))):
            try:
                if path:
                    write(path)
            except OSError as error:
                problems.append(f"cannot write {path}: {error.strerror or error}")
        if problems:
            raise UserError("; ".join(problems))
    return 0


def _refuse_unused(given: Sequence[str], measures: Sequence[str]) -> None:
    for name in given:
        if not set(USED_BY[name]) & set(measures):
            flag = "--" + name.replace("_", "-")
            raise UserError(
                f"{flag} is for {' and '.join(USED_BY[name])}, which --measure leaves out: leave it out, too"
            )


def _take_defaults(args: argparse.Namespace, vision: bool) -> None:
    """Refuse flags of the other side, and fill in those of this one."""
    own, others, other = TRANSLATION, VISION, "image classifiers"
    if vision:
        own, others, other = VISION, TRANSLATION, "translation models"
    given = [f"--{name.replace('_', '-')}" for name in others if getattr(args, name) is not None]
    if vision:
        given += args.model_flags
    if given:
        raise UserError(f"{' '.join(given)}: not for {args.arch or 'translation models'}; such flags are for {other}")
    for name, default in own.items():
        if getattr(args, name) is None:
            setattr(args, name, default)


def _one_of(flag: str, given: Sequence[str], known: Sequence[str]) -> None:
    for value in given:
        if value not in known:
            raise UserError(f"{flag} {value}: choose {', '.join(known[:-1])} or {known[-1]}")


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work, before anything is built."""
    import torch

    args.threads = cores() if args.threads is None else args.threads
    for flag in ("rounds", "threads", "translators", "vocab_size", "max_tokens", "beam", "batch_size", "images"):
        value = getattr(args, flag)
        if value is not None and min(value if isinstance(value, list) else [value]) < 1:
            raise UserError(f"--{flag.replace('_', '-')} must be at least 1")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU here; leave it out to run on the CPU")
    for path in (args.json, args.plot):
        if path and not os.path.isdir(os.path.dirname(path) or "."):
            raise UserError(f"{path}: no such folder {os.path.dirname(path)}: create it first")
        if path and os.path.isdir(path):
            raise UserError(f"{path} is a folder: name a file")
        if path and not os.access(path if os.path.exists(path) else os.path.dirname(path) or ".", os.W_OK):
            raise UserError(f"{path} cannot be written: name another file")
    if args.plot and not args.plot.endswith(".png"):
        raise UserError(f"--plot {args.plot}: it is a PNG, end its name in .png")


def _check_translation(args: argparse.Namespace) -> None:
    from ..analysis.benchmark.translation.runner import AMOUNTS, BATCH_SIZES, MEASURES
    from ..analysis.benchmark.translation.training import CRITERIA

    args.measure, args.batch_size = args.measure or list(MEASURES), args.batch_size or list(BATCH_SIZES)
    if args.size is None:
        suffix = (args.arch or "").rpartition("_")[2]
        args.size = suffix if suffix in AMOUNTS else "base"
    _one_of("--size", [args.size], tuple(AMOUNTS))
    _one_of("--measure", args.measure, MEASURES)
    _one_of("--criterion", [args.criterion], CRITERIA)
    _one_of("--autocast", [args.autocast], ("none", "bf16"))
    if args.ctranslate2:
        from .export import QUANTIZATIONS

        _one_of("--ctranslate2", args.ctranslate2, QUANTIZATIONS)
    if args.data and not os.path.isdir(args.data):
        raise UserError(f"{args.data}: no such data folder; without --data, lengths are sampled")


def _check_vision(args: argparse.Namespace) -> None:
    from ..analysis.benchmark.vision.runner import MEASURES

    args.measure = args.measure or list(MEASURES)
    _one_of("--measure", args.measure, MEASURES)
    _one_of("--mixed-precision", [args.mixed_precision], ("no", "bf16"))


def _translation(args: argparse.Namespace):
    from ..analysis.benchmark.translation.contenders import STOCK, choose
    from ..analysis.benchmark.translation.runner import Benchmark, Settings

    try:
        own_flags = shlex.split(args.own_flags)
    except ValueError as error:
        raise UserError(f"--own-flags {args.own_flags}: {error}") from None
    contenders = choose(
        args.arch or f"ringformer_{args.size}",
        args.against or STOCK,
        args.model_flags,
        own_flags,
        args.vocab_size,
        args.seed,
        args.autocast,
        args.ctranslate2,
    )
    settings = Settings(
        measures=tuple(args.measure),
        size=args.size,
        rounds=args.rounds,
        max_tokens=args.max_tokens,
        criterion=args.criterion,
        beams=tuple(args.beam),
        batch_sizes=tuple(args.batch_size),
        device=args.device,
        threads=args.threads,
        seed=args.seed,
        translators=args.translators,
    )
    return Benchmark(contenders, _lengths(args), settings)


def _vision(args: argparse.Namespace):
    from ..analysis.benchmark.vision.contenders import choose
    from ..analysis.benchmark.vision.runner import Benchmark, Settings

    settings = Settings(
        measures=tuple(args.measure),
        rounds=args.rounds,
        device=args.device,
        threads=args.threads,
        seed=args.seed,
        images=args.images,
        batch_sizes=tuple(args.batch_size) if args.batch_size else None,
    )
    return Benchmark(choose(args.arch, args.against or "", args.seed, args.mixed_precision), settings)


def _lengths(args: argparse.Namespace):
    from ..analysis.benchmark.translation.workload import Lengths, read_lengths, sample_lengths

    if args.data is None and not os.path.isdir(DEFAULT_DATA):
        return Lengths(
            sample_lengths(20_000, args.seed),
            sample_lengths(2_000, args.seed + 1),
            "a distribution fitted to the Debian quick set",
        )
    return read_lengths(args.data or DEFAULT_DATA)
