"""The text side of translating: lines in, lines out, whatever engine translates."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    Attributes:
        text: raw text of the target language.
        score: log probability (base 2) per token, as fairseq-generate prints it; higher is better.
    """

    text: str
    score: float


@dataclass(frozen=True)
class Search:
    """How to search and how much at a time.

    Attributes:
        beam: width of the beam.
        lenpen: exponent of the length that scores are divided by.
        nbest: hypotheses to return.
        batch_size: most sentences in a batch.
        max_batch_tokens: most source tokens in a batch, padding counted.
    """

    beam: int = 5
    lenpen: float = 1.0
    nbest: int = 1
    batch_size: int = 32
    max_batch_tokens: int = 4096


class Engine(Protocol):
    """What translates sentences."""

    max_tokens: int  # the longest sentence that the model takes, in tokens

    def count(self, text: str) -> int:
        """Tokens of `text`; 0 if there is nothing to translate."""

    def translate(self, sentences: list[str]) -> list[list[Hypothesis]]:
        """Hypotheses of each sentence, in the order of `sentences`, best first; every sentence fits `max_tokens`."""


@dataclass(frozen=True)
class Translated:
    """A line and its translation.

    Attributes:
        number: of the line, from 1.
        source: the line.
        hypotheses: best first; none for a line with nothing to translate.
        pieces: in how many pieces it was translated.
    """

    number: int
    source: str
    hypotheses: list[Hypothesis]
    pieces: int

    @property
    def text(self) -> str:
        return self.hypotheses[0].text if self.hypotheses else ""


def longest_output(length: int) -> int:
    """Most tokens that a sentence of `length` tokens may become: fairseq's 200, doubled for long sentences.

    It is the same for a sentence in any batch, and sentences for which it differs are never in one batch.
    """
    most = 200
    while most < 2 * length:
        most *= 2
    return most


def batches(lengths: Sequence[int], size: int, max_tokens: int) -> Iterator[list[int]]:
    """Indices of sentences of like length, longest first.

    Args:
        lengths: tokens of each sentence, its end counted.
        size: most sentences in a batch.
        max_tokens: most tokens in a batch, padding counted; a longer sentence is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: lengths[index], reverse=True)
    for _, group in itertools.groupby(order, key=lambda index: longest_output(lengths[index])):
        batch: list[int] = []
        for index in group:
            longest = lengths[batch[0]] if batch else 0
            if len(batch) == size or (len(batch) + 1) * longest > max_tokens:
                yield batch
                batch = []
            batch.append(index)
        yield batch


def read_lines(stream: BinaryIO, note: Callable[[str], None]) -> Iterator[str]:
    """The lines of a UTF-8 `stream` as they come, without line ends; bytes that are no UTF-8 are replaced and noted."""
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(BOM)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = line.decode("utf-8", errors="replace")
            note(f"line {number}: not UTF-8 in places, replaced by \N{REPLACEMENT CHARACTER}")
        yield text.rstrip("\r\n")


def translate_lines(
    lines: Iterable[str], engine: Engine, buffer_size: int, note: Callable[[str], None]
) -> Iterator[Translated]:
    """Translate `lines` in buffers of `buffer_size`, in order; lines longer than the engine takes go in pieces."""
    numbered = enumerate(lines, start=1)
    while buffer := list(itertools.islice(numbered, buffer_size)):
        pieces = []
        for number, line in buffer:
            count = engine.count(line)
            if count <= engine.max_tokens:
                pieces.append([line] if count else [])
                continue
            pieces.append([piece for piece in split_long(line, engine.count, engine.max_tokens) if engine.count(piece)])
            note(
                f"line {number}: {count} tokens, the model takes {engine.max_tokens}: "
                f"translated in {len(pieces[-1])} pieces"
            )
        hypotheses = iter(engine.translate(list(itertools.chain.from_iterable(pieces))))
        for (number, line), parts in zip(buffer, pieces, strict=True):
            yield Translated(number, line, join(list(itertools.islice(hypotheses, len(parts)))), len(parts))


def join(pieces: list[list[Hypothesis]]) -> list[Hypothesis]:
    """Hypotheses of a line from those of its pieces: the best of each joined, the second best, and so on."""
    return [
        Hypothesis(" ".join(part.text for part in parts), sum(part.score for part in parts) / len(parts))
        for parts in zip(*pieces)
    ]


# The end of a sentence; German ordinals ("3. Mai") and abbreviations of one letter ("z. B.") are none.
_SENTENCE_END = re.compile(
    r"""(?<![\s.]\w\.)(?<!^\w\.)(?<!\d\.)(?<=[.!?…])["'”“’»«)\]]*\s+(?![a-zäöüß])|(?<=[。！？])"""
)


def sentences(text: str) -> list[str]:
    """The sentences of `text`, by punctuation alone."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = (text[start:end].strip() for start, end in zip([0, *ends], [*ends, len(text)]))
    return [part for part in parts if part]


def split_long(text: str, count: Callable[[str], int], limit: int) -> list[str]:
    """Cut `text` into pieces of at most `limit` tokens: its sentences, cut at words or else characters if too long."""
    pieces = []
    for sentence in sentences(text):
        if count(sentence) <= limit:
            pieces.append(sentence)
        else:
            pieces.extend(_pack(sentence.split(), " ", count, limit))
    return pieces


def _pack(units: list[str], glue: str, count: Callable[[str], int], limit: int) -> Iterator[str]:
    """Pieces of as many `units` as fit each; a unit that does not fit is cut into its characters."""

    def fits(start: int, end: int) -> bool:
        return count(glue.join(units[start:end])) <= limit

    start = 0
    while start < len(units):
        # Doubling, then halving, keeps the counted text short.
        taken, step = 1, 1
        while start + taken + step <= len(units) and fits(start, start + taken + step):
            taken, step = taken + step, 2 * step
        while step:
            if start + taken + step <= len(units) and fits(start, start + taken + step):
                taken += step
            step //= 2
        if taken == 1 and len(units[start]) > 1 and not fits(start, start + 1):
            yield from _pack(list(units[start]), "", count, limit)
        else:
            yield glue.join(units[start : start + taken])
        start += taken
