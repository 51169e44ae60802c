"""Archives from a mirror: taken where they lie or downloaded, resumed where a download broke off, always verified."""

import errno
import hashlib
import os
import shutil
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from fairseq_ringformer.errors import UserError
from wmt14.catalogue import Archive

BLOCK = 1 << 20
TRIES = 5
# Seconds before a lost connection is tried again, and seconds of silence after which it counts as lost.
PAUSE = 3.0
TIMEOUT = 60.0


def fetch(archive: Archive, address: str, cache: Path) -> Path:
    """The verified file of ``archive``: in its place if ``address`` is a path or a file:// URL, else in ``cache``.

    ``cache`` gets the layout of a mirror. Raises UserError if the file cannot be had, or is another one.
    """
    path = local_path(address)
    if path is not None:
        if not path.is_file():
            raise UserError(f"no archive {path}: a mirror holds {archive.name} and the others in this layout")
        verify(path, archive, "replace it, or give the mirror's own sums with --checksums FILE")
        return path
    again = "delete it and start again, or give the mirror's own sums with --checksums FILE"
    path = cache / archive.name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        download(address, part, archive.size)
        verify(part, archive, again)
        os.replace(part, path)
    else:
        verify(path, archive, again)
    return path


def local_path(address: str) -> Path | None:
    """The path that ``address`` is or that its file:// URL stands for; None for other URLs."""
    if "://" not in address:
        return Path(address)
    parts = urlsplit(address)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None


def verify(path: Path, archive: Archive, what_to_do: str) -> None:
    """Raise UserError, which says ``what_to_do``, unless ``path`` has the size and the checksum of ``archive``."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        raise UserError(f"{path} has {size:,} bytes, not the {archive.size:,} of {archive.name}: {what_to_do}")
    with path.open("rb") as stream:
        checksum = hashlib.file_digest(stream, archive.algorithm).hexdigest()
    if checksum != archive.checksum:
        raise UserError(
            f"{path} is not {archive.name} ({archive.algorithm} {checksum[:12]}..., not {archive.checksum[:12]}...): "
            f"{what_to_do}"
        )


def download(url: str, part: Path, size: int | None) -> None:
    """Complete the file ``part`` from ``url``, from where it stops; ``size`` is what it will have, if that is known.

    A lost connection is tried again. Raises UserError if the file cannot be completed; what has arrived stays.
    """
    for remaining in reversed(range(TRIES)):
        have = part.stat().st_size if part.exists() else 0
        if size is not None and have >= size:
            return
        if size is not None and shutil.disk_usage(part.parent).free < size - have:
            raise _no_room(part)
        try:
            _append(url, part, have)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416 and have:  # nothing behind what is there: the checksum decides
                return
            problem, again = f"HTTP {error.code} {error.reason}", error.code >= 500
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise _no_room(part) from None
            problem = str(getattr(error, "reason", error)) or type(error).__name__
            # A connection that gave nothing is hardly mended by waiting.
            again = part.exists() and part.stat().st_size > have
        if not again or not remaining:
            break
        time.sleep(PAUSE)
    kept = part.stat().st_size if part.exists() else 0
    resume = f"{kept:,} bytes are in {part}, the same command goes on from there; " if kept else ""
    raise UserError(f"cannot fetch {url} ({problem}): {resume}check the network, or name another place with --mirror")


def _no_room(part: Path) -> UserError:
    return UserError(f"{part.parent} has no room for {part.name.removesuffix('.part')}: choose another --cache")


def _append(url: str, part: Path, have: int) -> None:
    """Append to ``part`` what ``url`` has behind the first ``have`` bytes; all of it if the server only sends all."""
    headers = {"User-Agent": "fairseq-ringformer"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status == 206 and not resumed:
            raise ConnectionError("the server sent another range than the one asked for")
        announced = response.headers.get("Content-Length")
        start = have if resumed else 0
        total = start + int(announced) if announced else None
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=None, leave=False)
        with part.open("ab" if resumed else "wb") as stream, bar:
            while block := response.read(BLOCK):
                stream.write(block)
                bar.update(len(block))
    # http.client ends a cut body without a word when it is read in blocks.
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"connection lost at {part.stat().st_size:,} of {total:,} bytes")
