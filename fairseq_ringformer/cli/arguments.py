"""Argument types, flags and checks that several commands share."""

import argparse
import math
import os
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import UserError
from ..files import is_stream
from ..machine import choose_device, cores, most_threads

# What no count of anything here comes near, and every engine's integers hold.
MOST = 10**9
# Of --lenpen: a length to its power must still be a float.
LARGEST_EXPONENT = 50


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`, and at most `most`."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least {least}")
        if int(text) > most:
            raise argparse.ArgumentTypeError(f"{text} is too large: choose at most {most}")
        return int(text)

    return convert


positive = whole(1)
SEED = whole(0, 2**32 - 1)  # numpy takes no others


def threads(text: str) -> int:
    """An argparse type: as many threads, translators or processes as this machine can bear."""
    count, most = positive(text), most_threads()
    if count > most:
        raise argparse.ArgumentTypeError(f"{text} is too many for {cores()} cores: choose at most {most}")
    return count


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """--device and --threads, of every command that runs a classifier."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    parser.add_argument("--threads", type=threads, metavar="N", help="torch's threads on the CPU")


def use_machine(args: argparse.Namespace) -> str:
    """The device that these ask for, ``cpu`` or ``cuda``, with torch's threads set; UserError if it is not there."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    return choose_device(args.device)


def add_search_arguments(
    parser: argparse._ActionsContainer, beam: Callable[[str], int] = positive, what: str = "width of the beam"
) -> None:
    """--beam and --lenpen, of every command that translates."""
    parser.add_argument("--beam", type=beam, default=5, metavar="N", help=f"{what}; default: 5")
    parser.add_argument(
        "--lenpen", type=float, default=1.0, metavar="X", help="above 1 favours long output; default: 1"
    )


def check_search(args: argparse.Namespace) -> None:
    """UserError unless --lenpen is a number that lengths can be raised to."""
    if not math.isfinite(args.lenpen):
        raise UserError(f"--lenpen {args.lenpen} is no number")
    if abs(args.lenpen) > LARGEST_EXPONENT:
        raise UserError(f"--lenpen {args.lenpen} is too large: choose at most {LARGEST_EXPONENT}")


def add_translator_arguments(parser: argparse._ActionsContainer, unit: str = "lines") -> None:
    """--batch-size in `unit`, --max-tokens, --device and --threads, of the same commands."""
    parser.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help=f"most {unit} at once; default: 32"
    )
    parser.add_argument(
        "--max-tokens", type=positive, default=4096, metavar="N", help="most source tokens at once; default: 4096"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 ...; default: cuda where there is one")
    parser.add_argument("--threads", type=threads, metavar="N", help="CPU threads in all; default: one for each core")


def translator_options(args: argparse.Namespace) -> dict[str, Any]:
    """What these say to :class:`..text.translator.Translator`."""
    return dict(batch_size=args.batch_size, max_batch_tokens=args.max_tokens, device=args.device, threads=args.threads)


def flag(name: str) -> str:
    """The flag of the argument `name`, as ``--source-lang`` of ``source_lang``."""
    return "--" + name.replace("_", "-")


def refuse_flags(args: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Require that none of the flags `names` was given, which belong to another kind of run.

    Args:
        names: of arguments whose default is None or False.
        why: what follows the flag in the message, such as ``needs --path``.

    Raises:
        UserError: if one was.
    """
    for name in names:
        if getattr(args, name, None) not in (None, False):
            raise UserError(f"{flag(name)} {why}")


def check_output(
    path: str | None, sources: Iterable[str] = (), name: str = "--output", force: bool = True, stream: bool = False
) -> None:
    """Require that a file can be written as `path`, before there is work to lose; None is no file, and passes.

    Args:
        sources: files to be read, which it must not replace.
        name: the flag that names it.
        force: whether an older file may be replaced.
        stream: whether it may be a device or a pipe, as text may.

    Raises:
        UserError: if not.
    """
    if path is None:
        return
    _check_place(path, name)
    if os.path.isdir(path):
        raise UserError(f"{name} {path} is a folder: name a file")
    if os.path.realpath(path) in map(os.path.realpath, sources):
        raise UserError(f"{name} {path} is to be read: write to another file")
    if is_stream(path) and not stream:
        raise UserError(f"{name} {path} is a device or a pipe: name a file")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise UserError(f"{name} {path} cannot be written: permission denied")
    if os.path.isfile(path) and not is_stream(path) and not force:
        raise UserError(f"{name} {path} exists: name another file, or add --force to replace it")


def check_output_folder(path: str, replaceable: Callable[[str], bool], force: bool, name: str = "--output") -> None:
    """Require that a folder can be written as `path`: there is none, or an empty one, or with `force` a replaceable one.

    Args:
        replaceable: whether it is a folder such as will be written.
        force: whether to replace it then.
        name: the flag that names it.

    Raises:
        UserError: if not.
    """
    path = os.path.normpath(path)
    _check_place(path, name)
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError(f"{name} {path} is no folder: name one")
    if not os.path.isdir(path) or not os.listdir(path):
        return
    if not replaceable(path):
        raise UserError(f"{name} {path} is a folder that holds something else: name another")
    if not force:
        raise UserError(f"{name} {path} is there already: name another folder, or add --force to replace it")


def _check_place(path: str, name: str) -> None:
    if not path:  # as of a variable that is not set
        raise UserError(f"{name} is empty: name a file")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder for {name}")
    if not os.path.exists(path) and not os.access(folder, os.W_OK):
        raise UserError(f"{folder}: {name} cannot be written there")
