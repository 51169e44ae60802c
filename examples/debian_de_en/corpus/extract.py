"""From the packages of a source to its aligned pairs, in a folder that says where they come from."""

import json
import sys
from collections import Counter
from pathlib import Path

from corpus import packages as debian
from corpus.catalogue import Source
from corpus.errors import RecipeError
from corpus.pairs import write_pairs

PAIRS = "pairs.jsonl"
ORIGIN = "origin.json"
LICENCES = "licences"


def extract(source: Source, cache: Path, folder: Path) -> None:
    """Fetch the packages of ``source`` into ``cache`` and write its pairs and their origin into ``folder``.

    ``pairs.jsonl`` has the pairs, ``origin.json`` the packages read (name, version, sha256), those that
    could not be found and the counts of what could not be aligned, ``licences/`` the copyright files.
    Raises RecipeError if a package that the source needs is not to be had.
    """
    found = debian.find([*source.packages, *source.optional])
    absent = [name for name in source.packages if name not in found]
    if absent:
        raise RecipeError(
            f"package {absent[0]}, needed for {source.name}, is in no package list: "
            f"run 'apt-get update' as root, or enable a Debian archive that has it"
        )
    left_out = [name for name in source.optional if name not in found]
    if left_out:
        print(f"warning: {source.name} goes without {', '.join(left_out)}: not in the package lists", file=sys.stderr)
    debian.download(found.values(), cache)

    skipped: Counter = Counter()
    files = {name: debian.read(package, cache, source.wanted) for name, package in found.items()}
    write_pairs(folder / PAIRS, source.align(files, skipped))
    origin = {
        "packages": [
            {"name": p.name, "version": p.version, "sha256": p.sha256, "files": len(files[p.name])}
            for p in found.values()
        ],
        "left out": left_out,
        "skipped": dict(skipped),
    }
    (folder / ORIGIN).write_text(json.dumps(origin, indent=1), encoding="utf-8")
    (folder / LICENCES).mkdir()
    for package in found.values():
        text = debian.copyright_of(package, cache)
        if text:
            (folder / LICENCES / f"{package.name}.copyright").write_text(text, encoding="utf-8")
