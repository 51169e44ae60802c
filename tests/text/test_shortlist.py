"""What a sentence may be translated with, learned from aligned text."""

import random

from fairseq.data import Dictionary

from fairseq_ringformer.text import shortlist

GERMAN = "null eins zwei drei vier fünf sechs sieben acht neun".split()
ENGLISH = "Zero one two three four five six seven eight nine".split()


def dictionary(*words):
    made = Dictionary()
    for word in words:
        made.add_symbol(word)
    return made


def corpus(pairs):
    """Numbers in both languages, the English ones backwards, each sentence with its end, and a comma in every English one."""
    rng = random.Random(1)
    source, target = dictionary(*GERMAN, "Rom"), dictionary(*ENGLISH, "Rom", ",", "rare")
    sentences = [rng.choices(range(10), k=rng.randint(2, 6)) for _ in range(pairs)]
    sources = [[source.index(GERMAN[n]) for n in numbers] + [source.eos()] for numbers in sentences]
    targets = [
        [target.index(ENGLISH[n]) for n in reversed(numbers)] + [target.index(","), target.eos()]
        for numbers in sentences
    ]
    return sources, targets, source, target


def test_a_piece_brings_its_translations(monkeypatch):
    monkeypatch.setattr(shortlist, "ALIGNED", 1)
    monkeypatch.setattr(shortlist, "FREQUENT", 2)
    lines = shortlist.vocabulary_map(*corpus(300)).splitlines()
    candidates = {piece: targets.split(" ") for piece, targets in (line.split("\t") for line in lines)}
    assert candidates.pop("") == [","]  # and the end, which CTranslate2 adds itself
    assert candidates.pop("Rom") == ["Rom"]  # never seen, and the same on both sides
    assert candidates == {german: [english] for german, english in zip(GERMAN, ENGLISH)}
