"""Runs of translation models: fairseq-train on prepared data, scored on its test set."""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..paper import Row, Table, as_flags
from ..scoring import PACKAGE, generate, generation_command, read_hypotheses, read_pairs, score

# What the study sets itself.
OWN = ("--arch", "--user-dir", "--seed", "--save-dir", "--max-update", "--max-epoch", "--warmup-updates",
       "--restore-file", "--finetune-from-model", "--save-interval", "--save-interval-updates", "--keep-interval-updates",
       "--validate-interval", "--validate-interval-updates", "--log-format", "--log-interval", "--log-file",
       "--disable-validation", "--no-save", "--reset-optimizer", "--stop-time-hours", "--source-lang", "--target-lang")
EVALUATIONS = 10  # of the validation loss, during a training
METRIC = "bleu"
RECIPE = "recipe.json"


class Translation:
    """How the rows of a translation table are trained and scored.

    Args:
        data: folder that a recipe's prepare.sh wrote.
        table: whose settings hold.
        flags: of fairseq-train, which win over the table's.
        beam, lenpen: of fairseq-generate.

    Raises:
        ValueError: if `data` holds no prepared data.
    """

    metric = METRIC

    def __init__(self, data: Path, table: Table, flags: Sequence[str], beam: int = 5, lenpen: float = 1.0):
        self.data, self.table, self.flags, self.beam, self.lenpen = Path(data), table, list(flags), beam, lenpen
        try:
            self.recipe = json.loads((self.data / RECIPE).read_text(encoding="utf-8"))
            self.languages = [self.recipe[side] for side in ("source_lang", "target_lang")]
            self.binary = self.data / self.recipe["bin"]
            self.sources, self.references = read_pairs(self.data, self.recipe, "test")
            self.sizes = [_entries(self.binary / f"dict.{language}.txt") for language in self.languages]
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"
            if isinstance(error, OSError):
                why = f"{error.filename}: {error.strerror}"
            raise ValueError(f"{data} holds no prepared data ({why}): run a recipe's prepare.sh first") from None

    def check(self, rows: Sequence[Row]) -> None:
        """ValueError unless fairseq-train accepts the flags of every row."""
        from fairseq import options

        from ...models import ringformer  # noqa: F401 (registers the architectures)

        for word in self.flags:
            if word.partition("=")[0] in OWN:
                raise ValueError(f"{word.partition('=')[0]} is set by the study itself: leave it out")
        for row in rows:
            words = self._flags(row, 1, 1, 0)
            complaint = io.StringIO()
            try:
                with contextlib.redirect_stderr(complaint):
                    options.parse_args_and_arch(options.get_training_parser(), [str(self.binary), *words])
            except SystemExit:
                last = complaint.getvalue().strip().splitlines()[-1]
                raise ValueError(f"{row.name}: {last.partition('error: ')[2] or last}") from None

    def identity(self, row: Row, seed: int, updates: int, warmup: int) -> Dict[str, Any]:
        """What a run depends on, besides the machine."""
        return {
            "flags": self._flags(row, seed, updates, warmup), "data": _fingerprint(self.binary, self.references),
            "beam": self.beam, "lenpen": self.lenpen,
        }

    def describe(self) -> Dict[str, Any]:
        """What all results of a study have in common."""
        return {"data": str(self.data), "beam": self.beam, "lenpen": self.lenpen, "test": len(self.references),
                "own_flags": self.flags}

    def parameters(self, row: Row) -> Dict[str, int]:
        """The count as in the tables, and without embeddings and head."""
        from ..counting import totals
        from ..parameters import build_on_meta, count_parts

        shapes = as_flags(row.flags) + ["--output-bias"]
        inner, total = totals(count_parts(build_on_meta(row.arch, shapes, *self.sizes)))
        return {"parameters": total.unique, "parameters_inner": inner.unique}

    def _flags(self, row: Row, seed: int, updates: int, warmup: int) -> List[str]:
        return [
            "--arch", row.arch, *as_flags(row.flags), "--output-bias",
            *as_flags({**self.table.flags, **row.settings}), "--required-batch-size-multiple", "1", *self.flags,
            "--seed", str(seed), "--max-update", str(updates), "--warmup-updates", str(warmup),
        ]

    def command(self, row: Row, seed: int, updates: int, warmup: int, folder: Path, every: int) -> List[str]:
        """The fairseq-train command of a run, which goes on where it was; logs its loss every `every` updates."""
        import torch

        interval = max(1, updates // EVALUATIONS)
        return [
            sys.executable, "-m", "fairseq_cli.train", str(self.binary), "--user-dir", str(PACKAGE),
            "--source-lang", self.languages[0], "--target-lang", self.languages[1],
            *self._flags(row, seed, updates, warmup), "--save-dir", str(folder / "checkpoints"),
            # Checkpoints and validation by updates alone, at the same ones for every row.
            "--no-epoch-checkpoints", "--save-interval", "1000000", "--validate-interval", "1000000",
            "--save-interval-updates", str(interval), "--keep-interval-updates", "1", "--validate-interval-updates",
            str(interval), "--log-format", "json", "--log-interval", str(every), "--num-workers", "0",
            *([] if torch.cuda.is_available() else ["--cpu"]),
        ]

    def pilot(self, row: Row, updates: int, folder: Path) -> List[str]:
        """A command that trains without leaving anything, for its speed."""
        return [*self.command(row, 1, updates, 1, folder, 1), "--no-save", "--disable-validation"]

    @staticmethod
    def progress(line: str) -> Optional[Tuple[int, float]]:
        """Update and training loss (bits a token), if `line` of the log tells them."""
        entry = _record(line, "train_inner")
        return (int(entry["num_updates"]), float(entry["loss"])) if entry else None

    def curve(self, log: Path) -> List[Tuple[int, float]]:
        """Validation loss (bits a token) by update."""
        found = {}
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            entry = _record(line, "valid")
            if entry:
                loss = entry.get("valid_nll_loss", entry.get("valid_loss"))
                found[int(entry["valid_num_updates"])] = float(loss)
        return sorted(found.items())

    def finish(self, folder: Path, environment: Mapping[str, str]) -> Dict[str, Any]:
        """The figures of a run that has been trained: translate the test set, and score it.

        Raises:
            ValueError: if there is no checkpoint, or fairseq-generate fails.
        """
        from ...checkpoint_file import read_checkpoint

        checkpoint = folder / "checkpoints" / "checkpoint_last.pt"
        seconds = read_checkpoint(str(checkpoint))["extra_state"]["previous_training_time"]
        command = generation_command(
            self.data, self.recipe, checkpoint, "test", self.beam, ["--lenpen", str(self.lenpen)]
        )
        generate(command, folder / "generate.log", environment)
        translations = read_hypotheses(folder / "generate.log", len(self.references))
        hypotheses = folder / f"hypotheses.{self.languages[1]}"
        hypotheses.write_text("".join(line + "\n" for line in translations), encoding="utf-8")
        scores = score(translations, self.references)
        return {
            "seconds": round(seconds, 1), "bleu": scores.bleu, "chrf": scores.chrf, "signature": scores.bleu_signature,
            "chrf_signature": scores.chrf_signature, "curve": self.curve(folder / "train.log"),
        }


def _record(line: str, name: str) -> Optional[Dict[str, Any]]:
    """What fairseq's JSON log says under `name`, if this line does."""
    match = re.search(rf" \| {name} \| (\{{.*\}})\s*$", line)
    return json.loads(match[1]) if match else None


def _entries(path: Path) -> int:
    """Entries of a fairseq dictionary, its four special symbols included."""
    from fairseq.data import Dictionary

    return len(Dictionary.load(str(path)))


def _fingerprint(binary: Path, references: Sequence[str]) -> str:
    """What tells this data from another wherever it lies."""
    import hashlib

    digest = hashlib.sha256("\n".join(references).encode())
    for path in sorted(binary.glob("*.idx")) + sorted(binary.glob("dict.*.txt")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
