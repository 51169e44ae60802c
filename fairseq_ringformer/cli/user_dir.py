"""Print the folder to pass to fairseq as --user-dir, wherever the package is installed."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> int:
    print(Path(__file__).resolve().parent.parent)
    return 0
