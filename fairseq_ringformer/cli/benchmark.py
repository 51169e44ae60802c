"""Measure a model against a stock one: training, generation or inference, memory and size, in turn in one process.

  ringformer benchmark --size base
  ringformer benchmark --size small --autocast bf16 --json small.json --plot small.png
  ringformer benchmark --arch ringformer_small --against vanilla_transformer_small --measure training --rounds 9
  ringformer benchmark --size base --device cuda --precision fp16
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

from ..errors import UserError
from ..extras import require
from ..files import whole_file
from ..machine import cores
from .arch import is_classifier
from .arguments import SEED, check_output, flag, positive, threads
from .errors import require_fairseq, require_timm
from .export import QUANTIZATIONS

TAKES_MODEL_FLAGS = True
DEFAULT_DATA = os.path.join("data", "debian_de_en_quick")
SIZES = ("tiny", "small", "base", "large")
# Flags of one side alone, with their defaults. The parser leaves them None, so that what was typed can be told.
TRANSLATION = {
    "size": None,
    "own_flags": "",
    "vocab_size": 8000,
    "autocast": "none",
    "ctranslate2": [],
    "translators": None,
    "data": None,
    "precision": "float32",
    "compile": False,
    "criterion": "cross_entropy",
    "max_tokens": 4096,
    "beam": [5, 1],
}
VISION = {"images": None, "mixed_precision": "no"}
# What is measured with the help of a flag; the others are of use to every measure.
USED_BY = {
    "precision": ("training", "generation", "memory"),
    "compile": ("training", "memory"),
    "criterion": ("training", "memory"),
    "max_tokens": ("training", "memory"),
    "data": ("training", "generation", "memory"),
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
        type=positive,
        nargs="+",
        metavar="N",
        help="sentences in a batch to generate (32 1), or images in a batch to classify (32 1; of small models 256 1)",
    )
    work.add_argument("--rounds", type=positive, default=5, metavar="N", help="rounds that count (5)")
    work.add_argument("--seed", type=SEED, default=1, metavar="N", help="of weights, data and dropout (1)")
    work.add_argument("--threads", type=threads, metavar="N", help="threads of torch (all cores)")
    work.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where (cpu)")
    translation = parser.add_argument_group("translation models alone")
    translation.add_argument("--size", choices=SIZES, help="architecture, and how much a round does (base)")
    translation.add_argument(
        "--own-flags", metavar="FLAGS", help='model flags for --arch alone, such as --own-flags="--signal-rank 4"'
    )
    translation.add_argument("--vocab-size", type=positive, metavar="N", help="dictionary entries (8000)")
    translation.add_argument(
        "--autocast", choices=("none", "bf16"), help="measure --arch also with --autocast of this value"
    )
    translation.add_argument(
        "--precision",
        choices=("float32", "bf16", "fp16"),
        help="of weights and products on both sides, as fairseq's common.bf16 and --fp16 train (float32)",
    )
    translation.add_argument(
        "--compile",
        action="store_true",
        default=None,
        help="measure --arch also with its stacks compiled by torch.compile (training and memory alone)",
    )
    translation.add_argument(
        "--ctranslate2",
        nargs="+",
        choices=QUANTIZATIONS,
        metavar="TYPE",
        help=f"measure also --arch exported to CTranslate2, with these compute types: {', '.join(QUANTIZATIONS)} "
        "(generation only)",
    )
    translation.add_argument(
        "--translators",
        type=threads,
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
    translation.add_argument(
        "--criterion", choices=("cross_entropy", "label_smoothed_cross_entropy"), help="cross_entropy is the default"
    )
    translation.add_argument(
        "--max-tokens",
        type=positive,
        metavar="N",
        help="tokens of either side in a training batch, padding counted (4096)",
    )
    translation.add_argument("--beam", type=positive, nargs="+", metavar="N", help="beams to generate with (5 1)")
    vision = parser.add_argument_group("image classifiers alone")
    vision.add_argument(
        "--images", type=positive, metavar="N", help="images in a training batch (by the size of the model)"
    )
    vision.add_argument(
        "--mixed-precision", choices=("no", "bf16"), help="measure --arch also under torch.autocast of this type"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write everything here, raw times included")
    output.add_argument("--profile", action="store_true", help="also show where the time of one batch goes, by part")
    output.add_argument("--plot", metavar="FILE", help="draw the ratios as bars: a PNG")


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet

    vision = is_classifier(args.arch or "")
    (require_timm if vision else require_fairseq)()
    given = [name for name in USED_BY if getattr(args, name)]
    _take_defaults(args, vision)
    _check(args)
    with quiet():
        benchmark = (_vision if vision else _translation)(args, given)
        return _report(args, benchmark)


def _report(args: argparse.Namespace, benchmark) -> int:
    from ..analysis.benchmark.plot import draw_ratios
    from ..analysis.benchmark.report import Outcome
    from ..analysis.output import write_json

    try:
        outcome = Outcome.of(benchmark, args.profile)
    except MemoryError as error:
        raise UserError(str(error)) from None
    print(outcome.table())
    if args.profile:
        print("\n" + outcome.profile_tables())
    if args.json:
        write_json(args.json, outcome.as_dict())
    if args.plot:
        with whole_file(args.plot) as partial:
            draw_ratios(outcome).savefig(partial, dpi=150)
    return 0


def _take_defaults(args: argparse.Namespace, vision: bool) -> None:
    """Refuse flags of the other side, and fill in those of this one."""
    defaults, others, other = TRANSLATION, VISION, "image classifiers"
    if vision:
        defaults, others, other = VISION, TRANSLATION, "translation models"
    given = [flag(name) for name in others if getattr(args, name) is not None] + (args.model_flags if vision else [])
    if given:
        raise UserError(f"{' '.join(given)}: not for {args.arch or 'translation models'}; such flags are for {other}")
    for name, default in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, default)


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work, before anything is built."""
    import torch

    args.threads = cores() if args.threads is None else args.threads
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no GPU here; leave it out to run on the CPU")
    check_output(args.json, name="--json", stream=True)
    check_output(args.plot, name="--plot")
    if args.plot and not args.plot.endswith(".png"):
        raise UserError(f"--plot {args.plot}: it is a PNG, end its name in .png")
    require("psutil", *(["matplotlib"] if args.plot else []))


def _choose_measures(args: argparse.Namespace, known: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """The measures of --measure, or all; UserError for `given` flags that none of them uses."""
    for measure in args.measure or ():
        if measure not in known:
            raise UserError(f"--measure {measure}: choose {', '.join(known[:-1])} or {known[-1]}")
    measures = tuple(args.measure or known)
    for name in given:
        if not set(USED_BY[name]) & set(measures):
            used_by = " and ".join(USED_BY[name])
            raise UserError(f"{flag(name)} is for {used_by}, which --measure leaves out: leave it out, too")
    return measures


def _translation(args: argparse.Namespace, given: Sequence[str]):
    from ..analysis.benchmark.translation.candidates import STOCK, choose
    from ..analysis.benchmark.translation.runner import BATCH_SIZES, MEASURES, Benchmark, Settings

    measures = _choose_measures(args, MEASURES, given)
    if args.translators is not None and not args.ctranslate2:
        raise UserError("--translators are CTranslate2's: add --ctranslate2 TYPE, or leave it out")
    if args.precision != "float32" and (args.autocast != "none" or args.ctranslate2):
        other = "--autocast" if args.autocast != "none" else "--ctranslate2"
        raise UserError(f"--precision {args.precision} is of both sides, {other} compares with float32: leave one out")
    if args.precision != "float32" and args.device == "cpu" and {"training", "memory"} & set(measures):
        raise UserError(
            f"--precision {args.precision}: fairseq trains in it on a GPU alone: add --device cuda, or --measure generation"
        )
    suffix = (args.arch or "").rpartition("_")[2]
    size = args.size or (suffix if suffix in SIZES else "base")
    try:
        own_flags = shlex.split(args.own_flags)
    except ValueError as error:
        raise UserError(f"--own-flags {args.own_flags}: {error}") from None
    lengths = _lengths(args)
    candidates = choose(
        args.arch or f"ringformer_{size}",
        args.against or STOCK,
        args.model_flags,
        own_flags,
        args.vocab_size,
        args.seed,
        args.autocast,
        args.ctranslate2,
        args.compile,
    )
    settings = Settings(
        measures=measures,
        size=size,
        rounds=args.rounds,
        max_tokens=args.max_tokens,
        criterion=args.criterion,
        precision=args.precision,
        beams=tuple(args.beam),
        batch_sizes=tuple(args.batch_size or BATCH_SIZES),
        device=args.device,
        threads=args.threads,
        seed=args.seed,
        translators=args.translators,
    )
    return Benchmark(candidates, lengths, settings)


def _vision(args: argparse.Namespace, given: Sequence[str]):
    from ..analysis.benchmark.vision.candidates import choose
    from ..analysis.benchmark.vision.runner import MEASURES, Benchmark, Settings

    settings = Settings(
        measures=_choose_measures(args, MEASURES, given),
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
    return read_lengths(DEFAULT_DATA if args.data is None else args.data)
