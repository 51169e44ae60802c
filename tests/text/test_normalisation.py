"""What becomes of text before it is cut into sub-words."""

import json

import pytest

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.normalisation import Normalisation, characters_of

PLAIN = Normalisation("NFC", {"„": '"', "“": '"', "\u00ad": "", "…": "..."}, spaces=True)


def test_text_becomes_what_the_training_text_was():
    text = "  Ka\u0308se\u00a0 „auf“\tBrot\u00ad…\u2028ja\r"
    assert PLAIN(text) == 'Käse "auf" Brot... ja'
    assert PLAIN(PLAIN(text)) == PLAIN(text)
    assert Normalisation()(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ﬁnden ２０", "finden 20"),  # ligatures, wide digits
        ("a\u202fb", "a b"),
        ("« » ” ‟ ″", '" " " " "'),
        ("‹ › ’ ‛ ′ ´ ʼ", "' ' ' ' ' ' '"),
        ("― — ‒", "– – –"),
        ("− ‑ ‐", "- - -"),
        ("\N{GREEK SMALL LETTER MU}m", "\N{MICRO SIGN}m"),
        ("a\u200db\x07\ufe0f", "ab"),
        ("m² ½ ™ Привет Dvořák ➜ 「x」", "m² ½ ™ Привет Dvořák ➜ 「x」"),  # no variant of these means the same
        ("„x“", "„x“"),  # the training text has them
    ],
)
def test_characters_that_training_never_saw_become_their_variants(text, expected):
    letters = "abcdefghijklmnopqrstuvwxyzäöü0123456789 .,\"'-–\N{MICRO SIGN}„“"
    assert Normalisation(characters=letters)(text) == expected


def test_without_a_variant_among_the_known_a_character_stays():
    assert Normalisation(characters="abc")("a — „b“") == "a — „b“"


def test_characters_are_those_that_are_not_seldom():
    assert characters_of(["ab", "ba—"]) == "ab—"
    assert characters_of(["ab" * 10**6, "—"]) == "ab"


def test_json_brings_it_back():
    for normalisation in (PLAIN, Normalisation(characters="abc")):
        assert Normalisation.from_json(json.loads(json.dumps(normalisation.to_json()))) == normalisation
    for bad in ({"form": "XYZ"}, {"replace": {"ab": "c"}}, {"characters": 5}, {"other": 1}, [], "NFC", {"replace": 5}):
        with pytest.raises(UserError, match="normalisation is not of form, replace, spaces and characters"):
            Normalisation.from_json(bad)
