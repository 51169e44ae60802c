"""Sequence-level distillation (arXiv 1606.07947): a prepared set whose training targets are a teacher's translations."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..export.checkpoints import split_paths
from ..files import digest_of_files, locked, read_lines, whole_folder, write_text
from .prepared import RECIPE, PreparedData
from .preprocessing import preprocess
from .subwords import build_codec
from .translator import Translator

# Sources that are translated, and written, at a time. Batches never cross these bounds: so a set that was interrupted is
# made of the same batches, and is the same to the last bit.
CHUNK = 2048
TRAIN, OTHERS = "train", ("valid", "test")
PROVENANCE = "PROVENANCE.md"


@dataclass(frozen=True)
class Teaching:
    """How a teacher translates.

    Attributes:
        teacher: where it lies, as ``ringformer distill --teacher`` takes it.
        beam: width of its beam.
        lenpen: exponent of the length that its scores are divided by.
        with_original: whether the original pairs stay, before the distilled ones.
        engine: what runs it.
    """

    teacher: str
    beam: int
    lenpen: float
    with_original: bool
    engine: str


def distill(translator: Translator, data: PreparedData, output: Path, teaching: Teaching, progress: Any = iter) -> int:
    """Write `data` with its training sources' translations for targets; all else, dictionaries included, is the same.

    Translations gather in a folder beside `output`, so that a run that was interrupted goes on; `output` appears at the end.

    Args:
        translator: the teacher; it translates each source whole.
        progress: wraps the iterable of chunks, and shows how many of them are done.

    Returns:
        training pairs written.

    Raises:
        UserError: if the teacher translates other languages, the interrupted run was another, another run writes `output`, or
            fairseq refuses the text.
    """
    if translator.languages != data.languages:
        raise UserError(
            f"{teaching.teacher} translates {' to '.join(translator.languages)}, {data.folder} is {' to '.join(data.languages)}"
        )
    sources, originals = data.text(TRAIN)
    gathering = Path(f"{output}.distilling")
    gathering.mkdir(exist_ok=True)
    with locked(gathering / ".lock", f"another run writes {output}: wait for it, or choose another folder"):
        begun = _begin(gathering, data, teaching)
        for chunk in progress(list(_missing(begun, len(sources)))):
            translated = translator.translate(sources[chunk], beam=teaching.beam, lenpen=teaching.lenpen, scores=False)
            with open(begun, "a", encoding="utf-8", newline="\n") as stream:
                stream.writelines(f"{' '.join(line.text.split())}\n" for line in translated)
                stream.flush()
                os.fsync(stream.fileno())
        pairs = list(zip(sources, read_lines(begun), strict=True))
        if teaching.with_original:
            pairs = [*zip(sources, originals, strict=True), *pairs]
        pairs = [pair for pair in pairs if all(text.strip() for text in pair)]
        with whole_folder(output) as folder:
            _write(Path(folder), data, teaching, pairs)
        shutil.rmtree(gathering)
    return len(pairs)


def holds_distilled(folder: str) -> bool:
    """Whether `folder` is as :func:`distill` writes it, and nothing else is in it."""
    try:
        details = PreparedData.read(Path(folder)).details
    except UserError:
        return False
    own = {RECIPE, PROVENANCE, "raw", "sub", "bin", "licences", details.get("bpe_model")}
    return "distilled" in details and own.issuperset(os.listdir(folder))


def _begin(gathering: Path, data: PreparedData, teaching: Teaching) -> Path:
    """The file of the translations so far, which belong to the same work."""
    files = digest_of_files([*_files(teaching.teacher), data.files(TRAIN)[0]])
    work = json.dumps(
        {"data": os.path.abspath(data.folder), "files": files, **vars(teaching), "with_original": None}, indent=1
    )
    said = gathering / "work.json"
    if said.exists() and said.read_text(encoding="utf-8") != work:
        raise UserError(
            f"{gathering} holds what another teacher, search or data began: finish that, or delete the folder"
        )
    write_text(said, work)
    return gathering / "translations"


def _files(teacher: str) -> list[Path]:
    """What an exported teacher, a checkpoint or an ensemble of several is read from."""
    if os.path.isdir(teacher):
        return sorted(path for path in Path(teacher).iterdir() if path.is_file())
    return list(map(Path, split_paths(teacher)))


def _missing(begun: Path, count: int) -> Iterator[slice]:
    """Chunks of `count` sources that are not translated; what is there of one that was cut off is taken away."""
    whole = 0
    if begun.exists():
        with open(begun, "r+b") as stream:
            lines = stream.readlines()
            whole = sum(line.endswith(b"\n") for line in lines)
            whole = whole if whole == count else whole // CHUNK * CHUNK
            stream.truncate(sum(map(len, lines[:whole])))
    for start in range(whole, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))


def _write(folder: Path, data: PreparedData, teaching: Teaching, pairs: list[tuple[str, str]]) -> None:
    raw, sub, binary = (folder / name for name in ("raw", "sub", "bin"))
    # All may lie in one folder, beside what is no text.
    natural = [f"{subset}.{language}" for subset in OTHERS for language in data.languages]
    _copy(data.raw, raw, natural)
    _copy(data.binary, binary, ["dict.*.txt", *(f"{subset}.*.*.*" for subset in OTHERS)])
    if "sub" in data.details:
        _copy(data.folder / data.details["sub"], sub, natural)
    sub.mkdir(exist_ok=True)
    subwords = replace(data.subwords, normalisation=None)  # this text is as the recipe left it
    for language, other, lines in zip(data.languages, reversed(data.languages), zip(*pairs)):
        _write_lines(raw / f"{TRAIN}.{language}", lines)
        _write_lines(sub / f"{TRAIN}.{language}", map(build_codec(subwords, language, other).encode, lines))
    _binarise(sub / TRAIN, data, binary)
    if (data.folder / "licences").is_dir():
        shutil.copytree(data.folder / "licences", folder / "licences")
    details = data.details | {"raw": raw.name, "sub": sub.name, "bin": binary.name, "distilled": vars(teaching)}
    details |= data.subwords.save(str(folder))
    write_text(folder / RECIPE, json.dumps(details, indent=2, ensure_ascii=False) + "\n")
    came_from = data.folder / PROVENANCE
    before = came_from.read_text(encoding="utf-8") if came_from.exists() else "# Where this text comes from\n"
    write_text(folder / PROVENANCE, f"{before.rstrip()}\n\n{_provenance(teaching)}")


def _copy(before: Path, after: Path, patterns: Iterable[str]) -> None:
    after.mkdir()
    for pattern in patterns:
        for path in before.glob(pattern):
            shutil.copy(path, after)


def _provenance(teaching: Teaching) -> str:
    original = "the original pairs, and then " if teaching.with_original else ""
    return (
        f"## Distilled\n\nThe training text is {original}its sources with what {teaching.teacher} made of them ({teaching.engine}, "
        f"beam {teaching.beam}, length penalty {teaching.lenpen:g}): machine translations. Validation and test text is untouched.\n"
    )


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def _binarise(prefix: Path, data: PreparedData, folder: Path) -> None:
    """fairseq's own preprocessing of training text, with the dictionaries of `data`."""
    source, target = data.languages
    options = ["--source-lang", source, "--target-lang", target, "--trainpref", str(prefix), "--destdir", str(folder)]
    options += [f"--srcdict={data.binary / f'dict.{source}.txt'}", f"--tgtdict={data.binary / f'dict.{target}.txt'}"]
    preprocess(options)
    (folder / "preprocess.log").unlink(missing_ok=True)  # of folders that are gone
