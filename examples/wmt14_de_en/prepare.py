"""Prepare WMT-14 German-English for fairseq, from the archives that WMT published or from a mirror of them.

  prepare.sh --recipe paper [--wordpiece-model NAME]
  prepare.sh --recipe strong [--subwords subword-nmt]

Addresses: --mirror, or else the variables WMT12, WMT13 and WMT14 (URLs or folders), or else statmt.org. See README.md.
"""

import argparse
import itertools
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # for what the examples share

from recipe import steps
from recipe.binarise import binarise
from recipe.checks import load_wordpieces, make_writable
from recipe.errors import exit_status
from tabulate import tabulate
from wmt14.catalogue import ARCHIVES, LANGUAGES, addresses, with_checksums
from wmt14.clean import Limits
from wmt14.fetch import fetch
from wmt14.subwords import MODEL, MODULES, SENTENCEPIECE, SPLITS, TOKENIZER, WORDPIECE, Vocabulary, cut, learn
from wmt14.text import COUNTS, make_splits

from fairseq_ringformer.cli.arguments import positive
from fairseq_ringformer.extras import require
from fairseq_ringformer.files import write_text
from fairseq_ringformer.machine import cores
from fairseq_ringformer.text.normalisation import Normalisation, characters_of

BIBERT = "jhu-clsp/bibert-ende"
# By recipe: sub-words, and the most of them on a side of a training pair.
MAX_PIECES = {"paper": 50, "strong": 250}
# Lines, about, of which the characters are counted.
COUNTED = 500_000
# What one recipe alone takes.
OWN_FLAGS = {"paper": ("wordpiece_model",), "strong": ("subwords", "vocab_size", "learn_from")}


def ratio(text: str) -> float:
    """An argparse type: a number of at least one."""
    if not float(text) >= 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return float(text)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="prepare.sh", description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", choices=tuple(MAX_PIECES), default="paper", help="default: paper")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: data/wmt14_de_en_RECIPE")
    files = parser.add_argument_group("archives")
    files.add_argument("--mirror", metavar="PLACE", help="folder or URL that holds wmt12/, wmt13/ and wmt14/")
    files.add_argument("--checksums", type=Path, metavar="FILE", help="JSON with a mirror's own sums (see README.md)")
    files.add_argument("--cache", type=Path, metavar="DIR", help="of downloads; default: wmt14_archives beside OUTPUT")
    files.add_argument("--download-only", action="store_true", help="fetch and verify the archives, no more")
    text = parser.add_argument_group("cleaning of training pairs")
    text.add_argument("--max-words", type=positive, default=250, metavar="N", help="of a side; default: 250")
    text.add_argument(
        "--max-ratio", type=ratio, default=9.0, metavar="R", help="of words, longer to shorter side; default: 9"
    )
    text.add_argument("--drop-duplicates", action="store_true", help="drop pairs that came before")
    text.add_argument(
        "--max-pieces", type=positive, metavar="N", help="sub-words of a side; default: paper 50, strong 250"
    )
    words = parser.add_argument_group("sub-words")
    words.add_argument("--wordpiece-model", metavar="NAME", help=f"paper: file, folder or hub name; default: {BIBERT}")
    words.add_argument("--subwords", choices=("sentencepiece", "subword-nmt"), help="strong; default: sentencepiece")
    words.add_argument("--vocab-size", type=positive, metavar="N", help="strong; default: 32000")
    words.add_argument("--learn-from", type=positive, metavar="N", help="strong: pairs to learn from; default: 500000")
    parser.add_argument("--workers", type=positive, default=cores(), metavar="N", help=f"processes; default: {cores()}")
    parser.add_argument("--force", action="store_true", help="do finished steps again")
    options = parser.parse_args(argv)
    for recipe, names in OWN_FLAGS.items():
        for name in names:
            if recipe != options.recipe and getattr(options, name) is not None:
                parser.error(f"--{name.replace('_', '-')} belongs to --recipe {recipe}")
    options.output = options.output or Path("data") / f"wmt14_de_en_{options.recipe}"
    options.cache = options.cache or options.output.parent / "wmt14_archives"
    options.max_pieces = options.max_pieces or MAX_PIECES[options.recipe]
    if options.recipe == "paper":
        options.vocabulary = Vocabulary(WORDPIECE, name=options.wordpiece_model or BIBERT)
    else:
        kind = (options.subwords or SENTENCEPIECE).replace("-", "_")
        options.vocabulary = Vocabulary(kind, options.vocab_size or 32000, options.learn_from or 500000)
    return options


def check(options: argparse.Namespace, cut_already: bool) -> None:
    """Raise UserError if something is missing that a later step would only find out after long work."""
    steps.check_own(*(options.output / name for name in ("raw", "sub", "bin")))
    make_writable(options.output, options.cache)
    require("fairseq_cli", *MODULES[options.vocabulary.kind])
    if options.vocabulary.kind == WORDPIECE and not cut_already and not options.download_only:
        load_wordpieces(options.vocabulary.name)


def code(*names: str) -> str:
    """A fingerprint of some of the recipe's own files, so that a changed recipe makes its steps anew."""
    return steps.digest_of_files(HERE / "wmt14" / f"{name}.py" for name in names)


def fingerprint(vocabulary: Vocabulary) -> str | None:
    """Of the files that a WordPiece vocabulary is read from; None for what is learnt or comes from the hub."""
    path = Path(vocabulary.name or "")
    if vocabulary.name is None or not path.exists():
        return None
    return steps.digest_of_files(
        [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    )


def prepare(options: argparse.Namespace) -> None:
    """Every step that is not done yet."""
    archives = with_checksums(options.checksums) if options.checksums else ARCHIVES
    where = addresses(options.mirror, os.environ)
    output, vocabulary = options.output, options.vocabulary
    limits = Limits(options.max_words, options.max_ratio)
    # Archives are verified, so equal options mean equal text: each step's inputs stand for its output.
    raw = {
        "archives": {name: f"{archive.algorithm}:{archive.checksum}" for name, archive in archives.items()},
        "limits": list(limits),
        "drop duplicates": options.drop_duplicates,
        "code": code("catalogue", "clean", "sgm", "text"),
    }
    sub = {
        "raw": raw,
        "vocabulary": [*vocabulary, fingerprint(vocabulary)],
        "most": options.max_pieces,
        "code": [
            code("subwords"),
            steps.code("subwords.py"),
            steps.package_code("text/subwords.py", "text/wordpieces.py", "text/blanks.py"),
        ],
    }
    check(options, cut_already=steps.is_done(output / "sub", sub) and not options.force)

    def fetch_all() -> dict[str, Path]:
        # Small ones first: a mirror that is not one should not show after a gigabyte.
        by_size = sorted(archives.values(), key=lambda archive: archive.size or 0)
        return {archive.name: fetch(archive, where[archive.name], options.cache) for archive in by_size}

    if options.download_only:
        fetch_all()
        print(f"{len(archives)} archives: done")
        if vocabulary.kind == WORDPIECE:
            load_wordpieces(vocabulary.name)  # into the hub's cache
            print(f"vocabulary {vocabulary.name}: done")
        return

    def extract(folder: Path) -> None:
        make_splits(fetch_all(), folder, limits, options.drop_duplicates)

    steps.say(steps.make(output / "raw", raw, extract, force=options.force), "text in raw/")
    counts = json.loads((output / "raw" / COUNTS).read_text(encoding="utf-8"))

    def segment(folder: Path) -> None:
        pairs = {name: corpus["kept"] for name, corpus in counts.items() if corpus["split"] == "train"}
        learn(output / "raw", folder, vocabulary, sum(pairs.values()), options.workers)
        cut_counts = cut(output / "raw", folder, vocabulary.kind, pairs, options.max_pieces, options.workers)
        (folder / COUNTS).write_text(json.dumps(cut_counts, indent=1), encoding="utf-8")

    steps.say(steps.make(output / "sub", sub, segment, force=options.force), "sub-words in sub/")

    def preprocess(folder: Path) -> None:
        binarise(output / "sub", folder, LANGUAGES, options.workers, vocabulary.size)

    made_from = {"sub": sub, "code": [steps.code("binarise.py"), steps.package_code("text/preprocessing.py")]}
    steps.say(steps.make(output / "bin", made_from, preprocess, force=options.force), "fairseq data in bin/")
    summarise(options, counts, {name: where[name] for name in archives}, raw["archives"])


def normalisation(raw: Path, pairs: int) -> Normalisation:
    """What text to be translated needs: the training text's white space, and its characters where they have variants."""
    with (raw / f"train.{LANGUAGES[0]}").open(encoding="utf-8", newline="\n") as lines:
        seen = characters_of(line.removesuffix("\n") for line in itertools.islice(lines, 0, None, 1 + pairs // COUNTED))
    return Normalisation("NFC", spaces=True, characters=seen)


def summarise(options: argparse.Namespace, counts: dict, where: dict[str, str], sums: dict[str, str]) -> None:
    """Write ``report.json`` and ``recipe.json`` and print the counts."""
    output, vocabulary = options.output, options.vocabulary
    cut_counts = json.loads((output / "sub" / COUNTS).read_text(encoding="utf-8"))
    for name, corpus in cut_counts.items():
        counts[name] |= {**corpus, "dropped": counts[name]["dropped"] | corpus["dropped"]}
    totals = dict.fromkeys(SPLITS, 0)
    for corpus in counts.values():
        totals[corpus["split"]] += corpus["kept"]
    about = {"recipe": options.recipe, "max_pieces": options.max_pieces}
    archives = {name: {"from": where[name], "checksum": sums[name]} for name in where}
    report = {**about, "archives": archives, "corpora": counts, "totals": totals}
    write_text(output / "report.json", json.dumps(report, indent=2) + "\n")
    recipe = {
        **about,
        "source_lang": LANGUAGES[0],
        "target_lang": LANGUAGES[1],
        "subwords": vocabulary.kind.replace("_", "-"),
        "vocab_size": vocabulary.size,
        "tokenizer": TOKENIZER.get(vocabulary.kind),
        "bpe": vocabulary.kind,
        "bpe_model": f"sub/{MODEL[vocabulary.kind]}",
        "normalisation": normalisation(output / "raw", totals["train"]).to_json(),
        "raw": "raw",
        "sub": "sub",
        "bin": "bin",
    }
    write_text(output / steps.RECIPE, json.dumps(recipe, indent=2) + "\n")
    rows = [
        [
            name,
            corpus["split"],
            corpus["read"],
            corpus["kept"],
            sum(corpus["dropped"].values()),
            corpus.get("side in valid or test"),
        ]
        for name, corpus in counts.items()
    ]
    print(tabulate(rows, headers=["corpus", "split", "pairs", "kept", "dropped", "side in valid or test"], intfmt=","))


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; the exit status."""
    return exit_status(prepare, arguments(argv))


if __name__ == "__main__":
    sys.exit(main())
