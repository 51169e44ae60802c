"""Runs of translation models: fairseq-train on prepared data, scored on its test set."""

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError, one_line
from ...files import read_checkpoint, read_lines
from ...text.prepared import PreparedData
from ...text.scoring import PACKAGE, generation_command, read_hypotheses, score
from ..counts.paper import Row, Table, as_flags
from .last_checkpoint import LAST, updates_so_far
from .training_log import record

# What the study sets itself.
RESERVED = (
    "--arch -a --user-dir --seed --source-lang -s --target-lang -t --max-update --max-epoch --warmup-updates "
    "--stop-time-hours --stop-min-lr --patience --save-dir --restore-file --finetune-from-model --reset-optimizer "
    "--save-interval --save-interval-updates --keep-interval-updates --no-save --no-last-checkpoints "
    "--no-epoch-checkpoints --no-save-optimizer-state --checkpoint-suffix --validate-interval "
    "--validate-interval-updates --disable-validation --log-format --log-interval --log-file --output-bias"
).split()
EVALUATIONS = 10  # of the validation loss, during a training


@dataclass(frozen=True)
class BinarisedData(PreparedData):
    """Data that no recipe made: what fairseq-preprocess wrote, and a file of references.

    Attributes:
        references: natural text of the test set in the target language, a line each.
    """

    references: Path = Path()

    def files(self, subset: str) -> tuple[Path, Path]:
        return self.raw / f"{subset}.{self.languages[0]}", self.references

    def text(self, subset: str) -> tuple[list[str], list[str]]:
        """No sources: scoring needs none."""
        try:
            return [], read_lines(self.references)
        except (OSError, ValueError) as error:
            raise UserError(f"--references {self.references}: {one_line(error)}") from None


class Translation:
    """How the rows of a translation table are trained and scored.

    Args:
        data: folder that a recipe's prepare.sh wrote, or what is said of other data.
        table: whose settings hold.
        flags: of fairseq-train, which win over the table's.
        beam, lenpen: of fairseq-generate.
        user_dir: of both.

    Raises:
        UserError: if `data` holds no prepared data.
    """

    metric = "bleu"

    def __init__(
        self,
        data: Path | PreparedData,
        table: Table,
        flags: Sequence[str],
        beam: int = 5,
        lenpen: float = 1.0,
        user_dir: str = str(PACKAGE),
    ):
        self.table, self.flags, self.beam, self.lenpen = table, list(flags), beam, lenpen
        self.data = data if isinstance(data, PreparedData) else PreparedData.read(data)
        self.user_dir = user_dir
        self.data.check_binary()
        self.references = self.data.text("test")[1]
        self.fingerprint = _fingerprint(self.data.binary, self.references)

    def check(self, rows: Sequence[Row]) -> None:
        """UserError unless every row is a model of this plug-in, and can be trained as fairseq-train is told to."""
        from ...models.training import check, parse
        from ..counts.translation import model_class

        for word in self.flags:
            refuse(word, RESERVED, self.table, rows)
        for row in rows:
            refuse_settings(row, RESERVED, self.table)
            try:
                model_class(row.arch)
                check(parse(self._words(row, 1, 1, 0, Path(os.devnull), 1)))  # a folder with nothing to go on from
            except UserError as error:
                raise UserError(f"{row.name}: {error}") from None

    def identity(self, row: Row, seed: int, updates: int, warmup: int) -> dict[str, Any]:
        """What a run depends on, besides the machine."""
        return {
            "flags": self._flags(row, seed, updates, warmup),
            "data": self.fingerprint,
            "beam": self.beam,
            "lenpen": self.lenpen,
        }

    def conditions(self) -> list[Any]:
        """What all runs of a table must share to be compared, besides their length."""
        share = self.table.warmup / self.table.updates
        return [self.fingerprint, self.beam, self.lenpen, dict(self.table.flags), share, self.flags]

    def describe(self) -> dict[str, Any]:
        """What all results of a study have in common."""
        return {
            "data": str(self.data.folder),
            "references": str(self.data.files("test")[1]),
            "beam": self.beam,
            "lenpen": self.lenpen,
            "test": len(self.references),
            "own_flags": self.flags,
        }

    def _flags(self, row: Row, seed: int, updates: int, warmup: int) -> list[str]:
        # Batches drawn by epoch, so that a resumed run ends as an uninterrupted one.
        batches = {"required-batch-size-multiple": 1, "update-epoch-batch-itr": "True"}
        options = {**self.table.flags, **row.settings, **batches}
        length = {"seed": seed, "max-update": updates, "warmup-updates": warmup}
        model = ["--arch", row.arch, *as_flags(row.flags), "--output-bias"]
        return [*model, *as_flags(options), *self.flags, *as_flags(length)]

    def command(self, row: Row, seed: int, updates: int, warmup: int, folder: Path, every: int) -> list[str]:
        """The fairseq-train command of a run, which goes on where it was; logs its loss every `every` updates."""
        return [sys.executable, "-m", "fairseq_cli.train", *self._words(row, seed, updates, warmup, folder, every)]

    def _words(self, row: Row, seed: int, updates: int, warmup: int, folder: Path, every: int) -> list[str]:
        import torch

        source, target = self.data.languages
        data = {"user-dir": self.user_dir, "source-lang": source, "target-lang": target, "num-workers": 0}
        interval = max(1, updates // EVALUATIONS)
        # Checkpoints and validation by updates alone, at the same ones for every row.
        saving = {
            "save-dir": folder / "checkpoints",
            "no-epoch-checkpoints": True,
            "save-interval": 1_000_000,
            "validate-interval": 1_000_000,
            "save-interval-updates": interval,
            "keep-interval-updates": 1,
            "validate-interval-updates": interval,
            "log-format": "json",
            "log-interval": every,
        }
        return [
            str(self.data.binary),
            *as_flags(data),
            *self._flags(row, seed, updates, warmup),
            *as_flags(saving),
            *([] if torch.cuda.is_available() else ["--cpu"]),
        ]

    def pilot(self, row: Row, updates: int, folder: Path) -> list[str]:
        """A command that trains without leaving anything, for its speed."""
        return [*self.command(row, 1, updates, 1, folder, 1), "--no-save", "--disable-validation"]

    @staticmethod
    def progress(line: str) -> tuple[int, float] | None:
        """Update and training loss (bits a token), if `line` of the log tells them."""
        entry = record(line, "train_inner")
        return (int(entry["num_updates"]), float(entry["loss"])) if entry else None

    def curve(self, log: Path) -> list[tuple[int, float]]:
        """Validation loss (bits a token) by update."""
        losses = {}
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            entry = record(line, "valid")
            if entry:
                loss = entry.get("valid_nll_loss", entry.get("valid_loss"))
                losses[int(entry["valid_num_updates"])] = float(loss)
        return sorted(losses.items())

    def trained(self, folder: Path, updates: int) -> bool:
        """Whether a run has come to its end."""
        return updates_so_far(folder / "checkpoints") >= updates

    def finish(self, folder: Path, call: Callable[[list[str], Path], None]) -> dict[str, Any]:
        """The figures of a run that has been trained: translate the test set, and score it.

        Args:
            call: runs a command into a log.

        Raises:
            UserError: if there is no checkpoint, or a sentence was not translated.
        """
        checkpoint = folder / "checkpoints" / LAST
        state = read_checkpoint(str(checkpoint))
        flags = ["--lenpen", str(self.lenpen), "--user-dir", self.user_dir]
        call(generation_command(self.data, checkpoint, "test", self.beam, flags), folder / "generate.log")
        translations = read_hypotheses(folder / "generate.log", self.data, len(self.references))
        hypotheses = folder / f"hypotheses.{self.data.languages[1]}"
        hypotheses.write_text("".join(line + "\n" for line in translations), encoding="utf-8")
        scores = score(translations, self.references)
        return {
            **count_parameters(state),
            "seconds": round(state["extra_state"]["previous_training_time"], 1),
            "bleu": scores.bleu,
            "chrf": scores.chrf,
            "signature": scores.bleu_signature,
            "chrf_signature": scores.chrf_signature,
            "curve": self.curve(folder / "train.log"),
        }


def count_parameters(state: dict[str, Any]) -> dict[str, int]:
    """Of the model of a checkpoint, as it was trained: in all, and without embeddings and head."""
    from ...export.loading import load_model
    from ..counts.parts import totals
    from ..counts.translation import count_parts

    inner, total = totals(count_parts(load_model(state)))
    return {"parameters": total.unique, "parameters_inner": inner.unique}


def refuse(word: str, reserved: Sequence[str], table: Table, rows: Sequence[Row]) -> None:
    """UserError if `word` is a flag that the study sets itself, that tells the rows of the table apart, or a setting of one
    of the `rows` that are asked for.
    """
    flag = word.partition("=")[0]
    if flag in reserved:
        raise UserError(f"{flag} is set by the study itself: leave it out")
    # Keywords of classifiers are written either way.
    same = {flag[2:].replace("-", "_"), flag[2:].replace("_", "-")}
    made = [row.name for row in table.rows if same & row.flags.keys()]
    made += [row.name for row in rows if same & row.settings.keys()]
    if flag.startswith("--") and made:
        raise UserError(
            f"{flag} is what makes the row {made[0]!r} of {table.name}: leave it out, or write a table of your own"
        )


def refuse_settings(row: Row, reserved: Sequence[str], table: Table) -> None:
    """UserError if the table names a flag that the study sets itself."""
    for name in (*table.flags, *row.flags, *row.settings):
        if f"--{name}" in reserved:
            raise UserError(f"{table.name}, {row.name}: --{name} is set by the study itself: leave it out")


def _fingerprint(binary: Path, references: Sequence[str]) -> str:
    """What tells this data from another wherever it lies."""
    digest = hashlib.sha256("\n".join(references).encode())
    for path in sorted(binary.glob("*.idx")) + sorted(binary.glob("dict.*.txt")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
