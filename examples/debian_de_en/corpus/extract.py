"""From the packages of a source to its aligned pairs, in a folder that says where they come from."""

import json
import sys
from collections import Counter
from pathlib import Path

from corpus import lists
from corpus import packages as debian
from corpus.catalogue import Source
from corpus.pairs import write_pairs
from fairseq_ringformer.errors import UserError

PAIRS = "pairs.jsonl"
ORIGIN = "origin.json"
LICENCES = "licences"

Texts = dict[str, dict[str, bytes]]


def extract(source: Source, cache: Path, folder: Path) -> None:
    """Fetch the packages of ``source`` into ``cache`` and write its pairs and their origin into ``folder``.

    ``pairs.jsonl`` has the pairs, ``origin.json`` what was read (name, version, SHA-256), the packages that
    could not be found and the counts of what could not be aligned, ``licences/`` the copyright files.
    Raises UserError if something that the source needs is not to be had.
    """
    (folder / LICENCES).mkdir()
    if source.wanted is None:
        texts, origin = _read_lists(cache)
    else:
        texts, origin = _read_packages(source, cache, folder / LICENCES)
    skipped: Counter = Counter()
    write_pairs(folder / PAIRS, source.align(texts, skipped))
    (folder / ORIGIN).write_text(json.dumps({**origin, "skipped": dict(skipped)}, indent=1), encoding="utf-8")


def _read_lists(cache: Path) -> tuple[Texts, dict]:
    """The package descriptions by language and list, and where they come from."""
    fetched = lists.fetch(cache)
    texts: Texts = {language: {} for language in lists.LANGUAGES}
    for descriptions in fetched:
        texts[descriptions.language][descriptions.name] = descriptions.text
    read = [{"name": d.name, "version": "", "sha256": d.sha256, "files": 1} for d in fetched]
    return texts, {"packages": read, "left out": []}


def _read_packages(source: Source, cache: Path, licences: Path) -> tuple[Texts, dict]:
    """The files of the packages of ``source``, and where they come from; the copyright files go to ``licences``."""
    packages = debian.find([*source.packages, *source.optional])
    absent = [name for name in source.packages if name not in packages]
    if absent or not packages:
        raise UserError(
            f"package {(absent or source.optional)[0]}, needed for {source.name}, is in no package list: "
            f"run 'apt-get update' as root, or enable a Debian archive that has it"
        )
    left_out = [name for name in source.optional if name not in packages]
    if left_out:
        print(f"warning: {source.name} goes without {', '.join(left_out)}: not in the package lists", file=sys.stderr)
    debian.download(packages.values(), cache)
    texts: Texts = {}
    for name, package in packages.items():
        texts[name], copyright_text = debian.read(package, cache, source.wanted)
        if copyright_text:
            (licences / f"{name}.copyright").write_text(copyright_text, encoding="utf-8")
    read = [
        {"name": p.name, "version": p.version, "sha256": p.sha256, "files": len(texts[p.name])}
        for p in packages.values()
    ]
    return texts, {"packages": read, "left out": left_out}
