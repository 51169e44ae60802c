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

from ..errors import UserError
from . import subjects as shared
from .arguments import whole

ENDINGS = (".png", ".svg", ".json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_arguments(parser, 2, 3000)
    parser.add_argument("--side", choices=("encoder", "decoder", "both"), help="translation: default: both")
    parser.add_argument(
        "--tokens",
        choices=("class", "mean"),
        help="images: the state of the class token, or the mean over the "
        "patches; default: class, which has no input level: it is the same for all images",
    )
    parser.add_argument(
        "--batch-rows", type=whole(4), default=512, metavar="N", help="rows of a mini-batch; default: 512"
    )


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet

    shared.check_output(args.output, ENDINGS)
    with quiet():
        subjects = shared.load_subjects(args)
        examples = shared.Examples(args, subjects)
        try:
            found = _compare(args, subjects, examples)
        except ValueError as error:
            raise UserError(str(error)) from None
        _write(args, subjects, examples, found)
    return 0


def _compare(args: argparse.Namespace, subjects: list[Any], examples: Any) -> dict[str, Any]:
    """The estimate of each side."""
    from ..analysis.inspection.cka import MiniBatchCKA
    from ..analysis.inspection.states import level_counts, token_rows, trace

    first, second = (subject.model for subject in subjects)
    sides = list(level_counts(first))
    if examples.kind == shared.TEXT and args.side != "both":
        sides = [args.side]
    tokens = "each" if examples.kind == shared.TEXT else args.tokens
    prefixes = [getattr(model, "num_prefix_tokens", 0) for model in (first, second)]
    if tokens == "class" and not all(prefixes):
        raise ValueError(f"{subjects[prefixes.index(0)].path}: the model has no class token: add --tokens mean")
    estimates = {side: MiniBatchCKA(args.batch_rows) for side in sides}
    for batch in shared.progress(examples.batches(budget=8192)):
        own = trace(first, batch[0], states=True)
        other = own if second is first else trace(second, batch[-1], states=True)
        for side, estimate in estimates.items():
            rows = [token_rows(found[side], tokens, prefix) for found, prefix in zip((own, other), prefixes)]
            estimate.add(*(levels[1:] if tokens == "class" else levels for levels in rows))
    return estimates


def _write(args: argparse.Namespace, subjects: list[Any], examples: Any, estimates: dict[str, Any]) -> None:
    from ..analysis.inspection.figures import draw_cka
    from ..analysis.inspection.states import level_counts, level_names

    try:
        matrices = {side: estimate.result().tolist() for side, estimate in estimates.items()}
    except ValueError as error:
        raise UserError(f"{error}: add --examples") from None
    text = examples.kind == shared.TEXT
    skipped = 0 if text or args.tokens == "mean" else 1
    names = {
        side: tuple(level_names(level_counts(subject.model)[side])[skipped:] for subject in subjects)
        for side in matrices
    }
    count = len(examples) - examples.left_out
    rows = {side: estimate.rows for side, estimate in estimates.items()}
    of = "tokens" if text else {"class": "class tokens", "mean": "means over patches"}[args.tokens]
    unit = "sentences" if text else "images"
    title = f"{subjects[0].name} and {subjects[1].name}: {count:,} {unit}"
    shared.draw(draw_cka(matrices, names, tuple(subject.name for subject in subjects), title), args.output)
    panels = {
        side: {"levels": list(names[side]), "rows": rows[side], "cka": shared.rounded(matrix)}
        for side, matrix in matrices.items()
    }
    found = {
        "checkpoints": [subject.described() for subject in subjects],
        "data": args.data,
        ("subset" if text else "split"): args.subset if text else args.split,
        "examples": count,
        "seed": args.seed,
        "rows_are": of,
        "batch_rows": args.batch_rows,
        "sides": panels,
    }
    shared.write_json(found, args.output + ".json")
    for side, own in rows.items():
        where = f"{side}, " if len(rows) > 1 else ""
        values = [value for row in matrices[side] for value in row if value == value]
        spread = f"{min(values):.2f} to {max(values):.2f}" if values else "none: all levels are constant"
        print(f"{where}{count:,} {unit}, {own:,} rows ({of}): CKA {spread}")
    print(f"written: {', '.join(args.output + ending for ending in ENDINGS)}")
