"""The rule of blanks, on text whose blanks it should get right, by itself."""

import re

import pytest

from fairseq_ringformer.text.blanks import guess_blanks

RIGHT = [
    "Hello, world! Is it true? Yes: it is; really...",
    "He said: \"Don't (ever) do 'that'.\" Then they'll see.",
    "Das „gute“ Beispiel, ‚auch‘ hier, und »dort« oder «da».",
    "The “good” example, ‘also’ here – and the dogs’ tails.",
    "Ein- und Ausgabe, Haus-Tür und state-of-the-art.",
    "At 10:30 he paid 1,000.50 or 3.5% of $20 (1990–2000) and/or more.",
    "¿Qué? ¡No! [a] {b} <c> a_b a/b me@example x+y #1",
    "我们 R & D".replace(" ", "", 1),
    "",
    "word",
    '"',
]


def words_of(text):
    return re.findall(r"[\u4e00-\u9fff]|[^\W_]+|[^\w\s]|_", text)


@pytest.mark.parametrize("text", RIGHT)
def test_ordinary_text(text):
    words = words_of(text)
    guess = guess_blanks(words)
    assert len(guess) == len(words)
    assert "".join(" " * blank + word for blank, word in zip(guess, words)) == text


def test_no_blank_stands_at_the_beginning():
    assert all(guess_blanks([mark, "x"])[0] is False for mark in ("(", "&", "x", '"', "."))


def test_words_are_apart():
    assert guess_blanks(["a", "bc", "9", "ß", "€"]) == [False, True, True, True, True]
