"""Measure how far every head of every level attends, on average (Figure 3 of the paper).

  ringformer attention-distance --path a.pt b.pt --data data/fashion_mnist --dataset torch/fashion_mnist --output x
  ringformer attention-distance --path runs/a/checkpoint_best.pt --data BIN_DIR --output x

Writes PREFIX.png, PREFIX.svg and PREFIX.json. Of images: the distance between the centres of patches in pixels,
weighted by attention, mean over all patches as queries; the class token is left out, and the weights over the patches
are renormalised. Of text: |i - j| in tokens, in the self-attention of the encoder and of the decoder, padding excluded.
"""

import argparse
from typing import Any

from . import inspection as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_arguments(parser, "+", 500)
    shared.add_side(parser)


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet
    from ..analysis.inspection.attention_distance import measure

    shared.check_outputs(args.output)
    with quiet():
        models = shared.load_models(args)
        examples = shared.open_examples(args, models)
        # All weights of a batch are held at once: as many as 16 sentences of 128 tokens have.
        batches = shared.progress(examples.batches(budget=16 * 128**2, power=2, by_length=True))
        means = measure(models, batches, shared.chosen_side(args))
        _write(args, models, examples, means)
    return 0


def _write(args: argparse.Namespace, models: list[Any], examples: Any, means: list[dict[str, Any]]) -> None:
    from tabulate import tabulate

    from ..analysis.inspection.figures import draw_distances
    from ..analysis.output import rounded, save_figure, write_json

    text = examples.unit == "sentences"
    unit = "tokens" if text else "pixels"
    of = "self-attention, padding excluded" if text else "between patches, class token excluded, weights renormalised"
    about = f"{len(examples):,} {examples.unit}"
    by_name = {
        loaded.name: {
            side: {"distances": mean.result(), "uniform": mean.uniform(), "queries": mean.queries}
            for side, mean in by_side.items()
        }
        for loaded, by_side in zip(models, means)
    }
    save_figure(args.output, draw_distances(by_name, unit, about))
    measured = [
        {
            **loaded.describe(),
            "sides": {
                side: {name: value if name == "queries" else rounded(value) for name, value in figures.items()}
                for side, figures in by_name[loaded.name].items()
            },
        }
        for loaded in models
    ]
    content = {"models": measured, **shared.described(args, examples), "unit": unit, "of": of}
    write_json(args.output + ".json", content)
    rows = [
        [name, *([side] if text else []), level, min(heads), sum(heads) / len(heads), max(heads)]
        for name, by_side in by_name.items()
        for side, figures in by_side.items()
        for level, heads in enumerate(figures["distances"], start=1)
    ]
    headers = ["model", *(["side"] if text else []), "level", "nearest head", "mean", "farthest head"]
    print(f"mean attention distance in {unit}, {about} ({of})")
    print(tabulate(rows, headers=headers, floatfmt=".2f"))
    shared.print_written(args)
