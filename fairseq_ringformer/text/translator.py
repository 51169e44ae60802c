"""Translating from Python, whatever engine does it."""

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .._fairseq import check_fairseq, quiet
from ..errors import UserError
from ..export.checkpoints import split_paths
from .stream import MOST_LINES, Engine, Search, Translation, translate_groups

log = logging.getLogger(__name__)


class Translator:
    """A trained translator: ``Translator("ct2").translate(["Guten Morgen!"])[0].text``.

    Text goes in raw, is normalised as the training text was, cut into sentences and sub-words, and comes out raw. It may be
    used from several threads, and as a context manager.

    Args:
        path: a folder of ``ringformer export --to ctranslate2``, which CTranslate2 translates, without torch and fairseq;
            or a checkpoint, or several between colons as an ensemble, which fairseq does.
        split: whether each sentence of a text is translated by itself; else a text is, if it is not too long.
        batch_size: most sentences in a batch.
        max_batch_tokens: most source tokens in a batch, padding counted.
        note: told, in words, of text that the model does not take as it is; by default the log is.
        options: of the engine. Both have ``device`` (``cpu``, ``cuda``, ``cuda:1`` ..., or ``auto``), ``threads`` and
            ``normalise``; the others are in :class:`.ctranslate2_engine.CTranslate2Engine`, and in
            :class:`.fairseq_engine.FairseqEngine` for checkpoints.

    Attributes:
        languages: source and target.
        parallel: how many threads can translate side by side; what more of them ask for waits.

    Raises:
        UserError: if these are not there or do not belong together.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        split: bool = True,
        batch_size: int = 32,
        max_batch_tokens: int = 4096,
        note: Callable[[str], None] = log.warning,
        **options: Any,
    ):
        self._split, self._note = split, note
        self._batch_size, self._max_batch_tokens = batch_size, max_batch_tokens
        self._engine: Engine | None = _load(os.fspath(path), options)
        self.languages, self.parallel = self._engine.languages, self._engine.parallel

    def translate(
        self,
        texts: Iterable[str],
        *,
        beam: int = 5,
        nbest: int = 1,
        lenpen: float = 1.0,
        alignment: bool = False,
        scores: bool = True,
    ) -> list[Translation]:
        """Translate `texts`, all at once, in batches of like length.

        Args:
            texts: line ends inside them are kept.
            beam: width of the beam.
            nbest: hypotheses of each text.
            lenpen: exponent of the length that scores are divided by; above 1 favours long output.
            alignment: whether hypotheses say where the decoder looked.
            scores: whether scores are wanted; without them exported models are quicker, greedily.

        Returns:
            a translation of each text, in their order.

        Raises:
            UserError: if there are fewer beams than hypotheses.
        """
        if isinstance(texts, str):
            raise TypeError("texts: a list of them, not one")
        options: dict[str, Any] = dict(beam=beam, nbest=nbest, lenpen=lenpen, alignment=alignment, scores=scores)
        return list(itertools.chain.from_iterable(self.groups([list(texts)], **options)))

    def stream(self, texts: Iterable[str], *, buffer_size: int = MOST_LINES, **search: Any) -> Iterator[Translation]:
        """Translate `texts` as they come, without holding all of them.

        Args:
            buffer_size: texts that are taken before they are translated.
            search: as for :meth:`translate`.

        Raises:
            UserError: if no text may be taken, or there are fewer beams than hypotheses.
        """
        if buffer_size < 1:
            raise UserError(f"buffer_size {buffer_size} must be at least 1")
        texts = iter(texts)
        groups = iter(lambda: list(itertools.islice(texts, buffer_size)), [])
        return itertools.chain.from_iterable(self.groups(groups, **search))

    def groups(self, groups: Iterable[Sequence[str]], **search: Any) -> Iterator[list[Translation]]:
        """Translate groups of texts one after another, each at once, as soon as it comes."""
        engine = self._open()
        options = Search(**search, batch_size=self._batch_size, max_batch_tokens=self._max_batch_tokens)
        if not 1 <= options.nbest <= options.beam:
            raise UserError(f"{options.nbest} hypotheses need a beam of at least as many, and there must be one")
        return translate_groups(groups, engine, options, self._note, self._split)

    def close(self) -> None:
        """Free the model's memory; a closed translator translates no more."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def __enter__(self) -> "Translator":
        self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self) -> Engine:
        if self._engine is None:
            raise ValueError("this translator is closed")
        return self._engine


def _load(path: str, options: dict[str, Any]) -> Engine:
    if os.path.isdir(path):
        from .ctranslate2_engine import CTranslate2Engine

        return CTranslate2Engine(path, **options)
    for one in split_paths(path):
        if not os.path.exists(one):
            raise UserError(f"{one}: no such checkpoint, nor folder of an exported model")
    check_fairseq()
    with quiet():
        from .fairseq_engine import FairseqEngine

        return FairseqEngine(path, **options)
