"""BLEU and chrF of a checkpoint: fairseq-generate, then sacreBLEU on natural text."""

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .prepared import PreparedData
from .subwords import FLAGS, build_codec

PACKAGE = Path(__file__).resolve().parents[1]
# As the model gave it: fairseq's own D lines leave sentencepiece's bytes as they are, <0xC3><0xA4> for an ä.
HYPOTHESIS = re.compile(r"H-(\d+)\t[^\t]*\t(.*)")


@dataclass(frozen=True)
class Scores:
    """What sacreBLEU says of a test set, each figure with its signature."""

    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str


def generation_command(
    data: PreparedData, checkpoint: Path, subset: str, beam: int, flags: Sequence[str] = ()
) -> list[str]:
    """The fairseq-generate command that translates a subset of `data` into natural text."""
    subwords = data.subwords
    command = [sys.executable, "-m", "fairseq_cli.generate", str(data.binary), "--user-dir", str(PACKAGE)]
    command += ["--path", str(checkpoint), "--gen-subset", subset, "--beam", str(beam), "--max-tokens", "2048"]
    # With its default of 8, fairseq leaves out the last batch where its size is no multiple of 8.
    command += ["--scoring", "sacrebleu", "--required-batch-size-multiple", "1"]
    if subwords.bpe:
        command += ["--bpe", subwords.bpe, FLAGS[subwords.bpe], subwords.model]
    if subwords.tokenizer:
        source, target = data.languages
        command += ["--tokenizer", subwords.tokenizer, "--source-lang", source, "--target-lang", target]
    return [*command, *flags]


def generate(command: Sequence[str], log: Path) -> None:
    """Run a command of :func:`generation_command`; its output goes to `log`.

    Raises:
        UserError: with fairseq's last line if it fails.
    """
    with log.open("w") as out:
        finished = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, errors="replace")
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"fairseq-generate failed: {lines[-1]}")


def read_hypotheses(log: Path, data: PreparedData, count: int) -> list[str]:
    """The best hypothesis of every one of `count` sentences, in the order of the set, as natural text.

    Raises:
        UserError: if a sentence has none: a score over a part of the references would not be comparable.
    """
    decode = build_codec(data.subwords, *data.languages).decode
    best: dict[int, str] = {}
    with log.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if match := HYPOTHESIS.match(line):
                best.setdefault(int(match[1]), decode(match[2]))
    missing = [index for index in range(count) if index not in best]
    if missing:
        raise UserError(f"{len(missing)} of {count} sentences have no translation, the first is {missing[0] + 1}")
    return [best[index] for index in range(count)]


def score(translations: Sequence[str], references: Sequence[str]) -> Scores:
    """sacreBLEU's BLEU and chrF of detokenised text."""
    from sacrebleu.metrics import BLEU, CHRF

    bleu, chrf = BLEU(), CHRF()
    values = [round(metric.corpus_score(translations, [references]).score, 2) for metric in (bleu, chrf)]
    return Scores(values[0], str(bleu.get_signature()), values[1], str(chrf.get_signature()))
