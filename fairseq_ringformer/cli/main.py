"""Entry point of the `ringformer` command."""

import argparse
import errno
import importlib
import os
import sys

from ..errors import UserError, one_line
from ..extras import named
from .errors import gpu_memory
from .user_dir import import_folder

# Sub-command to what it does. The module of the same name has `add_arguments(parser)` and `run(args)`, and is imported
# for its own command alone: so no command needs the packages of another.
COMMANDS = {
    "user-dir": "print the folder for fairseq's --user-dir",
    "flags": "the model flags of fairseq-train",
    "params": "parameters by part, and the paper's tables",
    "flops": "multiply-adds by part",
    "train": "train a translation model: fairseq-train, with its flags checked first",
    "average": "average checkpoints, or take a run's EMA weights",
    "fold": "a ring as a checkpoint of fairseq's own transformer, or timm's own VisionTransformer",
    "export": "convert a translator for CTranslate2 or transformers, an image classifier to ONNX",
    "translate": "translate raw text with trained or exported models",
    "serve": "translate over HTTP, with LibreTranslate's interface and a page",
    "distill": "make training data of a teacher's translations",
    "wordpiece": "cut text into WordPieces, and back; make fairseq's dictionary of them",
    "train-classifier": "train an image classifier",
    "evaluate": "measure an image classifier's accuracy",
    "predict": "classify images",
    "benchmark": "speed, memory and size against fairseq's stock transformer, or timm's VisionTransformer",
    "study": "train and score the rows of a table",
    "report": "tables and pictures of a study",
    "cka": "similarity of all levels of two models (CKA)",
    "probe": "whether classifiers can tell the states of two models apart, level by level",
    "attention-distance": "mean attention distance of every head and level",
    "signals": "what the level signals of a ring do",
    "attention": "attention of one sentence or image by level and head",
}


def common_parser() -> argparse.ArgumentParser:
    """What every command takes, before its name or after it."""
    parser = argparse.ArgumentParser(prog="ringformer", add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--user-dir",
        action="append",
        default=[],
        dest="user_dirs",
        metavar="DIR",
        help="folder of your own that registers models, as for fairseq; may be repeated",
    )
    return parser


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command, with the arguments of the sub-command `command`."""
    parser = argparse.ArgumentParser(
        prog="ringformer", description="Tools around RingFormer models for fairseq and timm.", parents=[common_parser()]
    )
    subparsers = parser.add_subparsers(required=True, metavar="command")
    for name, does in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=does, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        if name == command:
            module = importlib.import_module(f"{__package__}.{name.replace('-', '_')}")
            subparser.description = module.__doc__
            module.add_arguments(subparser)
            # Model flags are known only once fairseq is imported; a command that takes them parses the rest itself.
            takes_model_flags = getattr(module, "TAKES_MODEL_FLAGS", False)
            subparser.set_defaults(command=name, run=module.run, takes_model_flags=takes_model_flags)
    return parser


def print_anything() -> None:
    """Let no letter end the work by being printed: one that the output's encoding lacks is written as ``\\xe4``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def main(argv: list[str] | None = None) -> int:
    """Run one sub-command; a user's mistake ends in one line on standard error and exit status 2."""
    print_anything()
    common, argv = common_parser().parse_known_args(argv)
    command = next((word for word in argv if not word.startswith("-")), None)
    try:
        with named(), gpu_memory("use --device cpu, or a GPU with more of it free"):
            parser = build_parser(command)
            args, rest = parser.parse_known_args(argv)
            if rest and not args.takes_model_flags:
                parser.error(f"unrecognized arguments: {' '.join(rest)}")
            args.model_flags, args.user_dirs = rest, common.user_dirs
            for folder in args.user_dirs:
                import_folder(folder)
            status = args.run(args) or 0
            if sys.stdout is not None:
                sys.stdout.flush()  # what cannot be written is found out here, not when Python exits
            return status
    except UserError as error:
        print(f"ringformer {command}: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print(f"ringformer {command}: out of memory", file=sys.stderr)
        return 2
    except UnicodeEncodeError as error:
        # Surrogates stand for the bytes of a name that is not UTF-8, and not every library takes them.
        print(f"ringformer {command}: {ascii(error.object)[:200]} is not UTF-8, as it must be here", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has left: end quietly
        _drop_output()
        return 0
    except PermissionError as error:
        print(f"ringformer {command}: {one_line(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        print(f"ringformer {command}: {one_line(error)}", file=sys.stderr)
        _drop_output()
        return 2


def _drop_output() -> None:
    """Keep Python from complaining at exit of output that cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
