"""Compare all levels of two models by linear centred kernel alignment (Figures 2 and 4 of the paper).

  ringformer cka --path ring.pt vanilla.pt --data BIN_DIR --output ring_vanilla
  ringformer cka --path a/best.pt b/best.pt --data data/fashion_mnist --dataset torch/fashion_mnist --output a_b

Writes PREFIX.png, PREFIX.svg and PREFIX.json. A value is 1 where two levels hold the same but for rotation, scale and
shift, and about 0 where they have nothing in common; the same checkpoint twice gives 1 on the diagonal. "input" is the
state before the first level. Of translation models every token is a row, padding excluded: of the source sentences in
the encoder, of the reference translations in the decoder. Of classifiers every image is. Estimated without bias over
mini-batches of rows (Nguyen et al. 2021); a rest of fewer than 4 rows is left out.
"""

import argparse
from typing import Any

from . import inspection as shared
from .arguments import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_arguments(parser, 2, 3000)
    shared.add_side(parser)
    shared.add_tokens(parser)
    parser.add_argument(
        "--batch-rows", type=whole(4), default=512, metavar="N", help="rows of a mini-batch; default: 512"
    )


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet
    from ..analysis.inspection.cka import compare

    shared.check_outputs(args.output)
    with quiet():
        models = shared.load_models(args)
        examples = shared.open_examples(args, models)
        batches = shared.progress(examples.batches(budget=8192))
        estimates = compare(models, batches, shared.chosen_side(args), args.tokens or "each", args.batch_rows)
        _write(args, models, examples, estimates)
    return 0


def _write(args: argparse.Namespace, models: list[Any], examples: Any, estimates: dict[str, Any]) -> None:
    from ..analysis.inspection.figures import draw_cka
    from ..analysis.output import rounded, save_figure, write_json

    matrices = {side: estimate.result().tolist() for side, estimate in estimates.items()}
    levels = shared.compared_levels(args, models)
    names = {side: levels[side] for side in matrices}
    rows_are = shared.rows_are(args)
    about = f"{len(examples):,} {examples.unit}"
    first, second = (loaded.name for loaded in models)
    save_figure(args.output, draw_cka(matrices, names, (first, second), f"{first} and {second}: {about}"))
    content = {
        "checkpoints": [loaded.describe() for loaded in models],
        **shared.described(args, examples),
        "rows_are": rows_are,
        "batch_rows": args.batch_rows,
        "sides": {
            side: {"levels": list(names[side]), "rows": estimates[side].rows, "cka": rounded(matrix)}
            for side, matrix in matrices.items()
        },
    }
    write_json(args.output + ".json", content)
    for side, matrix in matrices.items():
        where = f"{side}, " if len(matrices) > 1 else ""
        values = [value for row in matrix for value in row if value == value]
        spread = f"{min(values):.2f} to {max(values):.2f}" if values else "none: all levels are constant"
        print(f"{where}{about}, {estimates[side].rows:,} rows ({rows_are}): CKA {spread}")
    shared.print_written(args)
