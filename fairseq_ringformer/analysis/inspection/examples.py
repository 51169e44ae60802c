"""Sentences or images to run models on, drawn from a data set by a seed, as every model reads them."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ...errors import UserError
from .models import LoadedModel

Batches = Iterator[tuple[dict[str, torch.Tensor], ...]]
IMAGE_TOKENS = 197  # what an image counts for in a batch: those of 224 x 224 pixels in patches of 16 x 16


class Examples:
    """The drawn examples.

    Attributes:
        unit: ``sentences`` or ``images``.
        indices: in the data set, in the order of the draw.
        left_out: how many images of these are damaged, known once they were read.
    """

    unit: str
    indices: list[int]
    left_out = 0

    def __init__(self, models: Sequence[LoadedModel]):
        self._models = models
        self._device = next(models[0].model.parameters()).device

    def draw(self, among: Sequence[int], count: int, seed: int) -> None:
        order = torch.randperm(len(among), generator=torch.Generator().manual_seed(seed))
        self.indices = [among[index] for index in order[:count].tolist()]

    def __len__(self) -> int:
        """How many there are, damaged ones excluded as far as they are known."""
        return len(self.indices) - self.left_out

    def batches(self, budget: int, power: int = 1, by_length: bool = False) -> Batches:
        """For each model, what :func:`.states.trace` reads.

        Args:
            budget: most examples times length ** power in a batch; a length is tokens, or 197 for an image.
            by_length: sentences of a length together; else in the order of the draw.
        """
        raise NotImplementedError


class Sentences(Examples):
    """Sentence pairs of a subset of binary data, such as ``test``.

    Raises:
        UserError: if there are none that all models can take.
    """

    unit = "sentences"

    def __init__(self, models: Sequence[LoadedModel], data: str, subset: str, count: int, seed: int):
        from fairseq.utils import resolve_max_positions

        super().__init__(models)
        task = models[0].task
        try:
            task.load_dataset(subset)
        except (FileNotFoundError, AssertionError):
            raise UserError(f"{data}: no subset {subset} of {task.cfg.source_lang}-{task.cfg.target_lang}") from None
        self.dataset = task.datasets[subset]
        if self.dataset.tgt is None:
            raise UserError(f"{data}: subset {subset} has no target side")
        longest = resolve_max_positions(*[loaded.model.max_positions() for loaded in models])
        sizes = list(zip(self.dataset.src_sizes, self.dataset.tgt_sizes))
        fits = [index for index, pair in enumerate(sizes) if pair[0] <= longest[0] and pair[1] <= longest[1]]
        if not fits:
            raise UserError(f"{data}: subset {subset} has no sentence pair that the models can take")
        self.draw(fits, count, seed)

    def batches(self, budget: int, power: int = 1, by_length: bool = False) -> Batches:
        def length(index: int) -> int:
            return int(max(self.dataset.src_sizes[index], self.dataset.tgt_sizes[index])) + 1

        order = sorted(self.indices, key=length) if by_length else self.indices
        for group in groups([length(index) for index in order], budget, power):
            net_input = self.dataset.collater([self.dataset[order[number]] for number in group])["net_input"]
            yield ({name: value.to(self._device) for name, value in net_input.items()},) * len(self._models)


class Images(Examples):
    """Images of a split of a folder, each as every model's training has read it.

    Raises:
        UserError: if they are a stream, which cannot be drawn from.
    """

    unit = "images"

    def __init__(self, models: Sequence[LoadedModel], data: str, split: str, dataset: str, count: int, seed: int):
        from ...vision.checkpoint import input_config
        from ...vision.data import StreamedImages, eval_transform, open_images

        super().__init__(models)
        self._inputs = [input_config(loaded.state) for loaded in models]
        self.sets: dict[Any, Any] = {}
        for size in dict.fromkeys(self._inputs):
            self.sets[size] = open_images(
                data,
                split,
                dataset=dataset,
                transform=eval_transform(size),
                channels=size.size[0],
                background=size.background,
                classes=list(models[0].state["classes"]),
            )
            if isinstance(self.sets[size], StreamedImages):
                raise UserError(f"--dataset {dataset} is a stream, which cannot be drawn from: use a folder")
        self.draw(range(len(self.sets[self._inputs[0]])), count, seed)

    def batches(self, budget: int, power: int = 1, by_length: bool = False) -> Batches:
        number = max(1, budget // IMAGE_TOKENS**power)
        first = self.sets[self._inputs[0]]
        for start in range(0, len(self.indices), number):
            indices = self.indices[start : start + number]
            samples = {size: [images[index] for index in indices] for size, images in self.sets.items()}
            whole = []
            for index, sample in enumerate(samples[self._inputs[0]]):
                if sample[1] >= 0:
                    whole.append(index)
                else:
                    print(f"damaged, left out: {first.name(indices[index])}", file=sys.stderr)
            self.left_out += len(indices) - len(whole)
            if whole:
                stacked = {size: torch.stack([found[index][0] for index in whole]) for size, found in samples.items()}
                yield tuple({"images": stacked[size].to(self._device)} for size in self._inputs)


def groups(lengths: Sequence[int], budget: int, power: int = 1) -> Iterator[list[int]]:
    """Cut the indices of `lengths` into consecutive groups whose size times longest ** power stays within `budget`."""
    group: list[int] = []
    longest = 0
    for index, length in enumerate(lengths):
        reached = max(longest, length)
        if group and (len(group) + 1) * reached**power > budget:
            yield group
            group, reached = [], length
        group.append(index)
        longest = reached
    if group:
        yield group
