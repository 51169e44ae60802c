"""Write a trained ring as a checkpoint of fairseq's own transformer.

  ringformer fold --path runs/a/averaged.pt --output runs/a/folded.pt
  fairseq-generate BIN_DIR --path runs/a/folded.pt

The level signals are folded into the weights of ordinary layers: fairseq runs the result without --user-dir, and
translates as the ring does.
"""

import argparse
import os
from typing import Dict

from .checkpoints import check_output, without_training_state, write_checkpoint
from .errors import UserError, load_checkpoint, require_fairseq

HELP = "a ring as a checkpoint of fairseq's own transformer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path", required=True, metavar="CKPT", help="checkpoint of a model of this plug-in")
    parser.add_argument("--output", required=True, metavar="FILE", help="the checkpoint to write")


def run(args: argparse.Namespace) -> int:
    require_fairseq()
    check_output(args.output, [args.path])
    state = load_checkpoint(args.path)
    from ..export.fairseq_transformer import fold_checkpoint
    from ..export.loading import architecture, load_model
    from ..models.ringformer import RingFormerModel

    try:
        model = load_model(state)
        if not isinstance(model, RingFormerModel):
            raise ValueError("it is fairseq's own transformer already, there is nothing to fold")
        folded = fold_checkpoint(without_training_state(state), model)
    except ValueError as error:
        raise UserError(f"{args.path}: {error}") from None
    write_checkpoint(folded, args.output)
    count = sum(weight.numel() for weight in model.parameters())
    print(
        f"{architecture(state)} of {count:,} parameters, {_size(args.path)}: folded into a transformer of "
        f"{_count(folded['model']):,}, {_size(args.output)}, written to {args.output}"
    )
    return 0


def _count(weights: Dict) -> int:
    """Parameters of fairseq's transformer with `weights`: its layers share none, its embeddings and head may."""
    layers = sum(weight.numel() for key, weight in weights.items() if ".layers." in key)
    rest = {id(weight): weight for key, weight in weights.items() if ".layers." not in key and ".version" not in key}
    return layers + sum(weight.numel() for weight in rest.values())


def _size(path: str) -> str:
    return f"{os.path.getsize(path) / 1e6:.1f} MB"
