"""The text side of translating: lines in, lines out, whatever engine translates."""

import collections
import io
import itertools
import re
import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from .sentences import Segmenter

BOM = b"\xef\xbb\xbf"
# Input pauses where nothing comes for PAUSE seconds. Lines that trickle in without one wait LONGEST_WAIT at most.
PAUSE, LONGEST_WAIT = 0.02, 0.2
CHUNK = 1 << 16
MOST_LINES = 1024  # that are read before they are worked on
LINES = re.compile(r"[^\n]*\n|[^\n]+")
# Languages that are written without blanks between sentences.
WITHOUT_BLANKS = frozenset("bo ja km lo my th yue zh".split())


@dataclass(frozen=True)
class Alignment:
    """Where the decoder looked: its last level's attention over the source, averaged over heads.

    Attributes:
        source, target: tokens, as the model knows them.
        weights: `(target, source)`; what a row lacks of one went to the end of its sentence. Of several sentences each
            looks at itself alone.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Hypothesis:
    """One translation.

    Attributes:
        text: raw text of the target language.
        score: log probability (base 2) per token, as fairseq-generate prints it; higher is better.
        alignments: of each sentence, if they were asked for.
    """

    text: str
    score: float
    alignments: tuple[Alignment, ...] = ()

    @property
    def alignment(self) -> Alignment | None:
        """Those of the sentences one after another, each with its own source; None if there are none.

        Made anew each time: its size is the square of the text's.
        """
        if not self.alignments:
            return None
        source: list[str] = []
        target: list[str] = []
        rows: list[tuple[float, ...]] = []
        length = sum(len(part.source) for part in self.alignments)
        for part in self.alignments:
            before, after = len(source), length - len(source) - len(part.source)
            rows += [(0.0,) * before + row + (0.0,) * after for row in part.weights]
            source += part.source
            target += part.target
        return Alignment(tuple(source), tuple(target), tuple(rows))


@dataclass(frozen=True)
class Search:
    """How to search and how much at a time.

    Attributes:
        beam: width of the beam.
        lenpen: exponent of the length that scores are divided by.
        nbest: hypotheses to return.
        alignment: whether hypotheses say where the decoder looked.
        scores: whether scores are wanted; without them CTranslate2's greedy search is quicker, and scores are not numbers.
        batch_size: most sentences in a batch.
        max_batch_tokens: most source tokens in a batch, padding counted.
    """

    beam: int = 5
    lenpen: float = 1.0
    nbest: int = 1
    alignment: bool = False
    scores: bool = True
    batch_size: int = 32
    max_batch_tokens: int = 4096


class Engine(Protocol):
    """What translates sentences, from any thread."""

    max_tokens: int  # the longest sentence that the model takes, in tokens
    languages: tuple[str, str]  # source and target
    parallel: int  # threads that it translates for side by side

    def count(self, text: str) -> int:
        """Tokens of `text`; 0 if there is nothing to translate."""

    def translate(self, sentences: list[str], search: Search) -> list[list[Hypothesis]]:
        """Hypotheses of each sentence, in the order of `sentences`, best first; every sentence fits `max_tokens`."""

    def close(self) -> None:
        """Free the model's memory."""


@dataclass(frozen=True)
class Translation:
    """A text and its translation.

    Attributes:
        number: of the text, from 1: the line of a file.
        source: the text.
        hypotheses: best first; none for a text with nothing to translate.
        pieces: what was translated by itself, and the best hypothesis of each.
    """

    number: int
    source: str
    hypotheses: list[Hypothesis]
    pieces: list[tuple[str, Hypothesis]]

    @property
    def text(self) -> str:
        """The best hypothesis' text; empty where there is nothing to translate."""
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


def read_groups(stream: BinaryIO, most: int, note: Callable[[str], None]) -> Iterator[list[str]]:
    """The lines of a UTF-8 `stream`, without line ends, in groups of at most `most`.

    A group ends where input pauses, so that no line waits for the next. Bytes that are no UTF-8 are replaced and noted.
    """
    numbers = itertools.count(1)
    for group in _arriving(stream, most):
        yield [_decode(next(numbers), line, note) for line in group]


def _decode(number: int, line: bytes, note: Callable[[str], None]) -> str:
    if number == 1:
        line = line.removeprefix(BOM)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = line.decode("utf-8", errors="replace")
        note(f"line {number}: not UTF-8 in places, replaced by \N{REPLACEMENT CHARACTER}")
    return text.rstrip("\r\n")


def _arriving(stream: BinaryIO, most: int) -> Iterator[list[bytes]]:
    ready, buffered = _readiness(stream), cast(io.BufferedIOBase, stream)
    lines: collections.deque[bytes] = collections.deque()
    begun: list[bytes] = []  # a line of which the end has not come
    ended = False
    while lines or not ended:
        deadline = time.monotonic() + LONGEST_WAIT
        while len(lines) < most and not ended:
            if lines and not ready(min(PAUSE, deadline - time.monotonic())):
                break
            if not lines:
                ready(None)
                deadline = time.monotonic() + LONGEST_WAIT
            chunk = buffered.read1(CHUNK)
            first, *rest = chunk.split(b"\n")
            begun.append(first)
            if rest or (not chunk and any(begun)):
                lines.append(b"".join(begun))
                lines.extend(rest[:-1])
                begun = rest[-1:]
            ended = not chunk
        if lines:
            yield [lines.popleft() for _ in range(min(most, len(lines)))]


def _readiness(stream: BinaryIO) -> Callable[[float | None], bool]:
    """Whether `stream` has something to read, or its end, within some seconds; None for however long it takes."""
    try:
        descriptor = stream.fileno()
        select.select([descriptor], [], [], 0)
    except (io.UnsupportedOperation, ValueError, OSError):  # in memory; Windows' own
        return lambda seconds: True
    return lambda seconds: bool(select.select([descriptor], [], [], None if seconds is None else max(0, seconds))[0])


def translate_groups(
    groups: Iterable[Sequence[str]], engine: Engine, search: Search, note: Callable[[str], None], split: bool = True
) -> Iterator[list[Translation]]:
    """Translate groups of lines, in order, all that is in a group at once.

    Args:
        note: told of what is longer than the engine takes.
        split: whether each sentence of a line is translated by itself; else the line is, if it is not too long. A text
            with line ends is as many lines.

    Raises:
        MissingPackage: if sentencex is not installed.
    """
    segmenter = Segmenter(engine.languages[0])
    number = 0
    for group in groups:
        cuts = [_cut(at, line, engine, segmenter.split, split, note) for at, line in enumerate(group, start=number + 1)]
        hypotheses = iter(engine.translate([line[piece] for line, cut in zip(group, cuts) for piece in cut], search))
        translated = []
        for line, cut in zip(group, cuts):
            number += 1
            found = list(itertools.islice(hypotheses, len(cut)))
            gaps = [line[before.stop : after.start] for before, after in itertools.pairwise(cut)]
            pieces = [(line[piece], beam[0]) for piece, beam in zip(cut, found)]
            translated.append(Translation(number, line, join(found, gaps, engine.languages[1]), pieces))
        yield translated


def join(pieces: list[list[Hypothesis]], gaps: list[str], language: str) -> list[Hypothesis]:
    """Hypotheses of a line from those of its pieces: the best of each joined, the second best, and so on.

    Args:
        gaps: what stands between the pieces in the source. Line ends join their translations as well, and so do blanks,
            unless only one of the languages is written with blanks between sentences.
        language: of the translations.
    """
    bare = re.split("[-_]", language.lower())[0] in WITHOUT_BLANKS
    glue = ["", *(_glue(gap, bare) for gap in gaps)]
    hypotheses = []
    for parts in zip(*pieces):
        text = "".join(blank + part.text for blank, part in zip(glue, parts))
        score = sum(part.score for part in parts) / len(parts)
        hypotheses.append(
            Hypothesis(text, score, tuple(itertools.chain.from_iterable(part.alignments for part in parts)))
        )
    return hypotheses


def _glue(gap: str, bare: bool) -> str:
    if "\n" in gap:
        return "\n" * gap.count("\n")
    return "" if bare else gap if gap.isspace() and "\r" not in gap else " "


def _cut(
    number: int,
    line: str,
    engine: Engine,
    sentences: Callable[[str], list[str]],
    split: bool,
    note: Callable[[str], None],
) -> list[slice]:
    """Where the pieces of line `number` stand that are translated, without the blanks around them."""
    found, start = [], 0
    for part in sentences(line) if split else LINES.findall(line):
        pieces, count = [part], engine.count(part)
        if count > engine.max_tokens:
            pieces = split_long(part, sentences, engine.count, engine.max_tokens)
            what = "a sentence of " if split else ""
            note(
                f"line {number}: {what}{count} tokens, the model takes {engine.max_tokens}: "
                f"translated in {len(pieces)} pieces"
            )
        for piece in pieces:
            core = piece.strip()
            if len(pieces) > 1:
                count = engine.count(core)
            if core and count:  # a sub-word model may have a piece for white space
                left = start + piece.index(core)
                found.append(slice(left, left + len(core)))
            start += len(piece)
    return found


def split_long(text: str, sentences: Callable[[str], list[str]], count: Callable[[str], int], limit: int) -> list[str]:
    """Cut `text` into pieces of at most `limit` tokens, as few as may be, at sentences, else words, else characters.

    Joined by nothing, they are `text`.
    """
    return list(_pack(text, [sentences, _words, list], count, limit))


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*$|\s*\S+", text)


def _pack(text: str, ways: list[Callable[[str], list[str]]], count: Callable[[str], int], limit: int) -> Iterator[str]:
    """Pieces of as many units as fit each; a unit that does not fit is cut in the next of the `ways`."""
    way, *finer = ways
    units = way(text)

    def fits(start: int, end: int) -> bool:
        return count("".join(units[start:end])) <= limit

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
        if taken == 1 and finer and not fits(start, start + 1):
            yield from _pack(units[start], finer, count, limit)
        else:
            yield "".join(units[start : start + taken])
        start += taken
