"""Numbers in words: what they say, and that subsets share none."""

import pytest
from corpus import number_words

from fairseq_ringformer.errors import UserError

SIZES = {"train": 3000, "valid": 150, "test": 150}
KINDS = {kind.name: kind for kind in number_words.KINDS}


@pytest.fixture(scope="module")
def corpus():
    return number_words.generate(("de", "en"), SIZES, seed=1)


@pytest.mark.parametrize(
    ("kind", "number", "german", "english"),
    [
        ("cardinal", 213, "zweihundertdreizehn", "two hundred and thirteen"),
        ("ordinal", 213, "zweihundertdreizehnte", "two hundred and thirteenth"),
        ("year", 1984, "neunzehnhundertvierundachtzig", "nineteen eighty-four"),
        ("price in EUR", 213, "zwei Euro und dreizehn Cent", "two euro, thirteen cents"),
        ("price in USD", 100, "ein Dollar und null Cent", "one dollar, zero cents"),
        ("time", 213, "dreizehn nach zwei", "thirteen past two"),
        ("time", 1231, "neunundzwanzig vor eins", "twenty-nine to one"),
    ],
)
def test_ways_to_say_a_number(kind, number, german, english):
    assert number_words.say(KINDS[kind], number, ("de", "en")) == (german, english)


def test_a_text_has_one_translation():
    """German says 2013 as a cardinal, English does not: to translate it would be a guess."""
    assert number_words.say(KINDS["year"], 2013, ("de", "en")) is None
    assert number_words.say(KINDS["year"], 2013, ("en", "de")) == ("twenty thirteen", "zweitausenddreizehn")


def test_kinds_that_a_language_lacks_are_left_out():
    def names(*languages):
        return {kind.name for kind in number_words.known_kinds(languages)}

    assert names("de", "en") == set(KINDS)
    assert names("de", "fr") == set(KINDS) - {"time"}
    assert names("fr", "en") == set(KINDS) - {"time", "year"}
    assert "ordinal" not in names("en", "th")  # the library says Thai cardinals


def test_sizes_and_counts(corpus):
    pairs, counts = corpus
    assert {subset: len(texts) for subset, texts in pairs.items()} == SIZES
    assert {subset: sum(kept[subset] for kept in counts.values()) for subset in SIZES} == SIZES
    assert counts.keys() == KINDS.keys() and all(kept["test"] for kept in counts.values())


def test_a_number_is_in_one_subset_whatever_way_it_is_said(corpus):
    subset_of_text = {source: subset for subset, pairs in corpus[0].items() for source, _ in pairs}
    assert len(subset_of_text) == sum(SIZES.values())
    subsets = set()
    for number in range(1000):
        for kind in ("cardinal", "ordinal", "price in EUR"):
            subset = subset_of_text.get(number_words.say(KINDS[kind], number, ("de", "en"))[0])
            assert subset in (None, number_words.subset_of(number, seed=1))
            subsets.add((subset, number < 100))
    assert subsets == {(None, False), (None, True), ("train", True), *((subset, False) for subset in SIZES)}


def test_the_seed_decides(corpus):
    assert number_words.generate(("de", "en"), SIZES, seed=1) == corpus
    other, _ = number_words.generate(("de", "en"), SIZES, seed=2)
    assert not set(other["test"]) <= set(corpus[0]["test"])


def test_languages_are_two_that_the_library_knows():
    number_words.check_languages(("de", "pt_BR"))
    with pytest.raises(UserError, match="^--source-lang xx: num2words knows ar, .*, vi$"):
        number_words.check_languages(("xx", "en"))
    with pytest.raises(UserError, match="^--source-lang and --target-lang are both en$"):
        number_words.check_languages(("en", "en"))
