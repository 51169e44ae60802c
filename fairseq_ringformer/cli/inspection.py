"""What the analyses of trained models share: flags, and what these load."""

import argparse
import atexit
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..export.checkpoints import check_fairseq_checkpoint, data_folder, is_classifier
from ..extras import require
from ..files import read_checkpoint
from .arguments import SEED, add_machine_arguments, check_output, positive, refuse_flags, use_machine
from .errors import require_fairseq, require_timm

if TYPE_CHECKING:
    from ..analysis.inspection.examples import Examples
    from ..analysis.inspection.models import LoadedModel

ENDINGS = (".png", ".svg", ".json")
# Flags of one kind alone, and what they are without being given.
OF_TEXT = {"subset": "test", "side": "both"}
OF_IMAGES = {"dataset": "", "split": "validation", "tokens": "class"}


def add_arguments(parser: argparse.ArgumentParser, checkpoints: Any, examples: int | None) -> None:
    """Flags of every analysis.

    Args:
        checkpoints: how many --path takes, in argparse's words; None for one.
        examples: default of --examples; None for a command that reads no data set, and needs --data for the
            dictionaries of translation models alone.
    """
    parser.add_argument(
        "--path", required=True, nargs=checkpoints, metavar="CKPT", help="of a translation model or a classifier"
    )
    parser.add_argument(
        "--data",
        required=examples is not None,
        metavar="DIR",
        help="folder of fairseq-preprocess" + (", or of images for classifiers" if examples is not None else ""),
    )
    parser.add_argument("--output", required=True, metavar="PREFIX", help="start of the names of the files to write")
    if checkpoints is not None:
        parser.add_argument("--names", nargs="+", metavar="NAME", help="what to call them; default: architectures")
    if examples is not None:
        parser.add_argument(
            "--examples",
            type=positive,
            default=examples,
            metavar="N",
            help=f"sentences or images, drawn by --seed; default: {examples}",
        )
        parser.add_argument("--seed", type=SEED, default=1, metavar="N", help="of the draw; default: 1")
        parser.add_argument("--subset", metavar="NAME", help="translation: valid, test ...; default: test")
        parser.add_argument("--split", metavar="NAME", help="images: default: validation")
        parser.add_argument("--dataset", metavar="NAME", help="images: how they lie in --data, as in train-classifier")
    parser.add_argument(
        "--ema", action=argparse.BooleanOptionalAction, help="images: averaged weights; default: where there are any"
    )
    add_machine_arguments(parser)


def add_side(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", choices=("encoder", "decoder", "both"), help="translation: default: both")


def add_tokens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokens",
        choices=("class", "mean"),
        help="images: the state of the class token, or the mean over the "
        "patches; default: class, which has no input level: it is the same for all images",
    )


def rows_are(args: argparse.Namespace) -> str:
    """What a row of states is, after --tokens."""
    return {None: "tokens", "class": "class tokens", "mean": "means over patches"}[args.tokens]


def compared_levels(args: argparse.Namespace, models: "list[LoadedModel]") -> "dict[str, tuple[list[str], ...]]":
    """By side the names of the levels that each model has states of, after --tokens."""
    from ..analysis.inspection.states import level_counts, level_names

    skipped = 1 if args.tokens == "class" else 0
    counts = [level_counts(loaded.model) for loaded in models]
    return {side: tuple(level_names(own[side])[skipped:] for own in counts) for side in counts[0]}


def chosen_side(args: argparse.Namespace) -> str | None:
    """The one of --side; None for all."""
    return args.side if args.side in ("encoder", "decoder") else None


def check_outputs(prefix: str, endings: Sequence[str] = ENDINGS, sources: Sequence[str] = ()) -> None:
    """UserError unless PREFIX and each of `endings` make files that can be written, and figures can be drawn.

    Args:
        sources: files to be read, which they must not replace.
    """
    require("matplotlib")
    if not os.path.basename(prefix):
        raise UserError(f"--output {prefix} is a folder: add the start of the files' names")
    for ending in endings:
        if prefix.endswith(ending):
            raise UserError(f"--output {prefix}: give the start of the names, {prefix.removesuffix(ending)}")
        check_output(prefix + ending, sources, stream=ending in (".json", ".html"))


def load_models(args: argparse.Namespace) -> "list[LoadedModel]":
    """The checkpoints of --path on --device, all of one kind, and the flags of that kind filled in.

    Raises:
        UserError: if a checkpoint cannot be loaded, or flags do not fit.
    """
    from ..analysis.inspection.models import TEXT, check_alike, name_apart

    device = use_machine(args)
    models = [_load(path, args) for path in (args.path if isinstance(args.path, list) else [args.path])]
    check_alike(args.command, models)
    name_apart(models, getattr(args, "names", None))
    if models[0].kind == TEXT:
        refuse_flags(args, OF_IMAGES, "is for image classifiers")
        defaults = OF_TEXT
    else:
        refuse_flags(args, OF_TEXT, "is for translation models")
        defaults = OF_IMAGES
    for name, default in defaults.items():
        if getattr(args, name, None) is None:
            setattr(args, name, default)
    for loaded in models:
        loaded.model.to(device)
    return models


def _load(path: str, args: argparse.Namespace) -> "LoadedModel":
    state = read_checkpoint(path)
    if is_classifier(state):
        require_timm()
        from ..analysis.inspection.models import classifier

        return classifier(path, state, args.ema)
    if args.ema is not None:
        raise UserError(f"--ema is for classifiers; of a translation model, {path}, ringformer average --ema takes it")
    require_fairseq()
    from ..analysis.inspection.models import translator

    check_fairseq_checkpoint(path, state)
    stack = ExitStack()
    atexit.register(stack.close)  # the sub-words are read later
    args.data = data_folder(args.data, path, state, stack)
    return translator(path, state, args.data)


def open_examples(args: argparse.Namespace, models: "list[LoadedModel]") -> "Examples":
    """The examples that the flags ask for."""
    from ..analysis.inspection.examples import Images, Sentences
    from ..analysis.inspection.models import TEXT

    if models[0].kind == TEXT:
        return Sentences(models, args.data, args.subset, args.examples, args.seed)
    return Images(models, args.data, args.split, args.dataset, args.examples, args.seed)


def described(args: argparse.Namespace, examples: "Examples") -> dict[str, Any]:
    """What the files say of the examples."""
    subset = {"subset": args.subset} if examples.unit == "sentences" else {"split": args.split}
    return {"data": args.data, **subset, "examples": len(examples), "seed": args.seed}


def progress(work: Iterable[Any], of: str = "batches") -> Any:
    """A bar on a terminal's standard error."""
    from tqdm import tqdm

    return tqdm(work, desc=of, unit=f" {of}", leave=False, disable=not sys.stderr.isatty())


def print_written(args: argparse.Namespace, endings: Sequence[str] = ENDINGS) -> None:
    print(f"written: {', '.join(args.output + ending for ending in endings)}")
