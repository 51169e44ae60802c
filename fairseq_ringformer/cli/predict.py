"""Classify images with a trained classifier.

ringformer predict --path runs/ring/best.pt shoe.png coat.jpg
ringformer predict --path runs/ring/best.pt photographs/ --top 3 --json
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from ..errors import UserError
from .arguments import add_machine_arguments, whole
from .errors import require_timm

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
BATCH = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, or folders of them")
    parser.add_argument("--path", required=True, metavar="FILE", help="checkpoint of train-classifier or of fold")
    parser.add_argument("--top", type=whole(1), default=5, metavar="N", help="classes per image (default: 5)")
    parser.add_argument(
        "--ema", action=argparse.BooleanOptionalAction, help="the averaged weights; default: where there are any"
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON per image")
    add_machine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    require_timm()
    import torch

    from ..vision.checkpoint import input_config, load_classifier
    from ..vision.data import eval_transform

    try:
        if args.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda: torch sees no GPU here; use --device cpu")
        model, state = load_classifier(args.path, args.ema)
        size = input_config(state)
    except ValueError as error:
        raise UserError(str(error)) from None
    if args.threads:
        torch.set_num_threads(args.threads)
    device = "cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu"
    model, transform = model.to(device), eval_transform(size)
    status, waiting = 0, []
    paths = files(args.images)
    for path, problem in paths:
        try:
            if problem:
                raise ValueError(problem)
            waiting.append((path, transform(_read(path, size.size[0]))))
        except ValueError as error:
            print(f"ringformer predict: {path}: {error}", file=sys.stderr)
            status = 1
        if len(waiting) == BATCH:
            _predict(model, waiting, state["classes"], args)
            waiting = []
    if waiting:
        _predict(model, waiting, state["classes"], args)
    return status


def files(images: list[str]) -> Iterator[tuple[str, str]]:
    """(file, what is wrong with it or nothing) for the files named, and for those in the folders named."""
    for path in images:
        if not os.path.isdir(path):
            yield path, "" if os.path.exists(path) else "no such file"
            continue
        inside = sorted(
            os.path.join(folder, name)
            for folder, _, names in os.walk(path)
            for name in names
            if name.lower().endswith(EXTENSIONS)
        )
        if not inside:
            yield path, "no images in this folder"
        for file in inside:
            yield file, ""


def _read(path: str, channels: int) -> Any:
    """The decoded image, grey or in colour as the model's channels are; ValueError if it cannot be read."""
    from ..vision.data.images import Damaged, decode
    from ..vision.data.transforms import image_mode

    try:
        with open(path, "rb") as stream:
            return decode(stream.read(), image_mode(channels))
    except Damaged:
        raise ValueError("damaged, or no image") from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None


def _predict(model: Any, images: list[tuple[str, Any]], classes: list[str], args: argparse.Namespace) -> None:
    """Print the likeliest classes of each image."""
    import torch

    with torch.inference_mode():
        batch = torch.stack([image for _, image in images]).to(next(model.parameters()).device)
        probabilities = model(batch).float().softmax(1)
    values, indices = probabilities.topk(min(args.top, probabilities.shape[1]), dim=1)
    for (path, _), row, order in zip(images, values.tolist(), indices.tolist()):
        likeliest = [
            (classes[index] if index < len(classes) else f"output {index}", value) for index, value in zip(order, row)
        ]
        if args.json:
            found = [{"class": name, "probability": round(value, 6)} for name, value in likeliest]
            print(json.dumps({"image": path, "classes": found}, ensure_ascii=False), flush=True)
        else:
            print(f"{path}: " + ", ".join(f"{name} {value:.4f}" for name, value in likeliest), flush=True)
