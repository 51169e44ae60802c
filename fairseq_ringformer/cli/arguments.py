"""Argument types and flags that several commands share."""

import argparse
from collections.abc import Callable


def positive(text: str) -> int:
    """An argparse type: a whole number of at least one."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return int(text)


def whole(least: int) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`."""

    def convert(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least {least}")
        return int(text)

    return convert


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """--device and --threads, of every command that runs a classifier."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    parser.add_argument("--threads", type=whole(1), metavar="N", help="torch's threads on the CPU")
