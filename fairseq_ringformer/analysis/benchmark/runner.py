"""All measures of a benchmark, one after another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from tqdm import tqdm

from .measure import Result, interleave, sizes, speeds
from .memory import CheckpointSize, checkpoint_size, training_memory
from .peak import matmul_peak, step_multiply_adds
from .profile import Host, Profile, profile_run
from .training import Training

MEMORY_STEPS = 2  # the optimiser has its memory from the first on


@dataclass(frozen=True)
class Settings:
    """What every benchmark does.

    Attributes:
        measures: some of the benchmark's own.
        rounds: timed rounds; one more before them warms up.
        device: "cpu" or "cuda".
        threads: of torch.
        seed: of weights, data and dropout.
    """

    measures: tuple[str, ...]
    rounds: int = 5
    device: str = "cpu"
    threads: int = 1
    seed: int = 1


class Benchmark:
    """Measures contenders, the first of which is the baseline; subclasses say what these are and what their work is.

    Attributes:
        measures: all there are, in order; each is a method.
        unit: of the speed of training.
        data: where the work is from, for people.
        trainable: those of the contenders that train.
    """

    measures: ClassVar[tuple[str, ...]]
    unit: ClassVar[str]
    data: str
    trainable: list[Any]

    def __init__(self, contenders: Sequence[Any], settings: Settings):
        self.contenders, self.settings = list(contenders), settings

    def build(self, contender: Any) -> nn.Module:
        """The model with random weights."""
        raise NotImplementedError

    def build_on_meta(self, contender: Any) -> nn.Module:
        """As :meth:`build`, without allocating a weight."""
        with torch.device("meta"):
            return self.build(contender)

    def is_outer(self, name: str) -> bool:
        """Whether a weight of this name belongs to embeddings or head."""
        raise NotImplementedError

    def training_batches(self) -> list[Any]:
        """The training batches of a round."""
        raise NotImplementedError

    def training_setting(self) -> str:
        """What training is done with, for people."""
        raise NotImplementedError

    def amount(self, batch: Any) -> int:
        """How much of `unit` a training batch is."""
        raise NotImplementedError

    def preparation(self) -> Callable[[], Any]:
        """Imports what training needs; picklable."""
        raise NotImplementedError

    def beginning(self, contender: Any) -> Callable[[], Training]:
        """Builds the model and its trainer; picklable."""
        raise NotImplementedError

    def training_hosts(self, training: Training) -> Sequence[Host]:
        """Further methods that a profile of training tells apart."""
        raise NotImplementedError

    def describe(self) -> list[tuple[str, int, int]]:
        """Name, parameters and parameters without embeddings and head of each contender."""
        rows = []
        for contender in self.contenders:
            named = list(self.build_on_meta(contender).named_parameters())
            inner = sum(p.numel() for name, p in named if not self.is_outer(name))
            rows.append((contender.name, sum(p.numel() for _, p in named), inner))
        return rows

    def run(self) -> list[Result]:
        """Results of the chosen measures, in the order of `measures`."""
        torch.set_num_threads(self.settings.threads)
        chosen = [measure for measure in self.measures if measure in self.settings.measures]
        return [result for measure in chosen for result in getattr(self, measure)()]

    def rounds(self, name: str, works: Sequence[Callable[[], Any]], pause: float = 0.0) -> list[list[float]]:
        """Seconds of `works`, by contender and round; see :func:`.measure.interleave`."""
        total = len(works) * (self.settings.rounds + 1)
        with tqdm(total=total, desc=name, unit="turn", leave=False) as progress:
            return interleave(works, self.settings.rounds, pause=pause, after_turn=progress.update)

    def training(self) -> list[Result]:
        """Speed of training, and the share of the machine's matrix-product peak that this is."""
        batches = self.training_batches()
        trainings = [self.beginning(contender)() for contender in self.trainable]
        seconds = self.rounds("training", [lambda own=own: own.run(batches) for own in trainings])
        amount = sum(map(self.amount, batches))
        names = [contender.name for contender in self.trainable]
        results = speeds("training", self.training_setting(), self.unit, names, seconds, amount)
        return results + self._peak_shares(trainings, batches, [amount / result.value for result in results])

    def _peak_shares(self, trainings: list[Training], batches: list[Any], seconds: list[float]) -> list[Result]:
        peaks = {dtype: matmul_peak(dtype, self.settings.device) for dtype in (torch.float32, torch.bfloat16)}
        shares = []
        for contender, training, spent in zip(self.trainable, trainings, seconds):
            multiply_adds = sum(step_multiply_adds(training, batch) for batch in batches)
            rate, peak = multiply_adds / spent, peaks[training.dtype]
            kind = str(training.dtype).removeprefix("torch.")
            shares.append(
                Result(
                    "peak share",
                    f"training, of {kind} products",
                    contender.name,
                    "share",
                    rate / peak,
                    None,
                    extra={"multiply_adds": multiply_adds, "multiply_adds_per_second": rate, "peak": peak},
                )
            )
        for share in shares:
            share.ratio = share.value / shares[0].value
        return shares

    def memory(self) -> list[Result]:
        """Peak resident bytes of training, whole and without what the imports took."""
        chosen, batches = self.settings, self.training_batches()
        steps = max(MEMORY_STEPS, len(batches))
        peaks: dict[str, float] = {}
        models: dict[str, float] = {}
        for contender in tqdm(self.trainable, desc="memory", unit="process", leave=False):
            use = training_memory(
                self.preparation(), self.beginning(contender), batches, chosen.device, chosen.threads, steps
            )
            peaks[contender.name], models[contender.name] = use.peak, use.peak - use.imports
        return sizes("memory", "training, peak", "bytes", peaks) + sizes(
            "memory", "training, peak without imports", "bytes", models
        )

    def checkpoint(self) -> list[Result]:
        """Bytes of the file, and parameters."""
        found: dict[str, CheckpointSize] = {
            contender.name: checkpoint_size(self.build(contender), self.is_outer) for contender in self.trainable
        }
        results = sizes("checkpoint", "whole", "bytes", {name: size.bytes for name, size in found.items()})
        for result in results:
            result.extra["parameters"] = found[result.contender].parameters
        inner = sizes(
            "checkpoint",
            "without embeddings and head",
            "bytes",
            {name: size.inner_bytes for name, size in found.items()},
        )
        for result in inner:
            result.extra["parameters"] = found[result.contender].inner_parameters
        return results + inner

    def profiles(self) -> dict[str, dict[str, Profile]]:
        """Where the time of one batch goes, by measure and contender: of training, and what the subclass adds."""
        found: dict[str, dict[str, Profile]] = {}
        for contender in tqdm(self.contenders, desc="profile", unit="model", leave=False):
            if "training" in self.settings.measures and contender in self.trainable:
                found.setdefault("training", {})[contender.name] = self._profile_training(contender)
            for title, profile in self.own_profile(contender).items():
                found.setdefault(title, {})[contender.name] = profile
        return found

    def own_profile(self, contender: Any) -> dict[str, Profile]:
        """Profiles of `contender` besides training, by title."""
        raise NotImplementedError

    def _profile_training(self, contender: Any) -> Profile:
        batches = self.training_batches()[:1]
        training = self.beginning(contender)()
        training.run(batches)
        return profile_run(
            lambda: training.run(batches), self.training_hosts(training), training.model, self.settings.device
        )
