"""fairseq-train commands of both recipes: updates of the same size, however many processes share it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fairseq_ringformer.analysis.counts.paper import as_flags, paper_tables
from fairseq_ringformer.errors import UserError

MODELS = ("ringformer", "universal_transformer", "one_wide_ffn", "vanilla_transformer")
SIZES = ("tiny", "small", "base", "large")
# Of the paper: its appendix A.1, whose updates and warm-up the table has, and its section 4.1 (830,000 and 40,000).
STEPS = ("appendix", "section4")
SECTION4 = (830_000, 40_000)


class Batch(NamedTuple):
    """What an update sees in all, in fairseq's unit, and how much of it a process takes at a time by default.

    Attributes:
        flag: ``--batch-size`` (sentence pairs) or ``--max-tokens`` (sub-words of the longer side, padding included).
    """

    flag: str
    unit: str
    total: int
    at_a_time: int


# The paper's batch is in sentences. 32,768 with padding, eight GPUs with 4,096 each, are about the 25,000 source and
# target sub-words of Vaswani et al. (2017), whose numbers of updates, warm-up and Adam the strong recipe keeps.
BATCHES = {
    "paper": Batch("--batch-size", "sentences", 512, 128),
    "strong": Batch("--max-tokens", "tokens", 32_768, 4_096),
}


class Share(NamedTuple):
    """How an update's batch is divided: by processes, and on each in ``update_freq`` turns of ``size``."""

    processes: int
    size: int
    update_freq: int

    @property
    def total(self) -> int:
        return self.processes * self.size * self.update_freq


def share(batch: Batch, processes: int) -> Share:
    """Divide ``batch`` among ``processes`` in the fewest turns.

    Sentences are divided exactly, or UserError says that they cannot be; a limit of tokens is rounded up.
    """
    each, rest = divmod(batch.total, processes)
    exact = batch.unit == "sentences"
    if not each or (rest and exact):
        raise UserError(
            f"{batch.total} {batch.unit} an update cannot be divided among {processes} processes: use a number of "
            "processes that divides them, or another --effective-batch"
        )
    each += bool(rest)
    turns = -(-each // batch.at_a_time)
    while exact and each % turns:
        turns += 1
    return Share(processes, -(-each // turns), turns)


class Machines(NamedTuple):
    """Where a training runs: processes on each machine, whether they are GPUs, machines; ``rank`` is this machine's."""

    processes: int
    gpu: bool
    nodes: int = 1
    rank: int = 0
    address: str = "localhost"
    port: str = "29500"


def find_nodes(environment: Mapping[str, str], first_host: Callable[[str], str]) -> dict:
    """What the environment says of several machines, as arguments of `Machines`.

    NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT, or else SLURM's variables; ``first_host(list)`` names the first
    machine of SLURM's list. Raises UserError if that is not enough.
    """
    try:
        if "NNODES" in environment:
            nodes, rank = int(environment["NNODES"]), int(environment.get("NODE_RANK", -1))
        elif int(environment.get("SLURM_NNODES", 1)) > 1:
            # Outside srun this runs on the first machine alone, and would wait for the others for ever.
            each = environment.get("SLURM_STEP_NUM_TASKS") == environment["SLURM_NNODES"]
            nodes, rank = int(environment["SLURM_NNODES"]), int(environment["SLURM_NODEID"]) if each else None
        else:
            return {}
    except ValueError:
        raise UserError("NNODES and NODE_RANK, or SLURM's variables, are not numbers") from None
    if nodes == 1:
        return {}
    if rank is None:
        raise UserError("SLURM gave several machines: start train.sh with srun --ntasks-per-node 1")
    address = environment.get("MASTER_ADDR")
    if not address and "SLURM_JOB_NODELIST" in environment:
        address = first_host(environment["SLURM_JOB_NODELIST"])
    if not address or not 0 <= rank < nodes:
        raise UserError(
            f"{nodes} machines need MASTER_ADDR (the name of the first) and NODE_RANK (0 to {nodes - 1}) on each"
        )
    return {"nodes": nodes, "rank": rank, "address": address, "port": environment.get("MASTER_PORT", "29500")}


def settings(recipe: str, size: str, steps: str, gpu: bool) -> list[str]:
    """The flags of a recipe besides its batch."""
    large = size == "large"
    if recipe == "paper":
        table = paper_tables()["table1"]
        updates, warmup = SECTION4 if steps == "section4" else (table.updates, table.warmup)
        of_size = next((row.settings for row in table.rows if row.arch.endswith(f"_{size}")), {})
        published = {name: value for name, value in table.flags.items() if name != "batch-size"} | of_size
        # Batches of just so many sentences.
        exact = {"required-batch-size-multiple": 1}
        return as_flags({"output-bias": True, **published, "warmup-updates": warmup, "max-update": updates, **exact})
    flags = {
        "share-all-embeddings": True,
        "dropout": 0.3 if large else 0.1,
        "criterion": "label_smoothed_cross_entropy",
        "label-smoothing": 0.1,
        "optimizer": "adam",
        "adam-betas": "(0.9, 0.98)",
        "adam-eps": "1e-9",
        "clip-norm": 1.0,
        "lr-scheduler": "inverse_sqrt",
        "lr": "5e-4" if large else "7e-4",
        "warmup-init-lr": "1e-7",
        "warmup-updates": 4000,
        "max-update": 300_000 if large else 100_000,
    }
    return as_flags({**flags, "autocast": "bf16"} if gpu else flags)


def launcher(machines: Machines) -> tuple[list[str], list[str]]:
    """What stands before the flags of fairseq-train, and what behind them, to start it on ``machines``."""
    behind = [] if machines.gpu else ["--cpu"]
    if machines.nodes * machines.processes == 1:
        return ["fairseq-train"], [*behind, *(["--distributed-world-size", "1"] if machines.gpu else [])]
    where = ["--standalone"]
    if machines.nodes > 1:
        where = [
            "--nnodes",
            str(machines.nodes),
            "--node_rank",
            str(machines.rank),
            "--master_addr",
            machines.address,
            "--master_port",
            machines.port,
        ]
    behind += [
        "--distributed-world-size",
        str(machines.nodes * machines.processes),
        "--distributed-init-method",
        "env://",
        "--distributed-no-spawn",
    ]
    # fairseq takes ranks from flags, torchrun gives them in the environment: hence the shell in between.
    ranks = '--distributed-rank "$RANK"'
    if machines.gpu:
        ranks += ' --device-id "$LOCAL_RANK"'
    else:
        behind += ["--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    before = [
        "torchrun",
        "--nproc_per_node",
        str(machines.processes),
        *where,
        "--no-python",
        "bash",
        "-c",
        f'exec fairseq-train "$@" {ranks}',
        "fairseq-train",
    ]
    return before, behind


def command(flags: Sequence[str], machines: Machines) -> list[str]:
    """The command that trains with ``flags`` on ``machines``."""
    before, behind = launcher(machines)
    return [*before, *flags, *behind]
