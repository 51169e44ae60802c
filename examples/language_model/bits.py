"""Bits per byte, or per base, from what fairseq-eval-lm prints: figures that do not depend on how text was cut.

fairseq-eval-lm DATA --path MODEL.pt --gen-subset test ... 2>&1 | python examples/language_model/bits.py DATA
"""

import argparse
import json
import re
import sys
from pathlib import Path

TOKENS = re.compile(r"Evaluated ([\d,]+) tokens")
LOSS = re.compile(r"Loss \(base 2\): ([\d.]+)")


def bits(log: str, expected: int, units: int) -> float:
    """The loss of all tokens that `log` reports, in bits, over `units`.

    Raises:
        ValueError: if it reports none, or not of as many as `expected`.
    """
    tokens, loss = TOKENS.findall(log), LOSS.findall(log)
    if not (tokens and loss):
        raise ValueError("no figures of fairseq-eval-lm in the input")
    measured = int(tokens[-1].replace(",", ""))
    if measured != expected:
        raise ValueError(f"{measured:,} of {expected:,} tokens were measured: add --required-batch-size-multiple 1")
    return measured * float(loss[-1]) / units


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="the bin folder that prepare.sh has written")
    parser.add_argument("--gen-subset", default="test", choices=("train", "valid", "test"), help="default: test")
    options = parser.parse_args(argv)
    log = sys.stdin.read()
    try:
        sizes = json.loads((options.data / "sizes.json").read_text(encoding="utf-8"))
        of_subset = sizes[options.gen_subset]
        found = bits(log, of_subset["tokens"], of_subset["units"])
    except (OSError, ValueError, KeyError) as error:
        print(
            f"bits.py: {error}; the input ended with: {(log.strip().splitlines() or ['nothing'])[-1]}", file=sys.stderr
        )
        return 2
    print(f"{found:.4f} bits per {sizes['unit']} ({options.gen_subset}, {of_subset['units']:,} {sizes['unit']}s)")
    if of_subset["unknown"]:
        print(f"{of_subset['unknown']} tokens are <unk>: what they stand for is not in this figure", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
