"""Translation: training by fairseq's Trainer, and generation by its SequenceGenerator or by CTranslate2."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .. import runner
from ..measure import Result, speeds
from ..profile import Profile, profile_run
from .candidates import Candidate
from .ctranslate2 import CTranslate2Generation, check_ctranslate2
from .generation import Generation
from .training import PRECISIONS, Training, trainer_config
from .workload import Lengths, Sample, generation_batches, output_tokens, training_batches

MEASURES = ("training", "generation", "memory", "checkpoint")
BATCH_SIZES = (32, 1)
BEAMS = (5, 1)

# How much a round does: training batches, and sentences to generate by (beam, batch size); some seconds at most.
AMOUNTS = {
    "tiny": (4, {(5, 32): 128, (5, 1): 12, (1, 32): 256, (1, 1): 24}),
    "small": (3, {(5, 32): 128, (5, 1): 8, (1, 32): 256, (1, 1): 16}),
    "base": (1, {(5, 32): 128, (5, 1): 6, (1, 32): 128, (1, 1): 12}),
    "large": (1, {(5, 32): 32, (5, 1): 2, (1, 32): 32, (1, 1): 4}),
}
# A GPU trains on so many times as many batches in a round: what takes a processor seconds takes it milliseconds.
ON_GPU = 16
# CTranslate2's threads wait for more work, keeping a core busy, for up to 0.2 s (OpenMP's block time).
PAUSE = 0.25


@dataclass(frozen=True)
class Settings(runner.Settings):
    """What a benchmark of translation does.

    Attributes:
        size: how much work a round is, a key of :data:`AMOUNTS`.
        max_tokens: most tokens of either side in a training batch, padding counted.
        criterion: fairseq's name.
        precision: of weights and products on all sides, a key of :data:`.training.PRECISIONS`.
        beams, batch_sizes: what generation is measured with, every pair of them.
        translators: of CTranslate2, side by side; None: chosen by the model's size.
    """

    measures: tuple[str, ...] = MEASURES
    size: str = "base"
    max_tokens: int = 4096
    criterion: str = "cross_entropy"
    precision: str = "float32"
    beams: tuple[int, ...] = BEAMS
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    translators: int | None = None


class Benchmark(runner.Benchmark):
    """Measures translation models.

    Args:
        candidates: see :func:`.candidates.choose`.
        lengths: what the sentences are like.
        settings: what to do.

    Raises:
        UserError: if CTranslate2 cannot run a candidate that it should.
    """

    measures = MEASURES
    unit = "target tokens/s"

    def __init__(self, candidates: Sequence[Candidate], lengths: Lengths, settings: Settings):
        super().__init__(candidates, settings)
        self.lengths, self.data = lengths, f"lengths of {lengths.origin}"
        self.dictionary = candidates[0].task().target_dictionary
        self.longest = min(min(candidate.build_on_meta().max_positions()) for candidate in candidates) - 1
        for candidate in self.candidates:
            if candidate.quantization:
                check_ctranslate2(candidate, settings.device)
        self.in_precision = "" if settings.precision == "float32" else f", {settings.precision}"
        self.training_setting = f"{settings.criterion}, {settings.max_tokens} tokens a batch{self.in_precision}"
        self.training_options = settings.criterion, settings.device, settings.seed, settings.precision
        self.prepare_training = functools.partial(trainer_config, *self.training_options)

    def training_batches(self) -> list[Sample]:
        chosen = self.settings
        count = AMOUNTS[chosen.size][0] * (ON_GPU if chosen.device == "cuda" else 1)
        return training_batches(
            self.lengths.train, self.dictionary, chosen.max_tokens, count, self.longest, chosen.seed
        )

    def amount(self, batch: Sample) -> int:
        return batch["ntokens"]

    def trainer(self, candidate: Candidate) -> Callable[[], Training]:
        return functools.partial(Training, candidate, *self.training_options)

    def generation_samples(self, beam: int, batch_size: int) -> list[Sample]:
        """The batches that a round of generation translates."""
        chosen = self.settings
        sentences = AMOUNTS[chosen.size][1].get((beam, batch_size), max(16, batch_size))
        count = max(1, sentences // batch_size)
        return generation_batches(self.lengths.test, self.dictionary, batch_size, count, self.longest, chosen.seed)

    def generation(self) -> list[Result]:
        """Sentences and tokens per second of every pair of beam and batch size."""
        results = []
        for batch_size in self.settings.batch_sizes:
            for beam in self.settings.beams:
                results += self._generation(beam, batch_size)
        return results

    def _generation(self, beam: int, batch_size: int) -> list[Result]:
        samples = self.generation_samples(beam, batch_size)
        candidates = [candidate for candidate in self.candidates if candidate.generates]
        engines = [self._engine(candidate, beam, batch_size) for candidate in candidates]
        names = [candidate.name for candidate in candidates]
        setting = f"{f'beam {beam}' if beam > 1 else 'greedy'}, batch {batch_size}{self.in_precision}"
        pause = PAUSE if len(self.trainable) < len(self.candidates) else 0.0
        works = [lambda engine=engine: engine.run(samples) for engine in engines]
        seconds = self.rounds(f"generation, {setting}", works, pause)
        sentences, tokens = sum(sample["nsentences"] for sample in samples), output_tokens(samples)
        results = speeds("generation", setting, "sentences/s", names, seconds, sentences)
        for result, engine in zip(results, engines):
            result.extra["tokens/s"] = result.value * tokens / sentences
            if isinstance(engine, CTranslate2Generation):
                result.extra["translators"], result.extra["threads of each"] = engine.layout
        return results

    def _engine(self, candidate: Candidate, beam: int, batch_size: int) -> Generation | CTranslate2Generation:
        chosen = self.settings
        if not candidate.quantization:
            return Generation(candidate, beam, chosen.device, PRECISIONS[chosen.precision])
        return CTranslate2Generation(candidate, beam, batch_size, chosen.device, chosen.threads, chosen.translators)

    def use_profile(self, candidate: Candidate) -> dict[str, Profile]:
        """Of generation with the first beam and batch size."""
        if "generation" not in self.settings.measures or candidate.quantization or not candidate.generates:
            return {}
        beam, batch_size = self.settings.beams[0], self.settings.batch_sizes[0]
        samples = self.generation_samples(beam, batch_size)[:1]
        engine = Generation(candidate, beam, self.settings.device, PRECISIONS[self.settings.precision])
        engine.run(samples)
        profile = profile_run(lambda: engine.run(samples), engine.model, self.settings.device)
        return {f"generation, beam {beam}, batch {batch_size}": profile}
