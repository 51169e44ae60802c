"""Count parameters by part, or rebuild the paper's parameter tables beside the published figures.

  ringformer params --arch ringformer_base
  ringformer params --arch ringformer_small --signal-rank 4 --vocab-size 8000
  ringformer params --arch vit_ring_728_l6_patch16_224 --signal-rank 16
  ringformer params --table 1

With --arch, every model flag of fairseq-train is taken, and for an image classifier every keyword of the model.
"""

import argparse
import json

from ..errors import UserError
from .arch import build_classifier, build_translator, is_classifier
from .arguments import positive
from .errors import require_fairseq, require_timm

TAKES_MODEL_FLAGS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--arch", help="architecture, such as ringformer_base; model flags may follow")
    what.add_argument("--table", type=int, choices=(1, 2, 3, 4), help="the paper's table to rebuild")
    parser.add_argument("--vocab-size", type=positive, metavar="N", help="dictionary entries of each side (52000)")
    parser.add_argument(
        "--target-vocab-size", type=positive, metavar="N", help="dictionary entries of the target side alone"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list of rows")


def run(args: argparse.Namespace) -> int:
    if args.table and (args.model_flags or args.vocab_size or args.target_vocab_size):
        raise UserError("--table takes no other model flags: its rows are the paper's")
    rows = _table(args) if args.table else _architecture(args)
    if args.json:
        print(json.dumps(rows, indent=2))
    return 0


def _table(args: argparse.Namespace) -> list[dict]:
    from tabulate import tabulate

    from ..analysis.counts.paper import count_table, paper_tables

    table = paper_tables()[f"table{args.table}"]
    (require_timm if table.vision else require_fairseq)()
    rows = count_table(args.table)
    if not args.json:
        print(table.caption)
        print(
            tabulate(
                [
                    [
                        r["model"],
                        f"{r['embed_dim']}/{r['ffn_dim']}",
                        f"{r['parameters']:,}",
                        r["published"],
                        "exact" if r["exact"] else r["note"].split(":")[0],
                    ]
                    for r in rows
                ],
                headers=["model", "width", "parameters", "published", ""],
                colalign=("left", "left", "right", "right", "left"),
            )
        )
        for row in rows:
            if not row["exact"]:
                print(f"{row['model']}: {row['note']}")
    return rows


def _architecture(args: argparse.Namespace) -> list[dict]:
    from tabulate import tabulate

    from ..analysis.counts.parts import totals

    if is_classifier(args.arch):
        if args.vocab_size or args.target_vocab_size:
            raise UserError(f"{args.arch} classifies images: --vocab-size and --target-vocab-size are for translation")
        model = build_classifier(args.arch, args.model_flags)
        from ..analysis.counts.vision import count_parts

        stack, title = model.stack.config, f"{args.arch}: {model.num_classes:,} classes"
    else:
        source = args.vocab_size or 52_000
        target = args.target_vocab_size or source
        model = build_translator(args.arch, args.model_flags, source, target)
        from ..analysis.counts.translation import count_parts

        entries = f"{source:,} source and {target:,} target entries"
        if "encoder" not in model.sides:
            if args.target_vocab_size:
                raise UserError(f"{args.arch} has one dictionary: --target-vocab-size is for translation")
            entries = f"{source:,} entries"
        stack, title = next(iter(model.sides.values())).stack.config, f"{args.arch}: {entries}"
    counts = count_parts(model)
    inner, total = totals(counts)
    if not args.json:
        print(title)
        print(
            tabulate(
                [
                    [
                        c.part,
                        c.copies or "",
                        f"{c.unique:,}",
                        "" if c.per_level is None else f"{c.per_level:,}",
                        f"{c.unrolled:,}",
                    ]
                    for c in (*counts, inner, total)
                ],
                headers=["part", "copies", "unique", "per level", "if every level had its own"],
                colalign=("left", "right", "right", "right", "right"),
            )
        )
    return [
        {
            "model": args.arch,
            "embed_dim": stack.embed_dim,
            "ffn_dim": stack.ffn_dim,
            "parameters": total.unique,
            "without_embeddings_and_head": inner.unique,
            "published": None,
            "exact": None,
            "parts": [vars(count) for count in counts],
        }
    ]
