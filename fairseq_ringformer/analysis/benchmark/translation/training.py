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

CRITERIA = ("cross_entropy", "label_smoothed_cross_entropy")
LEARNING_RATE = 1e-4  # small: a benchmark's random sentences teach nothing


@functools.lru_cache(maxsize=1)
def trainer_config(criterion: str, device: str, seed: int) -> DictConfig:
    """What fairseq-train would run with: Adam, clipping at norm 1.0, a fixed learning rate; no model in it."""
    flags = ["", "--arch", "transformer", "--criterion", criterion, "--optimizer", "adam", "--lr", str(LEARNING_RATE)]
    flags += ["--clip-norm", "1.0", "--seed", str(seed), "--max-tokens", "4096"] + ["--cpu"] * (device == "cpu")
    if criterion == "label_smoothed_cross_entropy":
        flags += ["--label-smoothing", "0.1"]
    with contextlib.redirect_stdout(io.StringIO()):
        return convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), flags))


class Training:
    """One candidate and its Trainer.

    Args:
        candidate: what is trained.
        criterion: one of :data:`CRITERIA`.
        device: "cpu" or "cuda".
        seed: of dropout.
    """

    def __init__(self, candidate: Candidate, criterion: str, device: str, seed: int):
        task, config = candidate.task(), trainer_config(criterion, device, seed)
        self.device = device
        self.dtype = torch.bfloat16 if candidate.options.get("autocast") == "bf16" else torch.float32
        self.trainer = Trainer(config, task, candidate.build(), task.build_criterion(config.criterion))
        self.trainer.begin_epoch(1)
        self.model = self.trainer.model

    def run(self, samples: list[Sample]) -> None:
        """One update on each of `samples`: forward, backward, clipping, Adam."""
        for sample in samples:
            if self.trainer.train_step([sample]) is None:
                raise MemoryError("out of memory in training: lower --max-tokens")
        synchronise(self.device)

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
