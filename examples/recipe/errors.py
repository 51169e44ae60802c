"""How a recipe's command ends."""

import argparse
import sys
from collections.abc import Callable

from fairseq_ringformer.errors import UserError


def exit_status(prepare: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    """Run a recipe's ``prepare.sh`` into ``options.output``, and say in one line why it has ended early, if it has."""
    try:
        prepare(options)
    except UserError as error:
        print(f"prepare.sh: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, most likely
        print(f"prepare.sh: {error.filename or options.output}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("prepare.sh: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0
