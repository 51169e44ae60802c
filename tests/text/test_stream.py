"""Lines in, lines out, whatever engine translates."""

import io
import os
import random
import threading
import time

import pytest

from fairseq_ringformer.text.sentences import Segmenter
from fairseq_ringformer.text.stream import (
    Hypothesis,
    Search,
    batches,
    longest_output,
    read_groups,
    split_long,
    translate_groups,
)


class Words:
    """An engine that shouts: its tokens are words, a word of more than 8 letters is one for each letter."""

    def __init__(self, max_tokens=10, languages=("en", "de")):
        self.max_tokens, self.languages = max_tokens, languages
        self.calls = []

    def count(self, text):
        return sum(len(word) if len(word) > 8 else 1 for word in text.split())

    def translate(self, lines, search):
        self.calls.append(lines)
        assert all(0 < self.count(line) <= self.max_tokens and line == line.strip() for line in lines)
        return [[Hypothesis(line.upper(), -1.0), Hypothesis(line, -2.0)] for line in lines]


def shout(lines, group=100, engine=None, split=True):
    notes = []
    groups = [lines[start : start + group] for start in range(0, len(lines), group)]
    translated = translate_groups(groups, engine or Words(), Search(), notes.append, split)
    return [line for group in translated for line in group], notes


def sources(line):
    return [source for source, _ in line.pieces]


def test_lines_keep_their_number():
    lines = ["one", "", "two words", "   ", "three", "\u200b\t"]
    translated, notes = shout(lines, group=2)
    assert [line.number for line in translated] == [1, 2, 3, 4, 5, 6]
    assert [line.source for line in translated] == lines
    assert [line.text for line in translated][:5] == ["ONE", "", "TWO WORDS", "", "THREE"]
    assert notes == []


def test_white_space_that_has_tokens_is_no_text():
    class Spaces(Words):
        def count(self, text):
            return super().count(text) + text.count("\u3000")

    engine = Spaces()
    translated, _ = shout(["one", "\u3000\u3000"], engine=engine)
    assert [line.text for line in translated] == ["ONE", ""] and engine.calls == [["one"]]


def test_a_group_is_translated_when_it_has_come():
    taken, engine = [], Words()
    endless = (taken.append(number) or [f"line {number}.{part}" for part in range(3)] for number in range(10**9))
    translated = translate_groups(endless, engine, Search(), print)
    assert [line.text for _ in range(2) for line in next(translated)][2:4] == ["LINE 0.2", "LINE 1.0"]
    assert len(taken) == 2 and [len(call) for call in engine.calls] == [3, 3]


def test_a_line_is_its_sentences_joined_as_they_were():
    engine = Words()
    line = "  This is one.  And two!\tWhat of three?\u00a0It goes on.\rEnd. "
    (first, translated, last), notes = shout(["short.", line, "Yes. No."], engine=engine)
    assert engine.calls == [
        ["short.", "This is one.", "And two!", "What of three?", "It goes on.", "End.", "Yes.", "No."]
    ]
    assert translated.text == "THIS IS ONE.  AND TWO!\tWHAT OF THREE?\u00a0IT GOES ON. END."
    assert (first.text, last.text, notes) == ("SHORT.", "YES. NO.", [])
    assert translated.hypotheses[1] == Hypothesis("This is one.  And two!\tWhat of three?\u00a0It goes on. End.", -2.0)
    assert translated.pieces[1] == ("And two!", Hypothesis("AND TWO!", -1.0))


@pytest.mark.parametrize(
    ("line", "languages", "expected"),
    [("你好。再见！", ("zh", "en"), "你好。 再见！"), ("Yes. It is.", ("en", "zh_CN"), "YES.IT IS.")],
)
def test_languages_without_blanks(line, languages, expected):
    assert shout([line], engine=Words(languages=languages))[0][0].text == expected


def test_a_document_may_stay_whole():
    engine = Words()
    translated, notes = shout(
        ["One. Two.", "Of ten words or less. One. Two. And three. And four. And five."], 9, engine, False
    )
    assert engine.calls == [["One. Two.", "Of ten words or less. One. Two. And three.", "And four. And five."]]
    assert translated[1].text == "OF TEN WORDS OR LESS. ONE. TWO. AND THREE. AND FOUR. AND FIVE."
    assert notes == ["line 2: 13 tokens, the model takes 10: translated in 2 pieces"]
    (translated,), _ = shout(["One. Two.\n\nThree. \r\nFour.\n"], split=False)
    assert translated.text == "ONE. TWO.\n\nTHREE.\nFOUR." and len(translated.pieces) == 3


def test_a_long_sentence_goes_in_pieces():
    line = "One. One two three four five six seven. And on."
    translated, notes = shout(["short", line, "short"], engine=Words(max_tokens=5))
    assert [line.text for line in translated] == ["SHORT", line.upper(), "SHORT"]
    assert sources(translated[1]) == ["One.", "One two three four five", "six seven.", "And on."]
    assert notes == ["line 2: a sentence of 7 tokens, the model takes 5: translated in 2 pieces"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 9, 64])
def test_pieces_fit_and_nothing_is_lost(limit):
    rng = random.Random(limit)
    words = ["w" * rng.choice([1, 2, 3, 8, 9, 30]) + rng.choice(["", "", ".", "!"]) for _ in range(200)]
    count, text = Words().count, "  ".join(words)
    pieces = split_long(text, Segmenter("en").split, count, limit)
    assert all(count(piece) <= limit for piece in pieces)
    assert "".join(pieces) == text
    if limit == 64:  # words stay whole where they fit
        assert " ".join(pieces).split() == words


def test_pieces_are_full():
    pieces = split_long("a " * 25, Segmenter("en").split, Words().count, 10)
    assert [len(piece.split()) for piece in pieces] == [10, 10, 5]


def test_splitting_counts_little():
    counted = []

    def count(text):
        counted.append(len(text.split()))
        return counted[-1]

    split_long("word " * 20_000, Segmenter("en").split, count, 1000)
    assert sum(counted) < 20_000 * 30


def test_reading_bytes():
    notes = []
    data = b"\xef\xbb\xbffirst\r\nsecond \xff\xfe\n\xef\xbb\xbfthird\n\nB\xc3\xa4r\xe2\x80\xa8en\rx"
    lines = ["first", "second \ufffd\ufffd", "\ufeffthird", "", "Bär\u2028en\rx"]
    assert list(read_groups(io.BytesIO(data), 2, notes.append)) == [lines[:2], lines[2:4], lines[4:]]
    assert notes == ["line 2: not UTF-8 in places, replaced by \ufffd"]
    assert list(read_groups(io.BytesIO(b""), 2, print)) == []


def test_a_pipe_is_answered_when_it_pauses():
    """Nothing waits for the pipe's end, and what comes fast comes together."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as pipe:
        groups = read_groups(stream, 500, print)
        pipe.write(b"one\ntw")
        assert next(groups) == ["one"]
        pipe.write(b"o\n\nthree\n")
        assert next(groups) == ["two", "", "three"]
        writer = threading.Thread(target=lambda: [pipe.write(b"line\n" * 100) for _ in range(20)])
        writer.start()
        assert [len(next(groups)) for _ in range(4)] == [500] * 4
        writer.join()
        pipe.write(b"end")
        pipe.close()
        assert list(groups) == [["end"]]


def test_a_pipe_that_never_pauses_is_answered():
    reading, writing = os.pipe()
    stop = threading.Event()

    def trickle():
        with open(writing, "wb", buffering=0) as pipe:
            while not stop.wait(0.005):
                pipe.write(b"line\n")

    writer = threading.Thread(target=trickle)
    with open(reading, "rb") as stream:
        writer.start()
        begun = time.monotonic()
        assert len(next(read_groups(stream, 10**6, print))) < 1000
        assert time.monotonic() - begun < 10
        stop.set()
        writer.join()


def test_batches_are_of_like_length():
    lengths = [5, 1, 9, 3, 400, 9, 2]
    assert list(batches(lengths, size=3, max_tokens=20)) == [[4], [2, 5], [0, 3, 6], [1]]


def test_long_output_is_possible_for_long_input():
    assert [longest_output(length) for length in (1, 100, 101, 200, 201, 1000)] == [200, 200, 400, 400, 800, 3200]
