"""Tell the states of two models apart, level by level: can a classifier say whose a state is?

  ringformer probe --path ring.pt vanilla.pt --data BIN_DIR --output probe
  ringformer probe --path a/best.pt b/best.pt --data data/fashion_mnist --dataset torch/fashion_mnist --output probe

Writes PREFIX.png, PREFIX.svg and PREFIX.json: the accuracy of a linear classifier and of a small MLP, 0.5 being chance,
with 95% intervals over sentences or images. A third of these is for aligning the second model's states to the first's,
a third for training the classifiers, a third for testing. Rows are those of ringformer cka; levels of equal number are
compared; the MLP starts from --seed, too. After an alignment the means are equal, and the linear classifier has little
left to go by.
"""

import argparse
from typing import Any

from ..extras import require
from . import inspection as shared
from .arguments import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_arguments(parser, 2, 3000)
    shared.add_side(parser)
    shared.add_tokens(parser)
    parser.add_argument(
        "--align",
        choices=("procrustes", "ridge", "none"),
        default="procrustes",
        help="the second model's states: rotate them, after centring and scaling both (the default: it takes away what "
        "CKA does not see, and no more); map them by ridge regression, which takes any widths, and shrinks what it "
        "cannot predict; or leave them",
    )
    parser.add_argument(
        "--rows", type=positive, default=20000, metavar="N", help="most rows of a model and side; default: 20000"
    )


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet
    from ..analysis.inspection.probe import gather, probe

    require("sklearn")
    shared.check_outputs(args.output)
    with quiet():
        models = shared.load_models(args)
        examples = shared.open_examples(args, models)
        batches = shared.progress(examples.batches(budget=8192))
        states = gather(models, batches, shared.chosen_side(args), args.tokens or "each", args.rows, args.align)
        work = {side: probe(own, args.align, args.seed, examples.unit) for side, own in states.items()}
        found = {side: list(shared.progress(own, "levels")) for side, own in work.items()}
        _write(args, models, examples, states, found)
    return 0


def _write(
    args: argparse.Namespace,
    models: list[Any],
    examples: Any,
    states: dict[str, Any],
    found: dict[str, list[dict[str, Any]]],
) -> None:
    from ..analysis.inspection.figures import draw_probe
    from ..analysis.inspection.probe import CLASSIFIERS
    from ..analysis.output import rounded, save_figure, write_json

    levels = {side: names[0] for side, names in shared.compared_levels(args, models).items()}
    panels = {side: {name: [level[name] for level in own] for name in CLASSIFIERS} for side, own in found.items()}
    first, second = (loaded.name for loaded in models)
    title = f"{first} and {second}, alignment: {args.align}"
    save_figure(args.output, draw_probe(panels, levels, title))
    content = {
        "checkpoints": [loaded.describe() for loaded in models],
        **shared.described(args, examples),
        "rows_are": shared.rows_are(args),
        "align": args.align,
        "sides": {},
    }
    for side, panel in panels.items():
        own, cuts = states[side], states[side].cuts()
        content["sides"][side] = {
            "levels": levels[side],
            # To align, to train, to test.
            examples.unit: [end - start for start, end in zip(cuts, cuts[1:])],
            "rows": [part.stop - part.start for part in own.thirds()],
            **{
                name: {field: rounded([getattr(accuracy, field) for accuracy in values]) for field in values[0]._fields}
                for name, values in panel.items()
            },
        }
    write_json(args.output + ".json", content)
    for side, panel in panels.items():
        where = f"{side}, " if len(panels) > 1 else ""
        own = states[side]
        spread = ", ".join(
            f"{name} {min(values).accuracy:.3f} to {max(values).accuracy:.3f}" for name, values in panel.items()
        )
        print(
            f"{where}{len(own.sizes):,} {examples.unit}, {own.sizes.sum():,} rows ({shared.rows_are(args)}), "
            f"alignment {args.align}: accuracy {spread}"
        )
    shared.print_written(args)
