"""Images in batches: the order of an epoch depends on seed and epoch alone, and can be entered anywhere."""

import itertools
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, Sampler

from ...errors import UserError
from ..data import Images, StreamedImages

Batch = tuple[Tensor, Tensor, Tensor]


class EpochOrder(Sampler):
    """The permutation of an epoch, from a position on.

    Args:
        length: number of images.
        seed: of the permutations.
    """

    def __init__(self, length: int, seed: int):
        self.length, self.seed = length, seed
        self.epoch, self.start, self.stop = 0, 0, length

    def seek(self, epoch: int, start: int, stop: int) -> None:
        """Give the images at `start` to `stop` of `epoch`'s permutation; those before are not loaded."""
        self.epoch, self.start, self.stop = epoch, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.length, generator=generator)[self.start : self.stop].tolist())


class TrainingBatches:
    """The batches of one process, sharded by accelerate; whole updates only.

    What an epoch has left over after the last whole update is dropped; another epoch leaves over other images.

    Args:
        images: the data set, prepared for training.
        batch_size: images per process and step.
        steps: steps per update.

    Attributes:
        effective: images per update.
        updates: whole updates in an epoch.
        layout: what the order of a stream depends on, besides seed and epoch; empty for other images.
    """

    def __init__(
        self,
        images: Images | StreamedImages,
        batch_size: int,
        steps: int,
        workers: int,
        seed: int,
        accelerator: Accelerator,
    ):
        self.images = images
        self.streamed = isinstance(images, IterableDataset)
        self.steps = steps
        self.effective = batch_size * steps * accelerator.num_processes
        processes = f"{accelerator.num_processes} process{'es' if accelerator.num_processes > 1 else ''}"
        self.layout = f"batches of {batch_size}, {processes}, --workers {workers}" if self.streamed else ""
        count = len(images)
        self.updates = count // self.effective
        if not self.updates:
            raise UserError(
                f"the batch is larger than the data: --batch-size {batch_size} x {accelerator.num_processes} "
                f"processes x {steps} steps are {self.effective} images per update, and there are {count}"
            )
        common = dict(num_workers=workers, persistent_workers=workers > 0, pin_memory=accelerator.device.type == "cuda")
        self.order = EpochOrder(count, seed)
        if self.streamed:
            loader = DataLoader(images, batch_size, drop_last=True, **common)
        else:
            loader = DataLoader(images, batch_sampler=BatchSampler(self.order, batch_size, drop_last=True), **common)
        self.loader = accelerator.prepare_data_loader(loader)
        self.accelerator = accelerator

    def epoch(self, number: int, done: int, last: int) -> Iterator[tuple[int, Batch]]:
        """(step, batch) of the updates `done` to `last` of epoch `number`; steps are counted within the epoch.

        A stream can end earlier, where its parts do not divide evenly; it ends after a whole update, too.
        """
        self.order.seek(number, done * self.effective, last * self.effective)
        self.images.set_epoch(number)
        loader, first = self.loader, done * self.steps
        if self.streamed and done:
            # A stream has no other way to its middle than through its beginning.
            loader = self.accelerator.skip_first_batches(loader, first)
        loader.set_epoch(number)
        update = []
        for step, batch in enumerate(loader, first):
            if step >= last * self.steps:
                break
            if not self.streamed:
                yield step, batch
                continue
            update.append((step, batch))
            if len(update) == self.steps:
                yield from update
                update.clear()


def evaluation_batches(
    images: Images | StreamedImages, batch_size: int, workers: int, accelerator: Accelerator
) -> Iterator[Batch]:
    """The batches of one process; over all processes each image comes once."""
    loader = DataLoader(images, batch_size, num_workers=workers, pin_memory=accelerator.device.type == "cuda")
    index, count = accelerator.process_index, accelerator.num_processes
    if isinstance(images, IterableDataset):
        # accelerate would repeat images to fill its last batches.
        for batch in itertools.islice(loader, index, None, count):
            yield tuple(part.to(accelerator.device) for part in batch)
    else:
        yield from accelerator.prepare_data_loader(loader)
