"""Draw the training loss of several runs over their updates, from the logs that fairseq-train printed.

  curves.py fp32=fp32.log bf16=bf16.log --output curves.png

Logs are those of train.sh with `--log-format json --log-interval N`. Prints the loss at round numbers of updates, too.
"""

import argparse
import sys
from pathlib import Path

from tabulate import tabulate

from fairseq_ringformer.analysis.study.training_log import record
from fairseq_ringformer.cli.arguments import check_output, positive
from fairseq_ringformer.errors import UserError


def losses(log: Path) -> dict[int, float]:
    """Training loss (bits a token, as fairseq logs it) by update.

    Raises:
        SystemExit: if the log holds none.
    """
    found = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        entry = record(line, "train_inner")
        if entry:
            found[int(entry["num_updates"])] = float(entry["loss"])
    if not found:
        raise SystemExit(f"curves: {log} holds no losses: train with --log-format json --log-interval 25, say")
    return found


def run_of(text: str) -> tuple[str, Path]:
    """`NAME=FILE`, as an argparse type."""
    name, separator, path = text.partition("=")
    if not (name and separator and Path(path).is_file()):
        raise argparse.ArgumentTypeError(f"{text}: NAME=FILE wanted, with a log that is there")
    return name, Path(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=run_of, metavar="NAME=FILE", help="name and log of a run")
    parser.add_argument("--every", type=positive, default=100, metavar="N", help="updates between printed rows (100)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="PNG to draw")
    args = parser.parse_args()
    try:
        check_output(args.output)
    except UserError as error:
        sys.exit(f"curves: {error}")
    curves = {name: losses(log) for name, log in args.runs}
    common = sorted(set.intersection(*map(set, curves.values())))
    print(
        tabulate(
            [
                [update, *(f"{curve[update]:.3f}" for curve in curves.values())]
                for update in common
                if update % args.every == 0
            ],
            headers=["updates", *curves],
            disable_numparse=True,
        )
    )
    if args.output is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    for (name, curve), style in zip(curves.items(), ("-", "--", ":", "-.") * len(curves)):
        axes.plot(list(curve), list(curve.values()), style, label=name)
    axes.set_xlabel("updates")
    axes.set_ylabel("training loss (bits a token)")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(args.output, dpi=120)


if __name__ == "__main__":
    main()
