"""Prepare data for fairseq: German-English text of Debian packages (see README.md), numbers in words, or two files of your own."""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import re
import shlex
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # for what the examples share

from corpus import files
from corpus.catalogue import HELD_OUT, SETS, Source
from corpus.clean import NORMALISATION
from corpus.extract import ORIGIN, PAIRS, extract
from corpus.pairs import read_pairs
from corpus.provenance import collect_licences, provenance
from corpus.report import length_table, table
from corpus.split import SPLITS
from corpus.subwords import MODEL, MODULES, SENTENCEPIECE, TOKENIZER, VOCABULARY, WORDPIECE, segment
from corpus.text import make_splits, write_splits
from recipe import steps
from recipe.binarise import DICTIONARY, binarise
from recipe.checks import load_wordpieces, make_writable
from recipe.errors import exit_status

from fairseq_ringformer.cli.arguments import positive
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.extras import require
from fairseq_ringformer.files import read_lines, whole_file, write_text
from fairseq_ringformer.text.normalisation import Normalisation, characters_of

COUNTS = "counts.json"
PROVENANCE = "PROVENANCE.md"
# What the aligners share.
ALIGNING = ("corpus/blocks.py", "corpus/entities.py", "corpus/markup.py", "corpus/roff.py")


# What an option is where it is not given, by source; what has no default in a source does not belong to it.
DEFAULTS = {
    "debian": {"set": "quick", "cache": "packages", "workers": 1, "vocab_size": 8000},
    "numbers": {"source_lang": "de", "target_lang": "en", "sizes": [20000, 1000, 1000], "vocab_size": 150},
    "files": {"files": None, "source_lang": None, "target_lang": None, "vocab_size": 8000},
}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prepare.sh", description=__doc__, allow_abbrev=False)
    parser.add_argument("--source", choices=tuple(DEFAULTS), help="default: debian, or files where --files names some")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="default: data/debian_de_en_SET, data/numbers_SRC_TGT or data/FILE_SRC_TGT",
    )
    parser.add_argument("--subwords", choices=sorted(MODEL), default=SENTENCEPIECE, help=f"default: {SENTENCEPIECE}")
    parser.add_argument(
        "--vocab-size",
        type=positive,
        metavar="N",
        help="joined vocabulary; default: "
        + ", ".join(f"{defaults['vocab_size']} ({source})" for source, defaults in DEFAULTS.items()),
    )
    parser.add_argument(
        "--wordpiece-model",
        metavar="NAME",
        help="with --subwords wordpiece: a vocabulary to use (file, folder or name on the hub); default: learn one",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the split and of the numbers; default: 1")
    parser.add_argument("--force", action="store_true", help="do finished steps again")
    debian = parser.add_argument_group("--source debian")
    debian.add_argument("--set", choices=sorted(SETS), help="which text; default: quick")
    debian.add_argument("--cache", type=Path, metavar="DIR", help="keeps the packages; default: OUTPUT/packages")
    debian.add_argument(
        "--workers", type=positive, metavar="N", help="sources to fetch and align at a time; default: 1"
    )
    own = parser.add_argument_group("--source files")
    own.add_argument(
        "--files", type=Path, nargs=2, metavar=("FILE.SRC", "FILE.TGT"), help="line N of both is one pair, in UTF-8"
    )
    numbers = parser.add_argument_group("--source numbers, or files")
    numbers.add_argument("--source-lang", metavar="SRC", help="default: de, or how the file's name ends")
    numbers.add_argument("--target-lang", metavar="TGT", help="default: en, or how the file's name ends")
    numbers.add_argument(
        "--sizes",
        type=positive,
        nargs=3,
        metavar=tuple(split.upper() for split in SPLITS),
        help="pairs, of numbers; default: 20000 1000 1000",
    )
    options = parser.parse_args(argv)
    settle(options, parser)
    options.command = shlex.join(["prepare.sh", *(sys.argv[1:] if argv is None else argv)])
    return options


def settle(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Give the options of the source their defaults, and refuse those of the other ones."""
    options.source = options.source or ("files" if options.files else "debian")
    if options.source == "files" and not options.files:
        parser.error("--source files needs --files FILE.SRC FILE.TGT")
    for source, defaults in DEFAULTS.items():
        for name, default in defaults.items():
            given = getattr(options, name) is not None
            if given and name not in DEFAULTS[options.source]:
                parser.error(f"--{name.replace('_', '-')} is for --source {source}: leave it out")
            if not given and source == options.source and name != "vocab_size":
                setattr(options, name, default)
    if options.source == "debian":
        options.languages = "de", "en"
        name = f"debian_de_en_{options.set}"
    else:
        if options.source == "files":
            source, target = (path.suffix.removeprefix(".") for path in options.files)
            options.source_lang, options.target_lang = options.source_lang or source, options.target_lang or target
        options.languages = options.source_lang, options.target_lang
        name = "_".join([options.files[0].stem if options.files else "numbers", *options.languages])
    options.output = options.output or Path("data") / name
    if options.source == "debian" and options.cache == DEFAULTS["debian"]["cache"]:
        options.cache = options.output / options.cache


def check(options: argparse.Namespace) -> None:
    """Raise UserError if something is missing that a later step would only find out after long work."""
    if options.wordpiece_model is not None and options.subwords != WORDPIECE:
        raise UserError(f"--wordpiece-model needs --subwords {WORDPIECE}")
    if options.wordpiece_model is not None and options.vocab_size is not None:
        raise UserError("--vocab-size is for a vocabulary that is learnt: leave it out with --wordpiece-model")
    if options.source == "numbers":
        require("num2words")
        from corpus import number_words

        number_words.check_languages(options.languages)
    if options.source == "files":
        check_languages(options.languages)
        for path in options.files:
            path.open().close()  # or an error of the system, that says why not
    steps.check_own(*(options.output / name for name in ("raw", "sub", "bin")))
    make_writable(options.output)
    if options.cache:
        make_writable(options.cache)
    require("fairseq_cli", "lxml", *MODULES[options.subwords])
    options.wordpieces = None
    if options.wordpiece_model is not None:
        options.wordpieces = load_wordpieces(options.wordpiece_model)
    options.vocab_size = len(options.wordpieces or ()) or options.vocab_size or DEFAULTS[options.source]["vocab_size"]
    if options.source == "debian":
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(program) is None:
                raise UserError(
                    f"{program} is not on this machine: --source debian needs Debian or a relative of it; "
                    "run it there, or use --source numbers, which needs no packages"
                )


def check_languages(languages: tuple[str, str]) -> None:
    """UserError unless fairseq can name files after two `languages`."""
    for flag, language in zip(("--source-lang", "--target-lang"), languages, strict=True):
        if not re.fullmatch(r"\w+", language):
            raise UserError(f"{flag} is {language!r}: name a language by letters, digits and _, as de or pt_BR")
    if languages[0] == languages[1]:
        raise UserError(f"both files are in {languages[0]}: name two languages, by --source-lang and --target-lang")


def code(*patterns: str) -> str:
    """A fingerprint of some of the recipe's own files, so that a changed recipe makes its steps anew."""
    return steps.digest_of_files(path for pattern in patterns for path in sorted(HERE.glob(pattern)))


def aligner(source: Source) -> str:
    """The file that aligns ``source``, as a pattern for ``code``."""
    return source.align.__module__.replace(".", "/") + ".py"


def texts(folder: Path, languages: tuple[str, str]) -> str:
    """A fingerprint of the six text files of ``raw/`` or ``sub/``."""
    return steps.digest_of_files(folder / f"{split}.{language}" for split in SPLITS for language in languages)


def make_source(source: Source, options: argparse.Namespace, inputs: dict) -> bool:
    """The extraction step of one source (a function of its own for the worker processes)."""
    folder = options.output / "work" / source.name
    return steps.make(folder, inputs, lambda new: extract(source, options.cache, new), force=options.force)


def raw_from_debian(options: argparse.Namespace) -> None:
    """The steps up to ``raw/`` for --source debian."""
    sources = SETS[options.set]
    inputs = [
        {"source": s.name, "packages": [*s.packages, *s.optional], "code": code(*ALIGNING, aligner(s))} for s in sources
    ]
    with ProcessPoolExecutor(max_workers=min(options.workers, len(sources))) as pool:
        running = [
            pool.submit(make_source, source, options, made_from)
            for source, made_from in zip(sources, inputs, strict=True)
        ]
        try:
            for source, result in zip(sources, running, strict=True):
                steps.say(result.result(), f"aligned pairs of {source.name}")
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or what waits in the queue would be done before the error is told
            raise
    folders = {source.name: options.output / "work" / source.name for source in sources}
    origins = {name: json.loads((folder / ORIGIN).read_text(encoding="utf-8")) for name, folder in folders.items()}

    def build(folder: Path) -> None:
        (options.output / PROVENANCE).unlink(missing_ok=True)
        pairs = {name: read_pairs(made / PAIRS) for name, made in folders.items()}
        counts = make_splits(pairs, HELD_OUT[options.set], options.seed, folder)
        for name, count in counts.items():
            count["skipped"] = origins[name]["skipped"]
        (folder / COUNTS).write_text(json.dumps(counts, indent=1), encoding="utf-8")

    made_from = {
        "pairs": {name: steps.digest_of_files([folder / PAIRS]) for name, folder in folders.items()},
        "held out": HELD_OUT[options.set],
        "seed": options.seed,
        "code": code("corpus/clean.py", "corpus/sentences.py", "corpus/split.py", "corpus/text.py"),
        "package": steps.package_code("text/normalisation.py"),
    }
    steps.say(steps.make(options.output / "raw", made_from, build, force=options.force), "text in raw/")
    if not (options.output / PROVENANCE).exists():
        shutil.rmtree(options.output / "licences", ignore_errors=True)
        collect_licences(folders.values(), options.output / "licences")
        today = datetime.date.today().isoformat()
        known = [(source, origins[source.name]) for source in sources]
        write_text(options.output / PROVENANCE, provenance(known, options.command, options.seed, today))


def raw_from_numbers(options: argparse.Namespace) -> None:
    """The step up to ``raw/`` for --source numbers."""
    from corpus import number_words

    source, target = options.languages
    sizes = dict(zip(SPLITS, options.sizes, strict=True))
    known = number_words.known_kinds(options.languages)
    absent = [kind.name for kind in number_words.KINDS if kind not in known]
    if absent:
        print(f"kinds left out for {source} to {target}: {', '.join(absent)}")
    library = f"num2words {importlib.metadata.version('num2words')}"

    def build(folder: Path) -> None:
        pairs, counts = number_words.generate(options.languages, sizes, options.seed)
        write_splits(folder, options.languages, pairs)
        report = {
            kind: {"extracted": kept.total(), "documents": kept.total(), "kept": kept, "skipped": {}, "dropped": {}}
            for kind, kept in counts.items()
        }
        (folder / COUNTS).write_text(json.dumps(report, indent=1), encoding="utf-8")

    made_from = {
        "languages": options.languages,
        "sizes": sizes,
        "seed": options.seed,
        "library": library,
        "code": code("corpus/number_words.py"),
    }
    steps.say(steps.make(options.output / "raw", made_from, build, force=options.force), "text in raw/")
    write_text(
        options.output / PROVENANCE,
        f"# Where this text comes from\n\nNumbers in words of {source} and {target}, made by {library} (LGPL-2.1), "
        f"with seed {options.seed} by\n\n    {options.command}\n",
    )


def raw_from_files(options: argparse.Namespace) -> None:
    """The step up to ``raw/`` for --source files."""

    def build(folder: Path) -> None:
        counts = files.make_splits(options.files, options.languages, options.seed, folder)
        (folder / COUNTS).write_text(json.dumps(counts, indent=1), encoding="utf-8")

    made_from = {
        "files": steps.digest_of_files(options.files),
        "languages": options.languages,
        "seed": options.seed,
        "code": code("corpus/clean.py", "corpus/files.py", "corpus/split.py", "corpus/text.py"),
        "package": steps.package_code("text/normalisation.py"),
    }
    steps.say(steps.make(options.output / "raw", made_from, build, force=options.force), "text in raw/")
    named = " and ".join(f"`{path.name}`" for path in options.files)
    write_text(
        options.output / PROVENANCE,
        f"# Where this text comes from\n\n{named}, two files of parallel text, by\n\n    {options.command}\n",
    )


def cut_and_binarise(options: argparse.Namespace) -> None:
    """The steps from ``raw/`` to ``bin/``."""
    output = options.output

    def build(folder: Path) -> None:
        segment(output / "raw", folder, options.languages, options.subwords, options.vocab_size, options.wordpieces)

    sub = {
        "raw": texts(output / "raw", options.languages),
        "subwords": options.subwords,
        "size": options.vocab_size,
        "code": [code("corpus/subwords.py"), steps.code("subwords.py"), steps.package_code("text/subwords.py")],
    }
    if options.subwords == WORDPIECE:
        sub["package"] = steps.package_code("text/wordpieces.py", "text/blanks.py")
    if options.wordpieces is not None:
        sub["vocabulary"] = steps.digest(options.wordpieces.to_json())
    lost = not (output / "sub" / MODEL[options.subwords]).is_file()
    steps.say(steps.make(output / "sub", sub, build, force=options.force or lost), "sub-words in sub/")
    # Copies of what the text in sub/ was cut with, whatever was interrupted before.
    for name in (*MODEL.values(), VOCABULARY):
        if (output / "sub" / name).is_file():
            with whole_file(output / name) as partial:
                shutil.copyfile(output / "sub" / name, partial)
        else:
            (output / name).unlink(missing_ok=True)
    made_from = {
        "sub": texts(output / "sub", options.languages),
        "code": [steps.code("binarise.py"), steps.package_code("text/preprocessing.py")],
    }
    if options.subwords == WORDPIECE:
        made_from["dictionary"] = steps.digest_of_files([output / "sub" / DICTIONARY])
    built = steps.make(
        output / "bin", made_from, lambda new: binarise(output / "sub", new, options.languages), force=options.force
    )
    steps.say(built, "fairseq data in bin/")


def mean_length(path: Path) -> float:
    """Of the lines of a file, in what spaces separate."""
    lines = read_lines(path)
    return round(sum(len(line.split()) for line in lines) / len(lines), 2)


def normalisation(options: argparse.Namespace) -> Normalisation:
    """What was done to the text, which what is to be translated later needs as well."""
    done = NORMALISATION if options.source == "debian" else files.NORMALISATION
    lines = read_lines(options.output / "raw" / f"train.{options.languages[0]}")
    return dataclasses.replace(done, characters=characters_of(lines))


def summarise(options: argparse.Namespace) -> None:
    """Write ``report.json`` and ``recipe.json`` and print the counts."""
    counts = json.loads((options.output / "raw" / COUNTS).read_text(encoding="utf-8"))
    about = {"source": options.source, "set": options.set, "seed": options.seed}
    totals = {split: sum(count["kept"][split] for count in counts.values()) for split in SPLITS}
    lengths = {
        language: {
            unit: mean_length(options.output / folder / f"train.{language}")
            for unit, folder in (("words", "raw"), ("sub-words", "sub"))
        }
        for language in options.languages
    }
    report = {**about, "sources": counts, "totals": totals, "lengths": lengths}
    write_text(options.output / "report.json", json.dumps(report, indent=2) + "\n")
    model = MODEL[options.subwords]
    recipe = {
        **about,
        "source_lang": options.languages[0],
        "target_lang": options.languages[1],
        "subwords": options.subwords,
        "vocab_size": options.vocab_size,
        "tokenizer": TOKENIZER[options.subwords],
        "bpe": options.subwords.replace("-", "_"),
        "bpe_model": model,
        "normalisation": normalisation(options).to_json(),
        "raw": "raw",
        "sub": "sub",
        "bin": "bin",
    }
    write_text(options.output / steps.RECIPE, json.dumps(recipe, indent=2) + "\n")
    print(table(counts))
    print(length_table(lengths))


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; the exit status."""
    return exit_status(prepare, arguments(argv))


def prepare(options: argparse.Namespace) -> None:
    """Every step that is not done yet."""
    check(options)
    raw = {"debian": raw_from_debian, "numbers": raw_from_numbers, "files": raw_from_files}
    raw[options.source](options)
    cut_and_binarise(options)
    summarise(options)


if __name__ == "__main__":
    sys.exit(main())
