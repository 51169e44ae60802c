"""Draw a smaller ImageNet from a local copy: by default 100 classes, 1,000 training and 50 validation images of each.

  ringformer sample-imagenet /data/imagenet --output data/imagenet_small
  ringformer sample-imagenet ILSVRC2012_img_train.tar --output data/imagenet_small --seed 2
  ringformer sample-imagenet /data/imagenet --output data/imagenet_small --list images.json --link symbolic

The source is a folder with train/CLASS/*.JPEG, the original tar file of the training images, or the folder that this
lies in. Validation images are drawn from the source's val/CLASS/ if it has that, else from the training images, apart
from those drawn for training. OUTPUT/images.json names all images, and --list draws them again.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable

from ..errors import UserError
from .arguments import positive

DEFAULTS = {"classes": 100, "train": 1000, "val": 50, "seed": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IMAGENET", help="folder or tar file")
    parser.add_argument("--output", required=True, metavar="DIR", help="gets train/, val/ and images.json")
    # No defaults here, so that --list can tell which of them were given.
    parser.add_argument("--classes", type=positive, metavar="N", help="default: 100")
    parser.add_argument("--train", type=positive, metavar="N", help="training images of each class; default: 1000")
    parser.add_argument("--val", type=positive, metavar="N", help="validation images of each class; default: 50")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draw; default: 1")
    parser.add_argument("--list", metavar="FILE", help="take the images that this images.json names")
    parser.add_argument("--link", choices=("hard", "symbolic"), help="link to the source's files instead of copying")
    parser.add_argument("--force", action="store_true", help="replace an earlier draw in the output folder")


def run(args: argparse.Namespace) -> int:
    from ..vision.data import imagenet

    _check_output(args)
    try:
        source = imagenet.open_source(args.source)
        if args.link and source.kind == "tar":
            raise UserError(f"--link links to files, and {args.source} is a tar file: leave --link out")
        if args.list:
            sample = imagenet.Sample.read(args.list)
        else:
            wanted = {
                name: default if getattr(args, name) is None else getattr(args, name)
                for name, default in DEFAULTS.items()
            }
            sample = imagenet.draw(source, **wanted, progress=_bar("looking at classes", "class"))
        for name, count in sample.too_small.items():
            print(f"class {name} passed over: it has {count} images")
        _write(args, source, sample)
    except OSError as error:
        raise UserError(f"{error.filename or args.output}: {_reason(error, args.link)}") from None
    except ValueError as error:
        raise UserError(str(error)) from None
    counts = sample.counts()
    origin = "the validation images of the source" if sample.validation_from == imagenet.VAL else "training images"
    print(
        f"{len(sample.images)} classes, {counts['train']:,} training images and {counts['val']:,} validation images "
        f"(from {origin}) written to {args.output}"
    )
    return 0


def _check_output(args: argparse.Namespace) -> None:
    if args.list:
        given = next((name for name in DEFAULTS if getattr(args, name) is not None), None)
        if given:
            raise UserError(f"--list says which images: leave --{given} out")
    output, source = os.path.realpath(args.output), os.path.realpath(args.source)
    if os.path.commonpath([output, source]) in (output, source):
        raise UserError(f"--output {args.output} and the source {args.source} lie in each other: choose another output")
    if os.path.exists(output) and not os.path.isdir(output):
        raise UserError(f"--output {args.output} is a file: name a folder")
    if not os.path.isdir(output) or not os.listdir(output):
        return
    if not args.force:
        raise UserError(f"--output {args.output} is not empty: choose another folder, or replace it with --force")
    if not os.path.isfile(os.path.join(output, "images.json")):
        raise UserError(f"--output {args.output} has no images.json, so --force leaves it alone: delete it yourself")


def _write(args: argparse.Namespace, source, sample) -> None:
    """Write into a folder beside the output first, so that the output never has half of the images."""
    from ..vision.data.imagenet import LIST, write_images

    output = os.path.abspath(args.output)
    os.makedirs(os.path.dirname(output), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(output), prefix=".sample-") as work:
        fresh, old = os.path.join(work, "new"), os.path.join(work, "old")
        os.makedirs(fresh)
        write_images(source, sample, fresh, args.link or "", progress=_bar("writing", "class"))
        sample.write(os.path.join(fresh, LIST))
        if os.path.isdir(output):
            os.replace(output, old)
        os.replace(fresh, output)


def _bar(description: str, unit: str):
    from tqdm import tqdm

    def show(items: Iterable) -> Iterable:
        # None: only where standard error is a terminal.
        return tqdm(items, desc=description, unit=unit, leave=False, disable=None)

    return show


def _reason(error: OSError, link: str) -> str:
    import errno

    if error.errno == errno.EXDEV and link == "hard":
        return "hard links cannot lead to another file system: use --link symbolic, or copy"
    return error.strerror or str(error)
