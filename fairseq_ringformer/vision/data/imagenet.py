"""Draw some classes and images from a local copy of ImageNet-1K, and write them as folders of class folders."""

import json
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass

from .checking import some

EXTENSIONS = (".jpeg", ".jpg", ".png")
TRAIN_TAR = "ILSVRC2012_img_train.tar"
VALIDATION_FOLDERS = ("val", "validation", "valid")
LIST = "images.json"
# Where the validation images come from.
VAL, HELD_OUT = "val", "train"


@dataclass
class Sample:
    """Which images were drawn.

    Attributes:
        images: class to ``{"train": names, "val": names}``.
        validation_from: ``val``, the source's validation images, or ``train``, training images that are held out.
        too_small: classes that were drawn but have too few images, and how many they have.
    """

    images: dict[str, dict[str, list[str]]]
    validation_from: str
    seed: int | None
    source: str
    too_small: dict[str, int]

    def counts(self) -> dict[str, int]:
        return {split: sum(len(own[split]) for own in self.images.values()) for split in ("train", "val")}

    def write(self, path: str) -> None:
        about = {"classes": len(self.images), **self.counts()}
        with open(path, "w", encoding="utf-8") as stream:
            json.dump({**about, **asdict(self)}, stream, indent=1)
            stream.write("\n")

    @classmethod
    def read(cls, path: str) -> "Sample":
        """Read what :meth:`write` has written.

        Raises:
            ValueError: if it is no such file, or a name in it could lead out of a folder.
        """
        try:
            with open(path, encoding="utf-8") as stream:
                content = json.load(stream)
            images = {
                name: {split: list(own[split]) for split in ("train", "val")} for name, own in content["images"].items()
            }
            sample = cls(images, content["validation_from"], content.get("seed"), content.get("source", ""), {})
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path}: not a list that sample-imagenet has written") from None
        if not images or sample.validation_from not in (VAL, HELD_OUT):
            raise ValueError(f"{path}: not a list that sample-imagenet has written")
        for name, own in images.items():
            for file in (name, *own["train"], *own["val"]):
                if not isinstance(file, str) or file in ("", ".", "..") or os.path.basename(file) != file:
                    raise ValueError(f"{path}: {file!r} is not the name of a class or an image")
            twice = [split for split in own if len(set(own[split])) < len(own[split])]
            if twice:
                raise ValueError(f"{path}: class {name} has an image twice in {twice[0]}")
        return sample


class FolderSource:
    """Class folders of images under ``train/`` and, as far as there are any, under ``val/``; or class folders alone."""

    kind = "folder"

    def __init__(self, root: str):
        train = os.path.join(root, "train")
        self.train = train if os.path.isdir(train) else root
        found = (os.path.join(root, name) for name in VALIDATION_FOLDERS)
        self.val = next((path for path in found if os.path.isdir(path)), None) if self.train == train else None
        self.classes = _folders(self.train)
        if not self.classes:
            raise ValueError(f"{self.train}: no class folders")
        self.has_validation = self.val is not None and bool(_folders(self.val))

    def names(self, cls: str, split: str = "train") -> list[str]:
        """The images of a class, in alphabetical order."""
        folder = os.path.join(self.train if split == "train" else self.val, cls)
        if not os.path.isdir(folder):
            return []
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.lower().endswith(EXTENSIONS))

    def path(self, cls: str, name: str, split: str) -> str:
        """Where an image lies; all validation images may lie in one folder."""
        if split == "val" and self.val is None:
            raise ValueError(f"the list has validation images of val/, and {os.path.dirname(self.train)} has no val/")
        folder = self.train if split == "train" else self.val
        path = os.path.join(folder, cls, name)
        if split == "val" and not os.path.exists(path):
            path = os.path.join(folder, name)
        if not os.path.isfile(path):
            raise ValueError(f"{os.path.join(folder, cls, name)}: no such image")
        return path


class TarSource:
    """The original archive of the training images: a tar file that has one tar file for each class."""

    kind = "tar"
    has_validation = False

    def __init__(self, path: str):
        self.file = path
        try:
            self.outer = tarfile.open(path, "r:")
            self._members = {
                os.path.splitext(os.path.basename(member.name))[0]: member
                for member in self.outer
                if member.isfile() and member.name.endswith(".tar")
            }
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"{path}: damaged tar file ({error}): fetch it again") from None
        self.classes = sorted(self._members)
        if not self.classes:
            raise ValueError(f"{path}: has no tar files of classes; {TRAIN_TAR} is wanted")

    def names(self, cls: str, split: str = "train") -> list[str]:
        """The images of a class, in alphabetical order."""
        with self.open(cls) as archive:
            return sorted(self.members(cls, archive))

    def open(self, cls: str) -> tarfile.TarFile:
        try:
            return tarfile.open(fileobj=self.outer.extractfile(self._members[cls]), mode="r:")
        except (tarfile.TarError, EOFError) as error:
            raise self.damaged(cls, error) from None

    def members(self, cls: str, archive: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
        """The images of a class by name."""
        try:
            found = [member for member in archive if member.isfile() and member.name.lower().endswith(EXTENSIONS)]
        except (tarfile.TarError, EOFError) as error:
            raise self.damaged(cls, error) from None
        return {os.path.basename(member.name): member for member in found}

    def damaged(self, cls: str, error: Exception) -> ValueError:
        return ValueError(f"{self.file}: the tar file of {cls} in it is damaged ({error}): fetch it again")


def open_source(path: str):
    """The images under `path`: a folder, the original tar file, or the folder that it lies in.

    Raises:
        ValueError: if there are none, or the tar file is damaged.
    """
    if os.path.isfile(path):
        return TarSource(path)
    if not os.path.isdir(path):
        raise ValueError(f"{path}: no such folder or tar file")
    inside = os.path.join(path, TRAIN_TAR)
    return TarSource(inside) if os.path.isfile(inside) else FolderSource(path)


def draw(source, classes: int, train: int, val: int, seed: int, progress: Callable = iter) -> Sample:
    """Draw `classes` classes with `train` and `val` images each.

    Classes are tried in random order, and those with too few images passed over (ImageNet's have 732 to 1,300).
    What is drawn of a class depends on its images and the seed, and is the same from folders and from tar files.

    Raises:
        ValueError: if there are too few classes, or too few that have enough images.
    """
    if len(source.classes) < classes:
        raise ValueError(f"{classes} classes wanted, there are {len(source.classes)}")
    validation_from = VAL if source.has_validation else HELD_OUT
    wanted = train if source.has_validation else train + val
    order = sorted(source.classes)
    random.Random(f"classes {seed}").shuffle(order)
    images: dict[str, dict[str, list[str]]] = {}
    too_small: dict[str, int] = {}
    lacking_validation: list[str] = []
    for name in progress(order):
        if len(images) == classes:
            break
        own = _shuffled(source.names(name), f"{name} {seed}")
        held_out = _shuffled(source.names(name, "val"), f"{name} {seed}") if source.has_validation else own[train:]
        if len(own) < wanted:
            too_small[name] = len(own)
        elif len(held_out) < val:
            lacking_validation.append(name)
        else:
            images[name] = {"train": sorted(own[:train]), "val": sorted(held_out[:val])}
    if len(images) < classes:
        small = [f"{name} has {count}" for name, count in sorted(too_small.items())]
        small += [f"{name} has fewer than {val} validation images" for name in sorted(lacking_validation)]
        raise ValueError(f"{classes} classes of {wanted} images wanted, only {len(images)} have as many: {some(small)}")
    return Sample(dict(sorted(images.items())), validation_from, seed, source.kind, too_small)


def write_images(source, sample: Sample, folder: str, link: str = "", progress: Callable = iter) -> None:
    """Write the images to ``folder/{train,val}/CLASS/NAME``.

    Args:
        link: empty: copy; ``hard`` or ``symbolic``: link to the files of the source, which must be a folder.

    Raises:
        ValueError: if an image of the sample is not in the source.
    """
    if source.kind == "tar" and sample.validation_from == VAL:
        raise ValueError(f"the list has validation images of val/, and {source.file} has training images only")
    put = {"": shutil.copyfile, "hard": os.link, "symbolic": lambda path, to: os.symlink(os.path.realpath(path), to)}
    for name, own in progress(sample.images.items()):
        for split in ("train", "val"):
            os.makedirs(os.path.join(folder, split, name))
        targets = [
            (file, split, os.path.join(folder, split, name, file)) for split in ("train", "val") for file in own[split]
        ]
        if source.kind == "tar":
            _extract(source, name, [(file, to) for file, _, to in targets])
            continue
        for file, split, to in targets:
            origin = split if sample.validation_from == VAL else "train"
            put[link](source.path(name, file, origin), to)


def _extract(source: TarSource, name: str, targets: list[tuple[str, str]]) -> None:
    if name not in source.classes:
        raise ValueError(f"{source.file}: has no class {name}")
    with source.open(name) as archive:
        members = source.members(name, archive)
        absent = next((file for file, _ in targets if file not in members), None)
        if absent:
            raise ValueError(f"{source.file}: class {name} has no image {absent}")
        for file, to in sorted(targets, key=lambda target: members[target[0]].offset):
            try:
                content = archive.extractfile(members[file]).read()
            except (tarfile.TarError, EOFError) as error:
                raise source.damaged(name, error) from None
            with open(to, "wb") as stream:
                stream.write(content)


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _shuffled(names: list[str], seed: str) -> list[str]:
    random.Random(seed).shuffle(names)
    return names
