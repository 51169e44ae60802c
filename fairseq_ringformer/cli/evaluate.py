"""Measure a classifier's accuracy on a data set.

ringformer evaluate --path runs/ring/best.pt --data data/fashion_mnist --dataset torch/fashion_mnist
ringformer evaluate --path runs/ring/best.pt --data /data/imagenet_small --per-class --json scores.json
"""

import argparse
import json
import os
import sys
from typing import Any

from ..errors import UserError
from ..files import write_text
from .arguments import add_machine_arguments, check_output, positive, whole
from .errors import gpu_memory, require_timm, told_once


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--path",
        required=True,
        metavar="FILE",
        help="checkpoint of train-classifier or of fold, ONNX file, or folder of timm's save_for_hf",
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the images")
    parser.add_argument("--dataset", default="", metavar="NAME", help="how they lie there, as in train-classifier")
    parser.add_argument("--split", default="validation", metavar="NAME", help="default: validation")
    parser.add_argument("--batch-size", type=positive, default=256, metavar="N", help="default: 256")
    parser.add_argument(
        "--ema", action=argparse.BooleanOptionalAction, help="the averaged weights; default: where there are any"
    )
    parser.add_argument(
        "--exit-level", type=positive, metavar="K", help="run the first K levels alone, the final norm behind them"
    )
    parser.add_argument("--per-class", action="store_true", help="also a table by class")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    add_machine_arguments(parser)
    parser.add_argument("--workers", type=whole(0), default=2, metavar="N", help="processes that load (default: 2)")


def run(args: argparse.Namespace) -> int:
    with told_once(), gpu_memory("lower --batch-size, or use --device cpu"):
        check_output(args.json, [args.path], "--json", stream=True)
        require_timm()
        figures = _evaluate(args)
    if int(os.environ.get("RANK", 0)):
        return 0
    print(_summary(args.path, figures))
    if args.per_class:
        print(_table(figures["per_class"]))
    if args.json:
        write_text(args.json, json.dumps({"path": args.path, **figures}, indent=2, ensure_ascii=False) + "\n")
    return 0


def _evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """The figures, as --json writes them."""
    import torch

    from ..vision.checkpoint import check_outputs, input_config, load_classifier
    from ..vision.data import eval_transform, no_images, open_images
    from ..vision.training.evaluation import evaluate
    from ..vision.training.loading import evaluation_batches
    from ..vision.training.runtime import make_accelerator

    accelerator = make_accelerator(args)
    model, state = load_classifier(args.path, args.ema)
    size, classes = input_config(state), list(state["classes"]) or None
    images = open_images(
        args.data,
        args.split,
        dataset=args.dataset,
        transform=eval_transform(size),
        channels=size.size[0],
        background=size.background,
        classes=classes,
    )
    if classes is None:  # timm's models do not all tell their classes' names
        classes = list(images.classes)
        if len(classes) != state["num_classes"]:
            raise UserError(f"{args.path} tells {state['num_classes']} classes apart, and the data have {len(classes)}")
    if args.exit_level:
        _exit_at(model, args.exit_level)
        name = f"--exit-level {args.exit_level}: {state['arch']}"
        check_outputs(name, model, torch.zeros(1, *size.size), state["num_classes"])
    model.to(accelerator.device)
    if hasattr(model, "reparameterize"):
        model.reparameterize()
    scores = evaluate(
        model,
        evaluation_batches(images, args.batch_size, args.workers, accelerator),
        state["num_classes"],
        accelerator,
        confusion=args.per_class,
        progress=accelerator.is_main_process and sys.stderr.isatty(),
    )
    if accelerator.is_main_process:
        damaged = [f"damaged, left out: {name}" for name in images.damaged_names(scores.damaged)]
        for line in no_images(images.others) + damaged:
            print(line, file=sys.stderr)
    figures = {"model": state["arch"], **scores.as_dict()}
    if args.exit_level:
        figures["exit_level"] = args.exit_level
    if images.others:
        figures["no_images"] = len(images.others)
    if args.per_class:
        figures["per_class"] = _by_class(scores.confusion.tolist(), classes)
    return figures


def _exit_at(model: Any, level: int) -> None:
    """Leave `model`, ours or timm's, no level after `level`, counted from 1."""
    if not hasattr(model, "prune_intermediate_layers"):
        raise UserError(
            "--exit-level: the levels of this model are fixed: take the checkpoint that it was exported from"
        )
    if level > len(model.feature_info):
        raise UserError(f"--exit-level {level} must lie between 1 and {len(model.feature_info)}")
    model.prune_intermediate_layers([level - 1], prune_head=False)


def _summary(path: str, figures: dict[str, Any]) -> str:
    parts = [f"top-1 {figures['top1']:.2f}"]
    if "top5" in figures:
        parts.append(f"top-5 {figures['top5']:.2f}")
    parts += [f"loss {figures['loss']:.4f}", f"{figures['images']:,} images"]
    if figures["damaged"]:
        parts.append(f"{figures['damaged']} damaged left out")
    return f"{path} ({figures['model']}): {', '.join(parts)}"


def _by_class(confusion: list[list[int]], classes: list[str]) -> list[dict[str, Any]]:
    """For each class that has images: their number, top-1, and the class most often taken for it."""
    from ..vision.checkpoint import class_name

    rows = []
    for target, (name, counts) in enumerate(zip(classes, confusion)):
        images = sum(counts)
        if not images:
            continue
        wrong = [0 if other == target else count for other, count in enumerate(counts)]
        most = max(range(len(wrong)), key=wrong.__getitem__)
        taken_for = class_name(classes, most) if wrong[most] else None
        rows.append(
            {
                "class": name,
                "images": images,
                "top1": 100 * counts[target] / images,
                "taken_for": taken_for,
                "taken_for_count": wrong[most],
            }
        )
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    from tabulate import tabulate

    cells = [
        [
            row["class"],
            row["images"],
            row["top1"],
            f"{row['taken_for']} ({row['taken_for_count']})" if row["taken_for"] else "",
        ]
        for row in rows
    ]
    return tabulate(
        cells, headers=["class", "images", "top-1", "most often taken for"], floatfmt=".2f", disable_numparse=[0, 3]
    )
