"""Count parameters by part, or rebuild the paper's parameter tables beside the published figures.

  ringformer params --arch ringformer_base
  ringformer params --arch ringformer_small --signal-rank 4 --vocab-size 8000
  ringformer params --table 1

With --arch, every model flag of fairseq-train is taken.
"""

import argparse
import json
from typing import Dict, List

from .errors import UserError, require_fairseq

HELP = "parameters by part, and the paper's tables"
TAKES_MODEL_FLAGS = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--arch", help="architecture, such as ringformer_base; model flags may follow")
    what.add_argument("--table", type=int, choices=(1, 4), help="the paper's table to rebuild")
    parser.add_argument("--vocab-size", type=int, metavar="N", help="dictionary entries of each side (52000)")
    parser.add_argument("--target-vocab-size", type=int, metavar="N", help="dictionary entries of the target side alone")
    parser.add_argument("--json", action="store_true", help="print a JSON list of rows")


def run(args: argparse.Namespace) -> int:
    require_fairseq()
    if args.table and (args.model_flags or args.vocab_size or args.target_vocab_size):
        raise UserError("--table takes no other model flags: its rows are the paper's")
    rows = _table(args) if args.table else _architecture(args)
    if args.json:
        print(json.dumps(rows, indent=2))
    return 0


def _table(args: argparse.Namespace) -> List[Dict]:
    from tabulate import tabulate

    from ..analysis.paper import TABLES, count_table

    rows = count_table(args.table)
    if not args.json:
        print(TABLES[args.table].caption)
        print(tabulate(
            [[r["model"], f"{r['embed_dim']}/{r['ffn_dim']}", f"{r['parameters']:,}", r["published"],
              "exact" if r["exact"] else r["note"].split(":")[0]] for r in rows],
            headers=["model", "width", "parameters", "published", ""],
            colalign=("left", "left", "right", "right", "left"),
        ))
        for row in rows:
            if not row["exact"]:
                print(f"{row['model']}: {row['note']}")
    return rows


def _architecture(args: argparse.Namespace) -> List[Dict]:
    from tabulate import tabulate

    from ..analysis.parameters import build_on_meta, count_parts, totals

    def refuse(message: str) -> None:
        raise UserError(message)

    source = 52_000 if args.vocab_size is None else args.vocab_size
    target = source if args.target_vocab_size is None else args.target_vocab_size
    try:
        model = build_on_meta(args.arch, args.model_flags, source, target, error=refuse)
    except ValueError as error:
        raise UserError(str(error)) from None
    counts = count_parts(model)
    inner, total = totals(counts)
    if not args.json:
        print(f"{args.arch}: {source:,} source and {target:,} target entries")
        print(tabulate(
            [[c.part, c.copies or "", f"{c.unique:,}", "" if c.per_level is None else f"{c.per_level:,}",
              f"{c.unrolled:,}"] for c in (*counts, inner, total)],
            headers=["part", "copies", "unique", "per level", "if every level had its own"],
            colalign=("left", "right", "right", "right", "right"),
        ))
    stack = model.encoder.stack.config
    return [{
        "model": args.arch,
        "embed_dim": stack.embed_dim,
        "ffn_dim": stack.ffn_dim,
        "parameters": total.unique,
        "without_embeddings_and_head": inner.unique,
        "published": None,
        "exact": None,
        "parts": [vars(count) for count in counts],
    }]
