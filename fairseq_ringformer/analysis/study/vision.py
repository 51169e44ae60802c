"""Runs of image classifiers: train-classifier, and the accuracy it ends with."""

import csv
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..counts.paper import Row, Table, as_flags
from .translation import refuse, refuse_settings

# What the study sets itself.
RESERVED = (
    "--model --output --seed --max-update --epochs --warmup-updates --resume --restart --data --log-interval --threads "
    "--config"
).split()


class Vision:
    """How the rows of a table of classifiers are trained and scored.

    Args:
        data: folder of the images.
        table: whose settings hold.
        flags: of train-classifier, which win over the table's, ``--dataset torch/fashion_mnist`` for one.
        user_dirs: folders that register models of the rows.

    Raises:
        UserError: if there is no such folder.
    """

    metric = "top1"

    def __init__(self, data: Path, table: Table, flags: Sequence[str], user_dirs: Sequence[str] = ()):
        self.data, self.table, self.flags = Path(data), table, list(flags)
        self.user_dirs = [os.path.abspath(folder) for folder in user_dirs]
        if not self.data.is_dir():
            raise UserError(f"{data}: no such folder of images")
        self.images: list[str] = []  # what tells them from others, once they are checked

    def check(self, rows: Sequence[Row]) -> None:
        """UserError unless every row is a model, train-classifier accepts its flags, and finds the images."""
        import torch

        from ...vision.checkpoint import build_model
        from ...vision.training.options import gather, parse
        from ...vision.training.preparation import image_channels, open_both
        from ...vision.training.run import fingerprint

        for word in self.flags:
            refuse(word, RESERVED, self.table, rows)
        for keyword in parse(self.flags).get("model_arg", ()):
            refuse(f"--{keyword}", (), self.table, rows)
        sets = {}  # rows seldom differ in what they read
        for row in rows:
            refuse_settings(row, RESERVED, self.table)
            words = [*self._flags(row, 1, 2, 1), "--output", "x"]
            options = gather(parse(words))
            try:
                with torch.device("meta"):
                    build_model(row.arch, options.model_arg)
            except ValueError as error:
                raise UserError(f"{row.name}: {error}") from None
            splits = options.train_split, options.valid_split
            sets[options.data, options.dataset, *splits, image_channels(options), options.num_classes] = options
        found = set()
        for options in sets.values():
            for images, split in zip(open_both(options), ("training", "validation")):
                found.add(fingerprint(images, split))
        self.images = sorted(found)

    def identity(self, row: Row, seed: int, updates: int, warmup: int) -> dict[str, Any]:
        """What a run depends on, besides the machine."""
        return {"flags": self._flags(row, seed, updates, warmup), "images": self.images}

    def conditions(self) -> list[Any]:
        """What all runs of a table must share to be compared, besides their length."""
        return [self.images, dict(self.table.flags), self.table.warmup / self.table.updates, self.flags]

    def describe(self) -> dict[str, Any]:
        """What all results of a study have in common."""
        return {"data": str(self.data), "own_flags": self.flags}

    def _flags(self, row: Row, seed: int, updates: int, warmup: int) -> list[str]:
        arguments = [f"{name.replace('-', '_')}={value}" for name, value in row.flags.items()]
        model = ["--model", row.arch, *(["--model-arg", *arguments] if arguments else []), "--data", str(self.data)]
        length = {"seed": seed, "max-update": updates, "warmup-updates": warmup}
        return [*model, *as_flags({**self.table.flags, **row.settings}), *self.flags, *as_flags(length)]

    def command(self, row: Row, seed: int, updates: int, warmup: int, folder: Path, every: int) -> list[str]:
        """The command of a run, which goes on where it was; logs its loss every `every` updates."""
        return [
            *(sys.executable, "-m", "fairseq_ringformer.cli.main", "train-classifier"),
            *(word for folder in self.user_dirs for word in ("--user-dir", folder)),
            *self._flags(row, seed, updates, warmup),
            *as_flags({"output": folder, "log-interval": every}),
        ]

    def pilot(self, row: Row, updates: int, folder: Path) -> list[str]:
        """A command that trains for its speed alone."""
        return [*self.command(row, 1, updates, 0, folder, 1), "--restart"]

    @staticmethod
    def progress(line: str) -> tuple[int, float] | None:
        """Update and training loss, if `line` of the log tells them."""
        match = re.match(r"epoch \d+, update (\d+)/\d+: loss ([\d.]+)", line)
        return (int(match[1]), float(match[2])) if match else None

    def trained(self, folder: Path, updates: int) -> bool:
        """Whether a run has come to its end; one that has not goes on by itself."""
        try:
            return json.loads((folder / "result.json").read_text(encoding="utf-8"))["updates"] >= updates
        except (OSError, ValueError, KeyError):
            return False

    def finish(self, folder: Path, call: Callable[[list[str], Path], None]) -> dict[str, Any]:
        """The figures of a run that has been trained, at its end: the best epoch was chosen on the same images.

        Raises:
            UserError: if it has not come to its end.
        """
        try:
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(f"{folder}/result.json is missing or damaged: delete {folder} and start again") from None
        with (folder / "log.csv").open(encoding="utf-8", newline="") as stream:
            curve = [(int(row["update"]), float(row["valid_loss"])) for row in csv.DictReader(stream)]
        figures = {
            "parameters": result["parameters"],
            "seconds": result["training_seconds"],
            "top1": result["last_top1"],
        }
        if "last_top5" in result:
            figures["top5"] = result["last_top5"]
        return {**figures, "images_per_second": result["images_per_second"], "curve": curve}
