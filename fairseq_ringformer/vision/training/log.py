"""What a training tells: progress, a table and a plot by epoch, TensorBoard."""

import csv
import io
import math
import os
import sys
import time
from typing import Any

from tqdm import tqdm

from ... import extras
from ...files import whole_file, write_text
from .run import BOARD, ROWS

COLUMNS = [
    "epoch",
    "update",
    "lr",
    "train_loss",
    "train_top1",
    "valid_loss",
    "valid_top1",
    "valid_top5",
    "ema_loss",
    "ema_top1",
    "ema_top5",
    "images_per_second",
    "seconds",
    "damaged",
]


class Log:
    """The files of a run, written by its main process alone, and its progress on standard error.

    A bar where standard error is a terminal, else a line per interval.

    Args:
        folder: of the run.
        total: updates of the whole training.
        update: updates done before; rows of later ones, of an interrupted training, are dropped.
        main: whether this is the main process; the others tell nothing.
    """

    def __init__(self, folder: str, total: int, update: int, main: bool):
        self.folder, self.total, self.main = folder, total, main
        self.rows: list[dict[str, Any]] = []
        self.board = None
        self.start, self.started = update, time.monotonic()
        terminal = main and sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=update, unit="update", disable=not terminal, dynamic_ncols=True)
        if not main:
            return
        self.rows = [row for row in read_rows(folder) if int(row["update"]) <= update]
        # What an interrupted training has told after its last checkpoint is told again.
        purge = update + 1 if update else None
        self.board = require_tensorboard()(os.path.join(folder, BOARD), purge_step=purge)

    def note(self, text: str) -> None:
        """A line of its own."""
        if self.main:
            self.bar.write(text, file=sys.stderr)

    def advance(self) -> None:
        self.bar.update()

    def interval(self, epoch: int, update: int, loss: float, lr: float, speed: float) -> None:
        """Means over the updates since the last interval; `speed` in images per second of all processes."""
        if not self.main:
            return
        for name, value in (("loss", loss), ("lr", lr), ("images_per_second", speed)):
            self.board.add_scalar(f"train/{name}", value, update)
        if not self.bar.disable:
            self.bar.set_postfix_str(f"epoch {epoch}, loss {loss:.4f}, lr {lr:.2e}, {speed:.0f} images/s")
            return
        remaining = (time.monotonic() - self.started) / max(update - self.start, 1) * (self.total - update)
        self.note(
            f"epoch {epoch}, update {update}/{self.total}: loss {loss:.4f}, lr {lr:.2e}, {speed:.0f} images/s, "
            f"{tqdm.format_interval(remaining)} left"
        )

    def epoch(self, row: dict[str, Any]) -> None:
        """The end of an epoch: values for some of ``COLUMNS``."""
        if not self.main:
            return
        self.rows = [other for other in self.rows if int(other["update"]) < row["update"]] + [row]
        write_rows(self.folder, self.rows)
        for name, value in row.items():
            kind, _, figure = name.partition("_")
            if kind in ("valid", "ema") or name == "train_top1":
                self.board.add_scalar(f"{kind}/{figure}", value, row["update"])
        self.board.flush()
        draw_curves(self.rows, os.path.join(self.folder, "curves.png"))
        parts = [f"epoch {row['epoch']} ends at update {row['update']}: train loss {row['train_loss']:.4f}"]
        if "train_top1" in row:
            parts.append(f"top-1 {row['train_top1']:.2f}")
        for kind, words in (("valid", "validation"), ("ema", "EMA")):
            if f"{kind}_top1" in row:
                parts.append(f"{words} loss {row[f'{kind}_loss']:.4f}, top-1 {row[f'{kind}_top1']:.2f}")
        if row["damaged"]:
            parts.append(f"damaged images: {row['damaged']}")
        parts.append(f"{row['seconds']:.0f} s")
        self.note(", ".join(parts))

    def close(self) -> None:
        self.bar.close()
        if self.board is not None:
            self.board.close()


def require_tensorboard() -> Any:
    """TensorBoard's writer; UserError if it is not installed."""
    extras.require("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter


def read_rows(folder: str) -> list[dict[str, Any]]:
    """The rows of DIR/log.csv so far, as texts."""
    try:
        with open(os.path.join(folder, ROWS), encoding="utf-8", newline="") as stream:
            return [row for row in csv.DictReader(stream) if (row.get("update") or "").isdigit()]
    except FileNotFoundError:
        return []


def write_rows(folder: str, rows: list[dict[str, Any]]) -> None:
    """Write DIR/log.csv whole: an interruption leaves the old one."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()})
    write_text(os.path.join(folder, ROWS), text.getvalue())


def draw_curves(rows: list[dict[str, Any]], path: str) -> None:
    """Write a PNG: loss and top-1 accuracy by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axis, measure, label in zip(figure.subplots(1, 2), ("loss", "top1"), ("loss", "top-1 accuracy (%)")):
        for kind, words in (("train", "training"), ("valid", "validation"), ("ema", "validation, EMA")):
            points = [(int(row["epoch"]), _value(row, f"{kind}_{measure}")) for row in rows]
            points = [(epoch, value) for epoch, value in points if value is not None]
            if points:
                axis.plot(*zip(*points), marker="." if len(points) < 30 else None, label=words)
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False)
        axis.grid(alpha=0.3)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=120)


def _value(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name, "")
    return None if value == "" or math.isnan(float(value)) else float(value)
