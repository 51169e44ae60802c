"""Translate the test set with fairseq-generate and score it with sacreBLEU on natural text.

  evaluate.py --data DIR --path runs/ringformer_tiny/averaged.pt [--output DIR] [fairseq-generate flags ...]

DIR of --data is what prepare.sh wrote. Writes generate.log (fairseq's own output), hypotheses.en and scores.json.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF

from fairseq_ringformer.cli.subwords import FLAGS

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.sh wrote")
    parser.add_argument("--path", type=Path, required=True, help="checkpoint")
    parser.add_argument("--output", type=Path, help="where results go (the checkpoint's folder)")
    parser.add_argument("--subset", default="test", choices=("test", "valid"), help="what to translate (test)")
    parser.add_argument("--beam", type=int, default=5, help="beam size (5)")
    parser.add_argument("--samples", type=int, default=5, help="translations to print (5)")
    return parser.parse_known_args()


def generate(args: argparse.Namespace, flags: list[str], log: Path) -> None:
    """Run fairseq-generate into `log`.

    Raises:
        SystemExit: with fairseq's last line if it fails.
    """
    recipe = json.loads((args.data / "recipe.json").read_text())
    command = [
        sys.executable, "-m", "fairseq_cli.generate", str(args.data / recipe["bin"]),
        "--user-dir", str(ROOT / "fairseq_ringformer"), "--path", str(args.path), "--gen-subset", args.subset,
        "--beam", str(args.beam), "--max-tokens", "2048", "--scoring", "sacrebleu",
        # With its default of 8, fairseq leaves out the last batch where its size is no multiple of 8.
        "--required-batch-size-multiple", "1",
        "--bpe", recipe["bpe"], FLAGS[recipe["bpe"]], str(args.data / recipe["bpe_model"]),
    ]
    if recipe.get("tokenizer"):
        command += ["--tokenizer", recipe["tokenizer"], "--source-lang", recipe["source_lang"],
                    "--target-lang", recipe["target_lang"]]
    with log.open("w") as out:
        finished = subprocess.run(command + flags, stdout=out, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no message"]
        raise SystemExit(f"evaluate: fairseq-generate failed: {lines[-1]}")


def hypotheses(log: Path, count: int) -> list[str]:
    """The best detokenised hypothesis of every sentence, in the order of the test set.

    Raises:
        SystemExit: if a sentence has none: a score over a part of the references would not be comparable.
    """
    best: dict[int, str] = {}
    for line in log.read_text(encoding="utf-8").split("\n"):
        match = re.match(r"D-(\d+)\t[^\t]*\t(.*)", line)
        if match:
            best.setdefault(int(match[1]), match[2])
    missing = [index for index in range(count) if index not in best]
    if missing:
        raise SystemExit(f"evaluate: {len(missing)} of {count} sentences have no translation, the first is {missing[0] + 1}")
    return [best[index] for index in range(count)]


def main() -> None:
    args, flags = arguments()
    if not args.path.is_file():
        raise SystemExit(f"evaluate: no checkpoint {args.path}: train one first")
    if not (args.data / "recipe.json").is_file():
        raise SystemExit(f"evaluate: {args.data} holds no prepared data: run prepare.sh first")
    output = args.output or args.path.parent
    output.mkdir(parents=True, exist_ok=True)
    sources, references = ((args.data / "raw" / f"{args.subset}.{side}").read_text(encoding="utf-8").split("\n")[:-1]
                           for side in ("de", "en"))
    started = time.time()
    generate(args, flags, output / "generate.log")
    seconds = time.time() - started
    translations = hypotheses(output / "generate.log", len(references))
    (output / "hypotheses.en").write_text("".join(line + "\n" for line in translations), encoding="utf-8")

    bleu, chrf = BLEU(), CHRF()
    scores = {}
    for name, metric in (("BLEU", bleu), ("chrF", chrf)):
        scores[name] = round(metric.corpus_score(translations, [references]).score, 2)
        scores[f"{name} signature"] = str(metric.get_signature())
    scores.update(sentences=len(references), seconds=round(seconds, 1), checkpoint=str(args.path), subset=args.subset)
    (output / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")

    step = max(1, len(references) // max(1, args.samples))
    for index in range(step // 2, len(references), step)[: args.samples]:
        print(f"\n  German       {sources[index]}\n  translation  {translations[index]}\n  reference    {references[index]}")
    print(f"\n{args.subset} set, {len(references)} sentences, beam {args.beam}, {seconds:.0f} s")
    for name in ("BLEU", "chrF"):
        print(f"  {name} {scores[name]:.2f}   {scores[f'{name} signature']}")


if __name__ == "__main__":
    main()
