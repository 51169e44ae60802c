"""Tiny images in class folders and tar files, for tests."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: int = 12, mode: str = "RGB") -> Image.Image:
    """An image of random pixels, size x size."""
    shape = (size, size) if mode == "L" else (size, size, len(mode))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode)


def encoded(seed: int, size: int = 12, mode: str = "RGB", format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    picture(seed, size, mode).save(stream, format)
    return stream.getvalue()


def write_folder(
    folder: Path,
    classes: Sequence[str] = ("cat", "dog"),
    count: int = 4,
    size: int = 12,
    mode: str = "RGB",
    extension: str = "png",
    seed: int = 0,
) -> Path:
    """Write folder/CLASS/NUMBER.png, `count` in each class; every image is another one. Returns `folder`."""
    format = {"png": "PNG", "jpg": "JPEG", "JPEG": "JPEG"}[extension]
    for target, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            content = encoded(seed + 1000 * target + number, size, mode, format)
            (folder / name / f"{number}.{extension}").write_bytes(content)
    return folder


def write_splits(folder: Path, train: int = 8, validation: int = 4, **options) -> Path:
    """Write folder/train and folder/validation with so many images in each class. Returns `folder`."""
    write_folder(folder / "train", count=train, **options)
    write_folder(folder / "validation", count=validation, **{"seed": 500, **options})
    return folder


def write_tar(path: Path, files: dict) -> Path:
    """Write a tar file of name -> bytes, in that order. Returns `path`."""
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def damage(path: Path) -> Path:
    """Cut the file off in the middle. Returns `path`."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path
