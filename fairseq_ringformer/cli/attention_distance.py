"""Measure how far every head of every level attends, on average (Figure 3 of the paper).

  ringformer attention-distance --path a.pt b.pt --data data/fashion_mnist --dataset torch/fashion_mnist --output x
  ringformer attention-distance --path runs/a/checkpoint_best.pt --data BIN_DIR --output x

Writes PREFIX.png, PREFIX.svg and PREFIX.json. Of images: the distance between the centres of patches in pixels,
weighted by attention, mean over all patches as queries; the class token is left out, and the weights over the patches
are renormalised. Of text: |i - j| in tokens, in the self-attention of the encoder and of the decoder, padding excluded.
"""

import argparse
from typing import Any

from ..errors import UserError
from . import subjects as shared

ENDINGS = (".png", ".svg", ".json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_arguments(parser, "+", 500)
    parser.add_argument("--side", choices=("encoder", "decoder", "both"), help="translation: default: both")


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet

    shared.check_output(args.output, ENDINGS)
    with quiet():
        subjects = shared.load_subjects(args)
        examples = shared.Examples(args, subjects)
        found = [{} for _ in subjects]
        try:
            _measure(args, subjects, examples, found)
        except ValueError as error:
            raise UserError(str(error)) from None
        if not all(found):
            raise UserError(f"{args.data}: none of the {len(examples)} images can be read")
        _write(args, subjects, examples, found)
    return 0


def _measure(
    args: argparse.Namespace, subjects: list[shared.Subject], examples: shared.Examples, found: list[dict[str, Any]]
) -> None:
    """Fill `found` with the means of every model's sides."""
    from ..analysis.inspection.attention_distance import MeanDistance, patches_only, token_distances
    from ..analysis.inspection.states import trace

    text = examples.kind == shared.TEXT
    pixels = [None if text else _pixels(subject) for subject in subjects]
    # All weights of a batch are held at once: as many as 16 sentences of 128 tokens have.
    for batch in shared.progress(examples.batches(budget=16 * 128**2, power=2, by_length=True)):
        for subject, own, distances, means in zip(subjects, batch, pixels, found):
            for side, traced in trace(subject.model, own, weights=True).items():
                if text and args.side not in ("both", side):
                    continue
                levels, present = [weights["self_attn"] for weights in traced.weights], traced.present
                if text:
                    distances = token_distances(present.size(1))
                else:
                    prefix = subject.model.num_prefix_tokens
                    levels, present = [patches_only(weights, prefix) for weights in levels], None
                means.setdefault(side, MeanDistance(causal=side == "decoder")).add(levels, distances, present)


def _pixels(subject: shared.Subject) -> Any:
    """Distances between the patches of a classifier."""
    from ..analysis.inspection.attention_distance import patch_distances

    embed = getattr(subject.model, "patch_embed", None)
    if embed is None or not hasattr(embed, "grid_size"):
        raise UserError(f"{subject.path}: {subject.architecture} has no grid of patches")
    return patch_distances(embed.grid_size, embed.patch_size)


def _write(
    args: argparse.Namespace, subjects: list[shared.Subject], examples: shared.Examples, found: list[dict[str, Any]]
) -> None:
    from tabulate import tabulate

    from ..analysis.inspection.figures import draw_distances

    text = examples.kind == shared.TEXT
    unit, things = ("tokens", "sentences") if text else ("pixels", "images")
    count = len(examples) - examples.left_out
    models = {
        subject.name: {
            side: {"distances": mean.result(), "uniform": mean.uniform(), "queries": mean.queries}
            for side, mean in means.items()
        }
        for subject, means in zip(subjects, found)
    }
    shared.draw(draw_distances(models, unit, f"{count:,} {things}"), args.output)
    of = "self-attention, padding excluded" if text else "between patches, class token excluded, weights renormalised"
    measured = [
        {
            **subject.described(),
            "sides": {
                side: {**own, "distances": shared.rounded(own["distances"]), "uniform": shared.rounded(own["uniform"])}
                for side, own in models[subject.name].items()
            },
        }
        for subject in subjects
    ]
    shared.write_json(
        {
            "models": measured,
            "data": args.data,
            ("subset" if text else "split"): args.subset if text else args.split,
            "examples": count,
            "seed": args.seed,
            "unit": unit,
            "of": of,
        },
        args.output + ".json",
    )
    rows = [
        [name, side, level, min(heads), sum(heads) / len(heads), max(heads)]
        for name, own in models.items()
        for side, figures in own.items()
        for level, heads in enumerate(figures["distances"], start=1)
    ]
    headers = ["model", "side", "level", "nearest head", "mean", "farthest head"]
    if not text:
        rows, headers = [row[:1] + row[2:] for row in rows], headers[:1] + headers[2:]
    print(f"mean attention distance in {unit}, {count:,} {things} ({of})")
    print(tabulate(rows, headers=headers, floatfmt=".2f"))
    print(f"written: {', '.join(args.output + ending for ending in ENDINGS)}")
