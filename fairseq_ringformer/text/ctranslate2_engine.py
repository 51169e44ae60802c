"""Translating with a model that ``ringformer export --to ctranslate2`` has written, without torch and fairseq."""

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import Any

from .. import extras
from ..errors import UserError, about, one_line
from ..export.runtime import choose_instructions, compute_type, layout
from ..files import write_text
from ..machine import cores
from .normalisation import Normalisation
from .prepared import RECIPE
from .stream import Alignment, Hypothesis, Search, batches, longest_output
from .subwords import BOS, EOS, PAD, SPECIAL, UNK, Subwords, build_codec, check_kind

FORMAT = "ctranslate2"
MODEL = "model.bin"
SHORTLIST = "vmap.txt"  # CTranslate2's name
OF_CONVERTER = ("config.json", "shared_vocabulary.json", "source_vocabulary.json", "target_vocabulary.json")
FLOAT32_EPSILON = 2.0**-23


@dataclass(frozen=True)
class Recipe:
    """The recipe.json of a folder that ``ringformer export`` has written.

    Attributes:
        source_lang, target_lang: languages.
        bpe, bpe_model, tokenizer: how text is cut, in fairseq's names; the model is a file of the folder.
        max_source_tokens, max_target_tokens: the longest text, its end not counted.
        quantization: type of the weights.
        format: of the weights.
        largest_int8: the largest int8 weight, see :func:`~..export.runtime.compute_type`; None if it is not known.
        normalisation: what is done to text before, as :meth:`.normalisation.Normalisation.to_json` says it; or None.
    """

    source_lang: str
    target_lang: str
    bpe: str | None
    bpe_model: str | None
    tokenizer: str | None
    max_source_tokens: int
    max_target_tokens: int
    quantization: str
    format: str = FORMAT
    normalisation: dict[str, Any] | None = None
    largest_int8: int | None = None

    def write(self, folder: str) -> None:
        write_text(os.path.join(folder, RECIPE), json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: str) -> "Recipe":
        """The recipe of `folder`.

        Raises:
            UserError: if it is not a folder that ``ringformer export`` has written.
        """
        if not os.path.isdir(folder):
            raise UserError(f"{folder}: no such model folder")
        try:
            with open(os.path.join(folder, RECIPE), encoding="utf-8") as stream:
                recipe = cls(**json.load(stream))
            lengths = (recipe.max_source_tokens, recipe.max_target_tokens)
            if not all(isinstance(length, int) for length in lengths):
                raise ValueError
        except (OSError, ValueError, TypeError):
            recipe = None
        if recipe is None or recipe.format != FORMAT or not os.path.isfile(os.path.join(folder, MODEL)):
            raise UserError(f"{folder}: no model of ringformer export --to {FORMAT}")
        if recipe.bpe is not None:
            with about(folder):
                check_kind(recipe.bpe)
        return recipe

    def subwords(self, folder: str, normalise: bool = True) -> Subwords:
        """How text is normalised, unless `normalise` is False, and cut.

        Raises:
            UserError: if the sub-word model is missing in `folder`, or the normalisation is none.
        """
        model = None
        if self.bpe is not None:
            model = os.path.join(folder, os.path.basename(str(self.bpe_model)))
            if not os.path.isfile(model):
                raise UserError(f"{folder}: its sub-word model {self.bpe_model} is missing: export the model again")
        normalisation = None
        if normalise and self.normalisation is not None:
            with about(folder):
                normalisation = Normalisation.from_json(self.normalisation)
        return Subwords(self.bpe, model, self.tokenizer, normalisation)


def holds_model(folder: str) -> bool:
    """Whether `folder` is as ``ringformer export`` writes it, and nothing else is in it."""
    try:
        recipe = Recipe.read(folder)
    except UserError:
        return False
    return {MODEL, RECIPE, SHORTLIST, recipe.bpe_model, *OF_CONVERTER}.issuperset(os.listdir(folder))


class CTranslate2Engine:
    """A converted model; see :class:`.stream.Engine`.

    Hypotheses and scores are those of fairseq's beam search: every beam is searched to its end, lengths count the end
    of the sentence, padding is never chosen. Only an output that reaches the longest length is cut there, where fairseq
    ends it with the end of the sentence.

    Where the folder has a shortlist, a sentence's candidates alone are scored, and probabilities are theirs.

    Args:
        folder: what ``ringformer export`` has written.
        device: ``cpu``, ``cuda``, ``cuda:1`` ..., or ``auto``.
        threads: CPU threads in all; None for one for each core that this process may use.
        translators: batches translated side by side; None for the choice of :func:`layout`.
        alone: whether sentences come one at a time.
        normalise: whether text is normalised as the training text was.

    Raises:
        UserError: if the folder or the device cannot be used.
    """

    def __init__(
        self,
        folder: str,
        device: str = "auto",
        threads: int | None = None,
        translators: int | None = None,
        alone: bool = False,
        normalise: bool = True,
    ):
        recipe = Recipe.read(folder)
        self.languages = recipe.source_lang, recipe.target_lang
        self.codec = build_codec(recipe.subwords(folder, normalise), *self.languages)
        self.max_tokens, self.max_target_tokens = recipe.max_source_tokens, recipe.max_target_tokens
        self.shortlist = os.path.isfile(os.path.join(folder, SHORTLIST))
        size = os.path.getsize(os.path.join(folder, MODEL))
        choose_instructions()
        kind, index = _place(device)
        counts = layout(threads or cores(), translators, size, alone, gpu=kind == "cuda")
        self.parallel = counts[0]
        computes = compute_type(recipe.quantization, recipe.largest_int8, gpu=kind == "cuda")
        self.translator = _load(folder, kind, index, counts, computes)

    def count(self, text: str) -> int:
        return len(self._tokens(text))

    def close(self) -> None:
        self.translator.unload_model()

    def translate(self, sentences: list[str], search: Search) -> list[list[Hypothesis]]:
        tokens = [self._tokens(sentence) for sentence in sentences]
        lengths = [len(line) + 1 for line in tokens]
        running = []
        # Of few sentences each translator gets a part.
        most = min(search.batch_size, math.ceil(len(sentences) / self.parallel))
        # CTranslate2 4.8 confuses the attention of sentences in a batch whose beams end at different steps.
        if search.alignment and search.beam > 1:
            most = 1
        for batch in batches(lengths, most, search.max_batch_tokens):
            sources = [tokens[index] for index in batch]
            empty = self._empty(sources) if search.scores else [None] * len(sources)
            running.append((batch, self._search(sources, search, longest_output(lengths[batch[0]])), empty))
        results: list[list[Hypothesis]] = [[] for _ in sentences]
        for batch, translated, empty in running:
            for index, hypotheses, scored in zip(batch, translated, empty, strict=True):
                score = scored and _result(scored).log_probs[0]
                results[index] = self._hypotheses(tokens[index], _result(hypotheses), score, search.lenpen)
        return results

    def _tokens(self, text: str) -> list[str]:
        # Text that looks like a special symbol is not one.
        return [UNK if token in SPECIAL else token for token in self.codec.encode(text).split()]

    def _search(self, sources: list[list[str]], search: Search, longest: int) -> list[Any]:
        return self.translator.translate_batch(
            sources,
            asynchronous=True,
            beam_size=search.beam,
            num_hypotheses=search.nbest,
            # At exactly 0 the search would stop at the first finished hypothesis.
            length_penalty=search.lenpen or 1e-9,
            return_scores=search.scores,
            return_attention=search.alignment,
            # Lengths count the end of the sentence, if it is asked for.
            return_end_token=True,
            suppress_sequences=[[PAD]],
            use_vmap=self.shortlist,
            max_input_length=0,
            max_decoding_length=min(longest, self.max_target_tokens),
        )

    def _empty(self, sources: list[list[str]]) -> list[Any]:
        """What the empty translation of each source scores; see :meth:`_hypotheses`."""
        return self.translator.score_batch(sources, [[]] * len(sources), asynchronous=True, max_input_length=0)

    def _hypotheses(self, source: list[str], result: Any, empty: float | None, lenpen: float) -> list[Hypothesis]:
        """The hypotheses of the tokens `source`, whose empty translation has the log probability `empty`.

        No hypothesis is empty. CTranslate2 gives that probability to the others, fairseq does not: so it is taken off.
        """
        hypotheses = []
        for index, tokens in enumerate(result.hypotheses):
            score = math.nan
            if empty is not None:
                # The empty one can have all of the probability, as far as float32 tells.
                rest = max(-math.expm1(empty), FLOAT32_EPSILON)
                score = result.scores[index] + math.log(rest) / len(tokens) ** lenpen
            words = [token for token in tokens if token not in (BOS, EOS)]
            alignments: tuple[Alignment, ...] = ()
            if result.attention:
                rows = (row for token, row in zip(tokens, result.attention[index]) if token not in (BOS, EOS))
                weights = tuple(tuple(row[: len(source)]) for row in rows)
                alignments = (Alignment(tuple(source), tuple(words), weights),)
            hypotheses.append(Hypothesis(self.codec.decode(" ".join(words)), score / math.log(2), alignments))
        return hypotheses


def _place(device: str) -> tuple[str, int]:
    """``cpu`` or ``cuda``, and which one; UserError unless it is there."""
    with extras.named():
        import ctranslate2

    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or not (index or "0").isdecimal() or (index and kind != "cuda"):
        raise UserError(f"--device {device}: choose cpu, cuda, cuda:1 ... or auto")
    if kind == "cuda" and ctranslate2.get_cuda_device_count() <= int(index or 0):
        raise UserError(f"--device {device}: CTranslate2 finds no such device here")
    if kind == "auto":
        kind = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    return kind, int(index or 0)


def _load(folder: str, kind: str, index: int, counts: tuple[int, int], computes: str):
    import ctranslate2

    translators, threads = counts
    options: dict[str, Any] = {"inter_threads": translators, "intra_threads": threads, "max_queued_batches": -1}
    try:
        return ctranslate2.Translator(folder, kind, device_index=index, compute_type=computes, **options)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{folder}: CTranslate2 cannot load it ({one_line(error)}): export the model again") from None


def _result(future: Any) -> Any:
    try:
        return future.result()
    except RuntimeError as error:
        lower = "lower --max-tokens, --batch-size, --beam or --translators"
        if "out of memory" in str(error).lower():
            raise UserError(f"out of GPU memory: {lower}, or use the CPU") from None
        if "allocate" in str(error):
            raise UserError(f"out of memory: {lower}") from None
        raise
