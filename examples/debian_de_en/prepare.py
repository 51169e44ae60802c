"""Prepare German-English data for fairseq from Debian packages (see README.md) or from a small grammar."""

import argparse
import datetime
import functools
import json
import os
import shlex
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # for what the examples share

from corpus.catalogue import HELD_OUT, SETS, Source
from corpus.extract import ORIGIN, PAIRS, extract
from corpus.pairs import read_pairs
from corpus.provenance import collect_licences, provenance
from corpus.report import table
from corpus.split import SPLITS
from corpus.subwords import LANGUAGES, MODEL, MODULES, SENTENCEPIECE, TOKENIZER, VOCABULARY, WORDPIECE, segment
from corpus.text import make_splits, write_splits
from recipe import steps
from recipe.binarise import DICTIONARY, binarise
from recipe.checks import load_wordpieces, make_writable, number, require_modules
from recipe.errors import RecipeError, exit_status

COUNTS = "counts.json"
PROVENANCE = "PROVENANCE.md"
# What the aligners share.
ALIGNING = ("corpus/blocks.py", "corpus/entities.py", "corpus/markup.py", "corpus/roff.py")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prepare.sh", description=__doc__)
    parser.add_argument("--source", choices=("debian", "grammar"), default="debian", help="default: debian")
    parser.add_argument("--set", choices=sorted(SETS), help="which Debian text; default: quick")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: data/debian_de_en_SET or data/grammar_de_en"
    )
    parser.add_argument("--subwords", choices=sorted(MODEL), default=SENTENCEPIECE, help=f"default: {SENTENCEPIECE}")
    parser.add_argument("--vocab-size", type=number(1), metavar="N", help="joined vocabulary; default: 8000")
    parser.add_argument(
        "--wordpiece-model",
        metavar="NAME",
        help="with --subwords wordpiece: a vocabulary to use (file, folder or name on the hub); default: learn one",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the split and of the grammar; default: 1")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keeps the packages; default: OUTPUT/packages")
    parser.add_argument(
        "--workers", type=number(1), metavar="N", help="sources to fetch and align at a time; default: 1"
    )
    parser.add_argument(
        "--sizes",
        type=number(1),
        nargs=3,
        metavar=("TRAIN", "VALID", "TEST"),
        help="pairs that the grammar makes; default: 20000 1000 1000",
    )
    parser.add_argument("--force", action="store_true", help="do finished steps again")
    options = parser.parse_args(argv)
    of_grammar = options.source == "grammar"
    for name in ("set", "cache", "workers") if of_grammar else ("sizes",):
        if getattr(options, name) is not None:
            parser.error(f"--{name} is for --source {'debian' if of_grammar else 'grammar'}: leave it out")
    options.set, options.workers = options.set or "quick", options.workers or 1
    options.sizes = options.sizes or (20000, 1000, 1000)
    if options.output is None:
        name = "grammar_de_en" if of_grammar else f"debian_de_en_{options.set}"
        options.output = Path("data") / name
    options.cache = options.cache or options.output / "packages"
    return options


def check(options: argparse.Namespace) -> None:
    """Raise RecipeError if something is missing that a later step would only find out after long work."""
    make_writable(options.output, options.cache)
    if options.wordpiece_model is not None and options.subwords != WORDPIECE:
        raise RecipeError(f"--wordpiece-model needs --subwords {WORDPIECE}")
    if options.wordpiece_model is not None and options.vocab_size is not None:
        raise RecipeError("--vocab-size is for a vocabulary that is learnt: leave it out with --wordpiece-model")
    require_modules("fairseq_cli", "lxml", *MODULES[options.subwords])
    options.wordpieces = None
    if options.wordpiece_model is not None:
        options.wordpieces = load_wordpieces(options.wordpiece_model)
    options.vocab_size = len(options.wordpieces or ()) or options.vocab_size or 8000
    if options.source == "debian":
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(program) is None:
                raise RecipeError(
                    f"{program} is not on this machine: --source debian needs Debian or a relative of it; "
                    "run it there, or use --source grammar, which needs no packages"
                )


def command(options: argparse.Namespace) -> str:
    """The command line of this run, as its user would type it."""
    return shlex.join(["prepare.sh", *options.argv])


def say(built: bool, step: str) -> None:
    print(f"{step}: {'done' if built else 'was done already'}", flush=True)


def code(*patterns: str) -> str:
    """A fingerprint of some of the recipe's own files, so that a changed recipe makes its steps anew."""
    return steps.digest_of_files(path for pattern in patterns for path in sorted(HERE.glob(pattern)))


def aligner(source: Source) -> str:
    """The file that aligns ``source``, as a pattern for ``code``."""
    return source.align.__module__.replace(".", "/") + ".py"


def texts(folder: Path) -> str:
    """A fingerprint of the six text files of ``raw/`` or ``sub/``."""
    return steps.digest_of_files(folder / f"{split}.{language}" for split in SPLITS for language in LANGUAGES)


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
        running = [pool.submit(make_source, source, options, own) for source, own in zip(sources, inputs, strict=True)]
        for source, result in zip(sources, running, strict=True):
            say(result.result(), f"aligned pairs of {source.name}")
    folders = {source.name: options.output / "work" / source.name for source in sources}
    origins = {name: json.loads((folder / ORIGIN).read_text(encoding="utf-8")) for name, folder in folders.items()}

    def build(folder: Path) -> None:
        (options.output / PROVENANCE).unlink(missing_ok=True)
        pairs = {name: read_pairs(own / PAIRS) for name, own in folders.items()}
        counts = make_splits(pairs, HELD_OUT[options.set], options.seed, folder)
        for name, own in counts.items():
            own["skipped"] = origins[name]["skipped"]
        (folder / COUNTS).write_text(json.dumps(counts, indent=1), encoding="utf-8")

    made_from = {
        "pairs": {name: steps.digest_of_files([folder / PAIRS]) for name, folder in folders.items()},
        "held out": HELD_OUT[options.set],
        "seed": options.seed,
        "code": code("corpus/clean.py", "corpus/sentences.py", "corpus/split.py", "corpus/text.py"),
    }
    say(steps.make(options.output / "raw", made_from, build, force=options.force), "text in raw/")
    if not (options.output / PROVENANCE).exists():
        shutil.rmtree(options.output / "licences", ignore_errors=True)
        collect_licences(folders.values(), options.output / "licences")
        today = datetime.date.today().isoformat()
        known = [(source, origins[source.name]) for source in sources]
        steps.write_whole(options.output / PROVENANCE, provenance(known, command(options), options.seed, today))


def raw_from_grammar(options: argparse.Namespace) -> None:
    """The step up to ``raw/`` for --source grammar."""

    def build(folder: Path) -> None:
        import grammar

        try:
            splits = grammar.generate(options.seed, *options.sizes)
        except ValueError as error:
            raise RecipeError(f"--sizes {' '.join(map(str, options.sizes))}: {error}") from None
        write_splits(folder, splits)
        kept = {split: len(splits[split]) for split in SPLITS}
        counts = {"extracted": sum(kept.values()), "documents": 0, "kept": kept, "skipped": {}, "dropped": {}}
        (folder / COUNTS).write_text(json.dumps({"grammar": counts}, indent=1), encoding="utf-8")

    made_from = {"grammar": code("grammar.py", "language/**/*.py"), "seed": options.seed, "sizes": list(options.sizes)}
    say(steps.make(options.output / "raw", made_from, build, force=options.force), "text in raw/")
    text = (
        "# Where this text comes from\n\nMade by the grammar in `grammar.py` of this recipe, under the licence "
        f"of this project, with seed {options.seed} by\n\n    {command(options)}\n"
    )
    steps.write_whole(options.output / PROVENANCE, text)


def cut_and_binarise(options: argparse.Namespace) -> None:
    """The steps from ``raw/`` to ``bin/``."""
    output = options.output
    models = [*MODEL.values(), VOCABULARY]

    def build(folder: Path) -> None:
        segment(output / "raw", folder, options.subwords, options.vocab_size, options.wordpieces)
        for name in models:
            (output / name).unlink(missing_ok=True)
            if (folder / name).exists():
                os.replace(folder / name, output / name)

    sub = {
        "raw": texts(output / "raw"),
        "subwords": options.subwords,
        "size": options.vocab_size,
        "code": code("corpus/subwords.py"),
    }
    if options.subwords == WORDPIECE:
        sub["package"] = steps.package_code("wordpieces.py", "blanks.py")
    if options.wordpieces is not None:
        sub["vocabulary"] = steps.digest(options.wordpieces.to_json())
    lost = not (output / MODEL[options.subwords]).is_file()
    say(steps.make(output / "sub", sub, build, force=options.force or lost), "sub-words in sub/")
    made_from = {"sub": texts(output / "sub"), "code": steps.code("binarise.py")}
    if options.subwords == WORDPIECE:
        made_from["dictionary"] = steps.digest_of_files([output / "sub" / DICTIONARY])
    built = steps.make(output / "bin", made_from, lambda new: binarise(output / "sub", new), force=options.force)
    say(built, "fairseq data in bin/")


def summarise(options: argparse.Namespace) -> None:
    """Write ``report.json`` and ``recipe.json`` and print the counts."""
    counts = json.loads((options.output / "raw" / COUNTS).read_text(encoding="utf-8"))
    about = {"source": options.source, "set": options.set if options.source == "debian" else None, "seed": options.seed}
    totals = {split: sum(own["kept"][split] for own in counts.values()) for split in SPLITS}
    report = {**about, "sources": counts, "totals": totals}
    steps.write_whole(options.output / "report.json", json.dumps(report, indent=2) + "\n")
    model = MODEL[options.subwords]
    recipe = {
        **about,
        "source_lang": "de",
        "target_lang": "en",
        "subwords": options.subwords,
        "vocab_size": options.vocab_size,
        "tokenizer": TOKENIZER[options.subwords],
        "bpe": options.subwords.replace("-", "_"),
        "bpe_model": model,
        "raw": "raw",
        "sub": "sub",
        "bin": "bin",
    }
    steps.write_whole(options.output / steps.RECIPE, json.dumps(recipe, indent=2) + "\n")
    print(table(counts))


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; the exit status."""
    options = arguments(argv)
    options.argv = sys.argv[1:] if argv is None else argv
    return exit_status(functools.partial(prepare, options), options.output)


def prepare(options: argparse.Namespace) -> None:
    """Every step that is not done yet."""
    check(options)
    if options.source == "grammar":
        raw_from_grammar(options)
    else:
        raw_from_debian(options)
    cut_and_binarise(options)
    summarise(options)


if __name__ == "__main__":
    sys.exit(main())
