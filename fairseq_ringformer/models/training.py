"""What can be wrong with the flags of fairseq-train, found before it starts, each in one line."""

import contextlib
import difflib
import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fairseq import options, tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks import FairseqTask
from omegaconf import DictConfig

from ..errors import UserError, one_line
from ..files import read_checkpoint
from .assets import check_symbols
from .base import StackModel
from .criteria import AddingCriterion
from .language_model import RingFormerLanguageModel
from .lengths import check_lengths

# On a processor fairseq looks for a GPU or a TPU for them, or leaves them out without a word.
OF_GPUS = ("memory_efficient_fp16", "fp16", "memory_efficient_bf16", "bf16", "amp")
LAST = "checkpoint_last.pt"


def parse(words: Sequence[str]) -> DictConfig:
    """The settings that fairseq-train makes of its command line `words`.

    Raises:
        UserError: for what it does not accept.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UserError(f"{ascii(word)} is not UTF-8, as fairseq needs it: choose another name") from None
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            args = options.parse_args_and_arch(options.get_training_parser(), list(words))
        kind = ARCH_MODEL_REGISTRY[args.arch]
        if issubclass(kind, RingFormerLanguageModel) and not hasattr(args, "tokens_per_sample"):
            raise UserError(f"--arch {args.arch} is a language model: add --task language_modeling")
        return convert_namespace_to_omegaconf(args)
    except UserError:
        raise
    except SystemExit as end:
        if not end.code:  # --help
            raise
        last = complaint.getvalue().strip().splitlines()[-1]
        raise UserError(_shorter(last.partition("error: ")[2] or last)) from None
    except RuntimeError:
        raise UserError("no model: name one with --arch, ringformer_base for one") from None
    except Exception as error:  # fairseq evaluates some values, and Hydra reads them once more
        raise UserError(f"a flag of fairseq-train has a value that it cannot read: {one_line(error)}") from None


def _shorter(complaint: str) -> str:
    """A complaint of argparse with, of many choices, those alone that are close to what was chosen."""
    listed = re.fullmatch(r"(.*: invalid choice: '(.*)') \(choose from (.*)\)", complaint)
    names = re.findall(r"[^', ]+", listed[3]) if listed else []
    if len(names) < 30:
        return complaint
    close = difflib.get_close_matches(listed[2], names, n=3, cutoff=0.4)
    return f"{listed[1]} (did you mean {', '.join(close)}?)" if close else listed[1]


def check(cfg: DictConfig) -> None:
    """Find what would end, or spoil, a training with the settings `cfg`.

    Raises:
        UserError: for settings that do not suit this machine, the data or each other, and for a checkpoint to go on from
            that is of another model, dictionary or kind.
    """
    if not 0 <= cfg.common.seed < 2**32:
        raise UserError(f"--seed {cfg.common.seed} must lie between 0 and {2**32 - 1}")
    if cfg.dataset.max_tokens is None and cfg.dataset.batch_size is None:
        raise UserError("no size of a batch: give --max-tokens or --batch-size")
    _check_agreement(cfg)
    check_device(cfg)
    task = _task(cfg)
    model = _model(cfg, task)
    if model is not None and cfg.criterion._name == "adaptive_loss":
        raise UserError("--criterion adaptive_loss needs an adaptive softmax, which no model of this plug-in has")
    criterion = task.build_criterion(cfg.criterion)
    if isinstance(criterion, AddingCriterion):
        if model is None:
            raise UserError(f"--criterion {cfg.criterion._name} is for the models of this plug-in")
        criterion.check(model)
    path, training = _checkpoint(cfg.checkpoint)
    if path is not None:
        _check_checkpoint(path, training, cfg, task, model, type(criterion).__name__)
    _load(cfg, task)
    check_lengths(cfg, task)


def _check_agreement(cfg: DictConfig) -> None:
    """UserError for settings that need one another, and which fairseq finds wanting late, or in a traceback."""
    metric, scheduler = cfg.checkpoint.best_checkpoint_metric, cfg.lr_scheduler
    if cfg.optimizer is None:
        raise UserError("no optimizer: name one with --optimizer, adam for one")
    if scheduler._name == "cosine" and not cfg.optimization.max_update and scheduler.lr_period_updates <= 0:
        raise UserError("--lr-scheduler cosine needs --max-update: it must know where to end")
    if metric == "bleu" and not getattr(cfg.task, "eval_bleu", False):
        raise UserError("--best-checkpoint-metric bleu needs --eval-bleu")
    if metric == "accuracy" and not getattr(cfg.criterion, "report_accuracy", False):
        raise UserError("--best-checkpoint-metric accuracy needs --report-accuracy")
    learns_alignments = cfg.criterion._name == "label_smoothed_cross_entropy_with_alignment"
    if learns_alignments and not getattr(cfg.task, "load_alignments", False):
        raise UserError(f"--criterion {cfg.criterion._name} needs --load-alignments: without it nothing is aligned")


def check_device(cfg: DictConfig) -> None:
    """UserError for settings that need a GPU where there is none, or a TPU."""
    if torch.cuda.is_available() and not cfg.common.cpu:
        if cfg.common.tpu and utils.xm is None:  # fairseq's command line says so for its --bf16
            raise UserError("--bf16: fairseq looks for a TPU then, even beside a GPU: use --autocast bf16 or --fp16")
        return
    for name in OF_GPUS:
        if getattr(cfg.common, name):
            flag = "--" + name.replace("_", "-")
            raise UserError(
                f"{flag} needs a GPU, this training is on the processor: use --autocast bf16 or leave it out"
            )
    distributed = cfg.distributed_training
    if distributed.distributed_world_size > 1 and distributed.distributed_init_method is None:
        raise UserError(
            f"--distributed-world-size {distributed.distributed_world_size} needs as many GPUs: for processes on CPUs "
            "use ringformer train --processes"
        )


def _task(cfg: DictConfig) -> FairseqTask:
    data = getattr(cfg.task, "data", None)
    if isinstance(data, str):
        if os.pathsep in data and os.path.isdir(data):
            raise UserError(
                f"{data}: fairseq takes a name with a colon for a list of folders: rename it, or name a link"
            )
        for folder in utils.split_paths(data):
            if not os.path.isdir(folder):
                raise UserError(f"{folder}: no such data folder: fairseq-preprocess writes one")
    try:
        return tasks.setup_task(cfg.task)
    except Exception as error:  # fairseq raises this very class
        raise UserError(f"{data}: {one_line(error)}") from None


def _model(cfg: DictConfig, task: FairseqTask) -> StackModel | None:
    """The model without its weights; None if it is not of this plug-in."""
    kind = ARCH_MODEL_REGISTRY.get(cfg.model._name)
    if kind is None or not issubclass(kind, StackModel):
        return None
    try:
        with torch.device("meta"):
            return task.build_model(cfg.model).train()
    except (ValueError, OSError, RuntimeError) as error:  # the last where embeddings have another width
        raise UserError(one_line(error)) from None


def _checkpoint(cfg: DictConfig) -> tuple[str | None, bool]:
    """The file that the training goes on from, if any, and whether that is its own training (not fine-tuning)."""
    if cfg.restore_file == LAST:
        path = os.path.join(cfg.save_dir, LAST)
        if os.path.exists(path):
            return path, not cfg.reset_optimizer
        return cfg.finetune_from_model, False
    if cfg.finetune_from_model:
        raise UserError("--finetune-from-model and --restore-file exclude each other")
    return cfg.restore_file, not cfg.reset_optimizer


def _check_checkpoint(
    path: str, resumes: bool, cfg: DictConfig, task: FairseqTask, model: StackModel | None, criterion: str
) -> None:
    state = read_checkpoint(path)
    if "state_dict" in state:
        raise UserError(f"{path}: an image classifier's checkpoint, not a translation model's")
    if not isinstance(state.get("model"), dict):
        raise UserError(f"{path}: a readable file, but no fairseq checkpoint (it holds no model)")
    if not isinstance(state.get("extra_state"), dict) or not state.get("optimizer_history"):
        raise UserError(f"{path}: holds no state of a training to go on from")
    if model is not None:
        try:
            model.upgrade_state_dict_named(dict(state["model"]), "")
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
    check_symbols(state, path, task, cfg.task.data)
    if cfg.ema.store_ema and "ema" not in state["extra_state"]:
        raise UserError(
            f"{path}: was trained without --store-ema, and fairseq cannot begin an average in the middle: leave "
            "--store-ema out, or train from the start into another --save-dir"
        )
    if not resumes or "last_optimizer_state" not in state:
        return
    before = {
        "criterion": (state["optimizer_history"][-1].get("criterion_name"), criterion),
        "optimizer": (_named(state, "optimizer"), cfg.optimizer._name),
    }
    if not cfg.checkpoint.reset_lr_scheduler:
        before["learning-rate scheduler"] = _named(state, "lr_scheduler"), cfg.lr_scheduler._name
    for what, (trained, wanted) in before.items():
        if trained is not None and trained != wanted:
            raise UserError(
                f"{path}: was trained with the {what} {trained}, not {wanted}: add --reset-optimizer to go on with "
                "another, or choose another --save-dir"
            )


def _named(state: dict[str, Any], part: str) -> str | None:
    """What the checkpoint `state` was trained with for a `part` of the settings, ``optimizer`` for one, if it says so."""
    cfg = state.get("cfg")
    found = cfg.get(part) if isinstance(cfg, Mapping) else None
    return found.get("_name") if isinstance(found, Mapping) else None


def _load(cfg: DictConfig, task: FairseqTask) -> None:
    """Load the training and validation sets of `task`; UserError for one that is not there, or lacks its alignments."""
    others = [] if cfg.dataset.disable_validation else cfg.dataset.valid_subset.split(",")
    for subset in (cfg.dataset.train_subset, *others):
        try:
            task.load_dataset(subset, combine=False, epoch=1)
        except OSError as error:
            raise UserError(one_line(error)) from None
        if getattr(cfg.task, "load_alignments", False) and task.dataset(subset).align_dataset is None:
            raise UserError(f"--load-alignments: the data have none of {subset} (fairseq-preprocess --align-suffix)")
