"""Print the model flags that these architectures add to fairseq-train, with their help.

  ringformer flags                          of the translation models
  ringformer flags --arch ringformer_lm     of one architecture, a language model's for one

fairseq-train --help ends before it has read --arch, so it cannot show them.
"""

import argparse

from .errors import require_fairseq


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--arch",
        metavar="ARCH",
        default="ringformer",
        help="translation models take the same flags, so do language models",
    )


def run(args: argparse.Namespace) -> int:
    require_fairseq()
    from ..analysis.counts.translation import model_class

    parser = argparse.ArgumentParser(
        prog="fairseq-train DATA --user-dir fairseq_ringformer --arch ARCH", usage="%(prog)s [flags]", add_help=False
    )
    model_class(args.arch).add_args(parser.add_argument_group("model flags"))
    print(parser.format_help().rstrip())
    return 0
