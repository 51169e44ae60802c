"""Translate the test set with fairseq-generate and score it with sacreBLEU on natural text.

  evaluate.sh --data DIR --path runs/ringformer_tiny/averaged.pt [--output DIR] [fairseq-generate flags ...]

DIR of --data is what prepare.sh wrote. Writes generate.log (fairseq's own output), hypotheses.en and scores.json.
"""

import argparse
import json
import time
from pathlib import Path

from fairseq_ringformer.text.prepared import PreparedData
from fairseq_ringformer.text.scoring import generate, generation_command, read_hypotheses, score


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


def main() -> None:
    args, flags = arguments()
    if not args.path.is_file():
        raise SystemExit(f"evaluate: no checkpoint {args.path}: train one first")
    try:
        data = PreparedData.read(args.data)
        sources, references = data.text(args.subset)
    except ValueError as error:
        raise SystemExit(f"evaluate: {error}") from None
    output = args.output or args.path.parent
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "generate.log").touch()
    except OSError as error:
        raise SystemExit(f"evaluate: cannot write to {output} ({error.strerror}): choose another --output") from None
    started = time.time()
    try:
        generate(generation_command(data, args.path, args.subset, args.beam, flags), output / "generate.log")
        seconds = time.time() - started
        translations = read_hypotheses(output / "generate.log", len(references))
    except ValueError as error:
        raise SystemExit(f"evaluate: {error}") from None
    (output / "hypotheses.en").write_text("".join(line + "\n" for line in translations), encoding="utf-8")
    scores = score(translations, references)
    figures = {
        "BLEU": scores.bleu,
        "BLEU signature": scores.bleu_signature,
        "chrF": scores.chrf,
        "chrF signature": scores.chrf_signature,
        "sentences": len(references),
        "seconds": round(seconds, 1),
        "checkpoint": str(args.path),
        "subset": args.subset,
    }
    (output / "scores.json").write_text(json.dumps(figures, indent=2) + "\n")

    step = max(1, len(references) // max(1, args.samples))
    for index in range(step // 2, len(references), step)[: args.samples]:
        print(
            f"\n  German       {sources[index]}\n  translation  {translations[index]}\n  reference    {references[index]}"
        )
    print(f"\n{args.subset} set, {len(references)} sentences, beam {args.beam}, {seconds:.0f} s")
    for name in ("BLEU", "chrF"):
        print(f"  {name} {figures[name]:.2f}   {figures[f'{name} signature']}")


if __name__ == "__main__":
    main()
