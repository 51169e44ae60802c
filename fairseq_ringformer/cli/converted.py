"""What the commands that convert a checkpoint say at their end."""

import argparse
import os
from typing import Any


def size(path: str) -> str:
    return f"{os.path.getsize(path) / 1e6:.1f} MB"


def report(args: argparse.Namespace, arch: str, model: Any, written: str) -> None:
    """Print what became of `model`, the architecture `arch` of --path, in --output."""
    count = sum(weight.numel() for weight in model.parameters())
    print(f"{arch} of {count:,} parameters, {size(args.path)}: {written} written to {args.output}")
