"""Train a translation model: fairseq-train, with all its flags, which are checked before it starts.

  ringformer train BIN_DIR --arch ringformer_base --optimizer adam --lr 7e-4 --max-tokens 4096 --save-dir runs/base
  ringformer train BIN_DIR --arch ringformer_tiny --cpu --processes 2 ...

BIN_DIR is what fairseq-preprocess has written. --user-dir is not needed for the architectures of this package. A mistake
ends in one line: flags that make no model or do not suit this machine, a checkpoint that does not belong to the data. What
fairseq-train takes: ringformer flags (of the models), fairseq-train --help (all others).
"""

import argparse
import logging
import os
import sys

from .._fairseq import quiet
from ..errors import UserError
from ..machine import cores
from .arguments import threads
from .errors import gpu_memory, require_fairseq
from .user_dir import for_fairseq

TAKES_MODEL_FLAGS = True
# How processes on CPUs find each other, which torchrun does not tell fairseq-train.
SET_BY_PROCESSES = (
    "--distributed-world-size",
    "--distributed-rank",
    "--distributed-init-method",
    "--distributed-no-spawn",
    "--distributed-backend",
    "--ddp-backend",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes",
        type=threads,
        default=1,
        metavar="N",
        help="train one model with N processes on CPUs; default: 1 (on GPUs, fairseq-train takes all that it sees)",
    )


def run(args: argparse.Namespace) -> int:
    require_fairseq()
    import torch

    from ..models.training import check, parse

    words = ["--user-dir", for_fairseq(args.user_dirs), *args.model_flags]
    if args.processes > 1:
        for word in words:
            if word.partition("=")[0] in SET_BY_PROCESSES:
                raise UserError(f"{word.partition('=')[0]} is set by --processes: leave it out")
    with quiet():
        cfg = parse(words)
        check(cfg)
    if args.processes > 1 and not cfg.common.cpu and torch.cuda.is_available():
        raise UserError("--processes is for CPUs: add --cpu (on GPUs, fairseq-train takes all that it sees)")
    if args.processes == 1:
        return _train(words)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // args.processes)))
    sys.stdout.flush()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    # This process becomes the launcher, so that a signal to it ends all.
    os.execv(sys.executable, [*launcher, "--nproc_per_node", str(args.processes), "-m", __name__, *words])


def _train(words: list[str]) -> int:
    """fairseq-train in this process; a mistake that shows late is still one line."""
    from fairseq_cli.train import cli_main

    sys.argv = ["fairseq-train", *words]
    # fairseq-train sets up its log before it imports anything; here something has been imported.
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    log = logging.StreamHandler(sys.stdout)
    log.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s", "%Y-%m-%d %H:%M:%S"))
    root.handlers[:] = [log]
    root.setLevel(os.environ.get("LOGLEVEL", "INFO").upper())
    try:
        with gpu_memory("lower --max-tokens and raise --update-freq by as much"):
            cli_main()
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        raise mistake from None
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    return 0


def _mistake(error: BaseException) -> UserError | None:
    """What a training ended with, in words; None if it is no mistake of the user's."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    # fairseq looks for the module that it begins in, and fails in that, too.
    if any(isinstance(cause, FloatingPointError) for cause in causes):
        return UserError(
            "the gradients are not finite numbers any more: lower --lr, raise --warmup-updates or set --clip-norm; the last "
            "checkpoint is from before"
        )
    return next((cause for cause in causes if isinstance(cause, UserError)), None)


def _worker() -> None:
    """One of torchrun's processes."""
    require_fairseq()
    world = ["--distributed-world-size", os.environ["WORLD_SIZE"], "--distributed-rank", os.environ["RANK"]]
    how = ["--cpu", "--distributed-init-method", "env://", "--distributed-no-spawn", "--distributed-backend", "gloo"]
    _train([*sys.argv[1:], *world, *how, "--ddp-backend", "legacy_ddp"])


if __name__ == "__main__":
    _worker()
