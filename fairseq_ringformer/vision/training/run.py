"""The state of a run in its folder: last.pt to go on from, best.pt to use, and what they must agree with."""

import os
import shutil
import time
import zlib
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...errors import UserError
from ..checkpoint import difference, read_classifier
from ..data import StreamedImages
from .loading import TrainingBatches
from .options import Options, changed

LAST, BEST, RESULT, ROWS, OPTIONS = "last.pt", "best.pt", "result.json", "log.csv", "options.yaml"
FILES = (LAST, BEST, RESULT, ROWS, OPTIONS, "curves.png", "damaged.txt")
BOARD = "tensorboard"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        update: updates done; epoch: epochs done; position: updates done in the epoch under way.
        loss_sum, correct, counted, damaged: of the epoch under way, over `counted` images of all processes.
        best, latest: top-1 (and top-5), epoch and update of the best and of the last evaluation.
        seconds: of training, without evaluation.
        speeds: images per second, by interval of the log.
        names: damaged images seen so far, except of a stream.
    """

    update: int = 0
    epoch: int = 0
    position: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    counted: int = 0
    damaged: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    speeds: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def end_epoch(self) -> None:
        self.epoch += 1
        self.position = self.counted = self.correct = self.damaged = 0
        self.loss_sum = 0.0


@dataclass
class Interval:
    """What this process has done since the last line of the log."""

    losses: list[Tensor] = field(default_factory=list)
    hits: list[Tensor] = field(default_factory=list)
    damaged: list[Tensor] = field(default_factory=list)
    images: int = 0
    begun: float = field(default_factory=time.monotonic)

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor, damaged: Tensor) -> None:
        """A step: its loss, and of its images, all on the device."""
        self.losses.append(loss)
        self.hits.append((logits.argmax(1) == targets).sum())
        self.damaged.append(damaged)
        self.images += len(targets)


def output_folder(options: Options) -> str:
    """The folder of the run, made if need be.

    Raises:
        UserError: if it cannot be made or written to.
    """
    try:
        options.output.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"--output {options.output}: TensorBoard writes to names in UTF-8 alone: choose another"
        ) from None
    try:
        os.makedirs(options.output, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {options.output}: {error.strerror}") from None
    if not os.access(options.output, os.W_OK):
        raise UserError(f"--output {options.output}: no permission to write there")
    return options.output


def check_outside(flag: str, path: str, folder: str) -> None:
    """UserError if the file `path`, which `flag` names, lies in the `folder` of the run, which may replace it."""
    if os.path.dirname(os.path.realpath(path)) == os.path.realpath(folder):
        raise UserError(f"{flag} {path} lies in --output, where the training writes its own: choose another --output")


def fingerprint(images: Any, split: str) -> str:
    """What tells this data set from another wherever it lies: number of images, some of their names, classes."""
    try:
        count = len(images)
    except TypeError:
        count = 0
    shown = () if isinstance(images, StreamedImages) else range(0, count, count // 1000 + 1)
    names = [os.path.basename(images.name(index)) for index in shown]
    checksum = zlib.crc32("\n".join([*names, *images.classes]).encode(errors="surrogateescape"))
    return f"{count} {split} images of {len(images.classes)} classes, checksum {checksum:08x}"


def check_free(folder: str) -> None:
    """UserError if :func:`clear` would remove what cannot be had again, or is not of a training at all.

    A training that was interrupted before its first checkpoint leaves nothing of worth; its log begins after that.
    """
    ours = os.path.exists(os.path.join(folder, OPTIONS))
    valuable = (RESULT, ROWS, BEST) if ours else (*FILES, BOARD)
    name = next((name for name in valuable if os.path.exists(os.path.join(folder, name))), None)
    if name:
        raise UserError(
            f"{folder} has a {name}, but no {LAST} to go on from: choose another --output, or begin anew with --restart"
        )


def clear(folder: str) -> None:
    """Remove what an earlier training has left in `folder`."""
    for name in FILES:
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    shutil.rmtree(os.path.join(folder, BOARD), ignore_errors=True)


def read_last(folder: str) -> dict[str, Any] | None:
    """The state to go on from, or None.

    Raises:
        UserError: if it is damaged, or holds no training state.
    """
    path = os.path.join(folder, LAST)
    if not os.path.exists(path):
        return None
    try:
        state = read_classifier(path)
    except UserError as error:
        raise UserError(f"{error} (or begin anew with --restart)") from None
    if "training" not in state:
        raise UserError(f"{path} holds no training state: choose another --output, or begin anew with --restart")
    return state


def check_continues(
    folder: str, state: dict[str, Any], model: Any, arch: str, options: Options, data: str, batches: TrainingBatches
) -> None:
    """UserError unless the training of `state` can go on exactly as it began.

    Args:
        model: as the options have built it; arch: its name.
        data: :func:`fingerprint` of the images; batches: that they come in.
    """
    path, remedy = os.path.join(folder, LAST), "choose another --output, or begin anew with --restart"
    if state["arch"] != arch:
        raise UserError(f"{path} is of {state['arch']}, not of {arch}: {remedy}")
    problem = difference(state["state_dict"], model.state_dict())
    if problem:
        raise UserError(f"{path} is of {arch} in another size, {problem}: {remedy}")
    training = state["training"]
    problems = changed(state["options"], options)
    if training["effective_batch"] != batches.effective:
        problems.append(f"images per update: {training['effective_batch']} before, {batches.effective} now")
    layout = training.get("layout", batches.layout)
    if training["progress"]["position"] and layout != batches.layout:
        problems.append(f"in the middle of an epoch of a stream: {layout} before, {batches.layout} now")
    if training["data"] != data:
        problems.append(f"data: {training['data']} before, {data} now")
    if problems:
        raise UserError(f"{path} was begun with other options ({'; '.join(problems)}): {remedy}")
