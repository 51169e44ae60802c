"""Translate raw text: line N of the output is the translation of line N.

  ringformer translate --path CKPT --data BIN_DIR "Guten Morgen!"
  ringformer translate --path CKPT1:CKPT2 --data BIN_DIR < german.txt > english.txt
  ringformer translate --model EXPORTED_DIR < german.txt > english.txt

With --path, fairseq translates; with --model, CTranslate2, which needs neither fairseq nor torch (ringformer export
writes its models).

Text comes from the arguments, from --input or from standard input, in UTF-8. A blank line stays blank. A line is
normalised as the training text was, and translated sentence by sentence: docs/text.md. In a pipe, what has come is
translated as soon as input pauses.
"""

import argparse
import contextlib
import glob
import io
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from .._fairseq import quiet
from ..errors import UserError
from ..export.checkpoints import data_folder, read_fairseq_checkpoint, split_paths
from ..extras import require
from ..text.stream import MOST_LINES, Translation, read_groups
from ..text.translator import Translator
from . import subwords
from .arguments import (
    add_search_arguments,
    add_translator_arguments,
    check_output,
    check_search,
    positive,
    refuse_flags,
    threads,
    translator_options,
)
from .errors import require_fairseq
from .streams import STANDARD, check_input, counted, flushed, notices, open_input, standard_output

# What belongs to fairseq's data folder; an exported model knows it itself.
DATA_FLAGS = ("data", "source_lang", "target_lang", *subwords.CUT, "autocast", "exit_level")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="*", metavar="TEXT", help="text to translate; default: --input")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--path", metavar="CKPT[:CKPT]", help="checkpoint, or several as an ensemble")
    model.add_argument("--model", metavar="DIR", help="folder that ringformer export has written")
    parser.add_argument(
        "--data", metavar="DIR", help="folder that fairseq-preprocess has written; default: what the checkpoint carries"
    )
    parser.add_argument("--input", metavar="FILE", help="text to translate, line by line; default: standard input")
    parser.add_argument("--output", metavar="FILE", help="where to write; default: standard output")
    parser.add_argument("-s", "--source-lang", metavar="LANG", help="default: as in training")
    parser.add_argument("-t", "--target-lang", metavar="LANG", help="default: as in training")
    parser.add_argument(
        "--json", action="store_true", help="write a JSON object for each line, with scores and the pieces of the line"
    )
    parser.add_argument(
        "--no-split",
        action="store_true",
        help="translate lines whole: for models that were trained on paragraphs or documents; default: each sentence "
        "by itself",
    )
    subwords.add_arguments(parser)
    group = parser.add_argument_group("search")
    add_search_arguments(group)
    group.add_argument("--nbest", type=positive, default=1, metavar="N", help="hypotheses of each line, with --json")
    group = parser.add_argument_group("resources")
    add_translator_arguments(group)
    group.add_argument(
        "--buffer-size",
        type=positive,
        metavar="N",
        help=f"most lines to read before translating; default: {MOST_LINES}",
    )
    group.add_argument(
        "--autocast", choices=("none", "bf16"), help="with --path: compute in bfloat16 or not; default: as in training"
    )
    group.add_argument(
        "--exit-level",
        type=positive,
        metavar="K",
        help="with --path: run the first K levels of the decoder alone; default: all",
    )
    group.add_argument(
        "--translators",
        type=threads,
        metavar="N",
        help="batches to translate side by side, with --model; default: as many as threads",
    )


def run(args: argparse.Namespace) -> int:
    _check(args)
    note = notices("translate")
    with quiet(), contextlib.ExitStack() as stack:
        source = stack.enter_context(_open_input(args))
        size = args.buffer_size or MOST_LINES
        translator = _load(args, note, alone=size == 1 or source.isatty())
        target = stack.enter_context(_open_output(args))
        search = dict(beam=args.beam, nbest=args.nbest, lenpen=args.lenpen, scores=args.json)
        lines = flushed(translator.groups(_groups(args, source, size, note), **search), target)
        # A few lines of the command line are not worth a count.
        for line in lines if args.text else counted(lines, source, target):
            target.write(_format(line, args.json).encode() + b"\n")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.model is None:
        refuse_flags(args, ["translators"], "needs --model: fairseq translates one batch at a time")
    else:
        refuse_flags(args, DATA_FLAGS, "needs --path: an exported model knows how its text is cut")
        if args.translators and args.threads and args.translators > args.threads:
            raise UserError(f"--translators {args.translators} needs --threads of at least {args.translators}")
    if args.text and args.input:
        raise UserError("TEXT and --input exclude each other")
    check_search(args)
    if args.nbest > args.beam:
        raise UserError(f"--nbest {args.nbest} needs a --beam of at least {args.nbest}")
    if args.nbest > 1 and not args.json:
        raise UserError("--nbest needs --json: plain output has one line for each line")
    check_input(args.input, "--input")
    require("sentencex")
    check_output(args.output, _read(args), stream=True)


def _read(args: argparse.Namespace) -> list[str]:
    """What --output must not replace: the model's files, and the text."""
    read = split_paths(args.path) if args.model is None else glob.glob(os.path.join(glob.escape(args.model), "*"))
    text = "/dev/stdin" if args.input in (None, STANDARD) else args.input
    if not args.text and os.path.isfile(text):  # a terminal may be both
        read.append(text)
    return read


def _load(args: argparse.Namespace, note: Callable[[str], None], alone: bool) -> Translator:
    options: dict[str, Any] = dict(split=not args.no_split, note=note, **translator_options(args))
    if args.model is not None:
        if not os.path.isdir(args.model):
            raise UserError(f"{args.model}: no such model folder")
        normalise = not args.no_normalise
        return Translator(args.model, translators=args.translators, alone=alone, normalise=normalise, **options)
    require_fairseq()
    first = split_paths(args.path)[0]
    with contextlib.ExitStack() as stack:
        state = read_fairseq_checkpoint(first) if args.data is None else {}
        data = data_folder(args.data, first, state, stack)
        del state  # as large as the checkpoint, which is read once more
        options.update(data=data, subwords=subwords.find_subwords(args, data), autocast=args.autocast)
        options.update(exit_level=args.exit_level)
        return Translator(args.path, languages=(args.source_lang, args.target_lang), **options)


@contextlib.contextmanager
def _open_input(args: argparse.Namespace) -> Iterator[BinaryIO]:
    if args.text:
        yield io.BytesIO(b"".join(os.fsencode(text.removesuffix("\n")) + b"\n" for text in args.text))
    else:
        with open_input(args.input) as stream:
            yield stream


def _groups(args: argparse.Namespace, source: BinaryIO, most: int, note: Callable[[str], None]) -> Iterator[list[str]]:
    """Lines in groups; what goes wrong in reading them is no fault of the output."""
    try:
        yield from read_groups(source, most, note)
    except OSError as error:
        raise UserError(f"cannot read {args.input or 'standard input'}: {error.strerror}") from None


@contextlib.contextmanager
def _open_output(args: argparse.Namespace) -> Iterator[BinaryIO]:
    """Standard output or --output, which grows line by line for whoever reads along."""
    if args.output is None:
        yield standard_output()
        return
    try:
        with open(args.output, "wb") as stream:
            yield stream
    except OSError as error:
        raise UserError(f"cannot write {args.output}: {error.strerror}") from None


def _format(line: Translation, as_json: bool) -> str:
    if not as_json:
        return line.text
    hypotheses = [{"text": found.text, "score": round(found.score, 4)} for found in line.hypotheses]
    pieces = [{"source": piece, "text": found.text} for piece, found in line.pieces]
    fields = {"line": line.number, "source": line.source, "hypotheses": hypotheses, "pieces": pieces}
    return json.dumps(fields, ensure_ascii=False)
