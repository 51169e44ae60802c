"""Entry point of the `ringformer` command."""

import argparse
import importlib
import os
import sys

from ..errors import UserError

# Sub-command to the module that runs it: `HELP`, `add_arguments(parser)` and `run(args)`. Modules import torch and
# fairseq only inside `run`, so that --help is quick.
COMMANDS = {
    "user-dir": "user_dir",
    "flags": "flags",
    "params": "params",
    "flops": "flops",
    "average": "average",
    "fold": "fold",
    "export": "export",
    "translate": "translate",
    "wordpiece": "wordpiece",
    "train-classifier": "train_classifier",
    "evaluate": "evaluate",
    "predict": "predict",
    "benchmark": "benchmark",
    "study": "study",
    "report": "report",
    "cka": "cka",
    "attention-distance": "attention_distance",
    "signals": "signals",
    "attention": "attention",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command and of all its sub-commands."""
    parser = argparse.ArgumentParser(
        prog="ringformer", description="Tools around RingFormer models for fairseq and timm."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command, module_name in COMMANDS.items():
        module = importlib.import_module(f"{__package__}.{module_name}")
        subparser = subparsers.add_parser(
            command,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(subparser)
        # Model flags are known only once fairseq is imported; a command that takes them parses the rest itself.
        subparser.set_defaults(run=module.run, takes_model_flags=getattr(module, "TAKES_MODEL_FLAGS", False))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one sub-command; a user's mistake ends in one line on standard error and exit status 2."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    if rest and not args.takes_model_flags:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.model_flags = rest
    try:
        return args.run(args) or 0
    except UserError as error:
        print(f"ringformer {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left: end quietly, and keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
