"""Lines in, lines out, whatever engine translates."""

import io
import random

import pytest

from fairseq_ringformer.text.stream import (
    Hypothesis,
    batches,
    longest_output,
    read_lines,
    sentences,
    split_long,
    translate_lines,
)


class Words:
    """An engine that shouts: its tokens are words, a word of more than 8 letters is one for each letter."""

    def __init__(self, max_tokens=10):
        self.max_tokens = max_tokens
        self.calls = []

    def count(self, text):
        return sum(len(word) if len(word) > 8 else 1 for word in text.split())

    def translate(self, lines):
        self.calls.append(lines)
        assert all(0 < self.count(line) <= self.max_tokens for line in lines)
        return [[Hypothesis(line.upper(), -1.0), Hypothesis(line, -2.0)] for line in lines]


def shout(lines, buffer_size=100, engine=None):
    notes = []
    translated = list(translate_lines(lines, engine or Words(), buffer_size, notes.append))
    return translated, notes


def test_lines_keep_their_number():
    lines = ["one", "", "two words", "   ", "three", "\u200b\t"]
    translated, notes = shout(lines, buffer_size=2)
    assert [line.number for line in translated] == [1, 2, 3, 4, 5, 6]
    assert [line.source for line in translated] == lines
    assert [line.text for line in translated][:5] == ["ONE", "", "TWO WORDS", "", "THREE"]
    assert notes == []


def test_lines_stream_in_buffers():
    taken, engine = [], Words()
    endless = (taken.append(number) or f"line {number}" for number in range(10**9))
    translated = translate_lines(endless, engine, 3, print)
    assert [next(translated).text for _ in range(4)] == ["LINE 0", "LINE 1", "LINE 2", "LINE 3"]
    assert len(taken) == 6 and [len(call) for call in engine.calls] == [3, 3]


def test_long_line_goes_in_pieces():
    line = "This is one. And two! What of three? It goes on."
    translated, notes = shout(["short", line, "short"], engine=Words(max_tokens=5))
    assert [line.text for line in translated] == ["SHORT", line.upper(), "SHORT"]
    assert translated[1].pieces == 4 and translated[1].hypotheses[1] == Hypothesis(line, -2.0)
    assert notes == ["line 2: 11 tokens, the model takes 5: translated in 4 pieces"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Guten Tag! Wie geht es? Gut.", ["Guten Tag!", "Wie geht es?", "Gut."]),
        ("Am 3. Mai kam er, z. B. um 3 Uhr. Er ging.", ["Am 3. Mai kam er, z. B. um 3 Uhr.", "Er ging."]),
        ("„Komm!“ Er kam. (Sie auch.) Ende", ["„Komm!“", "Er kam.", "(Sie auch.)", "Ende"]),
        ("Version 2.0 ist da… Endlich", ["Version 2.0 ist da…", "Endlich"]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("ohne Ende", ["ohne Ende"]),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 9, 64])
def test_pieces_fit_and_nothing_is_lost(limit):
    rng = random.Random(limit)
    words = ["w" * rng.choice([1, 2, 3, 8, 9, 30]) + rng.choice(["", "", ".", "!"]) for _ in range(200)]
    count = Words().count
    pieces = split_long(" ".join(words), count, limit)
    assert all(count(piece) <= limit for piece in pieces)
    assert "".join(pieces).replace(" ", "") == "".join(words)
    if limit == 64:  # words stay whole where they fit
        assert " ".join(pieces).split() == words


def test_pieces_are_full():
    assert [len(piece.split()) for piece in split_long("a " * 25, Words().count, 10)] == [10, 10, 5]


def test_splitting_counts_little():
    counted = []

    def count(text):
        counted.append(len(text.split()))
        return counted[-1]

    split_long("word " * 20_000, count, 1000)
    assert sum(counted) < 20_000 * 30


def test_reading_bytes():
    notes = []
    data = b"\xef\xbb\xbffirst\r\nsecond \xff\xfe\n\xef\xbb\xbfthird\n\nB\xc3\xa4r\xe2\x80\xa8en"
    lines = list(read_lines(io.BytesIO(data), notes.append))
    assert lines == ["first", "second \ufffd\ufffd", "\ufeffthird", "", "Bär\u2028en"]
    assert notes == ["line 2: not UTF-8 in places, replaced by \ufffd"]


def test_batches_are_of_like_length():
    lengths = [5, 1, 9, 3, 400, 9, 2]
    assert list(batches(lengths, size=3, max_tokens=20)) == [[4], [2, 5], [0, 3, 6], [1]]


def test_long_output_is_possible_for_long_input():
    assert [longest_output(length) for length in (1, 100, 101, 200, 201, 1000)] == [200, 200, 400, 400, 800, 3200]
