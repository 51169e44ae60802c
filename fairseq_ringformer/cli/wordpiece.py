"""Cut text into WordPieces, put it together again, and make fairseq's dictionary of a WordPiece vocabulary.

  ringformer wordpiece --model jhu-clsp/bibert-ende --dictionary dict.txt
  ringformer wordpiece --model vocab.txt --encode train.de train.en --output cut/
  ringformer wordpiece --model vocab.txt --encode < german.txt > german.pieces
  ringformer wordpiece --model vocab.txt --decode < german.pieces > german.txt

Line N of the output is line N of the input; an empty line stays empty. Then:

  fairseq-preprocess --source-lang de --target-lang en --trainpref cut/train --srcdict dict.txt --joined-dictionary ...
  fairseq-generate ... --bpe wordpiece --wordpiece-model vocab.txt
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ..errors import UserError
from ..text.stream import read_lines
from .errors import reason
from .subwords import load_wordpieces

HELP = "cut text into WordPieces, and back; make fairseq's dictionary of them"
STANDARD = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help="vocab.txt, tokenizer.json, a folder with one, or owner/repository on Hugging Face's hub",
    )
    parser.add_argument("--dictionary", metavar="FILE", help="write fairseq's dictionary of the vocabulary to FILE")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--encode", nargs="*", metavar="FILE", help="cut these files; default: standard input")
    way.add_argument("--decode", nargs="*", metavar="FILE", help="put these together; default: standard input")
    parser.add_argument(
        "--output", metavar="PATH", help="file, or folder for files of the same names; default: standard output"
    )


def run(args: argparse.Namespace) -> int:
    files = args.encode if args.encode is not None else args.decode
    targets = _targets(args, files)
    pieces = load_wordpieces(args.model)
    if args.encode is not None and not pieces.lossless:
        _note(f"{args.model}: {pieces.LOSSY}")
    if args.dictionary is not None:
        with _written(args.dictionary) as path:
            pieces.write_dictionary(path)
        size = len(pieces.dictionary()) + 4
        print(f"{args.dictionary}: {size:,} entries, fairseq's own four counted", file=sys.stderr)
    convert = pieces.encode_lines if args.encode is not None else lambda lines: map(pieces.decode, lines)
    for source, target in targets.items():
        with _reading(source) as stream:
            if target is None:
                _convert(source, stream, sys.stdout.buffer, convert)
                sys.stdout.buffer.flush()
                continue
            with _written(target) as path, open(path, "wb") as out:
                lines = _convert(source, stream, out, convert)
            print(f"{target}: {lines:,} lines", file=sys.stderr)
    return 0


def _targets(args: argparse.Namespace, files) -> dict[str, str]:
    """Where the text of each file goes; None for standard output. UserError where that cannot be."""
    if files is None:
        if args.dictionary is None:
            raise UserError("nothing to do: give --dictionary, --encode or --decode")
        if args.output is not None:
            raise UserError("--output is for --encode and --decode; --dictionary names its own file")
        targets = {}
    elif args.output is None or not os.path.isdir(args.output):
        if len(files) > 1:
            raise UserError(f"{len(files)} files need --output FOLDER, one that exists")
        targets = {(files or [STANDARD])[0]: args.output}
    elif not files or STANDARD in files:
        raise UserError(f"--output {args.output} is a folder: name a file for what comes from standard input")
    else:
        targets = {file: os.path.join(args.output, os.path.basename(file)) for file in files}
        if len(targets) < len(files) or len(set(targets.values())) < len(files):
            raise UserError("files of the same name would overwrite each other: one at a time, with --output FILE")
    for source in targets:
        if source != STANDARD and not os.path.isfile(source):
            raise UserError(f"{source}: no such file")
    vocabulary = [args.model]
    if os.path.isdir(args.model):
        vocabulary += [os.path.join(args.model, name) for name in os.listdir(args.model)]
    sources = [os.path.realpath(file) for file in (*targets, *vocabulary)]
    for target in (*targets.values(), args.dictionary):
        if target is None:
            continue
        if not os.path.isdir(os.path.dirname(target) or "."):
            raise UserError(f"{os.path.dirname(target)}: no such folder")
        if os.path.isdir(target):
            raise UserError(f"{target} is a folder: name a file")
        if os.path.realpath(target) in sources:
            raise UserError(f"{target} is to be read: write to another file")
    written = [os.path.realpath(target) for target in targets.values() if target is not None]
    if args.dictionary is not None and os.path.realpath(args.dictionary) in written:
        raise UserError("--dictionary and --output are the same file")
    return targets


@contextlib.contextmanager
def _reading(source: str) -> Iterator[BinaryIO]:
    if source == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        stream = open(source, "rb")
    except OSError as error:
        raise UserError(reason(error)) from None
    with stream:
        yield stream


@contextlib.contextmanager
def _written(path: str) -> Iterator[str]:
    """A name beside `path` that becomes `path` once it is whole; UserError if it cannot be written."""
    partial = f"{path}.{os.getpid()}.partial"
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def _convert(source: str, stream: BinaryIO, target: BinaryIO, convert) -> int:
    """Write the lines of `stream`, converted, to `target`; how many they are."""
    from tqdm import tqdm

    lines: Iterable[str] = read_lines(stream, lambda text: _note(f"{source}: {text}"))
    number = 0
    shown = sys.stderr.isatty() and not target.isatty()
    for number, line in enumerate(tqdm(convert(lines), unit=" lines", disable=not shown, file=sys.stderr), start=1):  # noqa: B007
        target.write(line.encode("utf-8") + b"\n")
    return number


def _note(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"ringformer wordpiece: {text}", file=sys.stderr)
