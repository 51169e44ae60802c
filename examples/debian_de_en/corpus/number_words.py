"""Number words: the same number said in two languages, as num2words says it.

A number is said in up to five ways, each of which counts as a kind of text:

    cardinal   213: "zweihundertdreizehn", "two hundred and thirteen"; up to six digits; every language
    ordinal    213: "zweihundertdreizehnte", "two hundred and thirteenth"; most languages
    year       1984: "neunzehnhundertvierundachtzig", "nineteen eighty-four"; where the source language says years unlike
               cardinals (da, de, en, fi, ko, nl, no, sl): otherwise one text would have two translations
    price      213 cents: "zwei Euro und dreizehn Cent", "two euro, thirteen cents"; in those of euros, dollars and pounds
               that both languages know
    time       213 is thirteen past two: "dreizehn nach zwei", "thirteen past two"; the languages of `TIMES`

What num2words cannot say in a language is left out. Numbers are split, not texts: all ways to say one are in one subset.
"""

import hashlib
import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from num2words import CONVERTER_CLASSES, num2words

from fairseq_ringformer.errors import UserError

# The converter for Amharic does not return from some numbers.
LANGUAGES = tuple(sorted(CONVERTER_CLASSES.keys() - {"am"}))
CURRENCIES = ("EUR", "USD", "GBP")
# Minutes past the hour, and minutes to it: languages whose numerals do not bend to the hour.
TIMES = {
    "de": ("{minutes} nach {hour}", "{minutes} vor {hour}"),
    "en": ("{minutes} past {hour}", "{minutes} to {hour}"),
    "nl": ("{minutes} over {hour}", "{minutes} voor {hour}"),
}
# Numbers below a hundred make up all others, so they are always for training. Of the others, this part is for each of valid
# and test.
ALWAYS_SEEN = 100
HELD_OUT = 0.1

Pair = tuple[str, str]


class Kind(NamedTuple):
    """A way to say numbers: ``draw(generator)`` gives one, ``say(number, language)`` its text."""

    name: str
    draw: Callable[[random.Random], int]
    say: Callable[[int, str], str]


def of_digits(most: int) -> Callable[[random.Random], int]:
    """A draw of numbers of up to ``most`` digits, each length as often as the others."""
    return lambda generator: generator.randrange(10 ** generator.randint(1, most))


def price(code: str) -> Kind:
    return Kind(
        f"price in {code}",
        of_digits(6),
        lambda cents, language: num2words(Decimal(cents) / 100, lang=language, to="currency", currency=code),
    )


def draw_time(generator: random.Random) -> int:
    """A time as the number that a clock shows without its colon."""
    return 100 * generator.randint(1, 12) + generator.randint(1, 59)


def say_time(number: int, language: str) -> str:
    hour, minutes = divmod(number, 100)
    past, to = TIMES[language]
    if minutes > 30:
        past, hour, minutes = to, hour % 12 + 1, 60 - minutes
    return past.format(hour=cardinal(hour, language), minutes=cardinal(minutes, language))


def cardinal(number: int, language: str) -> str:
    return num2words(number, lang=language)


KINDS = (
    Kind("cardinal", of_digits(6), cardinal),
    Kind("ordinal", of_digits(6), lambda number, language: num2words(number, lang=language, to="ordinal")),
    Kind(
        "year",
        lambda generator: generator.randrange(1000, 2100),
        lambda number, language: num2words(number, lang=language, to="year"),
    ),
    *map(price, CURRENCIES),
    Kind("time", draw_time, say_time),
)


def say(kind: Kind, number: int, languages: Pair) -> Pair | None:
    """The texts of ``number`` in both languages; None if num2words has none of their own for this kind in one of them."""
    # A year may be said like a cardinal in the target language alone; an ordinal that is, is none.
    unlike_cardinals = {"ordinal": languages, "year": languages[:1]}.get(kind.name, ())
    try:
        texts = tuple(tidy(kind.say(number, language)) for language in languages)
        same = any(tidy(cardinal(number, language)) in texts for language in unlike_cardinals)
    except Exception:  # what a converter does not know shows in errors of many kinds, KeyError and TypeError among them
        return None
    return None if same else texts


def tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def known_kinds(languages: Pair) -> list[Kind]:
    """The kinds that both languages have, by a few numbers of each."""
    generator = random.Random(0)
    return [kind for kind in KINDS if any(say(kind, kind.draw(generator), languages) for _ in range(100))]


def subset_of(number: int, seed: int) -> str:
    """``train``, ``valid`` or ``test``, whatever way the number is said."""
    if number < ALWAYS_SEEN:
        return "train"
    place = int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:8]) / 2**64
    return "test" if place < HELD_OUT else "valid" if place < 2 * HELD_OUT else "train"


def generate(languages: Pair, sizes: Mapping[str, int], seed: int) -> tuple[dict[str, list[Pair]], dict[str, Counter]]:
    """Pairs of source and target text, ``sizes`` of every subset, and how many of each kind they are by kind and subset.

    Kinds are drawn evenly until they run out (there are 1,100 years). A source text has one translation and stands in
    one subset. The same arguments give the same pairs, in the same order.
    """
    generator = random.Random(seed)
    kinds = known_kinds(languages)
    pairs: dict[str, list[Pair]] = {subset: [] for subset in sizes}
    counts = {kind.name: Counter(dict.fromkeys(sizes, 0)) for kind in kinds}
    seen: set[str] = set()
    while any(len(pairs[subset]) < size for subset, size in sizes.items()):
        kind = generator.choice(kinds)
        number = kind.draw(generator)
        subset = subset_of(number, seed)
        if len(pairs[subset]) == sizes[subset]:
            continue
        texts = say(kind, number, languages)
        if texts and texts[0] not in seen:
            seen.add(texts[0])
            pairs[subset].append(texts)
            counts[kind.name][subset] += 1
    return pairs, counts


def check_languages(languages: Pair) -> None:
    """Raise UserError unless num2words knows both languages, and they are two."""
    for flag, language in zip(("--source-lang", "--target-lang"), languages, strict=True):
        if language not in LANGUAGES:
            raise UserError(f"{flag} {language}: num2words knows {', '.join(LANGUAGES)}")
    if languages[0] == languages[1]:
        raise UserError(f"--source-lang and --target-lang are both {languages[0]}")
