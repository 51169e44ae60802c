"""From verified archives to the text of the three splits, one pair at a time."""

import itertools
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fairseq_ringformer.errors import UserError
from wmt14.catalogue import CORPORA, LANGUAGES, Corpus
from wmt14.clean import Cleaner, Limits
from wmt14.sgm import read_pairs

COUNTS = "counts.json"


def unpack(archive: Path, wanted: Mapping[str, Path]) -> None:
    """Write members of a gzipped tar to files, in one pass over it; ``wanted`` maps a member's path to a file.

    Raises UserError if the archive is broken or lacks a member.
    """
    missing = dict(wanted)
    try:
        with tarfile.open(archive, mode="r|gz") as tar:
            for member in tar:
                target = missing.get(member.name.removeprefix("./"))
                if target is None or not member.isfile():
                    continue
                with target.open("wb") as stream:
                    shutil.copyfileobj(tar.extractfile(member), stream, 1 << 20)
                del missing[member.name.removeprefix("./")]
                if not missing:
                    return
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is broken ({error}): delete it and start again") from None
    raise UserError(f"{archive} has no {next(iter(missing))}: not the archive that WMT published")


def line_pairs(german: Path, english: Path, names: tuple[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """The lines of two files side by side, cut at line feeds alone; UserError if one has more of them."""
    with german.open("rb") as first, english.open("rb") as second:
        for number, pair in enumerate(itertools.zip_longest(first, second)):
            if None in pair:
                raise UserError(
                    f"{names[pair.index(None)]} ends at line {number}, the other side goes on: "
                    "not the files that WMT published"
                )
            yield pair


def make_splits(archives: Mapping[str, Path], folder: Path, limits: Limits, drop_duplicates: bool) -> None:
    """Write {train,valid,test}.{de,en} and the counts of every corpus into ``folder``.

    ``archives`` maps the names of the catalogue to files. Training text is cleaned, the rest only loses superfluous
    white space. Raises UserError if an archive is not as it must be.
    """
    counts: dict[str, dict] = {}
    cleaner = Cleaner(limits, drop_duplicates)
    # The small sets first: training pairs are compared with them, and what is wrong with them shows early.
    for corpus in sorted(CORPORA, key=lambda corpus: corpus.split == "train"):
        files = tuple(folder / f"{corpus.name}.{language}" for language in LANGUAGES)
        unpack(archives[corpus.archive], dict(zip(corpus.members, files, strict=True)))
        counts[corpus.name] = {"split": corpus.split}
        if corpus.split == "train":
            pairs = cleaner.clean(line_pairs(*files, corpus.members), counts[corpus.name])
        else:
            pairs = read_pairs(*(file.read_bytes() for file in files), corpus.members)
            cleaner.hold_out(pairs)
            counts[corpus.name] |= {"read": len(pairs), "kept": len(pairs), "dropped": {}}
        append(folder, corpus, pairs)
        for file in files:
            file.unlink()
    ordered = {corpus.name: counts[corpus.name] for corpus in CORPORA}
    (folder / COUNTS).write_text(json.dumps(ordered, indent=1), encoding="utf-8")


def append(folder: Path, corpus: Corpus, pairs: Iterable[tuple[str, str]]) -> None:
    """Append the pairs of ``corpus`` to the text of its split."""
    with (
        (folder / f"{corpus.split}.de").open("a", encoding="utf-8", newline="\n") as german,
        (folder / f"{corpus.split}.en").open("a", encoding="utf-8", newline="\n") as english,
    ):
        for pair in pairs:
            german.write(pair[0] + "\n")
            english.write(pair[1] + "\n")
