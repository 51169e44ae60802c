"""Translate the test set with fairseq-generate and score it with sacreBLEU on natural text.

  evaluate.sh --data DIR --path runs/ringformer_tiny/averaged.pt [--output DIR] [fairseq-generate flags ...]

DIR of --data is what prepare.sh wrote. Writes generate.log (fairseq's own output), hypotheses.LANGUAGE and
scores.json (with --subset valid hypotheses.valid.LANGUAGE and scores.valid.json). An exact match is a translation that is its reference, letter for letter.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for what the examples share

from fairseq_ringformer.errors import UserError, one_line
from fairseq_ringformer.files import write_text
from fairseq_ringformer.text.prepared import PreparedData
from fairseq_ringformer.text.scoring import generate, generation_command, read_hypotheses, score
from recipe.checks import make_writable

# Flags of fairseq-generate that would leave another set to be scored, or none, and what to do instead.
INSTEAD = {"--gen-subset": "use --subset", "--results-path": "use --output", "--quiet": "leave it out"}


def arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="evaluate.sh",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.sh wrote")
    parser.add_argument("--path", type=Path, required=True, help="checkpoint")
    parser.add_argument("--output", type=Path, help="where results go (the checkpoint's folder)")
    parser.add_argument("--subset", default="test", choices=("test", "valid"), help="what to translate (test)")
    parser.add_argument("--beam", type=int, default=5, help="beam size (5)")
    parser.add_argument("--samples", type=int, default=5, help="translations to print (5)")
    return parser.parse_known_args()


def translate(args: argparse.Namespace, flags: list[str], data: PreparedData, folder: Path) -> tuple[list[str], float]:
    """The translations of the subset, and the seconds that they took."""
    sources, _ = data.text(args.subset)
    started = time.time()
    generate(generation_command(data, args.path, args.subset, args.beam, flags), folder / "generate.log")
    return read_hypotheses(folder / "generate.log", data, len(sources)), time.time() - started


def print_samples(
    count: int, sources: list[str], translations: list[str], references: list[str], language: str
) -> None:
    """Some translations, evenly spread over the set."""
    step = max(1, len(references) // max(1, count))
    for index in range(step // 2, len(references), step)[:count]:
        print(f"\n  {language:<11}  {sources[index]}")
        print(f"  translation  {translations[index]}\n  reference    {references[index]}")


def evaluate(args: argparse.Namespace, flags: list[str]) -> None:
    """Translate, write and print; UserError if that cannot be done."""
    for flag in flags:
        name = flag.partition("=")[0]
        if name in INSTEAD:
            raise UserError(f"{name} is set by evaluate.sh: {INSTEAD[name]}")
    if not args.path.is_file():
        raise UserError(f"no checkpoint {args.path}: train one first")
    data = PreparedData.read(args.data)
    sources, references = data.text(args.subset)
    folder = args.output or args.path.parent
    make_writable(folder)
    translations, seconds = translate(args, flags, data, folder)
    source_lang, target_lang = data.languages
    end = "" if args.subset == "test" else f".{args.subset}"
    write_text(folder / f"hypotheses{end}.{target_lang}", "".join(line + "\n" for line in translations))
    scores = score(translations, references)
    figures = {
        "BLEU": scores.bleu,
        "BLEU signature": scores.bleu_signature,
        "chrF": scores.chrf,
        "chrF signature": scores.chrf_signature,
        "exact match": round(100 * sum(map(str.__eq__, translations, references)) / len(references), 2),
        "sentences": len(references),
        "seconds": round(seconds, 1),
        "checkpoint": str(args.path),
        "subset": args.subset,
    }
    write_text(folder / f"scores{end}.json", json.dumps(figures, indent=2) + "\n")
    print_samples(args.samples, sources, translations, references, source_lang)
    print(f"\n{args.subset} set, {len(references)} sentences, beam {args.beam}, {seconds:.0f} s")
    for name in ("BLEU", "chrF"):
        print(f"  {name} {figures[name]:.2f}   {figures[f'{name} signature']}")
    print(f"  exact match {figures['exact match']:.2f} %")


def main() -> int:
    try:
        evaluate(*arguments())
    except (UserError, OSError) as error:
        print(f"evaluate: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
