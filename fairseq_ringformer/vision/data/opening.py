"""Open a data set by name: folders of class folders, tar files, torchvision's, webdataset's, Hugging Face's."""

import importlib.util
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from PIL import Image
from timm.data import create_dataset

from ...errors import UserError, one_line
from .checking import some
from .files import ClassFolders
from .images import Images
from .pixels import colour, image_mode
from .streams import HuggingFaceStream, StreamedImages, open_shards, settle_classes

SPLITS = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "eval", "evaluation", "test")}
# timm's names for what is read here without torchvision, which converts images in its own way.
FOLDERS = ("image_folder", "folder")
# The packages that the kinds of data sets need beyond this project's own.
NEEDS = {"hfds": "datasets", "hfids": "datasets", "wds": "webdataset"}
KINDS = "nothing (a folder or tar file), torch/NAME, hfds/NAME, hfids/NAME or wds/"


def open_images(
    data: str,
    split: str,
    *,
    dataset: str = "",
    transform: Callable | None = None,
    seed: int = 0,
    training: bool = False,
    channels: int = 3,
    background: str = "white",
    classes: Sequence[str] | None = None,
    num_classes: int | None = None,
) -> Images | StreamedImages:
    """Open one split of a data set.

    Args:
        data: the folder or tar file.
        split: ``train`` or ``validation``, or what the data set calls it; empty: `data` has no splits.
        dataset: what it is, in timm's words: empty, ``torch/fashion_mnist``, ``wds/``, ``hfds/NAME``, ``hfids/NAME``.
        transform: from a PIL image to what the model reads; by default the samples have PIL images.
        seed: of the random choices of `transform`, and of the order of streamed sets.
        training: whether another image takes the place of a damaged one, and streamed sets are shuffled.
        channels: 1 reads grey images, 3 colour.
        background: what shows through transparent pixels.
        classes: the names in order of their targets, of which the data set may lack some; by default its own.
        num_classes: of a streamed set that tells neither names nor number.

    Raises:
        UserError: if there is no such data set, or it has no images, or classes that are not in `classes`.
    """
    mode = image_mode(channels)
    colour(background)
    kind, slash, name = dataset.partition("/")
    kind = kind.lower()
    if kind == "torch" and name.lower() in FOLDERS:
        dataset = kind = ""
    if dataset and (not slash or kind not in ("torch", *NEEDS) or not (name or kind == "wds")):
        raise UserError(f"--dataset {dataset}: no such data set; known are {KINDS}")
    needed = NEEDS.get(kind)
    if needed and importlib.util.find_spec(needed) is None:
        raise UserError(f"--dataset {dataset} needs the package {needed}: run 'pip install {needed}'")
    if kind in ("", "torch", "wds") and not os.path.exists(data):
        raise UserError(f"{data}: no such folder" + ("" if kind else " or tar file"))
    read: dict[str, Any] = dict(mode=mode, background=background, seed=seed, training=training)
    if kind == "wds":
        shards, names, length = open_shards(data, split, training, classes, num_classes)
        return StreamedImages(shards, names, length, transform, **read)
    if kind == "hfids":
        reader = _loaded(dataset, data, split, is_training=training, seed=seed, input_img_mode="").reader
        names = settle_classes(f"--dataset {dataset}", _names(reader.class_to_idx or {}), None, classes, num_classes)
        return StreamedImages(HuggingFaceStream(reader), names, reader.num_samples, transform, **read)
    if not kind:
        folders = ClassFolders(find_split(data, split), classes)
        return Images(folders, folders.classes, transform, **read)
    if kind == "hfds":
        source: Any = HuggingFace(_loaded(dataset, data, split).reader)
    else:
        source = Torchvision(_of_torchvision(dataset, data, split))
    if not len(source):
        raise UserError(f"{data}: no images for split {split}")
    names = source.classes()
    if classes is not None and list(classes) != names:
        raise UserError(f"--dataset {dataset}: its classes are {some(names)}, not {some(classes)}")
    return Images(source, names, transform, **read)


class HuggingFace:
    """A data set of the library `datasets`, by timm's reader of it."""

    def __init__(self, reader: Any):
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def load(self, index: int) -> tuple[Any, int]:
        return self.reader[index]

    def name(self, index: int) -> str:
        return self.reader.filename(index, absolute=True) or f"image {index}"

    def classes(self) -> list[str]:
        return _names(self.reader.class_to_idx) or _numbered(self.reader.iter_targets())


class Torchvision:
    """A data set of torchvision."""

    def __init__(self, dataset: Any):
        self.dataset = dataset
        if hasattr(dataset, "loader"):
            dataset.loader = _opened  # its own throws away how an image lies, and what is transparent

    def __len__(self) -> int:
        return len(self.dataset)

    def load(self, index: int) -> tuple[Any, int]:
        return self.dataset[index]

    def name(self, index: int) -> str:
        samples = getattr(self.dataset, "samples", None)
        return samples[index][0] if samples else f"image {index}"

    def classes(self) -> list[str]:
        known = getattr(self.dataset, "classes", [])
        if known and isinstance(known[0], tuple):  # ImageNet's: several names of each, some of them of two classes
            return [", ".join(names) for names in known]
        names = _names(getattr(self.dataset, "class_to_idx", {})) or list(map(str, known))
        return names or _numbered(self.dataset[index][1] for index in range(len(self)))


def _opened(path: str) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def _numbered(targets: Iterable[int]) -> list[str]:
    """The classes of a data set that has no names for them."""
    return [str(target) for target in range(max(map(int, targets)) + 1)]


def _names(targets: dict[str, int]) -> list[str]:
    return [str(name) for name, _ in sorted(targets.items(), key=lambda entry: entry[1])]


def _loaded(dataset: str, data: str, split: str, **options: Any) -> Any:
    """A data set of the library `datasets`, which raises what it likes."""
    try:
        return create_dataset(dataset, root=data or None, split=split, **options)
    except Exception as error:
        raise UserError(f"--dataset {dataset}, split {split}: {one_line(error)}") from None


def _of_torchvision(dataset: str, data: str, split: str) -> Any:
    known = [name for names in SPLITS.values() for name in names]
    if split not in known:
        raise UserError(f"--dataset {dataset} has no split {split}: choose one of {', '.join(known)}")
    # timm passes some sets' split on as it is.
    split = next(name for name, names in SPLITS.items() if split in names)
    try:
        return create_dataset(dataset, root=data, split=split)
    except AssertionError as error:
        raise UserError(f"--dataset {dataset}: {str(error)[0].lower()}{str(error)[1:]}") from None
    except Exception as error:
        # torchvision raises RuntimeError, OSError, ValueError or what the file's decoder does.
        reason = one_line(error).removesuffix(" You can use download=True to download it").rstrip(".")
        raise UserError(f"{data}: --dataset {dataset} cannot be read from here ({reason})") from None


def find_split(data: str, split: str) -> str:
    """The folder or tar file of a split: ``data/SPLIT``, by any of the names that it goes by.

    timm would take `data` itself where there is none, and train and validate on the same images.
    """
    if not split:
        return data
    if os.path.isfile(data):
        raise UserError(f"{data}: a tar file has no splits; give the folder that has train.tar and validation.tar")
    names = next((names for names in SPLITS.values() if split in names), ())
    names = list(dict.fromkeys([split, *names]))
    for name in names:
        for path in (os.path.join(data, name), os.path.join(data, f"{name}.tar")):
            if os.path.exists(path):
                return path
    raise UserError(f"{data}: no split {split}: it has no folder (or tar file) {' or '.join(names)}")
