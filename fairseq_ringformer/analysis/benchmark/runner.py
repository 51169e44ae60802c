"""All measures of a benchmark, one after another."""

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from tqdm import tqdm

from .contenders import Contender, build_task
from .ctranslate2 import CTranslate2Generation, check_ctranslate2
from .generation import Generation
from .measure import Result, interleave, sizes, speeds
from .memory import CheckpointSize, checkpoint_size, training_memory
from .peak import matmul_peak, step_multiply_adds
from .profile import Profile, profile_run
from .training import Training
from .workload import Lengths, Sample, count_tokens, generation_batches, output_tokens, training_batches

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
MEMORY_STEPS = 2  # the optimiser has its memory from the first on
# CTranslate2's threads wait for more work, keeping a core busy, for up to 0.2 s (OpenMP's block time).
PAUSE = 0.25


@dataclass(frozen=True)
class Settings:
    """What a benchmark does.

    Attributes:
        measures: of :data:`MEASURES`.
        size: how much work a round is, a key of :data:`AMOUNTS`.
        rounds: timed rounds; one more before them warms up.
        max_tokens: most tokens of either side in a training batch, padding counted.
        criterion: fairseq's name.
        beams, batch_sizes: what generation is measured with, every pair of them.
        device: "cpu" or "cuda".
        threads: of torch.
        seed: of weights, sentences and dropout.
        translators: of CTranslate2, side by side; None: chosen by the model's size.
    """

    measures: Tuple[str, ...] = MEASURES
    size: str = "base"
    rounds: int = 5
    max_tokens: int = 4096
    criterion: str = "cross_entropy"
    beams: Tuple[int, ...] = BEAMS
    batch_sizes: Tuple[int, ...] = BATCH_SIZES
    device: str = "cpu"
    threads: int = 1
    seed: int = 1
    translators: Optional[int] = None


class Benchmark:
    """Measures contenders, the first of which is the baseline.

    Args:
        contenders: see :func:`.contenders.choose`.
        lengths: what the sentences are like.
        settings: what to do.

    Raises:
        ValueError: if CTranslate2 cannot run a contender that it should.
    """

    def __init__(self, contenders: Sequence[Contender], lengths: Lengths, settings: Settings):
        self.contenders, self.lengths, self.settings = list(contenders), lengths, settings
        self.task = build_task(contenders[0].vocabulary)
        self.longest = min(
            min(contender.build_on_meta(self.task).max_positions()) for contender in contenders
        ) - 1
        for contender in self.contenders:
            if contender.quantization:
                check_ctranslate2(contender, self.task, settings.device)
        self.trainable = [contender for contender in self.contenders if not contender.quantization]

    def run(self) -> List[Result]:
        """Results of all measures, in the order of :data:`MEASURES`."""
        torch.set_num_threads(self.settings.threads)
        steps: Dict[str, Callable[[], List[Result]]] = {
            "training": self.training, "generation": self.generation, "memory": self.memory,
            "checkpoint": self.checkpoint,
        }
        return [result for measure in MEASURES if measure in self.settings.measures for result in steps[measure]()]

    def training_samples(self) -> List[Sample]:
        """The training batches of a round."""
        chosen = self.settings
        return training_batches(self.lengths.train, self.task.target_dictionary, chosen.max_tokens,
                                AMOUNTS[chosen.size][0], self.longest, chosen.seed)

    def generation_samples(self, beam: int, batch_size: int) -> List[Sample]:
        """The batches that a round of generation translates."""
        chosen = self.settings
        sentences = AMOUNTS[chosen.size][1].get((beam, batch_size), max(16, batch_size))
        return generation_batches(self.lengths.test, self.task.target_dictionary, batch_size,
                                  max(1, sentences // batch_size), self.longest, chosen.seed)

    def _rounds(self, name: str, works: Sequence[Callable[[], None]]) -> List[List[float]]:
        total = len(works) * (self.settings.rounds + 1)
        pause = PAUSE if any(contender.quantization for contender in self.contenders) else 0.0
        with tqdm(total=total, desc=name, unit="turn", leave=False) as progress:
            return interleave(works, self.settings.rounds, pause=pause, after_turn=progress.update)

    def training(self) -> List[Result]:
        """Target tokens per second of training, and the share of the machine's matrix-product peak that this is."""
        chosen, samples = self.settings, self.training_samples()
        trainings = [
            Training(contender, self.task, chosen.criterion, chosen.device, chosen.seed) for contender in self.trainable
        ]
        seconds = self._rounds("training", [lambda own=own: own.run(samples) for own in trainings])
        _, tokens = count_tokens(samples)
        names = [contender.name for contender in self.trainable]
        setting = f"{chosen.criterion}, {chosen.max_tokens} tokens a batch"
        results = speeds("training", setting, "target tokens/s", names, seconds, tokens)
        return results + self._peak_shares(trainings, samples, results)

    def _peak_shares(self, trainings: List[Training], samples: List[Sample], results: List[Result]) -> List[Result]:
        peaks = {
            str(dtype).split(".")[1]: matmul_peak(dtype, self.settings.device)
            for dtype in (torch.float32, torch.bfloat16)
        }
        shares = []
        for contender, training, result in zip(self.trainable, trainings, results):
            multiply_adds = sum(step_multiply_adds(training, sample) for sample in samples)
            rate = multiply_adds / (sum(s["ntokens"] for s in samples) / result.value)
            kind = "bfloat16" if contender.options.get("autocast") == "bf16" else "float32"
            shares.append(Result(
                "peak share", f"training, of {kind} products", contender.name, "share", rate / peaks[kind], None,
                extra={"multiply_adds": multiply_adds, "multiply_adds_per_second": rate, "peak": peaks[kind]},
            ))
        for share in shares:
            share.ratio = share.value / shares[0].value
        return shares

    def generation(self) -> List[Result]:
        """Sentences and tokens per second of every pair of beam and batch size."""
        results = []
        for batch_size in self.settings.batch_sizes:
            for beam in self.settings.beams:
                results += self._generation(beam, batch_size)
        return results

    def _generation(self, beam: int, batch_size: int) -> List[Result]:
        samples = self.generation_samples(beam, batch_size)
        engines = [self._engine(contender, beam, batch_size) for contender in self.contenders]
        names = [contender.name for contender in self.contenders]
        setting = f"{f'beam {beam}' if beam > 1 else 'greedy'}, batch {batch_size}"
        seconds = self._rounds(f"generation, {setting}", [lambda own=own: own.run(samples) for own in engines])
        sentences, _ = count_tokens(samples)
        tokens = output_tokens(samples)
        results = speeds("generation", setting, "sentences/s", names, seconds, sentences)
        for result, engine in zip(results, engines):
            result.extra["tokens/s"] = result.value * tokens / sentences
            if isinstance(engine, CTranslate2Generation):
                result.extra["translators"], result.extra["threads of each"] = engine.layout
        return results

    def _engine(self, contender: Contender, beam: int, batch_size: int) -> Union[Generation, CTranslate2Generation]:
        chosen = self.settings
        if not contender.quantization:
            return Generation(contender, self.task, beam, chosen.device)
        return CTranslate2Generation(
            contender, self.task, beam, batch_size, chosen.device, chosen.threads, chosen.translators
        )

    def memory(self) -> List[Result]:
        """Peak resident bytes of training, whole and without what the imports took."""
        chosen, samples = self.settings, self.training_samples()
        peaks: Dict[str, float] = {}
        models: Dict[str, float] = {}
        for contender in tqdm(self.trainable, desc="memory", unit="process", leave=False):
            use = training_memory(contender, samples, chosen.criterion, chosen.device, chosen.threads,
                                  max(MEMORY_STEPS, len(samples)), chosen.seed)
            peaks[contender.name], models[contender.name] = use.peak, use.peak - use.imports
        return sizes("memory", "training, peak", "bytes", peaks) + sizes(
            "memory", "training, peak without imports", "bytes", models
        )

    def checkpoint(self) -> List[Result]:
        """Bytes of the file, and parameters."""
        found: Dict[str, CheckpointSize] = {c.name: checkpoint_size(c) for c in self.trainable}
        results = sizes("checkpoint", "whole", "bytes", {name: size.bytes for name, size in found.items()})
        for result in results:
            result.extra["parameters"] = found[result.contender].parameters
        inner = sizes("checkpoint", "without embeddings and head", "bytes",
                      {name: size.inner_bytes for name, size in found.items()})
        for result in inner:
            result.extra["parameters"] = found[result.contender].inner_parameters
        return results + inner

    def profiles(self) -> Dict[str, Dict[str, Profile]]:
        """Where the time of one batch goes, by measure and contender: training, and the first setting of generation."""
        found: Dict[str, Dict[str, Profile]] = {}
        for contender in tqdm(self.trainable, desc="profile", unit="model", leave=False):
            if "training" in self.settings.measures:
                found.setdefault("training", {})[contender.name] = self._profile_training(contender)
            if "generation" in self.settings.measures:
                beam, batch_size = self.settings.beams[0], self.settings.batch_sizes[0]
                setting = f"generation, beam {beam}, batch {batch_size}"
                found.setdefault(setting, {})[contender.name] = self._profile_generation(contender, beam, batch_size)
        return found

    def _profile_training(self, contender: Contender) -> Profile:
        chosen, samples = self.settings, self.training_samples()[:1]
        training = Training(contender, self.task, chosen.criterion, chosen.device, chosen.seed)
        hosts = [(training.trainer.criterion, "compute_loss", "softmax, loss")]
        training.run(samples)
        return profile_run(lambda: training.run(samples), hosts, training.trainer.model, chosen.device)

    def _profile_generation(self, contender: Contender, beam: int, batch_size: int) -> Profile:
        samples = self.generation_samples(beam, batch_size)[:1]
        engine = Generation(contender, self.task, beam, self.settings.device)
        ensemble = engine.generator.model
        hosts = [
            (engine.model, "get_normalized_probs", "softmax, loss"),
            (engine.generator.search, "step", "search: best candidates"),
            (engine.generator, "finalize_hypos", "search: finished sentences"),
            (ensemble, "reorder_incremental_state", "reordering the cache"),
            (ensemble, "reorder_encoder_out", "reordering the cache"),
            (ensemble, "forward_encoder", "encoder, in between"),
            (ensemble, "forward_decoder", "decoder, in between"),
        ]
        engine.run(samples)
        return profile_run(lambda: engine.run(samples), hosts, engine.model, self.settings.device)
