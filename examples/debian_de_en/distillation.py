"""Compare trained translators: BLEU, size and speed, of fairseq with a beam and of CTranslate2 in int8, greedily.

  distillation.py --data data/debian_de_en_full_4000 --runs runs/distillation

Every folder in --runs holds what distillation.sh leaves: averaged.pt, hypotheses of fairseq-generate with a beam of five, their scores, and
ct2, its export, if it folds. Speeds are of the whole test set, all models in turn, medians of --rounds. Writes results.jsonl and results.png there.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from fairseq_ringformer._fairseq import quiet
from fairseq_ringformer.analysis.benchmark.measure import interleave
from fairseq_ringformer.analysis.study.provenance import provenance
from fairseq_ringformer.analysis.study.significance import paired_bootstrap
from fairseq_ringformer.cli.arguments import positive
from fairseq_ringformer.errors import UserError, one_line
from fairseq_ringformer.export.checkpoints import read_fairseq_checkpoint
from fairseq_ringformer.files import read_lines
from fairseq_ringformer.machine import cores
from fairseq_ringformer.text import Translator
from fairseq_ringformer.text.prepared import PreparedData
from fairseq_ringformer.text.scoring import score

LENPEN = 2.0
PAUSE = 0.25  # seconds, in which the threads of the engine before stop waiting for more work


class Candidate:
    """A trained model, in either engine, in CTranslate2 if it was exported; `rates` are sentences/s of the rounds."""

    def __init__(self, folder: Path, data: PreparedData):
        self.folder = folder
        self.name = folder.name
        self.sources, self.references = data.text("test")
        self.beam = list(read_lines(folder / f"hypotheses.{data.languages[1]}"))
        if len(self.beam) != len(self.references):
            raise UserError(f"{folder} holds hypotheses of another set: run evaluate.sh again")
        self.greedy: list[str] = []
        self.fairseq = Translator(folder / "averaged.pt", split=False)
        self.ways = {"beam5": self.translate_with_beam}
        if (folder / "ct2").is_dir():
            self.ctranslate2 = Translator(folder / "ct2", split=False)
            self.ways["greedy_int8"] = self.translate_greedily
        self.rates: dict[str, list[float]] = {}

    def translate_with_beam(self) -> None:
        self.fairseq.translate(self.sources, beam=5, lenpen=LENPEN, scores=False)

    def translate_greedily(self) -> None:
        found = self.ctranslate2.translate(self.sources, beam=1, lenpen=LENPEN, scores=False)
        self.greedy = [translation.text for translation in found]

    def figures(self) -> dict[str, Any]:
        # It imports fairseq, whose notices are kept quiet by now.
        from fairseq_ringformer.analysis.study.translation import count_parameters

        beam = score(self.beam, self.references)
        exported: dict[str, float] = {}
        if self.greedy:
            size = sum(file.stat().st_size for file in (self.folder / "ct2").iterdir())
            exported = {
                "megabytes_int8": round(size / 1e6, 1),
                "bleu_greedy_int8": score(self.greedy, self.references).bleu,
            }
        return {
            "model": self.name,
            **count_parameters(read_fairseq_checkpoint(str(self.folder / "averaged.pt"))),
            "bleu_beam5": beam.bleu,
            "chrf_beam5": beam.chrf,
            **exported,
            **{f"sentences_per_second_{way}": rates for way, rates in self.rates.items()},
            "bleu_signature": beam.bleu_signature,
            "chrf_signature": beam.chrf_signature,
        }


def measure(candidates: list[Candidate], rounds: int) -> None:
    """Time both engines of all candidates in turn, raw text to raw text."""
    turns = [(candidate, way) for candidate in candidates for way in candidate.ways]
    works = [candidate.ways[way] for candidate, way in turns]
    times = interleave(works, rounds, pause=PAUSE, after_turn=lambda: None)
    for (candidate, way), seconds in zip(turns, times, strict=True):
        candidate.rates[way] = [len(candidate.sources) / second for second in seconds]


def draw(figures: list[dict[str, Any]], path: Path) -> None:
    """BLEU against speed: a dot for fairseq with a beam, a square for CTranslate2, joined by a line."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axis = figure.subplots()
    for number, row in enumerate(figures):
        ways = [way for way in ("beam5", "greedy_int8") if f"bleu_{way}" in row]
        speeds = [median(row[f"sentences_per_second_{way}"]) for way in ways]
        scores = [row[f"bleu_{way}"] for way in ways]
        label = f"{row['model'].replace('_', ' ')}, {row['parameters'] / 1e6:.1f} M"
        axis.plot(speeds, scores, "-", color=f"C{number}", alpha=0.4)
        axis.plot(speeds[0], scores[0], "o", color=f"C{number}", label=label)
        axis.plot(speeds[1:], scores[1:], "s", color=f"C{number}")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("sentences/s (dot: fairseq, beam 5; square: CTranslate2, int8, greedy)")
    axis.set_ylabel("BLEU, test set")
    axis.grid(alpha=0.3, which="both")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)


def compare(folder: Path, runs: Path, baseline: str, rounds: int) -> None:
    """Measure, write and print; UserError if there is nothing to compare with."""
    data = PreparedData.read(folder)
    candidates = [Candidate(found.parent, data) for found in sorted(runs.glob("*/scores.json"))]
    base = next((candidate for candidate in candidates if candidate.name == baseline), None)
    if base is None:
        raise UserError(f"{runs} holds no trained {baseline}: run distillation.sh first")
    measure(candidates, rounds)
    figures = [candidate.figures() for candidate in candidates]
    beams = paired_bootstrap(base.beam, {candidate.name: candidate.beam for candidate in candidates}, base.references)
    for row in figures:
        row["p_beam5"] = round(beams[row["model"]], 4)
    about = provenance([], cores())
    with (runs / "results.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row | about) + "\n" for row in figures)
    draw(figures, runs / "results.png")
    slow = median(base.rates["beam5"])
    table = [
        [
            row["model"],
            f"{row['parameters']:,}",
            f"{row['parameters_inner']:,}",
            row.get("megabytes_int8", ""),
            f"{row['bleu_beam5']:.2f}",
            row["p_beam5"],
            f"{median(row['sentences_per_second_beam5']) / slow:.2f}x",
            *_greedy(row, slow),
        ]
        for row in figures
    ]
    headers = ["model", "parameters", "without embeddings", "MB, int8", "beam 5: BLEU", "p", "speed"]
    print(tabulate(table, [*headers, "greedy, int8: BLEU", "speed"], tablefmt="github", disable_numparse=True))
    print(f"1x: {slow:.0f} sentences/s, {baseline} in fairseq; {about['machine']}; {figures[0]['bleu_signature']}")


def _greedy(row: dict[str, Any], slow: float) -> list[str]:
    if "bleu_greedy_int8" not in row:
        return ["does not fold", ""]
    return [f"{row['bleu_greedy_int8']:.2f}", f"{median(row['sentences_per_second_greedy_int8']) / slow:.1f}x"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the prepared set whose test sentences are translated")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the models")
    parser.add_argument("--baseline", default="vanilla_transformer", help="model that others are compared with")
    parser.add_argument("--rounds", type=positive, default=3, help="of timing (3)")
    args = parser.parse_args()
    try:
        with quiet():
            compare(args.data, args.runs, args.baseline, args.rounds)
    except (UserError, OSError) as error:  # a run that lacks a file
        sys.exit(f"distillation: {one_line(error)}")


if __name__ == "__main__":
    main()
