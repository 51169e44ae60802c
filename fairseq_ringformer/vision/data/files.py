"""Images in class folders, or in a tar file of them: which files are images, of which class, and where their bytes are."""

import os
import posixpath
import re
import tarfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...errors import UserError, one_line
from .checking import some
from .pixels import Damaged, begins_as_image, decode, extensions, fault

BEGINNING = 1 << 20  # bytes by which a file of an unknown ending is told


class Stored(NamedTuple):
    """Bytes of a file: all of them, or the member of a tar file that begins at `offset`."""

    path: str
    offset: int = 0
    size: int = -1

    def read(self, most: int = -1) -> bytes:
        """All of it, or no more than `most` bytes."""
        size = self.size if most < 0 else most if self.size < 0 else min(most, self.size)
        with open(self.path, "rb") as stream:
            stream.seek(self.offset)
            return stream.read(size)


class Found(NamedTuple):
    """A file or a folder: its name from the root, and where its bytes are; None where it has none that can be read."""

    name: str
    stored: Stored | None = None
    is_folder: bool = False


class ClassFolders:
    """The images of class folders ``CLASS/*``, or of a tar file of such folders or of a tar file for each class.

    Hidden files and folders are no data. An image is what has an ending of Pillow's, or begins as an image does; every
    other file is kept in `others`.

    Args:
        root: the folder or tar file.
        classes: the names in order of their targets, of which there may be fewer here; by default those found.

    Attributes:
        classes: as given or found, in natural order.
        targets: of each image.
        others: names of the files that are no images.

    Raises:
        UserError: if there are no images, images outside class folders, classes that are not in `classes`, two folders
            of one class, or a class folder without a readable image.
    """

    def __init__(self, root: str, classes: Sequence[str] | None = None):
        self.root = root
        found = list(scan(root))
        files = {entry.name: entry.stored for entry in found if not entry.is_folder}
        images = {name: stored for name, stored in files.items() if stored is not None and holds_image(name, stored)}
        self.others = sorted(self.full_name(name) for name in files.keys() - images.keys())
        if not images:
            others = f", but {len(self.others)} other files, such as {self.others[0]}" if self.others else ""
            raise UserError(f"{root}: no images in class folders{others}")
        self._names = sorted(images, key=_natural)
        self._stored = [images[name] for name in self._names]
        folders = [posixpath.dirname(name) for name in self._names]
        self._check(folders, [entry.name for entry in found if entry.is_folder])
        labels = list(map(self._label, folders))
        names = sorted(set(labels), key=_natural)
        self.classes = list(names if classes is None else classes)
        number = {name: target for target, name in enumerate(self.classes)}
        unknown = [name for name in names if name not in number]
        if unknown:
            raise UserError(f"{root} has classes that the model does not have: {some(unknown)}")
        self.targets = [number[label] for label in labels]
        self._require_readable(folders)

    def __len__(self) -> int:
        return len(self._names)

    def full_name(self, name: str) -> str:
        return os.path.join(self.root, name)

    def _label(self, folder: str) -> str:
        """The class of a folder; in an archive, of a tar file of one class, too."""
        label = posixpath.basename(folder)
        return label.removesuffix(".tar") if os.path.isfile(self.root) else label

    def name(self, index: int) -> str:
        """The image's file; in a tar file, the archive's name comes first."""
        return self.full_name(self._names[index])

    def load(self, index: int) -> tuple[bytes, int]:
        """An encoded image and its target."""
        return self._stored[index].read(), self.targets[index]

    def _check(self, folders: list[str], seen: list[str]) -> None:
        """Require that every class is one folder, and every folder without folders in it a class or in one."""
        if "" in folders:
            raise UserError(f"{self.root}: has images outside class folders, such as {self._names[folders.index('')]}")
        of_label: dict[str, str] = {}
        for folder in dict.fromkeys(folders):
            other = of_label.setdefault(self._label(folder), folder)
            if other != folder:
                raise UserError(
                    f"{self.full_name(other)} and {self.full_name(folder)} would be one class, {self._label(folder)}: "
                    "put the images directly into the folders of their classes"
                )
        of_images = set(folders)
        without = set(seen) - of_images - {posixpath.dirname(folder) for folder in (*folders, *seen)}
        empty = sorted(folder for folder in without if of_images.isdisjoint(_above(folder)))
        if empty:
            raise UserError(
                f"{self.full_name(empty[0])}: a class folder without images{_more(empty)}: put some there, or remove it"
            )

    def _require_readable(self, folders: list[str]) -> None:
        """Decode one image of each class, so that none is learned without any."""
        damaged: dict[str, str] = {}
        readable: set[str] = set()
        for index, folder in enumerate(folders):
            if folder in readable:
                continue
            try:
                decode(self.load(index)[0], "L")
                readable.add(folder)
            except (Damaged, OSError) as error:
                if not isinstance(fault(error), Damaged):
                    raise
                damaged.setdefault(folder, f"{self.name(index)} ({fault(error)})")
        without = [folder for folder in damaged if folder not in readable]
        if without:
            raise UserError(
                f"{self.full_name(without[0])}: a class folder without a readable image{_more(without)}; the first is "
                f"{damaged[without[0]]}"
            )


def scan(root: str) -> Iterator[Found]:
    """Every file and folder under a folder or in a tar file that is not hidden, in no order.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        if os.path.isdir(root):
            yield from _in_folder(root, "", ())
            return
        with tarfile.open(root, "r:") as archive:
            yield from _in_archive(archive, root, 0, "")
        if not is_whole(root):
            raise UserError(f"{root}: damaged tar file (cut off, it does not end as a tar file does)")
    except tarfile.TarError as error:
        raise UserError(f"{root}: damaged tar file ({error})") from None
    except OSError as error:
        raise UserError(one_line(error)) from None


def images_in(folder: str) -> tuple[list[str], list[str]]:
    """The paths of the images under `folder`, and those of other files; UserError if it cannot be read."""
    images: list[str] = []
    others: list[str] = []
    for found in scan(folder):
        if not found.is_folder:
            is_image = found.stored is not None and holds_image(found.name, found.stored)
            (images if is_image else others).append(os.path.join(folder, found.name))
    return sorted(images), sorted(others)


def holds_image(name: str, stored: Stored) -> bool:
    """Whether a file is an image, by its name's ending or, if Pillow does not know that, by its first bytes."""
    if posixpath.splitext(name)[1].lower() in extensions():
        return True
    try:
        return begins_as_image(stored.read(BEGINNING))
    except PermissionError:
        return False


def is_visible(name: str) -> bool:
    """Whether neither a file of this name in an archive nor a folder that it lies in is hidden."""
    return not any(part.startswith(".") for part in name.split("/") if part not in (".", ".."))


def is_whole(path: str) -> bool:
    """Whether a tar file has its end, two blocks of zeros; where it is cut off between files, no reader notices."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - 1024))
        return stream.read() == bytes(1024)


def _in_folder(path: str, name: str, above: tuple[str, ...]) -> Iterator[Found]:
    here = os.path.realpath(path)
    if here in above:
        raise UserError(f"{path}: a link to a folder that it lies in: remove it")
    with os.scandir(path) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        inner = posixpath.join(name, entry.name)
        if entry.is_dir():
            yield Found(inner, is_folder=True)
            yield from _in_folder(entry.path, inner, (*above, here))
        else:  # a broken link, or a pipe, has nothing to read
            yield Found(inner, Stored(entry.path) if entry.is_file() else None)


def _in_archive(archive: tarfile.TarFile, path: str, offset: int, name: str) -> Iterator[Found]:
    """What is in an archive that begins at `offset` of the file `path`, and is called `name` there."""
    regular: dict[str, Stored] = {}
    links: list[tuple[str, tarfile.TarInfo]] = []
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # or a million of them stay in memory
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if not parts or not is_visible(member.name):
            continue
        inner = posixpath.join(name, *parts)
        if member.isdir():
            yield Found(inner, is_folder=True)
        elif member.issym() or member.islnk():
            links.append((inner, member))
        elif not member.isreg() or member.issparse():
            yield Found(inner)
        elif inner.lower().endswith(".tar"):
            yield Found(inner, is_folder=True)
            with archive.extractfile(member) as stream, tarfile.open(fileobj=stream, mode="r:") as nested:
                yield from _in_archive(nested, path, offset + member.offset_data, inner)
        else:
            regular[inner] = Stored(path, offset + member.offset_data, member.size)
            yield Found(inner, regular[inner])
    for inner, member in links:
        target = posixpath.join(name if member.islnk() else posixpath.dirname(inner), member.linkname)
        yield Found(inner, regular.get(posixpath.normpath(target)))


def _above(folder: str) -> Iterator[str]:
    while folder := posixpath.dirname(folder):
        yield folder


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _natural(name: str) -> tuple[list[str | int], str]:
    """A key to sort by in which 2 comes before 10, and no two names are equal."""
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
