"""Which sentences, or blocks of text, fairseq would leave out of a training, and where it would end for one that is too long."""

import math

import numpy
from fairseq.data import LanguagePairDataset, MonolingualDataset
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig

from ..errors import UserError

# Of each side the lengths of its items, and the most positions that the model has for one.
Sides = dict[str, tuple[numpy.ndarray, float]]


def check_lengths(cfg: DictConfig, task: FairseqTask) -> None:
    """The subsets that `task` has loaded, beside the settings `cfg`.

    Of the training set fairseq leaves out, with a warning, what has more tokens than the model has positions or a batch may
    hold; that may be a few sentences, not most. Of the others it ends there, in the middle of the training.

    Raises:
        UserError: naming the flag that mends it.
    """
    for subset, data in task.datasets.items():
        if isinstance(data, MonolingualDataset):
            what, limit = "block", cfg.task.max_target_positions or cfg.task.tokens_per_sample
            sides: Sides = {"target": (data.sizes, limit)}
        elif isinstance(data, LanguagePairDataset) and data.tgt_sizes is not None:
            what = "sentence"
            lengths = {"source": data.src_sizes, "target": data.tgt_sizes}
            sides = {side: (sizes, _positions(cfg, side)) for side, sizes in lengths.items()}
        else:
            continue
        if subset == cfg.dataset.train_subset:
            _check_training(cfg, subset, what, sides)
        else:
            _check_others(cfg, subset, what, sides)


def _positions(cfg: DictConfig, side: str) -> float:
    limits = (getattr(part, f"max_{side}_positions", None) for part in (cfg.task, cfg.model))
    return min((limit for limit in limits if limit is not None), default=math.inf)


def _check_training(cfg: DictConfig, subset: str, what: str, sides: Sides) -> None:
    most = cfg.dataset.max_tokens or math.inf
    kept = numpy.all([sizes <= min(positions, most) for sizes, positions in sides.values()], axis=0)
    if 2 * kept.sum() < len(kept):
        room = ", ".join(["--max-tokens", *(f"--max-{side}-positions" for side in sides)])
        smaller = ", or lower --tokens-per-sample" if what == "block" else ""
        raise UserError(
            f"{len(kept) - kept.sum()} of the {len(kept)} {what}s of {subset} are too long for a batch or the model: "
            f"raise {room}{smaller}"
        )


def _check_others(cfg: DictConfig, subset: str, what: str, sides: Sides) -> None:
    kept = numpy.all([sizes <= positions for sizes, positions in sides.values()], axis=0)
    if not kept.all() and not cfg.dataset.skip_invalid_size_inputs_valid_test:
        side, (sizes, positions) = next((side, pair) for side, pair in sides.items() if pair[0].max() > pair[1])
        raise UserError(
            f"the longest {what} of {subset} has {sizes.max()} tokens, the model {positions} positions: raise "
            f"--max-{side}-positions, or leave such {what}s out with --skip-invalid-size-inputs-valid-test"
        )
    longest = max(sizes[kept].max(initial=0) for sizes, _ in sides.values())
    limit = cfg.dataset.max_tokens_valid
    if limit is not None and longest > limit:
        raise UserError(
            f"--max-tokens-valid {limit} is less than the longest {what} of {subset} has ({longest}): raise it"
        )
