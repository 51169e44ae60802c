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
import itertools
import os
import sys
from collections.abc import Iterable
from typing import BinaryIO

from ..errors import UserError
from ..files import whole_file
from ..text.stream import MOST_LINES, read_groups
from ..text.wordpieces import WordPieces
from .arguments import check_output, refuse_flags
from .streams import STANDARD, check_input, counted, flushed, notices, open_input, standard_output


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
    pieces = WordPieces.load(args.model)
    note = notices("wordpiece")
    if args.encode is not None and not pieces.lossless:
        note(f"{args.model}: {pieces.LOSSY}")
    if args.dictionary is not None:
        pieces.write_dictionary(args.dictionary)
        size = len(pieces.dictionary()) + 4
        print(f"{args.dictionary}: {size:,} entries, fairseq's own four counted", file=sys.stderr)
    convert = pieces.encode_lines if args.encode is not None else lambda lines: map(pieces.decode, lines)
    for source, target in targets.items():
        with open_input(source) as stream:
            groups = map(
                convert, read_groups(stream, MOST_LINES, lambda text, source=source: note(f"{source}: {text}"))
            )
            if target is None:
                out = standard_output()
                _write(counted(flushed(groups, out), stream, out), out)
                continue
            lines = itertools.chain.from_iterable(groups)
            with whole_file(target) as partial, open(partial, "wb") as out:
                number = _write(counted(lines, stream, out), out)
            print(f"{target}: {number:,} lines", file=sys.stderr)
    return 0


def _targets(args: argparse.Namespace, files: list[str] | None) -> dict[str, str | None]:
    """Where the text of each file goes; None for standard output. UserError where that cannot be."""
    if files is None:
        if args.dictionary is None:
            raise UserError("nothing to do: give --dictionary, --encode or --decode")
        refuse_flags(args, ["output"], "is for --encode and --decode; --dictionary names its own file")
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
        check_input(source)
    sources = [*targets, args.model]
    if os.path.isdir(args.model):
        sources += [os.path.join(args.model, name) for name in os.listdir(args.model)]
    for target in targets.values():
        check_output(target, sources, stream=True)
    check_output(args.dictionary, sources, "--dictionary", stream=True)
    written = [os.path.realpath(target) for target in targets.values() if target is not None]
    if args.dictionary is not None and os.path.realpath(args.dictionary) in written:
        raise UserError("--dictionary and --output are the same file")
    return targets


def _write(lines: Iterable[str], target: BinaryIO) -> int:
    """Write `lines`; how many they are."""
    number = 0
    for line in lines:
        target.write(line.encode("utf-8") + b"\n")
        number += 1
    return number
