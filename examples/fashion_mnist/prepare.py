"""Fetch Fashion-MNIST from the Debian package dataset-fashion-mnist, into the layout that torchvision reads."""

import argparse
import datetime
import gzip
import hashlib
import math
import re
import shlex
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for what the examples share

from recipe import steps
from recipe.checks import make_writable
from recipe.errors import exit_status
from recipe.packages import Archive, Package

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.files import write_text

PACKAGE = "dataset-fashion-mnist"
RAW = Path("FashionMNIST/raw")
LICENCE = f"{PACKAGE}.copyright"
PROVENANCE = "PROVENANCE.md"


class Content(NamedTuple):
    """What an unpacked file must be: its sizes (images, height, width; or labels) and its SHA-256."""

    sizes: tuple
    sha256: str


FILES = {
    "train-images-idx3-ubyte": Content(
        (60000, 28, 28), "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte": Content((60000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "t10k-images-idx3-ubyte": Content(
        (10000, 28, 28), "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte": Content((10000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}
archive = Archive()


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prepare.sh", description=__doc__)
    default = Path("data/fashion_mnist")
    parser.add_argument("--output", type=Path, default=default, metavar="DIR", help=f"default: {default}")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keeps the package; default: OUTPUT/packages")
    options = parser.parse_args(argv)
    options.cache = options.cache or options.output / "packages"
    options.command = shlex.join(["prepare.sh", *(sys.argv[1:] if argv is None else argv)])
    return options


def content_errors(content: bytes, expected: Content) -> str:
    """What is wrong with an unpacked file in the IDX format; empty if nothing."""
    dimensions = len(expected.sizes)
    header = struct.pack(f">4B{dimensions}I", 0, 0, 8, dimensions, *expected.sizes)  # 8: unsigned bytes
    if content[: len(header)] != header:
        return f"its header does not announce {' x '.join(map(str, expected.sizes))} bytes"
    length = len(header) + math.prod(expected.sizes)
    if len(content) != length:
        return f"it has {len(content)} bytes, not {length}"
    return "" if hashlib.sha256(content).hexdigest() == expected.sha256 else "its SHA-256 is another"


def unpack(package: Package, options: argparse.Namespace, folder: Path) -> str:
    """Write the four files into `folder`; the package's licence text.

    Raises UserError if a file is missing or not as it must be.
    """
    packed, licence = archive.read(package, options.cache, re.compile(r"^usr/share/datasets/fashion-mnist/.*\.gz$"))
    packed = {Path(path).stem: content for path, content in packed.items()}
    for name, expected in FILES.items():
        if name not in packed:
            raise UserError(f"{package.file} has no {name}.gz: another version of the package than this recipe knows")
        try:
            content = gzip.decompress(packed[name])
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{package.file}: cannot unpack {name}.gz ({error}): delete it and start again") from None
        wrong = content_errors(content, expected)
        if wrong:
            raise UserError(f"{package.file}: {name} is not Fashion-MNIST's ({wrong})")
        (folder / name).write_bytes(content)
    return licence


def provenance(package: Package, command: str) -> str:
    rows = "\n".join(
        f"| {name} | {' x '.join(map(str, content.sizes))} | `{content.sha256}` |" for name, content in FILES.items()
    )
    return (
        "# Where these images come from\n\n"
        f"Fashion-MNIST (Zalando SE, 2017) from the Debian package {package.name} {package.version}\n"
        f"(SHA-256 `{package.sha256}`), fetched on {datetime.date.today().isoformat()} by\n\n    {command}\n\n"
        f"Licence: Expat (MIT), see `{LICENCE}`.\n\n"
        f"| file | bytes | SHA-256 |\n|---|---|---|\n{rows}\n"
    )


def prepare(options: argparse.Namespace) -> None:
    """Fill ``options.output``, unless that is done already."""
    make_writable(options.output, options.cache)

    def build(folder: Path) -> None:
        found = archive.find([PACKAGE])
        if PACKAGE not in found:
            raise UserError(
                f"package {PACKAGE} is in no package list: run 'apt-get update' as root, "
                "or enable Debian's own archive (section main)"
            )
        archive.download(found.values(), options.cache)
        licence = unpack(found[PACKAGE], options, folder)
        # Before the folder appears under its name: once it does, all is done.
        write_text(options.output / LICENCE, licence)
        write_text(options.output / PROVENANCE, provenance(found[PACKAGE], options.command))

    made_from = {name: content.sha256 for name, content in FILES.items()}
    there = [options.output / RAW / name for name in FILES] + [options.output / LICENCE, options.output / PROVENANCE]
    lost = not all(path.is_file() for path in there)
    built = steps.make(options.output / RAW, made_from, build, force=lost)
    steps.say(built, f"60,000 training and 10,000 test images in {options.output}")


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; the exit status."""
    return exit_status(prepare, arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
