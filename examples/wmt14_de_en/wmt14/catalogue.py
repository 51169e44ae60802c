"""What WMT published: archives with their sums, and the members that make up German-English of 2014."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fairseq_ringformer.errors import UserError

LANGUAGES = ("de", "en")
# The folders of a mirror, and where each comes from unless a mirror is named.
PUBLISHED = {year: f"https://www.statmt.org/{year}" for year in ("wmt12", "wmt13", "wmt14")}


class Archive(NamedTuple):
    """An archive: its path in a mirror, the checksum's algorithm and value, its bytes where they are known."""

    name: str
    algorithm: str
    checksum: str
    size: int | None = None


class Corpus(NamedTuple):
    """A German and an English member of an archive, line by line or segment by segment each other's translation."""

    name: str
    split: str
    archive: str
    members: tuple[str, str]


ARCHIVES = {
    archive.name: archive
    for archive in (
        Archive(
            "wmt13/training-parallel-europarl-v7.tgz",
            "sha256",
            "0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7",
            657632379,
        ),
        Archive(
            "wmt13/training-parallel-commoncrawl.tgz",
            "sha256",
            "c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5",
            918311367,
        ),
        Archive(
            "wmt14/training-parallel-nc-v9.tgz",
            "sha256",
            "cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485",
            80418416,
        ),
        Archive("wmt12/test.tgz", "md5", "608232d34ebc4ba2ff70fead45674e47"),
        Archive("wmt13/test.tgz", "md5", "48eca5d02f637af44e85186847141f67"),
        Archive("wmt14/test-full.tgz", "md5", "a8cd784e006feb32ac6f3d9ec7eb389a"),
    )
}

# In the order of the training text. The development sets have no reference files: both sides are sources there.
CORPORA = (
    Corpus(
        "europarl-v7",
        "train",
        "wmt13/training-parallel-europarl-v7.tgz",
        ("training/europarl-v7.de-en.de", "training/europarl-v7.de-en.en"),
    ),
    Corpus(
        "commoncrawl",
        "train",
        "wmt13/training-parallel-commoncrawl.tgz",
        ("commoncrawl.de-en.de", "commoncrawl.de-en.en"),
    ),
    Corpus(
        "news-commentary-v9",
        "train",
        "wmt14/training-parallel-nc-v9.tgz",
        ("training/news-commentary-v9.de-en.de", "training/news-commentary-v9.de-en.en"),
    ),
    Corpus("newstest2012", "valid", "wmt12/test.tgz", ("test/newstest2012-src.de.sgm", "test/newstest2012-src.en.sgm")),
    Corpus("newstest2013", "valid", "wmt13/test.tgz", ("test/newstest2013-src.de.sgm", "test/newstest2013-src.en.sgm")),
    Corpus(
        "newstest2014",
        "test",
        "wmt14/test-full.tgz",
        ("test-full/newstest2014-deen-src.de.sgm", "test-full/newstest2014-deen-ref.en.sgm"),
    ),
)


def addresses(mirror: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Where each archive lies: in ``mirror`` (folder or URL) if one is named, else where WMT12, WMT13, WMT14 say."""
    where = {}
    for name in ARCHIVES:
        year, file = name.split("/")
        base = f"{mirror.rstrip('/')}/{year}" if mirror else environment.get(year.upper()) or PUBLISHED[year]
        where[name] = f"{base.rstrip('/')}/{file}"
    return where


def with_checksums(path: Path) -> dict[str, Archive]:
    """The archives, with the sums that the JSON file ``path`` gives for some or all of them.

    The file maps an archive's path in the mirror to ``{"size": BYTES, "sha256": HEX}``, where ``size`` may be absent
    and ``md5`` stand for ``sha256``. Raises UserError if it cannot be used.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        replaced = {}
        for name, about in given.items():
            algorithm = next(key for key in ("sha256", "md5") if key in about)
            size = about.get("size")
            replaced[name] = Archive(name, algorithm, about[algorithm].lower(), None if size is None else int(size))
    except OSError as error:
        raise UserError(f"--checksums: cannot read {path} ({error.strerror})") from None
    except (ValueError, TypeError, AttributeError, StopIteration):
        raise UserError(
            f'--checksums: {path} is not of the form {{"wmt14/test-full.tgz": {{"size": BYTES, "sha256": HEX}}, ...}}'
        ) from None
    unknown = sorted(replaced.keys() - ARCHIVES.keys())
    if unknown:
        raise UserError(f"--checksums: {path} names {unknown[0]}, which is none of {', '.join(ARCHIVES)}")
    return {**ARCHIVES, **replaced}
