"""Prepare sequences for fairseq's language models, from Debian packages: English text in sub-words, or DNA base by base."""

import argparse
import gzip
import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [
    str(HERE.parent),
    str(HERE.parent / "debian_de_en"),
]  # what the examples share, and the reader of guides

from corpus import blocks, markup
from corpus.sources import guides
from recipe import steps
from recipe.checks import make_writable
from recipe.errors import exit_status
from recipe.packages import Archive
from recipe.subwords import learn_sentencepiece

from fairseq_ringformer.cli.arguments import positive
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.extras import require
from fairseq_ringformer.files import read_lines, write_text
from fairseq_ringformer.text.preprocessing import preprocess

SPLITS = ("train", "valid", "test")
SIZES = "sizes.json"  # what bits.py divides by
MODEL = "sentencepiece.bpe.model"
# One line is one sample: with its end, as many tokens as --tokens-per-sample has to allow.
BASES = 511

TEXT = ("debian-faq", "debian-handbook", "debian-reference-en", "developers-reference", "installation-guide-amd64")
DNA = ("bowtie-examples",)  # the genome of Escherichia coli 536, RefSeq NC_008253
GENOME = re.compile(r"/genomes/[^/]*\.fna(?:\.gz)?$")


def read_text(files: dict[str, bytes], seed: int) -> dict[str, list[str]]:
    """The blocks of the English pages in `files`, a line each; a twentieth of the pages to valid, and to test."""
    pages = []
    for path, content in sorted(files.items()):
        if guides.language_of(path) == "en" and not path.endswith("-single.html"):
            pages.append([block.text for block in guides.page_blocks(content)])
    random.Random(seed).shuffle(pages)
    held_out = max(1, len(pages) // 20)
    parts = pages[2 * held_out :], pages[:held_out], pages[held_out : 2 * held_out]
    seen: set[str] = set()  # what stands on many pages, menus for one, is kept once, in the training text first
    return {
        split: [line for page in part for line in page if not (line in seen or seen.add(line))]
        for split, part in zip(SPLITS, parts, strict=True)
    }


def read_dna(files: dict[str, bytes], seed: int) -> dict[str, list[str]]:
    """The sequences of the FASTA `files` in lines of :data:`BASES` letters; one line in twenty to valid, and to test."""
    lines = []
    for path, content in sorted(files.items()):
        text = (gzip.decompress(content) if path.endswith(".gz") else content).decode("ascii")
        for record in text.split(">")[1:]:
            sequence = re.sub(r"[^ACGT]", "", "".join(record.splitlines()[1:]).upper())
            lines += [sequence[start : start + BASES] for start in range(0, len(sequence) - BASES + 1, BASES)]
    random.Random(seed).shuffle(lines)
    held_out = max(1, len(lines) // 20)
    return {"train": lines[2 * held_out :], "valid": lines[:held_out], "test": lines[held_out : 2 * held_out]}


def cut_text(raw: dict[str, list[str]], folder: Path, vocabulary: int) -> Callable[[str], str]:
    """Into sub-words of a model that is learnt from the training text and written to `folder`."""
    import sentencepiece

    model = learn_sentencepiece(raw["train"], vocabulary)
    (folder / MODEL).write_bytes(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return lambda line: " ".join(processor.encode(line, out_type=str))


def cut_dna(raw: dict[str, list[str]], folder: Path, vocabulary: int) -> Callable[[str], str]:
    """Into letters."""
    return " ".join


KINDS = {
    "text": (
        TEXT,
        guides.WANTED,
        read_text,
        cut_text,
        lambda lines: sum(len(line.encode()) + 1 for line in lines),
        "byte",
    ),
    "dna": (DNA, GENOME, read_dna, cut_dna, lambda lines: sum(map(len, lines)), "base"),
}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prepare.sh", description=__doc__, allow_abbrev=False)
    parser.add_argument("kind", choices=sorted(KINDS), help="of sequences")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: data/lm_KIND")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keeps the packages; default: OUTPUT/packages")
    parser.add_argument("--vocab-size", type=positive, metavar="N", help="sub-words of text; default: 4000")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the split; default: 1")
    parser.add_argument("--force", action="store_true", help="do finished steps again")
    options = parser.parse_args(argv)
    if options.kind == "dna" and options.vocab_size is not None:
        parser.error("--vocab-size is for text: DNA is cut into its bases")
    options.vocab_size = options.vocab_size or 4000
    options.output = options.output or Path("data") / f"lm_{options.kind}"
    options.cache = options.cache or options.output / "packages"
    return options


def code() -> str:
    """A fingerprint of what reads the packages, so that a changed recipe makes its steps anew."""
    return steps.digest_of_files([Path(__file__), *(Path(module.__file__) for module in (guides, blocks, markup))])


def download(options: argparse.Namespace) -> dict[str, bytes]:
    """The files of the packages that hold sequences."""
    names, wanted = KINDS[options.kind][:2]
    archive = Archive()
    found = archive.find(names)
    absent = sorted(set(names) - set(found))
    if absent:
        raise UserError(f"apt does not know {', '.join(absent)}: run 'apt-get update' as root, or take a newer Debian")
    archive.download(found.values(), options.cache)
    files: dict[str, bytes] = {}
    for package in found.values():
        files.update(archive.read(package, options.cache, wanted)[0])
    return files


def prepare(options: argparse.Namespace) -> None:
    """Every step that is not done yet."""
    require("fairseq_cli", "lxml", "sentencepiece")
    steps.check_own(options.output / "raw", options.output / "bin")
    make_writable(options.output, options.cache)
    names, _, read, cut, size, unit = KINDS[options.kind]
    made_from = {"packages": names, "seed": options.seed, "code": code()}

    def write_raw(folder: Path) -> None:
        for split, lines in read(download(options), options.seed).items():
            if not lines:
                raise UserError(f"the packages hold too few sequences for {split}")
            write_text(folder / f"{split}.txt", "".join(f"{line}\n" for line in lines))

    def write_binary(folder: Path) -> None:
        raw = {split: read_lines(options.output / "raw" / f"{split}.txt") for split in SPLITS}
        encode = cut(raw, folder, options.vocab_size)
        known: set[str] = set()
        sizes = {}
        for split in SPLITS:
            pieces = [encode(line) for line in raw[split]]
            if split == "train":
                known = {piece for line in pieces for piece in line.split()}
            unknown = sum(piece not in known for line in pieces for piece in line.split())
            tokens = sum(len(line.split()) + 1 for line in pieces)  # and the end of each line
            sizes[split] = {"units": size(raw[split]), "lines": len(pieces), "tokens": tokens, "unknown": unknown}
            write_text(folder / f"{split}.txt", "".join(f"{line}\n" for line in pieces))
        # fairseq's binary data beside the cut text, with the dictionary of the training text.
        prefixes = [f"--{split}pref={folder / f'{split}.txt'}" for split in SPLITS]
        preprocess(["--only-source", "--destdir", str(folder), *prefixes])
        write_text(folder / SIZES, json.dumps({"kind": options.kind, "unit": unit, **sizes}, indent=1) + "\n")

    steps.make(options.output / "raw", made_from, write_raw, force=options.force)
    made_from = {**made_from, "vocabulary": options.vocab_size if options.kind == "text" else None}
    made_from["shared"] = [steps.code("subwords.py"), steps.package_code("text/preprocessing.py")]
    steps.make(options.output / "bin", made_from, write_binary, force=options.force)
    sizes = json.loads((options.output / "bin" / SIZES).read_text(encoding="utf-8"))
    for split in SPLITS:
        print(f"{split}: {sizes[split]['lines']:,} lines, {sizes[split]['units']:,} {unit}s")


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; the exit status."""
    return exit_status(prepare, arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
