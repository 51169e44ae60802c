"""fairseq's own commands on a toy language pair, run in this process or as the real command lines."""

import contextlib
import importlib
import io
import json
import logging
import os
import random
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
USER_DIR = ROOT / "fairseq_ringformer"
TINY = (
    "--encoder-embed-dim 16 --encoder-ffn-embed-dim 32 --encoder-layers 2 --decoder-layers 2 "
    "--encoder-attention-heads 2 --decoder-attention-heads 2"
).split()
GERMAN = "null eins zwei drei vier fünf sechs sieben acht neun".split()
ENGLISH = "zero one two three four five six seven eight nine".split()


def sentence_pair(digits: list[int]) -> tuple[str, str]:
    """German and English of the toy: digits in opposite order, with a word of its own before the last German one."""
    german = [GERMAN[digit] for digit in digits]
    if len(german) > 1:
        german.insert(-1, "und")
    return " ".join(german), " ".join(ENGLISH[digit] for digit in reversed(digits))


def write_corpus(folder: Path) -> None:
    """Write `train`, `valid` and `test` of the toy language to `folder`."""
    rng = random.Random(1)
    for split, size in (("train", 240), ("valid", 24), ("test", 16)):
        pairs = [sentence_pair(rng.choices(range(10), k=rng.randint(1, 7))) for _ in range(size)]
        for language, lines in zip(("de", "en"), zip(*pairs)):
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass
class Toy:
    """Text and binary data of the toy language pair.

    Attributes:
        text: folder of `{train,valid,test}.{de,en}`.
        data: binary data with a dictionary for each side, of different sizes.
        joined: the same with one dictionary for both.
    """

    text: Path
    data: Path
    joined: Path

    def lines(self, split: str, language: str) -> list[str]:
        return (self.text / f"{split}.{language}").read_text(encoding="utf-8").splitlines()


@dataclass
class Run:
    """One training: its checkpoints, and what fairseq logged as (tag, numbers)."""

    folder: Path
    log: list[tuple[str, dict[str, str]]]
    output: str

    @property
    def last(self) -> str:
        return str(self.folder / "checkpoint_last.pt")

    def state(self, name: str = "checkpoint_last.pt") -> dict:
        return torch.load(self.folder / name, map_location="cpu", weights_only=True)

    def weights(self) -> dict[str, torch.Tensor]:
        return self.state()["model"]

    def losses(self, tag: str = "train_inner") -> dict[int, str]:
        """Losses by update; fairseq prefixes the names of end-of-epoch numbers with the tag."""
        prefix = "" if tag == "train_inner" else f"{tag}_"
        return {int(s[f"{prefix}num_updates"]): s[f"{prefix}loss"] for name, s in self.log if name == tag}


@dataclass
class Hypothesis:
    """One H-, P- and A-line of fairseq's output; scores are in base 2."""

    score: float
    text: str
    token_scores: list[float]
    alignment: str | None = None


class ProgressLog(logging.Handler):
    """Collects what ``--log-format json`` logs."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.records: list[tuple[str, dict[str, str]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(json.JSONDecodeError):
            self.records.append((record.name, json.loads(record.getMessage())))


@contextlib.contextmanager
def fresh_fairseq():
    """What fairseq keeps in global variables, as a new process has it; the logging set-up afterwards as before."""
    from fairseq import checkpoint_utils
    from fairseq_cli import train

    vars(checkpoint_utils.save_checkpoint).pop("best", None)
    vars(train.should_stop_early).clear()
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        with warnings.catch_warnings():
            # Hydra's and torch's notices about how fairseq calls them.
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


class Fairseq:
    """fairseq's commands, run in this process as their console scripts run them."""

    user_dir = str(USER_DIR)

    def __init__(self, folder: Path):
        self.common = COMMON
        self.folder = folder
        self.runs = 0

    def call(self, command: str, *flags) -> tuple[str, list[tuple[str, dict[str, str]]]]:
        """Run ``fairseq-COMMAND`` with `flags`; return what it printed and logged."""
        main = importlib.import_module(f"fairseq_cli.{command}").cli_main
        progress = logging.getLogger("fairseq.logging.progress_bar")
        log, output = ProgressLog(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, fresh_fairseq(), contextlib.redirect_stdout(output):
            patch.setattr(sys, "argv", [f"fairseq-{command}", *map(str, flags)])
            patch.setattr(progress, "level", logging.INFO)
            progress.addHandler(log)
            try:
                main()
            finally:
                progress.removeHandler(log)
        return output.getvalue(), log.records

    def train(self, data: Path, *flags, arch: str = "ringformer_tiny", save_dir: Path | None = None) -> Run:
        """Train a tiny model; later `flags` win over those given here."""
        self.runs += 1
        folder = save_dir or self.folder / f"run{self.runs}"
        output, log = self.call("train", *training_flags(data, folder, arch), *flags)
        return Run(folder, log, output)

    def generate(self, data: Path, path: str, *flags) -> dict[int, list[Hypothesis]]:
        """Translate the test set: sentence number to hypotheses, best first."""
        return self.hypotheses("generate", data, "--path", path, *flags)

    def interactive(self, data: Path, path: str, lines: list[str], *flags) -> dict[int, list[Hypothesis]]:
        """Translate `lines`, as :meth:`generate`."""
        source = self.folder / "interactive.txt"
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return self.hypotheses("interactive", data, "--path", path, "--input", source, *flags)

    def hypotheses(self, command: str, data: Path, *flags) -> dict[int, list[Hypothesis]]:
        output, _ = self.call(command, data, *COMMON, *flags)
        found: dict[int, list[Hypothesis]] = {}
        for line in output.splitlines():
            kind, _, rest = line.partition("-")
            number, *fields = rest.split("\t")
            if kind == "H":
                found.setdefault(int(number), []).append(Hypothesis(float(fields[0]), fields[1], []))
            elif kind == "P":
                found[int(number)][-1].token_scores = [float(score) for score in fields[0].split()]
            elif kind == "A" and number.isdigit():
                found[int(number)][-1].alignment = fields[0]
        return dict(sorted(found.items()))


# By default fairseq drops the last batch of every set if its size is no multiple of 8.
# Without a thread that loads ahead: where a training of one update ends while that is at work, the process can abort.
LOADING = ("--num-workers", "0", "--data-buffer-size", "0")
COMMON = ("--user-dir", str(USER_DIR), "--cpu", *LOADING, "--log-format", "json")
COMMON += ("--required-batch-size-multiple", "1")


def training_flags(data: Path, folder: Path, arch: str = "ringformer_tiny") -> list[str]:
    """A short training of a tiny model that logs every update."""
    flags = [str(data), "--save-dir", str(folder), "--arch", arch, *TINY, *COMMON, "--log-interval", "1", "--seed", "1"]
    flags += ["--optimizer", "adam", "--lr", "0.01", "--max-tokens", "200", "--no-epoch-checkpoints"]
    return flags + ["--max-source-positions", "64", "--max-target-positions", "64"]


def run_command(*command, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run a real command line with the environment's own executables, in one thread."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **(env or {})}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


def forced_scores(models, task, source: str, target: str) -> torch.Tensor:
    """Base-2 log-probabilities of the tokens of `target` and its end, from one forward pass over the whole sentence."""
    source_tokens = task.source_dictionary.encode_line(source, add_if_not_exist=False).long().unsqueeze(0)
    tokens = task.target_dictionary.encode_line(target, add_if_not_exist=False).long().unsqueeze(0)
    previous = tokens.roll(1, dims=1)  # the end of the sentence comes first
    with torch.no_grad():
        probabilities = [model(source_tokens, None, previous)[0].softmax(-1) for model in models]
    mean = torch.stack(probabilities).mean(0)
    return mean.gather(2, tokens.unsqueeze(-1)).view(-1).log2()


@pytest.fixture(scope="session")
def command():
    """Runs a real command line: ``command("fairseq-train", ...)``; see :func:`run_command`."""
    return run_command


@pytest.fixture(scope="session")
def fairseq(tmp_path_factory) -> Fairseq:
    import fairseq_ringformer.models  # noqa: F401  lets torch's safe loader read fairseq's checkpoints

    return Fairseq(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def toy(fairseq, tmp_path_factory) -> Toy:
    root = tmp_path_factory.mktemp("toy")
    toy = Toy(root, root / "bin", root / "joined")
    write_corpus(root)
    flags = ["-s", "de", "-t", "en", "--workers", "1", "--padding-factor", "1"]
    for split in ("train", "valid", "test"):
        flags += [f"--{split}pref", str(root / split)]
    fairseq.call("preprocess", *flags, "--destdir", toy.data)
    fairseq.call("preprocess", *flags, "--destdir", toy.joined, "--joined-dictionary")
    return toy


@pytest.fixture(scope="session")
def trained(fairseq, toy):
    """``trained(model, seed)``: a model that has learned something, trained once for all tests."""
    runs: dict[tuple[str, int], Run] = {}

    def train(model: str = "ringformer", seed: int = 1) -> Run:
        if (model, seed) not in runs:
            with torch.enable_grad():  # the test that asks first may compute without
                runs[model, seed] = fairseq.train(
                    toy.data, "--max-update", "80", "--seed", seed, "--disable-validation", arch=f"{model}_tiny"
                )
        return runs[model, seed]

    return train


@pytest.fixture(scope="session")
def load(toy):
    """``load(path)``: the model of a checkpoint and its task, ready for plain forward passes."""

    def load(path: str, data: Path | None = None):
        from fairseq import checkpoint_utils

        overrides = {"data": str(data or toy.data)}
        models, _, task = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=overrides)
        return models[0].eval(), task

    return load


@pytest.fixture(scope="session")
def forced():
    """Scores without search: see :func:`forced_scores`."""
    return forced_scores


@pytest.fixture(scope="session", name="training_flags")
def training_flags_fixture():
    """The flags of a short training of a tiny model: see :func:`training_flags`."""
    return training_flags
