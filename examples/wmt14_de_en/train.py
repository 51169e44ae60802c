"""Train one model of the paper on WMT-14 German-English, by the recipe that the data was prepared for.

  train.sh --model ringformer --size base --data data/wmt14_de_en_paper --output runs/ringformer_base

Updates have the same size on any number of processes. Flags behind the script's own go to fairseq-train and win.
An interrupted training goes on from its last checkpoint. Several machines: NNODES, NODE_RANK and MASTER_ADDR, or srun.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))  # for what the examples share

from wmt14.training import BATCHES, MODELS, SIZES, STEPS, Machines, command, find_nodes, settings, share

from fairseq_ringformer.analysis.counts.paper import as_flags
from fairseq_ringformer.analysis.study.last_checkpoint import updates_so_far
from fairseq_ringformer.cli.arguments import positive, whole
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.machine import cores
from fairseq_ringformer.text.prepared import PreparedData

# Flags of fairseq-train that this script sets itself, and what to use instead.
COMPUTED = {
    "--arch": "--model and --size",
    "-a": "--model and --size",
    "--update-freq": "--effective-batch, and --batch-size or --max-tokens for what a process takes at a time",
    "--cpu": "--gpus 0",
    "--distributed-world-size": "--gpus, or --processes with --gpus 0",
}


def arguments(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="train.sh", description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--size", choices=SIZES, default="base", help="default: base")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="what prepare.sh wrote")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="gets checkpoints/")
    parser.add_argument("--recipe", choices=tuple(BATCHES), help="default: the one the data was prepared for")
    parser.add_argument("--steps", choices=STEPS, help="of the paper recipe; default: appendix (210,000)")
    parser.add_argument("--seed", type=whole(0), default=1, metavar="N", help="default: 1")
    parser.add_argument("--gpus", type=whole(0), metavar="N", help="of this machine; 0: CPU; default: all there are")
    parser.add_argument("--processes", type=positive, metavar="N", help="on a CPU; default: 2 where there are 2 cores")
    parser.add_argument(
        "--effective-batch",
        type=positive,
        metavar="N",
        help="sentences (paper: 512) or tokens (strong: 32,768) of an update",
    )
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="paper: sentences that fit a process at a time; default: 128"
    )
    parser.add_argument(
        "--max-tokens", type=positive, metavar="N", help="strong: tokens that fit a process at a time; default: 4,096"
    )
    parser.add_argument("--max-update", type=positive, metavar="N", help="updates; default: the recipe's")
    parser.add_argument("--dry-run", action="store_true", help="print the command, do not run it")
    options, flags = parser.parse_known_args(argv)
    for flag in flags:
        instead = COMPUTED.get(flag.split("=")[0])
        if instead:
            parser.error(f"{flag.split('=')[0]} is computed: use {instead}")
    return options, flags


def recipe_of(data: Path) -> str:
    """The recipe that ``data`` was prepared for; UserError if it is not prepared."""
    try:
        recipe = PreparedData.read(data).details.get("recipe")
    except UserError:
        recipe = None
    if recipe not in BATCHES:
        raise UserError(f"{data} holds no data of WMT-14: run examples/wmt14_de_en/prepare.sh --output {data} first")
    return recipe


def check(options: argparse.Namespace) -> None:
    """Settle on the recipe; UserError for options that contradict it or each other."""
    prepared = recipe_of(options.data)
    options.recipe = options.recipe or prepared
    if options.recipe != prepared:
        raise UserError(
            f"{options.data} was prepared for --recipe {prepared}: prepare another folder for --recipe {options.recipe}"
        )
    for flag, value, recipe in (
        ("--steps", options.steps, "paper"),
        ("--batch-size", options.batch_size, "paper"),
        ("--max-tokens", options.max_tokens, "strong"),
    ):
        if value is not None and recipe != options.recipe:
            raise UserError(f"{flag} belongs to --recipe {recipe}, this is {options.recipe}")
    if options.processes and options.gpus != 0:
        raise UserError("--processes is for CPUs: add --gpus 0 (on GPUs there is one process for each)")


def first_host(hosts: str) -> str:
    """The first machine of SLURM's list of hosts."""
    try:
        result = subprocess.run(["scontrol", "show", "hostnames", hosts], capture_output=True, text=True, check=True)
        return result.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        raise UserError(f"scontrol does not resolve {hosts}: set MASTER_ADDR to the first machine") from None


def find_machines(options: argparse.Namespace) -> Machines:
    """The processes of this machine, and the other machines."""
    gpus = options.gpus
    if gpus is None:
        import torch

        gpus = torch.cuda.device_count()
    # Two processes of half the cores each train faster than one of all: the matrices are small.
    processes = gpus or options.processes or min(2, cores())
    return Machines(processes, bool(gpus), **find_nodes(os.environ, first_host))


def check_gpus(machines: Machines) -> None:
    """UserError if this machine has fewer GPUs than were asked for."""
    if machines.gpu:
        import torch

        if torch.cuda.device_count() < machines.processes:
            raise UserError(
                f"--gpus {machines.processes}: this machine has {torch.cuda.device_count()} (--gpus 0 trains on the CPU)"
            )


def prepare_command(options: argparse.Namespace, more: list[str], machines: Machines) -> tuple[list[str], str]:
    """The training command, and how it divides the batch in one line."""
    batch = BATCHES[options.recipe]
    at_a_time = options.batch_size or options.max_tokens or batch.at_a_time
    batch = batch._replace(total=options.effective_batch or batch.total, at_a_time=at_a_time)
    part = share(batch, machines.nodes * machines.processes)
    names = {
        "user-dir": ROOT / "fairseq_ringformer",
        "arch": f"{options.model}_{options.size}",
        "source-lang": "de",
        "target-lang": "en",
    }
    own = {
        "update-freq": part.update_freq,
        "seed": options.seed,
        "save-dir": options.output / "checkpoints",
        "update-epoch-batch-itr": "True",  # a resumed training ends as an uninterrupted one
        "no-epoch-checkpoints": True,
        "save-interval-updates": 2000,
        "validate-interval-updates": 2000,
        "keep-interval-updates": 10,
        "log-format": "tqdm" if sys.stderr.isatty() else "simple",
        "log-interval": 100,
        "num-workers": 2 if machines.gpu else 0,
    }
    flags = [
        str(options.data / "bin"),
        *as_flags(names),
        *settings(options.recipe, options.size, options.steps or "appendix", machines.gpu),
        *(batch.flag, str(part.size)),
        *as_flags(own),
        *(["--max-update", str(options.max_update)] if options.max_update else []),
        *more,
    ]
    summary = (
        f"{part.processes} {'process' if part.processes == 1 else 'processes'} x {part.size} {batch.unit} "
        f"x update-freq {part.update_freq} = {part.total} {batch.unit} an update"
    )
    return command(flags, machines), summary


def train(options: argparse.Namespace, more: list[str]) -> None:
    """Print the command, or become it."""
    check(options)
    machines = find_machines(options)
    line, summary = prepare_command(options, more, machines)
    if options.dry_run:
        print(shlex.join(line))
        print(f"# {summary}")
        return
    if shutil.which(line[0]) is None:
        raise UserError(f"{line[0]} is not installed: run scripts/setup.sh")
    check_gpus(machines)
    done = updates_so_far(options.output / "checkpoints")
    from fairseq_ringformer.models import training

    flags = line[len(line) - line[::-1].index("fairseq-train") :]
    training.check(training.parse(flags))  # that what is there is of this model and data, too
    wanted = int(line[len(line) - line[::-1].index("--max-update")])
    if done >= wanted:  # fairseq-train would do one more
        print(f"train.sh: {options.output} is trained already: {done:,} updates")
        return
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {options.output} ({error.strerror}): choose another --output") from None
    print(f"train.sh: {summary}", file=sys.stderr, flush=True)
    environment = dict(os.environ)
    if not machines.gpu:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // machines.processes)))
    os.execvpe(line[0], line, environment)


def main(argv: list[str] | None = None) -> int:
    options, more = arguments(argv)
    try:
        train(options, more)
    except UserError as error:
        print(f"train.sh: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
