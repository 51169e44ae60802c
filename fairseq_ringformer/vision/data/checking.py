"""Checks of whole data sets before training: every image decodes, both splits have the same classes."""

from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from ...errors import UserError
from .images import Images
from .pixels import Damaged

BATCH = 64


class _Decoded(torch.utils.data.Dataset):
    """Whether each image is damaged; only this crosses from the worker processes."""

    def __init__(self, images: Images):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> bool:
        try:
            self.images.load(index)
        except Damaged:
            return True
        return False


def check_images(images: Images, workers: int, progress: bool = True) -> list[str]:
    """Decode every image; the names of the damaged ones, in order."""
    loader = torch.utils.data.DataLoader(_Decoded(images), batch_size=BATCH, num_workers=workers, collate_fn=list)
    damaged: list[bool] = []
    with tqdm(total=len(images), desc="checking images", unit="image", disable=not progress, leave=False) as bar:
        for results in loader:
            damaged += results
            bar.update(len(results))
    return [images.name(index) for index, is_damaged in enumerate(damaged) if is_damaged]


def no_images(others: Sequence[str]) -> list[str]:
    """In a line, which files lie among the images and are none; no line where there are none."""
    files = "1 file is no image" if len(others) == 1 else f"{len(others):,} files are no images"
    return [f"{files}, left out: {some(others)}"] if others else []


def check_same_classes(train: Any, valid: Any) -> None:
    """Require the same classes in the same order, else a target means one class here and another there.

    Raises:
        UserError: naming the classes that only one of them has.
    """
    other = other_classes({"in training": train.classes, "in validation": valid.classes})
    if other:
        raise UserError(
            f"training and validation images are of different classes ({other}): "
            "give both the same class folders, each with at least one image"
        )


def other_classes(two: dict[str, Sequence[str]]) -> str:
    """In which classes two sets, by where they are, differ, for an error; empty where they are alike in this order."""
    both = set.intersection(*map(set, two.values()))
    lists = {place: [name for name in names if name not in both] for place, names in two.items()}
    only = "; ".join(f"only {place}: {some(names)}" for place, names in lists.items() if names)
    first, second = map(list, two.values())
    return "" if first == second else only or "the same names in another order"


def some(names: Sequence[str]) -> str:
    """The first five names, and how many there are more."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(str, names[:5])) + more
