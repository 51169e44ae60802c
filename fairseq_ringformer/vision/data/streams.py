"""Images read in the order of their archives: webdataset's shards and Hugging Face's streams."""

import itertools
import json
import os
import random
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch
from PIL import Image

from ...errors import UserError, one_line
from .checking import some
from .files import is_visible, is_whole
from .images import MAX_DAMAGED, Labelled, Sample, UnreadableData
from .pixels import Damaged, decode, extensions
from .randomness import call_seeded

FIRST = ("jpg", "jpeg", "png", "webp")  # what is the image, where a sample has several
# Images held back to be shuffled, in each worker process.
SHUFFLED = 4096

Item = tuple[str, Any, int]


class StreamedImages(Labelled, torch.utils.data.IterableDataset):
    """Images that come one after another, in an order that depends on seed and epoch.

    Every process reads the whole stream in the same order, divided among its loader's workers only: the processes'
    shares are cut by accelerate (``IterableDatasetShard``), and would be cut twice if the reader did it as well.

    Args:
        source: called with (seed, epoch, worker, workers), gives that worker's (name, bytes or image, target); its
            ``first(count)`` gives some contents.
        length: number of images of an epoch; None if unknown.

    Further arguments as :class:`~.images.Labelled`.
    """

    def __init__(self, source: Any, classes: list[str], length: int | None = None, *args: Any, **kwargs: Any):
        super().__init__(source, classes, *args, **kwargs)
        self.length = length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("the number of images of this stream is unknown")
        return self.length

    def damaged_names(self, damaged: Sequence[int]) -> list[str]:
        """None: damaged images of a stream are only counted, since a position is of one epoch's order."""
        return []

    def peek(self, count: int) -> list[Image.Image]:
        """Some of the images as they are, in colour and upright; none where that would begin the stream."""
        found = []
        for content in self.source.first(count):
            with suppress(Damaged):
                found.append(decode(content, "RGB", self.background))
        return found

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
                image = decode(content, self.mode, self.background)
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
    """The samples of tar files in webdataset's format: ``KEY.jpg`` (or another image) beside ``KEY.cls`` or ``KEY.json``.

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
        stages = [
            webdataset.SimpleShardList(paths[worker::workers]),
            webdataset.tarfile_to_samples(select_files=is_visible),
        ]
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

    def first(self, count: int) -> list[bytes]:
        items = Shards(self.paths[:1], self.label, training=False)(0, 0, 0, 1)
        return [content for _, content, _ in itertools.islice(items, count)]

    def _item(self, sample: dict[str, Any]) -> Item:
        name = f"{sample['__key__']} of {sample['__url__']}"
        field = next((field for field in (*FIRST, *sample) if field in sample and _is_image_field(field)), None)
        if field is None:
            raise UnreadableData(f"{name}: has no image, but {some([field for field in sample if field[:2] != '__'])}")
        content = sample[field]
        try:
            target = json.loads(sample["json"])[self.label] if self.label else sample["cls"]
            return name, content, int(target)
        except (KeyError, TypeError, ValueError):
            where = f"json field {self.label}" if self.label else "cls file"
            raise UnreadableData(f"{name}: its {where} holds no number of a class") from None


def _is_image_field(field: str) -> bool:
    """Whether a sample's field, ``jpg`` or ``front.jpg``, is an image."""
    return f".{field.rpartition('.')[2]}" in extensions()


def open_shards(
    data: str, split: str, training: bool, classes: Sequence[str] | None, num_classes: int | None
) -> tuple[Shards, list[str], int | None]:
    """The shards of a split in webdataset's format, the names of their classes, and the number of images if it is known.

    Args:
        split: a name in ``_info.json``, or shards with their number of images: ``train-{0000..0015}.tar|100000``.

    Raises:
        UserError: if the split or a shard is missing, or the classes or the number of training images are unknown.
    """
    info = _info(data)
    names, count, label = _split(data, split, info)
    # webdataset takes what stands before a colon for a protocol, and "pipe:" for a command to run.
    paths = [os.path.abspath(os.path.join(data, name)) for name in names]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise UserError(f"{missing[0]}: no such shard")
    for path in paths:
        if path.endswith(".tar") and not is_whole(path):
            raise UserError(f"{path}: cut off, it does not end as a tar file does: copy it again")
    if training and not count:
        raise UserError(f"{data}: the number of training images is unknown: add it to the shards, '{split}|100000'")
    own_classes = [str(name) for name in info.get("classes") or ()]
    names = settle_classes(data, own_classes, info.get("num_classes"), classes, num_classes)
    return Shards(paths, label, training), names, count or None


def _split(data: str, split: str, info: dict[str, Any]) -> tuple[list[str], int, str]:
    """The shards of a split, the number of their images (0: unknown), and the json field of the target ("": cls)."""
    from webdataset.shardlists import expand_urls

    splits = info.get("splits") or {}
    if split in splits:
        known = splits[split]
        try:
            names, lengths = list(known["filenames"]), known.get("shard_lengths") or ()
            return names, int(known.get("num_samples") or sum(lengths)), known.get("alt_label") or ""
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{data}: split {split} in _info.json: no filenames, or no numbers of images") from None
    pattern, _, count = split.partition("|")
    if ".tar" not in pattern and ".." not in pattern or (count and not count.isdecimal()):
        raise UserError(
            f"{data}: no split {split} in _info.json (there: {', '.join(splits) or 'none'}); "
            "name it, or the shards and their number of images: 'train-{0000..0015}.tar|100000'"
        )
    names = expand_urls(pattern)
    # A part of a split that the file knows has its field of the target, and its numbers.
    whole = [known for known in splits.values() if set(names) <= set(known.get("filenames") or ())]
    label = whole[0].get("alt_label") or "" if whole else ""
    lengths = dict(zip(whole[0]["filenames"], whole[0].get("shard_lengths") or ())) if whole else {}
    return names, int(count or sum(lengths.get(name, 0) for name in names)), label


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


def _info(data: str) -> dict[str, Any]:
    """The description of a data set in webdataset's format, as far as there is one."""
    for name in ("_info.json", "info.json"):
        path = os.path.join(data, name)
        if os.path.isfile(path):
            try:
                with open(path, encoding="utf-8") as stream:
                    info = json.load(stream)
            except (OSError, ValueError) as error:
                raise UserError(f"{path}: cannot be read ({one_line(error)})") from None
            splits = info.get("splits") or {} if isinstance(info, dict) else None
            if not isinstance(splits, dict) or not all(isinstance(known, dict) for known in splits.values()):
                raise UserError(f"{path}: no description of a data set")
            return info
    return {}


class HuggingFaceStream:
    """The samples of timm's reader of streamed Hugging Face data sets."""

    def __init__(self, reader: Any):
        self.reader = reader
        # Of several processes it would read its own share only, and accelerate would cut that one again.
        reader.dist_rank, reader.dist_num_replicas, reader.global_num_workers = 0, 1, 1

    def first(self, count: int) -> list[Any]:
        return []  # a reader that has begun is of no use to worker processes

    def __call__(self, seed: int, epoch: int, worker: int, workers: int) -> Iterator[Item]:
        self.reader.set_epoch(epoch)
        position = -1
        try:
            for position, (image, target) in enumerate(self.reader):
                yield f"image {position}", image, int(target)
        except RuntimeError as error:  # fewer shards than workers, for one
            raise UnreadableData(
                f"the stream cannot be read by {workers} workers ({one_line(error)}): lower --workers"
            ) from None
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableData(
                f"the library datasets cannot read image {position + 1} of the stream ({one_line(error)}): --dataset hfds/..., which "
                "is no stream, passes over damaged images"
            ) from None
