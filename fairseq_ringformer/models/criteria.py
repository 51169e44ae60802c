"""Criteria of fairseq that ask more of a model than its last level's scores.

Both add something to fairseq's label-smoothed cross-entropy (``--label-smoothing``, 0 by default) where a model trains;
in validation their loss is that of the last level alone, and what they add is logged beside it.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.logging import metrics
from fairseq.tasks import FairseqTask
from torch import Tensor

from ..errors import UserError
from ..modules import HaltingStack, parse_exits
from .base import StackModel

Log = dict[str, Any]


class AddingCriterion(LabelSmoothedCrossEntropyCriterion):
    """Cross-entropy, and what a subclass adds to it."""

    def __init__(self, cfg: LabelSmoothedCrossEntropyCriterionConfig, task: FairseqTask):
        super().__init__(task, cfg.sentence_avg, cfg.label_smoothing, cfg.ignore_prefix_size, cfg.report_accuracy)

    @classmethod
    def build_criterion(cls, cfg: LabelSmoothedCrossEntropyCriterionConfig, task: FairseqTask) -> "AddingCriterion":
        return cls(cfg, task)

    def check(self, model: StackModel) -> None:
        """UserError, naming a flag, if `model` has nothing that this criterion could read."""
        raise NotImplementedError

    def asked(self, model: StackModel) -> dict[str, Any]:
        """What the model's forward pass is asked for beside its scores."""
        return {}

    def added(self, model: StackModel, net_output: tuple, sample: dict) -> tuple[Tensor, Log]:
        """What is added to the loss, like this a sum over tokens; and sums to be logged, by name."""
        raise NotImplementedError

    def forward(self, model: StackModel, sample: dict, reduce: bool = True) -> tuple[Tensor, int, Log]:
        """As fairseq's: the loss, summed; what it is divided by; and what is logged."""
        self.check(model)
        net_output = model(**sample["net_input"], **self.asked(model))
        loss, nll_loss = self.compute_loss(model, net_output, sample, reduce=reduce)
        sample_size = sample["target"].size(0) if self.sentence_avg else sample["ntokens"]
        added, log = self.added(model, net_output, sample)
        if self.training:
            loss = loss + added
        log.update(loss=loss.data, nll_loss=nll_loss.data, sample_size=sample_size)
        log.update(ntokens=sample["ntokens"], nsentences=sample["target"].size(0))
        if self.report_accuracy:
            log["n_correct"], log["total"] = self.compute_accuracy(model, net_output, sample)
        return loss, sample_size, log


@dataclass
class PonderConfig(LabelSmoothedCrossEntropyCriterionConfig):
    """Options of :class:`PonderCriterion`."""

    ponder_weight: float = field(
        default=0.01,
        metadata={"help": "what a level that a position runs costs, beside the loss of a token (arXiv 1807.03819)"},
    )


@register_criterion("label_smoothed_cross_entropy_with_ponder", dataclass=PonderConfig)
class PonderCriterion(AddingCriterion):
    """Cross-entropy and the ponder cost of models with adaptive halting: steps and remainder, mean over positions."""

    def __init__(self, cfg: PonderConfig, task: FairseqTask):
        super().__init__(cfg, task)
        self.weight = cfg.ponder_weight

    def check(self, model: StackModel) -> None:
        if not isinstance(model.decoder.stack, HaltingStack):
            raise UserError(
                "--criterion label_smoothed_cross_entropy_with_ponder is for models that halt by themselves, such as "
                "universal_transformer_act_base"
            )

    def added(self, model: StackModel, net_output: tuple, sample: dict) -> tuple[Tensor, Log]:
        tokens = {"encoder": sample["net_input"]["src_tokens"], "decoder": sample["target"]}
        cost, log = torch.zeros(()), {}
        for side, halting in net_output[1]["halting"].items():
            present = tokens[side].ne(self.padding_idx)
            cost = cost.to(halting.steps) + (halting.steps + halting.remainder)[present].mean()
            log[f"{side}_steps"], log[f"{side}_positions"] = halting.steps[present].sum(), present.sum()
        return self.weight * sample["ntokens"] * cost, log

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[Log]) -> None:
        """Log also the mean number of levels that positions have run, ``encoder_steps`` and ``decoder_steps``."""
        super().reduce_metrics(logging_outputs)
        for side in ("encoder", "decoder"):
            positions = sum(log.get(f"{side}_positions", 0) for log in logging_outputs)
            if positions > 0:
                steps = sum(log[f"{side}_steps"] for log in logging_outputs) / positions
                metrics.log_scalar(f"{side}_steps", steps, positions, round=3)


@dataclass
class ExitsConfig(LabelSmoothedCrossEntropyCriterionConfig):
    """Options of :class:`ExitsCriterion`."""

    exit_levels: str = field(
        default="",
        metadata={"help": "decoder levels that also learn to be the last, counted from 1: 2,4; default: all"},
    )
    exit_weight: float = field(
        default=0.3, metadata={"help": "weight of their mean loss, beside that of the last level"}
    )
    exit_distillation: bool = field(
        default=False, metadata={"help": "they learn the last level's probabilities instead of the labels"}
    )


@register_criterion("label_smoothed_cross_entropy_with_exits", dataclass=ExitsConfig)
class ExitsCriterion(AddingCriterion):
    """Cross-entropy of the last level and, by final norm and head, of levels before it, for ``--exit-level``.

    As in LayerSkip (arXiv 2404.16710, section 4.1), with one weight for all levels.
    """

    def __init__(self, cfg: ExitsConfig, task: FairseqTask):
        super().__init__(cfg, task)
        self.named, self.weight, self.distils = cfg.exit_levels, cfg.exit_weight, cfg.exit_distillation

    def check(self, model: StackModel) -> None:
        if isinstance(model.decoder.stack, HaltingStack):
            raise UserError(
                "--criterion label_smoothed_cross_entropy_with_exits is for models of which every level runs, not for those "
                "that halt by themselves"
            )
        self.asked(model)

    def asked(self, model: StackModel) -> dict[str, Any]:
        return {"exit_levels": parse_exits(self.named, model.decoder.stack.levels, "the decoder")}

    def added(self, model: StackModel, net_output: tuple, sample: dict) -> tuple[Tensor, Log]:
        losses, log = [], {}
        for level, scores in net_output[1]["exit_scores"].items():
            loss, nll_loss = self.compute_loss(model, (scores, None), sample)
            losses.append(self._distilled(model, scores, net_output[0], sample) if self.distils else loss)
            log[f"nll_loss_{level}"] = nll_loss.data
        return self.weight * torch.stack(losses).mean(), log

    def _distilled(self, model: StackModel, scores: Tensor, last: Tensor, sample: dict) -> Tensor:
        """Cross-entropy with the probabilities of the last level's scores, summed over tokens."""
        lprobs, target = self.get_lprobs_and_target(model, (scores, None), sample)
        taught, _ = self.get_lprobs_and_target(model, (last.detach(), None), sample)
        return -(taught.exp() * lprobs).sum(-1)[target.ne(self.padding_idx)].sum()

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[Log]) -> None:
        """Log also the cross-entropy in bits of each of those levels, ``nll_loss_1`` and so on."""
        super().reduce_metrics(logging_outputs)
        tokens = sum(log["ntokens"] for log in logging_outputs)
        for name in sorted({name for log in logging_outputs for name in log if name.startswith("nll_loss_")}):
            total = sum(log.get(name, 0) for log in logging_outputs)
            metrics.log_scalar(name, total / tokens / math.log(2), tokens, round=3)
