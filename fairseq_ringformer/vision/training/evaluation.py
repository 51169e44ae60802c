"""Accuracy of a classifier on a data set, over any number of processes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from ...errors import UserError


@dataclass
class Scores:
    """What a model reaches on a data set.

    Attributes:
        loss: cross-entropy per image, in nats.
        top1, top5: share of images whose class is the likeliest (among the five likeliest), in percent; `top5` is None
            for five classes or fewer.
        images: number of images, without damaged ones.
        damaged: indices of images that could not be decoded, and do not count (of a stream, their positions in it).
        confusion: images by target (rows) and by prediction (columns), if asked for.
    """

    loss: float
    top1: float
    top5: float | None
    images: int
    damaged: list[int] = field(default_factory=list)
    confusion: Tensor | None = None

    def as_dict(self) -> dict[str, Any]:
        """The figures, without top-5 where there is none."""
        figures = dict(loss=self.loss, top1=self.top1, top5=self.top5, images=self.images, damaged=len(self.damaged))
        return {name: value for name, value in figures.items() if value is not None}


@torch.no_grad()
def evaluate(
    model: Callable[[Tensor], Tensor],
    batches: Iterable,
    num_classes: int,
    accelerator: Accelerator,
    confusion: bool = False,
    progress: bool = False,
) -> Scores:
    """Scores of `model` on `batches`, of which each process has its own share.

    Raises:
        UserError: if no image can be read.
    """
    training = model.training
    model.eval()
    device = accelerator.device
    sums = torch.zeros(4, dtype=torch.float64, device=device)
    table = torch.zeros(num_classes * num_classes, dtype=torch.long, device=device) if confusion else None
    damaged: list[int] = []
    for images, targets, broken in tqdm(batches, desc="evaluate", unit="batch", leave=False, disable=not progress):
        damaged += broken[broken >= 0].tolist()
        with accelerator.autocast():
            logits = model(images).float()
        readable = targets >= 0
        logits, targets = logits[readable], targets[readable]
        ranks = logits.topk(min(5, num_classes), dim=1).indices
        hits = ranks == targets[:, None]
        counts = [cross_entropy(logits, targets, reduction="sum"), hits[:, 0].sum(), hits.sum(), readable.sum()]
        sums += torch.stack([count.double() for count in counts])
        if table is not None:
            table += torch.bincount(targets * num_classes + ranks[:, 0], minlength=len(table))
    model.train(training)
    sums = accelerator.reduce(sums, "sum")
    if table is not None:
        table = accelerator.reduce(table, "sum").view(num_classes, num_classes).cpu()
    if accelerator.num_processes > 1:
        damaged = gather_object(damaged)
    loss, top1, top5, count = sums.tolist()
    if not count:
        raise UserError("no image of the data set can be read")
    return Scores(
        loss=loss / count,
        top1=100 * top1 / count,
        top5=100 * top5 / count if num_classes > 5 else None,
        images=int(count),
        damaged=sorted(damaged),
        confusion=table,
    )
