"""Write a trained ring as a checkpoint of a stock model: fairseq's own transformer, or timm's own VisionTransformer.

  ringformer fold --path runs/a/averaged.pt --output runs/a/folded.pt
  fairseq-generate BIN_DIR --path runs/a/folded.pt

  ringformer fold --path runs/lm/checkpoint_best.pt --output folded_lm.pt
  fairseq-eval-lm BIN_DIR --path folded_lm.pt

  ringformer fold --path runs/vit_ring_tiny_patch4_28_seed1/best.pt --output folded.pt
  ringformer evaluate --path folded.pt --data data/fashion_mnist --dataset torch/fashion_mnist

The level signals are folded into the weights of ordinary layers: fairseq runs the result without --user-dir, timm without
this package, and both give what the ring gives.
"""

import argparse
from typing import Any

from ..errors import UserError, about
from ..export.checkpoints import check_fairseq_checkpoint, is_classifier, without_training_state
from ..files import read_checkpoint, write_checkpoint
from .arguments import check_output
from .converted import report, size
from .errors import require_fairseq, require_timm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path", required=True, metavar="CKPT", help="checkpoint of a model of this package")
    parser.add_argument("--output", required=True, metavar="FILE", help="the checkpoint to write")


def run(args: argparse.Namespace) -> int:
    check_output(args.output, [args.path])
    state = read_checkpoint(args.path)
    if is_classifier(state):
        require_timm()
        return _fold_classifier(args, state)
    require_fairseq()
    return _fold_translator(args, check_fairseq_checkpoint(args.path, state))


def _fold_classifier(args: argparse.Namespace, state: dict[str, Any]) -> int:
    from ..export.timm_vit import fold_classifier_checkpoint
    from ..vision import RingClassifier
    from ..vision.checkpoint import model_of

    model, state = model_of(args.path, state)
    with about(args.path):
        if not isinstance(model, RingClassifier):
            raise UserError(f"it is timm's own {state['arch']} already, there is nothing to fold")
        folded = fold_classifier_checkpoint(state, model)
    write_checkpoint(folded, args.output)
    # timm learns positions; here they are fixed, and then count as weights of the folded model alone.
    into = sum(weight.numel() for weight in folded["state_dict"].values())
    report(args, state["arch"], model, f"folded into timm's VisionTransformer of {into:,}, {size(args.output)},")
    return 0


def _fold_translator(args: argparse.Namespace, state: dict[str, Any]) -> int:
    from ..export.fairseq_transformer import fold_checkpoint
    from ..export.loading import architecture, load_model
    from ..models.base import StackModel

    with about(args.path):
        model = load_model(state)
        if not isinstance(model, StackModel):
            raise UserError("it is fairseq's own transformer already, there is nothing to fold")
        folded = fold_checkpoint(without_training_state(state), model)
    write_checkpoint(folded, args.output)
    into = f"a {folded['cfg']['model']['_name']} of {_count(folded['model']):,}"
    report(args, architecture(state), model, f"folded into {into}, {size(args.output)},")
    return 0


def _count(weights: dict) -> int:
    """Parameters of fairseq's transformer with `weights`: its layers share none, its embeddings and head may."""
    layers = sum(weight.numel() for key, weight in weights.items() if ".layers." in key)
    rest = {id(weight): weight for key, weight in weights.items() if ".layers." not in key and ".version" not in key}
    return layers + sum(weight.numel() for weight in rest.values())
