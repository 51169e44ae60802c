"""Train an image classifier with timm and accelerate; an interrupted training goes on with the same command.

  ringformer train-classifier --data data/fashion_mnist --dataset torch/fashion_mnist --model vit_ring_tiny_patch4_28 \\
      --epochs 10 --output runs/ring
  ringformer train-classifier --config examples/imagenet_small/config.yaml --data /data/imagenet_small --output runs/ring
  torchrun --nproc_per_node 2 -m fairseq_ringformer.cli.main train-classifier --config ...

DIR/last.pt is to go on from, DIR/best.pt has the weights of the best evaluation; DIR/log.csv, DIR/curves.png and
DIR/tensorboard tell how it went, DIR/result.json what came of it.
"""

import argparse
import os

from ..errors import UserError, one_line
from ..vision.training.options import add_flags, gather
from .errors import gpu_memory, require_timm, told_once

SMALLER = "lower --batch-size and raise --grad-accum by as much, or add --checkpoint-activations"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", help="YAML file of flags, KEY: VALUE; flags on the command line win"
    )
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    first = int(os.environ.get("RANK", 0)) == 0
    with told_once(), gpu_memory(SMALLER):
        options = gather(vars(args), args.config)
        require_timm()
        from ..vision.training.trainer import Trainer

        trainer = Trainer(options)
    try:
        with gpu_memory(SMALLER):
            result = trainer.train()
    except OSError as error:  # a full disk
        raise UserError(one_line(error)) from None
    except KeyboardInterrupt:
        if first:
            raise UserError("interrupted; the same command goes on from the last checkpoint") from None
        return 130
    trainer.accelerator.end_training()
    if first:
        figures = [f"top-{n} {result[f'top{n}']:.2f}" for n in (1, 5) if f"top{n}" in result]
        print(f"{', '.join(figures)} at epoch {result['best_epoch']}: {os.path.join(options.output, 'best.pt')}")
    return 0
