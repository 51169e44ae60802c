"""All measures of a benchmark, one after another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from tqdm import tqdm

from .candidate import Candidate
from .measure import Result, interleave, sizes, speeds
from .memory import saved_bytes, training_memory
from .peak import matmul_peak, step_multiply_adds
from .profile import Profile, profile_run
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
    """Measures candidates, the first of which is the baseline; subclasses say what the work is.

    Attributes:
        measures: all there are, in order; each is a method.
        unit: of the speed of training.
        data: where the work is from, for people.
        training_setting: what training is done with, for people.
        prepare_training: imports what training needs; picklable.
    """

    measures: ClassVar[tuple[str, ...]]
    unit: ClassVar[str]
    data: str
    training_setting: str
    prepare_training: Callable[[], Any]

    def __init__(self, candidates: Sequence[Any], settings: Any):
        self.candidates, self.settings = list(candidates), settings
        self.trainable = [candidate for candidate in self.candidates if candidate.trains]

    def training_batches(self) -> list[Any]:
        """The training batches of a round."""
        raise NotImplementedError

    def amount(self, batch: Any) -> int:
        """How much of `unit` a training batch is."""
        raise NotImplementedError

    def trainer(self, candidate: Any) -> Callable[[], Training]:
        """Builds the model and its trainer; picklable."""
        raise NotImplementedError

    def use_profile(self, candidate: Any) -> dict[str, Profile]:
        """Profiles of `candidate` in use, by title."""
        raise NotImplementedError

    def run(self) -> list[Result]:
        """Results of the chosen measures, in the order of `measures`."""
        torch.set_num_threads(self.settings.threads)
        chosen = [measure for measure in self.measures if measure in self.settings.measures]
        return [result for measure in chosen for result in getattr(self, measure)()]

    def rounds(self, name: str, works: Sequence[Callable[[], Any]], pause: float = 0.0) -> list[list[float]]:
        """Seconds of `works`, by candidate and round; see :func:`.measure.interleave`."""
        total = len(works) * (self.settings.rounds + 1)
        with tqdm(total=total, desc=name, unit="turn", leave=False) as progress:
            return interleave(works, self.settings.rounds, pause, progress.update)

    def training(self) -> list[Result]:
        """Speed of training, and the share of the machine's matrix-product peak that this is."""
        batches = self.training_batches()
        trainings = [self.trainer(candidate)() for candidate in self.trainable]
        seconds = self.rounds("training", [lambda training=training: training.run(batches) for training in trainings])
        amount = sum(map(self.amount, batches))
        names = [candidate.name for candidate in self.trainable]
        results = speeds("training", self.training_setting, self.unit, names, seconds, amount)
        return results + self._peak_shares(trainings, batches, [amount / result.value for result in results])

    def _peak_shares(self, trainings: list[Training], batches: list[Any], seconds: list[float]) -> list[Result]:
        peaks = {
            dtype: matmul_peak(dtype, self.settings.device) for dtype in {training.dtype for training in trainings}
        }
        shares: list[Result] = []
        for candidate, training, spent in zip(self.trainable, trainings, seconds):
            multiply_adds = sum(step_multiply_adds(training, batch) for batch in batches)
            rate, peak = multiply_adds / spent, peaks[training.dtype]
            setting = f"training, of {str(training.dtype).removeprefix('torch.')} products"
            extra = {"multiply_adds": multiply_adds, "multiply_adds_per_second": rate, "peak": peak}
            ratio = rate / peak / shares[0].value if shares else 1.0
            shares.append(Result("peak share", setting, candidate.name, "share", rate / peak, ratio, extra=extra))
        return shares

    def memory(self) -> list[Result]:
        """Peak resident bytes of training, whole and without what the imports took."""
        chosen, batches = self.settings, self.training_batches()
        steps = max(MEMORY_STEPS, len(batches))
        peaks: dict[str, float] = {}
        models: dict[str, float] = {}
        for candidate in tqdm(self.trainable, desc="memory", unit="process", leave=False):
            use = training_memory(
                self.prepare_training, self.trainer(candidate), batches, chosen.device, chosen.threads, steps
            )
            peaks[candidate.name], models[candidate.name] = use.peak, use.peak - use.imports
        return sizes("memory", "training, peak", peaks) + sizes("memory", "training, peak without imports", models)

    def checkpoint(self) -> list[Result]:
        """Bytes of the file, and parameters."""
        results = []
        for number, setting in enumerate(("whole", "without embeddings and head")):
            values: dict[str, float] = {}
            for candidate in self.trainable:
                model = candidate.build()
                weights = model.state_dict()
                if number:
                    outer = candidate.outer(model)
                    weights = {name: weight for name, weight in weights.items() if not outer.search(name)}
                values[candidate.name] = saved_bytes(weights)
            for candidate, result in zip(self.trainable, sizes("checkpoint", setting, values)):
                result.extra["parameters"] = candidate.parameters()[number]
                results.append(result)
        return results

    def profiles(self) -> dict[str, dict[str, Profile]]:
        """Where the time of one batch goes, by measure and candidate: of training, and of what the subclass adds."""
        profiles: dict[str, dict[str, Profile]] = {}
        for candidate in tqdm(self.candidates, desc="profile", unit="model", leave=False):
            if "training" in self.settings.measures and candidate.trains:
                profiles.setdefault("training", {})[candidate.name] = self._profile_training(candidate)
            for title, profile in self.use_profile(candidate).items():
                profiles.setdefault(title, {})[candidate.name] = profile
        return profiles

    def _profile_training(self, candidate: Candidate) -> Profile:
        batches = self.training_batches()[:1]
        training = self.trainer(candidate)()
        training.run(batches)
        return profile_run(lambda: training.run(batches), training.model, self.settings.device)
