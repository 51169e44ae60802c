"""Print the model flags that these architectures add to fairseq-train, with their help.

fairseq-train --help ends before it has read --arch, so it cannot show them.
"""

import argparse

from .errors import require_fairseq


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments: all architectures of the package take the same flags."""


def run(args: argparse.Namespace) -> int:
    require_fairseq()
    from ..models.ringformer import RingFormerModel

    parser = argparse.ArgumentParser(
        prog="fairseq-train DATA --user-dir fairseq_ringformer --arch ARCH", usage="%(prog)s [flags]", add_help=False
    )
    RingFormerModel.add_args(parser.add_argument_group("model flags"))
    print(parser.format_help().rstrip())
    return 0
