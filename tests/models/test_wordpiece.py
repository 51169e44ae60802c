"""fairseq's side of WordPieces: ``--bpe wordpiece`` and the dictionary."""

import argparse
import logging
import string

import pytest
from fairseq.data import Dictionary, encoders

import fairseq_ringformer.models.wordpiece  # noqa: F401  registers it
from fairseq_ringformer.text.wordpieces import WordPieces

SPECIAL = ["[CLS]", "[PAD]", "[SEP]", "[UNK]"]
LETTERS = string.ascii_letters + string.punctuation
SYMBOLS = [*LETTERS, *(f"##{letter}" for letter in string.ascii_letters), "the", "##ouse"]


def write(folder, *symbols):
    path = folder / "vocab.txt"
    path.write_text("".join(f"{symbol}\n" for symbol in symbols))
    return str(path)


def build(path):
    return encoders.build_bpe(argparse.Namespace(bpe="wordpiece", wordpiece_model=path))


def test_encode_and_decode(tmp_path):
    path = write(tmp_path, *SPECIAL, "[MASK]", *SYMBOLS)
    bpe, pieces = build(path), WordPieces.load(path)
    for text in ("the house - a / b.", "", '"x" [MASK] ##s', "the жук"):
        assert bpe.encode(text) == pieces.encode(text)
        assert bpe.decode(bpe.encode(text)) == text.replace("жук", "<unk>")
    assert bpe.encode("the house") == "the h ##ouse"
    assert [bpe.is_beginning_of_word(piece) for piece in ("the", "##ouse", "<unk>", "#")] == [True, False, True, True]


def test_lost_blanks_are_announced(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        build(write(tmp_path, *SPECIAL, "[MASK]", *SYMBOLS))
        assert not caplog.records
        build(path := write(tmp_path, *SPECIAL, *SYMBOLS))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: no entry [MASK] or [unusedN] to note blanks with: blanks around punctuation are guessed by rule"
    ]


def test_a_vocabulary_that_is_not_named_is_asked_for():
    args = argparse.Namespace(bpe="wordpiece")
    with pytest.raises(ValueError, match="--bpe wordpiece needs --wordpiece-model"):
        encoders.build_bpe(args)


@pytest.mark.parametrize(
    "special",
    [
        [*SPECIAL, "[MASK]"],
        SPECIAL,
        ["<s>", "<pad>", "</s>", "<unk>"],
        ["<s>", "[PAD]", "[SEP]", "[UNK]", "[CLS]", "<mask>"],
    ],
)
def test_the_dictionary_has_as_many_entries_as_the_vocabulary(tmp_path, special):
    pieces = WordPieces.load(write(tmp_path, *special, *SYMBOLS))
    pieces.write_dictionary(tmp_path / "dict.txt")
    dictionary = Dictionary.load(str(tmp_path / "dict.txt"))
    assert len(dictionary) == len(special) + len(SYMBOLS) == len(pieces)
    assert dictionary.symbols[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert dictionary.symbols[4:] == pieces.dictionary()
    text = "the house, [CLS] <s> a / b: жук"
    tokens = dictionary.encode_line(pieces.encode(text), add_if_not_exist=False)
    assert (tokens[:-1] < 4).sum() == (tokens == dictionary.unk()).sum() == 1
    if pieces.lossless:
        assert pieces.decode(dictionary.string(tokens)) == text.replace("жук", "<unk>")
