"""Training steps with fairseq's own Trainer."""

import contextlib
import functools
import io
from collections.abc import Iterator

import torch
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.trainer import Trainer
from omegaconf import DictConfig

from ..training import synchronise
from .candidates import Candidate
from .workload import Sample

LEARNING_RATE = 1e-4  # small: a benchmark's random sentences teach nothing
# Of weights and products on both sides, as fairseq's --bf16 and --fp16 have them.
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@functools.lru_cache(maxsize=1)
def trainer_config(criterion: str, device: str, seed: int, precision: str = "float32") -> DictConfig:
    """What fairseq-train would run with: Adam, clipping at norm 1.0, a fixed learning rate; no model in it."""
    flags = ["", "--arch", "transformer", "--criterion", criterion, "--optimizer", "adam", "--lr", str(LEARNING_RATE)]
    flags += ["--clip-norm", "1.0", "--seed", str(seed), "--max-tokens", "4096"] + ["--cpu"] * (device == "cpu")
    if criterion == "label_smoothed_cross_entropy":
        flags += ["--label-smoothing", "0.1"]
    if precision != "float32":
        flags.append(f"--{precision}")
    with contextlib.redirect_stdout(io.StringIO()):
        config = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), flags))
    config.common.tpu = False  # fairseq's command line looks for one where it reads --bf16
    return config


class Training:
    """One candidate and its Trainer.

    Args:
        candidate: what is trained.
        criterion: fairseq's name.
        device: "cpu" or "cuda".
        seed: of dropout.
        precision: one of :data:`PRECISIONS`.
    """

    def __init__(self, candidate: Candidate, criterion: str, device: str, seed: int, precision: str = "float32"):
        task, config = candidate.task(), trainer_config(criterion, device, seed, precision)
        self.device = device
        self.dtype = torch.bfloat16 if candidate.options.get("autocast") == "bf16" else PRECISIONS[precision]
        self.trainer = Trainer(config, task, candidate.build(), task.build_criterion(config.criterion))
        self.trainer.begin_epoch(1)
        self.model = self.trainer.model

    def run(self, samples: list[Sample]) -> None:
        """One update on each of `samples`: forward, backward, clipping, Adam."""
        for sample in samples:
            scale = self._loss_scale()
            # Nothing comes back of an update without memory, nor of one that fp16 skips to lower the loss's scale.
            if self.trainer.train_step([sample]) is None and self._loss_scale() == scale:
                raise MemoryError("out of memory in training: lower --max-tokens")
        synchronise(self.device)

    def _loss_scale(self) -> float | None:
        """By which fp16 multiplies the loss; None in other types."""
        scaler = getattr(self.trainer.optimizer, "scaler", None)
        return None if scaler is None else scaler.loss_scale

    @contextlib.contextmanager
    def gradients_of(self, sample: Sample) -> Iterator[None]:
        """Forward and backward pass alone, inside the context; gradients are dropped after it."""
        trainer = self.trainer
        trainer.model.train()
        sample, _ = trainer._prepare_sample(sample)
        trainer.task.train_step(
            sample=sample, model=trainer.model, criterion=trainer.criterion, optimizer=trainer.optimizer, update_num=0
        )
        yield
        trainer.zero_grad()
