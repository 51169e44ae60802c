"""Debian binary packages: which version, where from, downloaded once, read without being installed."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from fairseq_ringformer.errors import UserError

_COPYRIGHT = re.compile(r"^usr/share/doc/[^/]+/copyright$")


class Package(NamedTuple):
    """A binary package as the package lists describe it: ``file`` is the name of its .deb."""

    name: str
    version: str
    file: str
    size: int
    sha256: str


def why(result: subprocess.CompletedProcess) -> str:
    """The first error line that apt or dpkg printed."""
    lines = [line for line in result.stderr.splitlines() if line.startswith(("E:", "Err", "dpkg"))]
    return lines[0].removeprefix("E: ").strip() if lines else f"exit status {result.returncode}"


def _is_whole(path: Path, package: Package) -> bool:
    """Whether ``path`` is the complete .deb of ``package``."""
    if not path.is_file() or path.stat().st_size != package.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == package.sha256


class Archive:
    """What apt can fetch from the machine's archives, without root.

    Args:
        otherwise: how to do without packages, for the error texts.
    """

    def __init__(self, otherwise: str = ""):
        self.otherwise = f", {otherwise}" if otherwise else ""

    def run(self, command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess:
        """Run an apt or dpkg command in the C locale; UserError if this machine does not have it."""
        try:
            return subprocess.run(
                command,
                cwd=cwd,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            raise UserError(
                f"{command[0]} is not on this machine: packages need Debian or a relative of it; "
                f"run there{self.otherwise}"
            ) from None

    def _has_lists(self) -> bool:
        """Whether apt knows of any package that it could download."""
        result = self.run(["apt-cache", "dumpavail"])
        return result.returncode == 0 and bool(result.stdout.strip())

    def find(self, names: Iterable[str]) -> dict[str, Package]:
        """Look ``names`` up in the package lists; names that no list has are absent from the answer.

        Raises UserError if there is no apt, or if its package lists are empty.
        """
        # apt-get describes the names it knows and complains about the others; what counts is what it describes.
        # It is silent about a package that lies in the current folder already, hence an empty folder.
        with tempfile.TemporaryDirectory() as empty:
            result = self.run(["apt-get", "download", "--print-uris", *sorted(set(names))], cwd=Path(empty))
        packages: dict[str, Package] = {}
        for file, size, checksum in re.findall(r"^'\S+' (\S+) (\d+) SHA256:(\w+)$", result.stdout, re.MULTILINE):
            name, version = file.split("_")[:2]
            packages[name] = Package(name, unquote(version), file, int(size), checksum)
        if not packages and not self._has_lists():
            raise UserError(f"apt has no package lists: run 'apt-get update' as root{self.otherwise}")
        return packages

    def download(self, packages: Iterable[Package], cache: Path) -> None:
        """Put the .deb of every package into the folder ``cache``; those already there whole are kept.

        Raises UserError if a download fails; what has arrived by then stays for the next attempt.
        """
        missing = [package for package in packages if not _is_whole(cache / package.file, package)]
        if not missing:
            return
        cache.mkdir(parents=True, exist_ok=True)
        needed = sum(package.size for package in missing)
        if shutil.disk_usage(cache).free < needed:
            raise UserError(f"{cache} has no room for {needed / 1e6:.0f} MB of packages: choose another --cache")
        # apt-get writes under the final name, so it works in a folder of this call's own and only whole files leave it.
        with tempfile.TemporaryDirectory(dir=cache, prefix="arriving-") as arriving:
            command = ["apt-get", "download", "-q", *(f"{package.name}={package.version}" for package in missing)]
            result = self.run(command, cwd=Path(arriving))
            for package in missing:
                if _is_whole(Path(arriving, package.file), package):
                    os.replace(Path(arriving, package.file), cache / package.file)
        absent = [package.name for package in missing if not (cache / package.file).is_file()]
        if absent:
            raise UserError(
                f"could not download {', '.join(absent[:5])}{' and others' if absent[5:] else ''} ({why(result)}): "
                f"check the network, run 'apt-get update' as root if the lists are old, and start again{self.otherwise}"
            )

    def read(self, package: Package, cache: Path, wanted: re.Pattern) -> tuple[dict[str, bytes], str]:
        """The files of a downloaded package whose path ``wanted`` finds a match in, and its copyright file.

        The files come as path -> content; paths have no leading slash (``usr/share/...``), links and folders
        are left out. The copyright text is empty if the package has none of its own, only a link.
        Raises UserError if the package cannot be unpacked.
        """
        files: dict[str, bytes] = {}
        copyright_text = b""
        command = ["dpkg-deb", "--fsys-tarfile", str(cache / package.file)]
        try:
            with (
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
                tarfile.open(fileobj=process.stdout, mode="r|") as archive,
            ):
                for member in archive:
                    path = member.name.removeprefix("./")
                    if member.isfile() and _COPYRIGHT.search(path):
                        copyright_text = archive.extractfile(member).read()
                    elif member.isfile() and wanted.search(path):
                        files[path] = archive.extractfile(member).read()
        except FileNotFoundError:
            raise UserError(f"dpkg-deb is not on this machine: install dpkg{self.otherwise}") from None
        except tarfile.TarError as error:
            raise UserError(f"cannot unpack {cache / package.file} ({error}): delete it and start again") from None
        return files, copyright_text.decode("utf-8", errors="replace")
