"""Measure a model against fairseq's stock transformer: training, generation, memory and size, in turn in one process.

  ringformer benchmark --size base
  ringformer benchmark --size small --autocast bf16 --json small.json --plot small.png
  ringformer benchmark --arch ringformer_small --against vanilla_transformer_small --measure training --rounds 9

Both get random weights, the same sizes and options, and the same batches; model flags of fairseq-train may follow and
go to both. Rounds are run in turn, A B, B A, after one that is not counted; ratios are of medians, with the middle half
of the rounds' own ratios.
"""

import argparse
import os
import shlex

from .._fairseq import quiet
from ..export.runtime import cores
from .errors import UserError, require_fairseq

HELP = "speed, memory and size against fairseq's stock transformer"
TAKES_MODEL_FLAGS = True
DEFAULT_DATA = os.path.join("data", "debian_de_en_quick")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    models = parser.add_argument_group("models")
    models.add_argument("--size", help="tiny, small, base or large (base): architecture, and how much a round does")
    models.add_argument("--arch", help="architecture to measure (ringformer_SIZE); model flags may follow")
    models.add_argument("--against", default="transformer", metavar="ARCH",
                        help="architecture to compare with: fairseq's transformer with the same sizes and options "
                             "(default), or any other with its own")
    models.add_argument("--own-flags", default="", metavar="FLAGS",
                        help="model flags for --arch alone, such as --own-flags=\"--signal-rank 4\"")
    models.add_argument("--vocab-size", type=int, default=8000, metavar="N", help="dictionary entries (8000)")
    models.add_argument("--autocast", default="none", metavar="TYPE",
                        help="measure --arch also with --autocast TYPE (bf16)")
    models.add_argument("--ctranslate2", nargs="+", default=[], metavar="TYPE",
                        help="measure also --arch exported to CTranslate2, with these compute types: float32, int8, "
                             "int8_float32, bfloat16, float16 (generation only)")
    models.add_argument("--translators", type=int, metavar="N",
                        help="CTranslate2's translators, side by side, which share --threads (by the model's size)")
    work = parser.add_argument_group("work")
    work.add_argument("--measure", nargs="+", metavar="WHAT",
                      help="of training, generation, memory, checkpoint (all)")
    work.add_argument("--data", metavar="DIR",
                      help="folder of fairseq-preprocess, or that has it as bin: sentences get its lengths and random "
                           f"tokens ({DEFAULT_DATA} if it is there, else lengths of a distribution fitted to it)")
    work.add_argument("--criterion", default="cross_entropy", help="cross_entropy or label_smoothed_cross_entropy")
    work.add_argument("--max-tokens", type=int, default=4096, metavar="N",
                      help="tokens of either side in a training batch, padding counted (4096)")
    work.add_argument("--beam", type=int, nargs="+", default=[5, 1], metavar="N", help="beams to generate with (5 1)")
    work.add_argument("--batch-size", type=int, nargs="+", default=[32, 1], metavar="N",
                      help="sentences in a batch to generate (32 1)")
    work.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that count (5)")
    work.add_argument("--seed", type=int, default=1, metavar="N", help="of weights, tokens and dropout (1)")
    work.add_argument("--threads", type=int, metavar="N", help="threads of torch (all cores)")
    work.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where (cpu)")
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write everything here, raw times included")
    output.add_argument("--profile", action="store_true", help="also show where the time of one batch goes, by part")
    output.add_argument("--plot", metavar="FILE", help="draw the ratios as bars: a PNG")


def run(args: argparse.Namespace) -> int:
    require_fairseq()
    _check(args)
    from ..analysis.benchmark.plot import draw_ratios
    from ..analysis.benchmark.report import Outcome
    from ..analysis.benchmark.runner import Benchmark

    with quiet():
        try:
            benchmark = Benchmark(_contenders(args), _lengths(args), _settings(args))
        except ValueError as error:
            raise UserError(str(error)) from None
        try:
            outcome = Outcome.of(benchmark, args.profile)
        except MemoryError as error:
            raise UserError(str(error)) from None
        print(outcome.table())
        if args.profile:
            print("\n" + outcome.profile_tables())
        if args.json:
            outcome.write_json(args.json)
        if args.plot:
            draw_ratios(outcome, args.plot)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work, before anything is built."""
    import torch

    from ..analysis.benchmark.runner import AMOUNTS, MEASURES
    from ..analysis.benchmark.training import CRITERIA

    def one_of(flag: str, given, known) -> None:
        for value in given:
            if value not in known:
                raise UserError(f"{flag} {value}: choose {', '.join(known[:-1])} or {known[-1]}")

    args.measure = list(MEASURES) if args.measure is None else args.measure
    if args.size is None:
        suffix = (args.arch or "").rpartition("_")[2]
        args.size = suffix if suffix in AMOUNTS else "base"
    one_of("--size", [args.size], tuple(AMOUNTS))
    one_of("--measure", args.measure, MEASURES)
    one_of("--criterion", [args.criterion], CRITERIA)
    one_of("--autocast", [args.autocast], ("none", "bf16"))
    if args.ctranslate2:
        from .export import QUANTIZATIONS

        one_of("--ctranslate2", args.ctranslate2, QUANTIZATIONS)
    args.threads = cores() if args.threads is None else args.threads
    for flag in ("rounds", "threads", "translators", "vocab_size", "max_tokens", "beam", "batch_size"):
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
    if args.data and not os.path.isdir(args.data):
        raise UserError(f"{args.data}: no such data folder; without --data, lengths are sampled")


def _contenders(args: argparse.Namespace):
    from ..analysis.benchmark.contenders import choose

    try:
        own_flags = shlex.split(args.own_flags)
    except ValueError as error:
        raise UserError(f"--own-flags {args.own_flags}: {error}") from None
    return choose(
        args.arch or f"ringformer_{args.size}", args.against, args.model_flags, own_flags,
        args.vocab_size, args.seed, args.autocast, args.ctranslate2,
    )


def _settings(args: argparse.Namespace):
    from ..analysis.benchmark.runner import Settings

    return Settings(
        measures=tuple(args.measure), size=args.size, rounds=args.rounds, max_tokens=args.max_tokens,
        criterion=args.criterion, beams=tuple(args.beam), batch_sizes=tuple(args.batch_size), device=args.device,
        threads=args.threads, seed=args.seed, translators=args.translators,
    )


def _lengths(args: argparse.Namespace):
    from ..analysis.benchmark.workload import Lengths, read_lengths, sample_lengths

    if args.data is None and not os.path.isdir(DEFAULT_DATA):
        return Lengths(sample_lengths(20_000, args.seed), sample_lengths(2_000, args.seed + 1),
                       "a distribution fitted to the Debian quick set")
    return read_lengths(args.data or DEFAULT_DATA)
