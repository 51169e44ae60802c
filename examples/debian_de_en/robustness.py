"""What the same test set scores when it is written otherwise: in Unicode's NFD, with typographic quotes, and the lines that
are sentences several a line; each as translate treats it by default, and without splitting and normalising.

  robustness.py --data data/debian_de_en_quick_4000 --path runs/ringformer_tiny/averaged.pt --lenpen 2
  robustness.py --data data/debian_de_en_quick_4000 --model ct2

--data is what prepare.sh wrote; other flags are those of ringformer translate.
"""

import argparse
import itertools
import subprocess
import sys
import unicodedata
from pathlib import Path

from sacrebleu.metrics import BLEU, CHRF
from tabulate import tabulate

from fairseq_ringformer.cli.arguments import positive
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.prepared import PreparedData

QUOTES = "„“"
BLEU_SCORE, CHRF_SCORE = BLEU(), CHRF()


def typographic(line: str) -> str:
    """`line` with the marks of a word processor in the place of a typewriter's."""
    opened = itertools.cycle(QUOTES)
    marks = (next(opened) if character == '"' else character for character in line)
    return "".join(marks).replace("'", "’").replace("...", "…")


def joined(lines: list[str], count: int) -> list[str]:
    """`lines`, `count` of them to a line."""
    return [" ".join(lines[start : start + count]) for start in range(0, len(lines), count)]


def translate(lines: list[str], flags: list[str]) -> list[str]:
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main", "translate", *flags]
    text = "".join(line + "\n" for line in lines)
    done = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    translations = done.stdout.decode().split("\n")[:-1]
    assert len(translations) == len(lines), "line N of the output is the translation of line N"
    return translations


def row(name: str, translations: list[str], references: list[str], changed: int) -> list:
    bleu = BLEU_SCORE.corpus_score(translations, [references])
    chrf = CHRF_SCORE.corpus_score(translations, [references])
    return [name, changed, bleu.score, chrf.score, bleu.sys_len / bleu.ref_len]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that prepare.sh wrote")
    parser.add_argument("--subset", default="test", choices=("test", "valid"), help="default: test")
    parser.add_argument(
        "--sentences", type=positive, default=3, metavar="N", help="test sentences on a line; default: 3"
    )
    args, flags = parser.parse_known_args()
    try:
        data = PreparedData.read(args.data)
        sources, references = data.text(args.subset)
    except UserError as error:
        sys.exit(f"robustness: {error}")
    if any(flag.partition("=")[0] == "--path" for flag in flags):
        flags += ["--data", str(data.binary)]
    plain = translate(sources, flags)
    off = ["--no-split", "--no-normalise"]
    rows = [
        row("as it is", plain, references, 0),
        row(f"as it is, {' '.join(off)}", translate(sources, [*flags, *off]), references, 0),
    ]
    for name, change in (("NFD", lambda line: unicodedata.normalize("NFD", line)), ("typographic marks", typographic)):
        lines = list(map(change, sources))
        changed = sum(map(str.__ne__, lines, sources))
        rows.append(row(name, translate(lines, flags), references, changed))
        rows.append(row(f"{name}, --no-normalise", translate(lines, [*flags, "--no-normalise"]), references, changed))
    # Headings and labels have no end that could be found.
    whole = [index for index, line in enumerate(sources) if line.endswith((".", "!", "?"))]
    if whole:
        lines, wanted, apart = (
            joined([text[index] for index in whole], args.sentences) for text in (sources, references, plain)
        )
        name = f"{args.sentences} a line"
        rows.append(row(f"{len(whole)} sentences, one a line", apart, wanted, 0))
        rows.append(row(name, translate(lines, flags), wanted, len(lines)))
        rows.append(row(f"{name}, --no-split", translate(lines, [*flags, "--no-split"]), wanted, len(lines)))
    headers = ["source", "changed", "BLEU", "chrF", "length ratio"]
    print(tabulate(rows, headers, floatfmt=("", "", ".2f", ".2f", ".3f")))
    print(
        f"{args.subset} set, {len(sources)} lines; BLEU {BLEU_SCORE.get_signature()}, chrF {CHRF_SCORE.get_signature()}"
    )


if __name__ == "__main__":
    main()
