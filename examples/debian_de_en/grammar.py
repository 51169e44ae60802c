"""German-English sentence pairs from a small grammar: unlimited, seeded and free of licences.

    python grammar.py --seed 1 --train 20000 --valid 500 --test 500 --output data
    python grammar.py --show 20

The German sentence determines the English one, so that a model that has learned the grammar can
translate every sentence exactly.  The test measures composition, not vocabulary.  Held out are
one in ten, chosen by a hash of the seed and the pair, of

* the pairs of a verb and the noun heading its accusative, dative or prepositional object,
* the pairs of an attributive adjective and its noun,
* the pairs of a number above 20 (in words or digits) and the noun that it counts.

No training sentence contains a held-out pair; every validation and test sentence contains one,
while each of its word forms, on both sides, occurs in training.  Sentences with other words are
dropped; if the training set is too small to cover enough of them, ``generate`` raises ValueError.
The sources, and the targets, of all sentences are distinct.
"""

import argparse
import hashlib
import os
import random
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from language.sampler import Sampler
from language.sentences import Sentence, combinations, realise

HELD_OUT_ONE_IN = 10
MIN_WORDS, MAX_WORDS = 3, 25
# Drawing stops after this many sentences for each one still wanted, plus a start.
PATIENCE, PATIENCE_START = 30, 20000


class Example(NamedTuple):
    """A sentence pair with the specification that it realises."""

    de: str
    en: str
    sentence: Sentence


def words(sentence: str) -> list[str]:
    """Return the word forms of a sentence, without the punctuation around them."""
    return [word.strip(",.!?") for word in sentence.split()]


@cache
def is_held_out(seed: int, pair: tuple[str, str]) -> bool:
    """Tell whether a pair (see ``combinations``) is kept out of the training set."""
    digest = hashlib.blake2b(f"{seed} {pair[0]} {pair[1]}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_ONE_IN == 0


def _distinct(seed: int) -> Iterator[Example]:
    """Yield examples without end, each with a new source and a new target."""
    sampler = Sampler(random.Random(seed))
    seen: set[tuple[str, str]] = set()
    while True:
        sentence = sampler.sentence()
        de, en = realise(sentence)
        lengths = len(de.split()), len(en.split())
        keys = {("de", de), ("en", en)}
        if MIN_WORDS <= min(lengths) and max(lengths) <= MAX_WORDS and not keys & seen:
            seen |= keys
        else:
            sentence = None
        yield Example(de, en, sentence)


def draw(seed: int, train: int, valid: int, test: int) -> dict[str, list[Example]]:
    """Return the splits as examples; ``generate`` returns the same sentence pairs."""
    if min(train, valid, test) < 0:
        raise ValueError(f"sizes must not be negative: train={train}, valid={valid}, test={test}")
    training: list[Example] = []
    waiting: list[Example] = []
    composed: list[Example] = []
    known: set[str] = set()
    wanted = valid + test

    def covered(example: Example) -> bool:
        return all(("de " + word) in known for word in words(example.de)) and all(
            ("en " + word) in known for word in words(example.en)
        )

    limit = PATIENCE_START + PATIENCE * (train + wanted)
    for drawn, example in enumerate(_distinct(seed)):
        if len(training) == train and len(composed) >= wanted:
            break
        if drawn == limit:
            missing = f"{len(composed)} of {wanted} held-out sentences use only words of the training set"
            raise ValueError(f"train={train} is too small: after {limit} draws {missing}")
        if example.sentence is None:
            continue
        if any(is_held_out(seed, pair) for pair in combinations(example.sentence)):
            if len(training) < train:
                waiting.append(example)
            elif covered(example):
                composed.append(example)
        elif len(training) < train:
            training.append(example)
            known.update("de " + word for word in words(example.de))
            known.update("en " + word for word in words(example.en))
            if len(training) == train:
                composed = [candidate for candidate in waiting if covered(candidate)]
    return {"train": training, "valid": composed[:valid], "test": composed[valid:wanted]}


def generate(seed: int, train: int, valid: int, test: int) -> dict[str, list[tuple[str, str]]]:
    """Return "train", "valid" and "test" lists of (German, English) of exactly these sizes.

    Raises:
        ValueError: If a size is negative, or if ``train`` is too small for its words to cover
            enough held-out sentences.
    """
    return {
        split: [(example.de, example.en) for example in examples]
        for split, examples in draw(seed, train, valid, test).items()
    }


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """Report an error in one line."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Write or show sentence pairs; return the exit status."""
    parser = _Parser(description="German-English sentence pairs from a small grammar")
    parser.add_argument("--seed", type=int, default=1, help="seed of the sentences and of the split (default 1)")
    parser.add_argument("--train", type=int, default=20000, help="training pairs (default 20000)")
    parser.add_argument("--valid", type=int, default=500, help="validation pairs (default 500)")
    parser.add_argument("--test", type=int, default=500, help="test pairs (default 500)")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--output", metavar="DIR", help="directory for {train,valid,test}.{de,en}")
    action.add_argument("--show", type=int, metavar="N", help="print N pairs instead")
    args = parser.parse_args(argv)
    if args.show is not None:
        if args.show < 0:
            parser.error(f"--show must not be negative: {args.show}")
        examples = filter(lambda example: example.sentence, _distinct(args.seed))
        for _ in range(args.show):
            example = next(examples)
            print(f"{example.de}\t{example.en}")
        return 0
    try:
        splits = generate(args.seed, args.train, args.valid, args.test)
        os.makedirs(args.output, exist_ok=True)
        for split, pairs in splits.items():
            for side, language in enumerate(("de", "en")):
                path = os.path.join(args.output, f"{split}.{language}")
                with open(path, "w", encoding="utf-8") as stream:
                    stream.writelines(pair[side] + "\n" for pair in pairs)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
