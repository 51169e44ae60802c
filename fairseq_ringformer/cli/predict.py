"""Classify images with a trained classifier: its checkpoint, its ONNX file, or a folder of timm's save_for_hf.

ringformer predict --path runs/ring/best.pt shoe.png coat.jpg
ringformer predict --path runs/ring/best.pt photographs/ --top 3 --json
"""

import argparse
import codecs
import json
import os
import sys
from typing import Any

from ..errors import UserError
from .arguments import add_machine_arguments, positive, use_machine
from .errors import require_timm

BATCH = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, or folders of them")
    parser.add_argument(
        "--path",
        required=True,
        metavar="FILE",
        help="checkpoint of train-classifier or of fold, ONNX file, or folder of timm's save_for_hf",
    )
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="classes per image (default: 5)")
    parser.add_argument(
        "--ema", action=argparse.BooleanOptionalAction, help="the averaged weights; default: where there are any"
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON per image")
    add_machine_arguments(parser)


def run(args: argparse.Namespace) -> int:
    require_timm()
    from ..vision.checkpoint import input_config, load_classifier
    from ..vision.data import eval_transform, read_image

    device = use_machine(args)
    model, state = load_classifier(args.path, args.ema)
    model.to(device)
    if hasattr(model, "reparameterize"):
        model.reparameterize()
    size = input_config(state)
    transform = eval_transform(size)
    status, waiting = 0, []
    for name in args.images:
        try:
            paths = files(name)
        except UserError as error:
            status = _tell(error)
            continue
        for path in paths:
            try:
                waiting.append((path, transform(read_image(path, size.size[0], size.background))))
            except UserError as error:
                status = _tell(error)
            if len(waiting) == BATCH:
                _predict(model, device, waiting, state["classes"], args)
                waiting = []
    if waiting:
        _predict(model, device, waiting, state["classes"], args)
    return status


def files(path: str) -> list[str]:
    """The file named, or the images in the folder named; a folder without any as itself, which no one can read."""
    from ..vision.data import no_images
    from ..vision.data.files import images_in

    if not os.path.isdir(path):
        return [path]
    images, others = images_in(path)
    for line in no_images(others):
        print(f"ringformer predict: {path}: {line}", file=sys.stderr)
    return images or [path]


def _tell(error: UserError) -> int:
    """Say what is wrong with an image or a folder, and pass over it; the exit status."""
    print(f"ringformer predict: {error}", file=sys.stderr)
    return 1


def _predict(
    model: Any, device: str, images: list[tuple[str, Any]], classes: list[str], args: argparse.Namespace
) -> None:
    """Print the likeliest classes of each image."""
    import torch

    from ..vision.checkpoint import class_name

    with torch.inference_mode():
        batch = torch.stack([image for _, image in images]).to(device)
        probabilities = model(batch).float().softmax(1)
    # Where the output is not in UTF-8, JSON has its own way to write other letters.
    plain = codecs.lookup(getattr(sys.stdout, "encoding", None) or "ascii").name != "utf-8"
    values, indices = probabilities.topk(min(args.top, probabilities.shape[1]), dim=1)
    for (path, _), row, order in zip(images, values.tolist(), indices.tolist()):
        likeliest = [(class_name(classes, index), value) for index, value in zip(order, row)]
        if args.json:
            entries = [{"class": name, "probability": round(value, 6)} for name, value in likeliest]
            print(json.dumps({"image": path, "classes": entries}, ensure_ascii=plain), flush=True)
        else:
            print(f"{path}: " + ", ".join(f"{name} {value:.4f}" for name, value in likeliest), flush=True)
