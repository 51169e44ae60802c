"""Draw a smaller ImageNet from a local copy: by default 100 classes, 1,000 training and 50 validation images of each.

  python examples/imagenet_small/prepare.py /data/imagenet --output data/imagenet_small
  python examples/imagenet_small/prepare.py ILSVRC2012_img_train.tar --output data/imagenet_small --seed 2
  python examples/imagenet_small/prepare.py /data/imagenet --output small --list images.json --link symbolic

The source is a folder with train/CLASS/*.JPEG, the original tar file of the training images, or the folder that this
lies in. Validation images are drawn from the source's val/CLASS/ if it has that, else from the training images, apart
from those drawn for training. OUTPUT/images.json names all images, and --list draws them again.
"""

import argparse
import errno
import json
import os
import random
import shutil
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

sys.path.append(str(Path(__file__).resolve().parents[2]))  # for the package, where it is not installed

from fairseq_ringformer.cli.arguments import check_output_folder, positive
from fairseq_ringformer.errors import UserError, one_line
from fairseq_ringformer.files import whole_folder

EXTENSIONS = (".jpeg", ".jpg", ".png")
TRAIN_TAR = "ILSVRC2012_img_train.tar"
VALIDATION_FOLDERS = ("val", "validation", "valid")
LIST = "images.json"
SPLITS = ("train", "val")
DRAW = {"classes": 100, "train": 1000, "val": 50, "seed": 1}

# What images.json holds under "images": the names of a class's images, by split.
Images = dict[str, dict[str, list[str]]]


def is_image(name: str) -> bool:
    """Whether a file of this name counts; the trainings take hidden ones (macOS's ``._`` ones) for no data."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="prepare.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", metavar="IMAGENET", help="folder or tar file")
    parser.add_argument("--output", required=True, metavar="DIR", help="gets train/, val/ and images.json")
    # No defaults here, so that --list can tell which of them were given.
    parser.add_argument("--classes", type=positive, metavar="N", help="default: 100")
    parser.add_argument("--train", type=positive, metavar="N", help="training images of each class; default: 1000")
    parser.add_argument("--val", type=positive, metavar="N", help="validation images of each class; default: 50")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draw; default: 1")
    parser.add_argument("--list", metavar="FILE", help="take the images that this images.json names")
    parser.add_argument("--link", choices=("hard", "symbolic"), help="link to the source's files instead of copying")
    parser.add_argument("--force", action="store_true", help="replace an earlier draw in the output folder")
    return parser.parse_args(argv)


class Folders:
    """Class folders of images under ``train/`` and, as far as there are any, under ``val/``; or class folders alone."""

    kind = "folder"

    def __init__(self, root: str):
        train = os.path.join(root, "train")
        self.train = train if os.path.isdir(train) else root
        candidates = [os.path.join(root, name) for name in VALIDATION_FOLDERS] if self.train == train else []
        self.val = next(filter(os.path.isdir, candidates), None)
        self.classes = _folders(self.train)
        if not self.classes:
            raise UserError(f"{self.train}: no class folders")
        self.has_validation = self.val is not None and bool(_folders(self.val))

    def names(self, cls: str, split: str) -> list[str]:
        """The images of a class, in alphabetical order."""
        folder = os.path.join(self.val if split == "val" else self.train, cls)
        if not os.path.isdir(folder):
            return []
        return sorted(name for name in os.listdir(folder) if is_image(name))

    def write(self, cls: str, split: str, targets: dict[str, str], link: str | None) -> None:
        """Copy images of a class, or link to them: by name in this source, the paths to write."""
        folder = self.val if split == "val" else self.train
        if folder is None:
            raise UserError(f"the list has validation images of val/, and {os.path.dirname(self.train)} has no val/")
        put = {None: shutil.copyfile, "hard": os.link, "symbolic": os.symlink}[link]
        for name, target in targets.items():
            # All validation images may lie in one folder: the list knows their classes.
            paths = os.path.join(folder, cls, name), *([os.path.join(folder, name)] if split == "val" else [])
            path = next(filter(os.path.isfile, paths), None)
            if path is None:
                raise UserError(f"{paths[0]}: no such image")
            try:
                put(os.path.realpath(path), target)
            except OSError as error:
                if error.errno == errno.EXDEV:
                    raise UserError("hard links cannot lead to another file system: use --link symbolic") from None
                raise


class Tar:
    """The original archive of the training images: a tar file that has one tar file for each class."""

    kind = "tar"
    has_validation = False

    def __init__(self, path: str):
        self.path = path
        with self._reading(path):
            self.outer = tarfile.open(path, "r:")
            members = [member for member in self.outer if member.isfile() and member.name.endswith(".tar")]
        self.members = {os.path.basename(member.name).removesuffix(".tar"): member for member in members}
        self.classes = sorted(self.members)
        if not self.classes:
            raise UserError(f"{path}: has no tar files of classes; {TRAIN_TAR} is wanted")

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, EOFError) as error:
            raise UserError(f"{what}: damaged tar file ({error}): fetch it again") from None

    @contextmanager
    def _open(self, cls: str) -> Iterator[tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]]:
        """The archive of a class, and its images by name."""
        with self._reading(f"{self.path}: {cls}.tar in it"):
            with tarfile.open(fileobj=self.outer.extractfile(self.members[cls]), mode="r:") as archive:
                images = {os.path.basename(member.name): member for member in archive if member.isfile()}
                yield archive, {name: member for name, member in images.items() if is_image(name)}

    def names(self, cls: str, split: str) -> list[str]:
        """The images of a class, in alphabetical order."""
        with self._open(cls) as (_, images):
            return sorted(images)

    def write(self, cls: str, split: str, targets: dict[str, str], link: str | None) -> None:
        """Write images of a class: by name in this source, the paths to write."""
        if split == "val":
            raise UserError(f"the list has validation images of val/, and {self.path} has training images only")
        if cls not in self.members:
            raise UserError(f"{self.path}: has no class {cls}")
        with self._open(cls) as (archive, images):
            absent = sorted(targets.keys() - images.keys())
            if absent:
                raise UserError(f"{self.path}: class {cls} has no image {absent[0]}")
            for name in sorted(targets, key=lambda name: images[name].offset):
                with archive.extractfile(images[name]) as content, open(targets[name], "wb") as stream:
                    shutil.copyfileobj(content, stream)


Source = Folders | Tar


def open_source(path: str) -> Source:
    """The images under `path`: a folder, the original tar file, or the folder that it lies in."""
    if os.path.isfile(path):
        return Tar(path)
    if not os.path.isdir(path):
        raise UserError(f"{path}: no such folder or tar file")
    inside = os.path.join(path, TRAIN_TAR)
    return Tar(inside) if os.path.isfile(inside) else Folders(path)


def draw(source: Source, classes: int, train: int, val: int, seed: int) -> dict[str, Any]:
    """What images.json says of `classes` classes with `train` and `val` images each.

    Classes are tried in random order, and those with too few images passed over (ImageNet's have 732 to 1,300).
    What is drawn of a class depends on its images and the seed, and is the same from folders and from tar files.

    Raises:
        UserError: if there are too few classes, or too few that have enough images.
    """
    if len(source.classes) < classes:
        raise UserError(f"{classes} classes wanted, there are {len(source.classes)}")
    held_out = 0 if source.has_validation else val
    images: Images = {}
    too_small: dict[str, int] = {}
    lacking: list[str] = []
    for name in _bar(_shuffled(source.classes, f"classes {seed}"), "looking at classes"):
        if len(images) == classes:
            break
        of_training = _shuffled(source.names(name, "train"), f"{name} {seed}")
        of_validation = of_training[train:]
        if source.has_validation:
            of_validation = _shuffled(source.names(name, "val"), f"{name} {seed}")
        if len(of_training) < train + held_out:
            too_small[name] = len(of_training)
        elif len(of_validation) < val:
            lacking.append(f"{name} has {len(of_validation)} validation images")
        else:
            images[name] = {"train": sorted(of_training[:train]), "val": sorted(of_validation[:val])}
    if len(images) < classes:
        lacking = [f"{name} has {count}" for name, count in sorted(too_small.items())] + sorted(lacking)
        some = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        raise UserError(
            f"{classes} classes of {train + held_out} images wanted, only {len(images)} have as many: {some}"
        )
    return {
        "classes": len(images),
        "train": classes * train,
        "val": classes * val,
        "images": dict(sorted(images.items())),
        # Of the source's validation images, or of its training images.
        "validation_from": "val" if source.has_validation else "train",
        "seed": seed,
        "source": source.kind,
        "too_small": too_small,
    }


def read_list(path: str) -> dict[str, Any]:
    """What an images.json says.

    Raises:
        UserError: if it is none, or a name in it could lead out of a folder.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            sample = json.load(stream)
        classes = [(name, split, images[split]) for name, images in sample["images"].items() for split in SPLITS]
        if not classes or sample["validation_from"] not in SPLITS:
            raise ValueError
    except OSError as error:
        raise UserError(one_line(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not a list that prepare.py has written") from None
    for cls, split, names in classes:
        for name in (cls, *names):
            if not isinstance(name, str) or name in ("", ".", "..") or os.path.basename(name) != name:
                raise UserError(f"{path}: {name!r} is not the name of a class or an image")
        if len(set(names)) < len(names):
            raise UserError(f"{path}: class {cls} has an image twice in {split}")
    return sample


def prepare(args: argparse.Namespace) -> None:
    """Draw the images, and write them to ``OUTPUT/{train,val}/CLASS/NAME``."""
    given = {name: getattr(args, name) for name in DRAW if getattr(args, name) is not None}
    if args.list and given:
        raise UserError(f"--list says which images: leave --{next(iter(given))} out")
    output, place = os.path.realpath(args.output), os.path.realpath(args.source)
    if os.path.commonpath([output, place]) in (output, place):
        raise UserError(f"--output {args.output} and the source {args.source} lie in each other: choose another output")
    source = open_source(args.source)
    if args.link and isinstance(source, Tar):
        raise UserError(f"--link links to files, and {args.source} is a tar file: leave --link out")
    os.makedirs(os.path.dirname(output), exist_ok=True)
    check_output_folder(args.output, lambda path: set(os.listdir(path)) == {*SPLITS, LIST}, force=args.force)
    sample = read_list(args.list) if args.list else draw(source, **{**DRAW, **given})
    for name, count in sample["too_small"].items() if not args.list else ():
        print(f"class {name} passed over: it has {count} images")
    with whole_folder(output, sync=False) as folder:
        for cls, images in _bar(sample["images"].items(), "writing"):
            for split in SPLITS:
                os.makedirs(os.path.join(folder, split, cls))
                targets = {name: os.path.join(folder, split, cls, name) for name in images[split]}
                source.write(cls, sample["validation_from"] if split == "val" else split, targets, args.link)
        with open(os.path.join(folder, LIST), "w", encoding="utf-8") as stream:
            json.dump(sample, stream, indent=1)
            stream.write("\n")
    train, val = (sum(len(images[split]) for images in sample["images"].values()) for split in SPLITS)
    origin = "training images" if sample["validation_from"] == "train" else "the validation images of the source"
    print(
        f"{len(sample['images'])} classes, {train:,} training images and {val:,} validation images (from {origin}) "
        f"written to {args.output}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the recipe; the exit status."""
    args = parse(argv)
    try:
        prepare(args)
    except (UserError, OSError) as error:
        print(f"prepare.py: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare.py: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def _bar(items: Iterable[Any], description: str) -> Iterable[Any]:
    """A bar where standard error is a terminal."""
    return tqdm(items, desc=description, unit="class", leave=False, disable=None)


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _shuffled(names: Sequence[str], seed: str) -> list[str]:
    order = sorted(names)
    random.Random(seed).shuffle(order)
    return order


if __name__ == "__main__":
    sys.exit(main())
