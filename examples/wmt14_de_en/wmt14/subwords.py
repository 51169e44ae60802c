"""Cut the text into sub-words: learn from a sample, encode in several processes, drop long training pairs.

Text is never held as a whole: 4.5 million pairs pass line by line.
"""

import contextlib
import itertools
import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from recipe.binarise import DICTIONARY
from recipe.checks import load_wordpieces
from recipe.subwords import learn_sentencepiece, learn_subword_nmt

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.subwords import Codec, Subwords, build_codec
from wmt14.catalogue import LANGUAGES

SPLITS = ("train", "valid", "test")
SENTENCEPIECE, SUBWORD_NMT, WORDPIECE = "sentencepiece", "subword_nmt", "wordpiece"
# The file of the model, by kind, and what a kind needs besides this project's own packages.
MODEL = {SENTENCEPIECE: "sentencepiece.bpe.model", SUBWORD_NMT: "bpe.codes", WORDPIECE: "tokenizer.json"}
MODULES = {SENTENCEPIECE: ("sentencepiece",), SUBWORD_NMT: ("subword_nmt", "sacremoses"), WORDPIECE: ("tokenizers",)}
TOKENIZER = {SUBWORD_NMT: "moses"}
# How much of the text the learnt vocabulary's characters cover: Common Crawl holds thousands of rare ones besides.
COVERAGE = 0.9999
# Different words that subword-nmt learns from, the most frequent: it keeps tables of all their pairs of symbols.
MOST_WORDS = 500_000
CHUNK = 1000

Pair = tuple[str, str]


class Vocabulary(NamedTuple):
    """How sub-words are made.

    Attributes:
        kind: of sub-words, in fairseq's spelling.
        size: entries to learn (sentencepiece, subword-nmt).
        sample: pairs to learn from, at most, evenly spread over the training text.
        name: of the WordPiece vocabulary: a file, a folder or a hub name.
    """

    kind: str
    size: int | None = None
    sample: int | None = None
    name: str | None = None


def learn(raw: Path, folder: Path, vocabulary: Vocabulary, pairs: int, workers: int) -> None:
    """Write the sub-word model into ``folder``, learnt from the training text in ``raw``, which has ``pairs`` pairs.

    For WordPieces, which are not learnt, their dictionary as well. Raises UserError if that cannot be done.
    """
    if vocabulary.kind == WORDPIECE:
        pieces = load_wordpieces(vocabulary.name)
        pieces.save(folder / MODEL[WORDPIECE])
        pieces.write_dictionary(folder / DICTIONARY)
        return
    step = max(1, -(-pairs // vocabulary.sample))
    sample = itertools.islice(read(raw, "train"), 0, None, step)
    learner = {SENTENCEPIECE: _learn_sentencepiece, SUBWORD_NMT: _learn_subword_nmt}[vocabulary.kind]
    learner(sample, folder / MODEL[vocabulary.kind], vocabulary.size, workers)


def read(folder: Path, split: str) -> Iterator[Pair]:
    """The pairs of a split."""
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context((folder / f"{split}.{language}").open(encoding="utf-8", newline="\n"))
            for language in LANGUAGES
        ]
        for german, english in zip(*files, strict=True):
            yield german.removesuffix("\n"), english.removesuffix("\n")


def cut(raw: Path, folder: Path, kind: str, corpora: dict[str, int], max_pieces: int, workers: int) -> dict[str, dict]:
    """Cut the text in ``raw`` with the model in ``folder`` into ``folder``/{train,valid,test}.{de,en}.

    ``corpora`` are the training corpora with their numbers of pairs, in the order of the text. Training pairs with a
    side of more than ``max_pieces`` sub-words, or of none, are dropped; of the other splits nothing is.
    Returns, by corpus, ``kept``, ``dropped`` (by reason), and the ``pieces`` of what is kept, by language.
    """
    counts = {name: {"kept": 0, "dropped": Counter(), "pieces": Counter()} for name in corpora}
    names = itertools.chain.from_iterable(itertools.repeat(name, pairs) for name, pairs in corpora.items())
    with _workers(workers, Subwords(kind, str(folder / MODEL[kind]), TOKENIZER.get(kind))) as run:
        for split in SPLITS:
            with contextlib.ExitStack() as stack:
                files = [
                    stack.enter_context((folder / f"{split}.{language}").open("w", encoding="utf-8", newline="\n"))
                    for language in LANGUAGES
                ]
                pairs = itertools.chain.from_iterable(run(_encode, _chunks(read(raw, split))))
                if split == "train":
                    pairs = _short(pairs, names, counts, max_pieces)
                for pair in pairs:
                    for file, text in zip(files, pair, strict=True):
                        file.write(text + "\n")
    return counts


def _short(pairs: Iterator[Pair], names: Iterator[str], counts: dict[str, dict], most: int) -> Iterator[Pair]:
    """The pairs of 1 to ``most`` pieces on each side; what is kept and dropped is counted by corpus."""
    for name, pair in zip(names, pairs, strict=True):
        lengths = [len(text.split()) for text in pair]
        if 0 < min(lengths) and max(lengths) <= most:
            counts[name]["kept"] += 1
            counts[name]["pieces"].update(dict(zip(LANGUAGES, lengths, strict=True)))
            yield pair
        else:
            counts[name]["dropped"][f"more than {most} sub-words" if min(lengths) else "no sub-words"] += 1


def _chunks(pairs: Iterator[Pair]) -> Iterator[list[Pair]]:
    while chunk := list(itertools.islice(pairs, CHUNK)):
        yield chunk


@contextlib.contextmanager
def _workers(count: int, subwords: Subwords) -> Iterator[Callable]:
    """``map`` over ``count`` processes that `_encode` with ``subwords``: in order, a few chunks ahead at most."""
    _load_codecs(subwords)
    if count == 1:
        yield map
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, spawn, initializer=_start_worker, initargs=(subwords,)) as pool:

        def run(function: Callable, chunks: Iterator[list[Pair]]) -> Iterator:
            waiting = deque()
            for chunk in chunks:
                waiting.append(pool.submit(function, chunk))
                if len(waiting) > 4 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        try:
            yield run
        except BrokenProcessPool:
            raise UserError("a worker process died, perhaps for want of memory: use fewer --workers") from None


_codecs: dict[str, Codec] = {}


def _load_codecs(subwords: Subwords) -> None:
    _codecs.update({language: build_codec(subwords, language, language) for language in LANGUAGES})


def _start_worker(subwords: Subwords) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is the parent's to report
    _load_codecs(subwords)


def _encode(pairs: list[Pair]) -> list[Pair]:
    return [tuple(_codecs[language].encode(text) for language, text in zip(LANGUAGES, pair)) for pair in pairs]


def _count_words(pairs: list[Pair]) -> Counter:
    return Counter(word for pair in _encode(pairs) for text in pair for word in text.split())


def _learn_sentencepiece(sample: Iterator[Pair], path: Path, size: int, workers: int) -> None:
    path.write_bytes(learn_sentencepiece(itertools.chain.from_iterable(sample), size, COVERAGE))


def _learn_subword_nmt(sample: Iterator[Pair], path: Path, size: int, workers: int) -> None:
    words: Counter = Counter()
    with _workers(workers, Subwords(None, None, TOKENIZER[SUBWORD_NMT])) as run:
        for counts in run(_count_words, _chunks(sample)):
            words.update(counts)
    common = _common_characters(words)
    learnt = {word: count for word, count in words.most_common(MOST_WORDS) if common.issuperset(word)}
    path.write_text(learn_subword_nmt(learnt, size), encoding="utf-8")


def _common_characters(words: Counter) -> set[str]:
    """The most frequent characters that make up COVERAGE of the text."""
    frequencies: Counter = Counter()
    for word, count in words.items():
        for character in word:
            frequencies[character] += count
    common, rest = set(), (1 - COVERAGE) * frequencies.total()
    for character, count in reversed(frequencies.most_common()):
        rest -= count
        if rest < 0:
            common.add(character)
    return common
