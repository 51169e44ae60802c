"""Images read in the order of their archives: webdataset's shards and Hugging Face's streams."""

import json
import os
import random
import tarfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from timm.data import create_dataset

from ...errors import UserError
from .checking import first_line, some
from .images import MAX_DAMAGED, Damaged, Labelled, Sample, UnreadableData, decode
from .randomness import call_seeded

EXTENSIONS = ("jpg", "jpeg", "png", "webp")
# Images held back to be shuffled, in each worker process.
SHUFFLED = 4096

Item = tuple[str, Any, int]


class StreamedImages(Labelled, torch.utils.data.IterableDataset):
    """Images that come one after another, in an order that depends on seed and epoch.

    Every process reads the whole stream in the same order, divided among its loader's workers only: the processes'
    shares are cut by accelerate (``IterableDatasetShard``), and would be cut twice if the reader did it as well.

    Args:
        source: called with (seed, epoch, worker, workers), gives that worker's (name, bytes or image, target).
        length: number of images of an epoch; None if unknown.

    Further arguments as :class:`~.images.Labelled`.
    """

    def __init__(
        self,
        source: Callable[[int, int, int, int], Iterator[Item]],
        classes: list[str],
        length: int | None = None,
        *args: Any,
        **kwargs: Any,
    ):
        super().__init__(source, classes, *args, **kwargs)
        self.length = length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("the number of images of this stream is unknown")
        return self.length

    def damaged_names(self, damaged: Sequence[int]) -> list[str]:
        """None: damaged images of a stream are only counted, since a position is of one epoch's order."""
        return []

    def __iter__(self) -> Iterator[Sample]:
        """Each image, its target, and -1; or a stand-in and its position in the stream if it is damaged.

        In training the stand-in is the next readable image, which comes twice; else it is black, with target -1.

        Raises:
            UnreadableData: after ``MAX_DAMAGED`` in a row, if a shard is damaged, or at a class that there is not.
        """
        worker = torch.utils.data.get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        waiting: list[tuple[int, str, str]] = []
        last: tuple[Image.Image, int] | None = None
        position = number - workers
        for name, content, target in self.source(self.seed, self._epoch.value, number, workers):
            position += workers
            if not 0 <= target < len(self.classes):
                raise UnreadableData(f"{name}: class {target}, where there are {len(self.classes)} (0 is the first)")
            try:
                image = decode(content, self.mode) if isinstance(content, bytes) else content
            except Damaged as reason:
                waiting.append((position, name, str(reason)))
                if len(waiting) >= MAX_DAMAGED:
                    raise _too_many(waiting) from None
                continue
            last = image, target
            yield from self._stand_ins(waiting, last)
            waiting.clear()
            yield self._transformed(image, position), target, -1
        if waiting and last is None:
            raise _too_many(waiting)
        yield from self._stand_ins(waiting, last)

    def _stand_ins(self, waiting: Sequence[tuple[int, str, str]], readable: tuple[Image.Image, int] | None):
        for position, _, _ in waiting:
            image, target = readable if self.training else (Image.new(self.mode, (256, 256)), -1)
            yield self._transformed(image, position), target, position

    def _transformed(self, image: Image.Image, position: int) -> Any:
        if self.transform is None:
            return image
        if not self.training:
            return self.transform(image)
        return call_seeded(self.transform, image, self.seed, self._epoch.value, position)


def _too_many(damaged: Sequence[tuple[int, str, str]]) -> UnreadableData:
    _, name, reason = damaged[0]
    return UnreadableData(f"{len(damaged)} damaged images in a row, the first is {name} ({reason})")


class Shards:
    """The samples of tar files in webdataset's format: ``KEY.jpg`` (png, webp) beside ``KEY.cls`` or ``KEY.json``.

    Args:
        label: the field of the json file that has the target; empty: the cls file has it.
    """

    def __init__(self, paths: Sequence[str], label: str, training: bool):
        self.paths = list(paths)
        self.label = label
        self.training = training

    def __call__(self, seed: int, epoch: int, worker: int, workers: int) -> Iterator[Item]:
        import webdataset

        paths = list(self.paths)
        if self.training:
            random.Random(f"{seed} {epoch}").shuffle(paths)
        stages = [webdataset.SimpleShardList(paths[worker::workers]), webdataset.tarfile_to_samples()]
        if self.training:
            generator = random.Random(f"{seed} {epoch} {worker}")
            stages.append(webdataset.shuffle(SHUFFLED, initial=SHUFFLED // 4, rng=generator))
        if not paths[worker::workers]:
            return
        try:
            for sample in webdataset.DataPipeline(*stages):
                yield self._item(sample)
        except (tarfile.TarError, OSError, EOFError) as error:
            # webdataset adds the shard to the arguments of the error.
            shard = next((path for path in reversed(error.args) if path in self.paths), "a shard")
            raise UnreadableData(f"{shard}: damaged ({error.args[0] if error.args else error})") from None

    def _item(self, sample: dict[str, Any]) -> Item:
        name = f"{sample['__key__']} of {sample['__url__']}"
        content = next((sample[extension] for extension in EXTENSIONS if extension in sample), None)
        if content is None:
            raise UnreadableData(f"{name}: has no image (one of {', '.join(EXTENSIONS)})")
        try:
            target = json.loads(sample["json"])[self.label] if self.label else sample["cls"]
            return name, content, int(target)
        except (KeyError, TypeError, ValueError):
            where = f"json field {self.label}" if self.label else "cls file"
            raise UnreadableData(f"{name}: its {where} holds no number of a class") from None


def open_shards(
    data: str,
    split: str,
    transform: Callable | None,
    mode: str,
    seed: int,
    training: bool,
    classes: Sequence[str] | None,
    num_classes: int | None,
) -> StreamedImages:
    """The shards of a split in webdataset's format.

    Args:
        split: a name in ``_info.json``, or shards with their number of images: ``train-{0000..0015}.tar|100000``.

    Raises:
        UserError: if the split or a shard is missing, or the classes or the number of training images are unknown.
    """
    try:
        reader = create_dataset("wds/", root=data, split=split).reader
    except (RuntimeError, KeyError, ValueError):
        splits = ", ".join(_info(data).get("splits", {})) or "none"
        raise UserError(
            f"{data}: no split {split} in _info.json (there: {splits}); "
            "name it, or the shards and their number of images: 'train-{0000..0015}.tar|100000'"
        ) from None
    paths = [os.path.join(data, name) for name in reader.split_info.filenames]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise UserError(f"{missing[0]}: no such shard")
    for path in paths:
        if path.endswith(".tar") and not _is_whole(path):
            raise UserError(f"{path}: cut off, it does not end as a tar file does: copy it again")
    if training and not reader.num_samples:
        raise UserError(f"{data}: the number of training images is unknown: add it to the shards, '{split}|100000'")
    info = _info(data)
    own_classes = [str(name) for name in info.get("classes") or ()]
    names = settle_classes(data, own_classes, info.get("num_classes"), classes, num_classes)
    return StreamedImages(
        Shards(paths, reader.split_info.alt_label, training),
        names,
        length=reader.num_samples or None,
        transform=transform,
        mode=mode,
        seed=seed,
        training=training,
    )


def settle_classes(
    where: str, own_classes: Sequence[str], count: int | None, classes: Sequence[str] | None, num_classes: int | None
) -> list[str]:
    """The classes of a stream.

    Args:
        where: what the errors call the stream.
        own_classes: the names that it has for them, as far as it has any; count: how many it says there are.
        classes: those that a model knows; num_classes: how many its user says there are.

    Raises:
        UserError: if `own_classes` or `count` contradict `classes`, or nobody knows how many there are.
    """
    if own_classes and classes is not None and list(classes) != list(own_classes):
        raise UserError(f"{where}: its classes are {some(own_classes)}, not {some(classes)}")
    if not own_classes and count and classes is not None and len(classes) != count:
        raise UserError(f"{where}: it has {count} classes, not {len(classes)}")
    names = own_classes or classes or range(count or num_classes or 0)
    if not names:
        raise UserError(f"{where}: how many classes there are is unknown: give --num-classes or classes in _info.json")
    return [str(name) for name in names]


def _is_whole(path: str) -> bool:
    """Whether a tar file has its end, two blocks of zeros; where it is cut off between files, no reader notices."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - 1024))
        return stream.read() == bytes(1024)


def _info(data: str) -> dict[str, Any]:
    """The description of a data set in webdataset's format, as far as there is one."""
    for name in ("_info.json", "info.json"):
        path = os.path.join(data, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as stream:
                return json.load(stream)
    return {}


class HuggingFaceStream:
    """The samples of timm's reader of streamed Hugging Face data sets."""

    def __init__(self, reader: Any):
        self.reader = reader
        # Of several processes it would read its own share only, and accelerate would cut that one again.
        reader.dist_rank, reader.dist_num_replicas, reader.global_num_workers = 0, 1, 1

    def __call__(self, seed: int, epoch: int, worker: int, workers: int) -> Iterator[Item]:
        self.reader.set_epoch(epoch)
        position = -1
        try:
            for position, (image, target) in enumerate(self.reader):
                yield f"image {position}", image, int(target)
        except RuntimeError as error:  # fewer shards than workers, for one
            raise UnreadableData(
                f"the stream cannot be read by {workers} workers ({first_line(error)}): lower --workers"
            ) from None
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableData(
                f"the library datasets cannot read image {position + 1} of the stream ({first_line(error)}): --dataset hfds/..., which "
                "is no stream, passes over damaged images"
            ) from None
