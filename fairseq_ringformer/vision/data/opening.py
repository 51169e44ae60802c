"""Open a data set by name: folders of class folders, tar files, torchvision's, webdataset's, Hugging Face's."""

import importlib.util
import os
import tarfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy
from timm.data import create_dataset

from ...errors import UserError
from .checking import first_line, some
from .images import Images
from .streams import HuggingFaceStream, StreamedImages, open_shards, settle_classes
from .transforms import image_mode

SPLITS = {"train": ("train", "training"), "validation": ("validation", "valid", "val", "eval", "evaluation", "test")}
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
        classes: the names in order of their targets, of which the data set may lack some; by default its own.
        num_classes: of a streamed set that tells neither names nor number.

    Raises:
        UserError: if there is no such data set, or it has no images, or classes that are not in `classes`.
    """
    mode = image_mode(channels)
    kind, slash, name = dataset.partition("/")
    kind = kind.lower()
    if dataset and (not slash or kind not in ("torch", *NEEDS) or not (name or kind == "wds")):
        raise UserError(f"--dataset {dataset}: no such data set; known are {KINDS}")
    needed = NEEDS.get(kind)
    if needed and importlib.util.find_spec(needed) is None:
        raise UserError(f"--dataset {dataset} needs the package {needed}: run 'pip install {needed}'")
    if kind in ("", "torch", "wds") and not os.path.exists(data):
        raise UserError(f"{data}: no such folder" + ("" if kind else " or tar file"))
    if kind == "wds":
        return open_shards(data, split, transform, mode, seed, training, classes, num_classes)
    if kind == "hfids":
        reader = _loaded(dataset, data, split, is_training=training, seed=seed, input_img_mode=mode).reader
        names = settle_classes(f"--dataset {dataset}", _names(reader.class_to_idx or {}), None, classes, num_classes)
        length = reader.num_samples
        return StreamedImages(HuggingFaceStream(reader), names, length, transform, mode, seed=seed, training=training)
    if kind == "hfds":
        source = _loaded(dataset, data, split)
        names = _names(source.reader.class_to_idx)
    elif kind == "torch":
        source = _of_torchvision(dataset, data, split)
        names = _names(getattr(source, "class_to_idx", {})) or list(map(str, getattr(source, "classes", [])))
    else:
        source, names = _of_files(data, split, classes)
    if not len(source):
        raise UserError(f"{data}: no images for split {split}")
    if kind and not names:
        targets = source.reader.iter_targets() if kind == "hfds" else (source[index][1] for index in range(len(source)))
        names = [str(target) for target in range(max(map(int, targets)) + 1)]
    if kind and classes is not None and list(classes) != names:
        raise UserError(f"--dataset {dataset}: its classes are {some(names)}, not {some(classes)}")
    return Images(source, names, transform, mode=mode, seed=seed, training=training)


def _names(targets: dict[str, int]) -> list[str]:
    return [str(name) for name, _ in sorted(targets.items(), key=lambda entry: entry[1])]


def _loaded(dataset: str, data: str, split: str, **options: Any) -> Any:
    """A data set of the library `datasets`, which raises what it likes."""
    try:
        return create_dataset(dataset, root=data or None, split=split, **options)
    except Exception as error:
        reason = first_line(error)
        raise UserError(f"--dataset {dataset}, split {split}: {reason}") from None


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
        reason = first_line(error)
        reason = reason.removesuffix(" You can use download=True to download it").rstrip(".")
        raise UserError(f"{data}: --dataset {dataset} cannot be read from here ({reason})") from None


def _of_files(data: str, split: str, classes: Sequence[str] | None) -> Any:
    """timm's data set of a folder or tar file, and its classes."""
    root = find_split(data, split)
    try:
        source = create_dataset("", root=root, search_split=False)
    except tarfile.TarError as error:
        raise UserError(f"{root}: damaged tar file ({error})") from None
    except OSError as error:
        raise UserError(f"{error.filename or root}: cannot be read ({error.strerror or error})") from None
    except (RuntimeError, ValueError, AssertionError):
        # timm's own texts are about its readers.
        raise UserError(f"{root}: no images in class folders") from None
    reader = source.reader
    targets = getattr(reader, "class_to_idx", None) or reader.class_name_to_idx
    if isinstance(getattr(reader, "samples", None), list):
        _check_folders(root, [path for path, _ in reader.samples])
    elif "" in targets:
        raise UserError(f"{root}: has images outside class folders")
    names = _names(targets)
    if classes is None:
        return source, names
    unknown = [name for name in names if name not in set(classes)]
    if unknown:
        raise UserError(f"{root} has classes that the model does not have: {some(unknown)}")
    renumbered = [list(classes).index(name) for name in names]
    if isinstance(reader.samples, list):
        reader.samples = [(path, renumbered[target]) for path, target in reader.samples]
    else:
        reader.targets = numpy.array(renumbered)[reader.targets]
    return source, list(classes)


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


def _check_folders(root: str, paths: Sequence[str]) -> None:
    """Require that every class is one folder: timm takes the last folder's name for the class."""
    folders: dict[str, str] = {}
    for folder in dict.fromkeys(map(os.path.dirname, paths)):
        if os.path.normpath(folder) == os.path.normpath(root):
            loose = next(path for path in paths if os.path.dirname(path) == folder)
            raise UserError(f"{root}: has images outside class folders, such as {os.path.basename(loose)}")
        other = folders.setdefault(os.path.basename(folder), folder)
        if other != folder:
            raise UserError(
                f"{other} and {folder} would be one class, {os.path.basename(folder)}: "
                "put the images directly into the folders of their classes"
            )
