"""Sentences of the toy grammar, realised in German and in English.

A specification is a tree of frozen dataclasses, from here down to the words.  ``realise`` turns one into a sentence
pair and ``combinations`` lists the word pairs whose recombination the test split measures.
"""

import re
from dataclasses import dataclass
from typing import Union

from language.clauses import Clause
from language.phrases import Conjoined, NounPhrase, Predicate, PrepositionalPhrase


@dataclass(frozen=True)
class Simple:
    """One main clause; ``mood`` is statement, question or imperative."""

    clause: Clause
    mood: str = "statement"


@dataclass(frozen=True)
class Complex:
    """A main clause with a verb-final clause after or, if ``first``, before it."""

    main: Clause
    conjunction: tuple[str, str]
    subordinate: Clause
    first: bool = False


@dataclass(frozen=True)
class Compound:
    """Two main clauses; the subject of the second may be elided."""

    first: Clause
    conjunction: tuple[str, str]
    second: Clause


@dataclass(frozen=True)
class Infinitival:
    """A main clause with an infinitive clause, of purpose if ``purpose``."""

    main: Clause
    infinitive: Clause
    purpose: bool = False


@dataclass(frozen=True)
class Existential:
    """Es gibt with a noun phrase and a place."""

    nominal: NounPhrase
    place: PrepositionalPhrase
    past: bool = False
    place_first: bool = False


Sentence = Union[Simple, Complex, Compound, Infinitival, Existential]


def _simple(sentence: Simple) -> tuple[str, str]:
    clause = sentence.clause
    if sentence.mood == "imperative":
        return clause.german_imperative() + " !", f"please {clause.english_infinitive()} !"
    if sentence.mood == "question":
        order = "second" if clause.fronted() else "first"
        return clause.german(order) + " ?", clause.english(question=True) + " ?"
    return clause.german("second") + " .", clause.english() + " ."


def _complex(sentence: Complex) -> tuple[str, str]:
    de, en = sentence.conjunction
    de = f"{de} {sentence.subordinate.german('final')}"
    en = f"{en} {sentence.subordinate.english()}"
    if sentence.first:
        return f"{de} , {sentence.main.german('first')} .", f"{en} , {sentence.main.english()} ."
    return f"{sentence.main.german('second')} , {de} .", f"{sentence.main.english()} {en} ."


def _compound(sentence: Compound) -> tuple[str, str]:
    de, en = sentence.conjunction
    second = sentence.second.german("first" if sentence.second.elided else "second")
    comma = "" if de == "und" else ", "
    # English has a comma between full clauses, German before aber only.
    en_comma = "" if sentence.second.elided else ", "
    return (
        f"{sentence.first.german('second')} {comma}{de} {second} .",
        f"{sentence.first.english()} {en_comma}{en} {sentence.second.english()} .",
    )


def _infinitival(sentence: Infinitival) -> tuple[str, str]:
    de, en = sentence.infinitive.german_infinitive(), sentence.infinitive.english_infinitive()
    de = f"{sentence.main.german('second')} , {'um ' if sentence.purpose else ''}{de} ."
    return de, f"{sentence.main.english()} {'in order to' if sentence.purpose else 'to'} {en} ."


def _existential(sentence: Existential) -> tuple[str, str]:
    nominal, place = sentence.nominal.german("acc"), sentence.place.german()
    gibt = "gab" if sentence.past else "gibt"
    de = f"{place} {gibt} es {nominal} ." if sentence.place_first else f"es {gibt} {nominal} {place} ."
    verb = (("are", "were") if sentence.nominal.plural else ("is", "was"))[sentence.past]
    return de, f"there {verb} {sentence.nominal.english(True)} {sentence.place.english()} ."


_REALISERS = {
    Simple: _simple,
    Complex: _complex,
    Compound: _compound,
    Infinitival: _infinitival,
    Existential: _existential,
}


def _detokenise(text: str) -> str:
    """Attach the punctuation marks and capitalise the first letter."""
    text = re.sub(r" ,(?= [,.!?])", "", text)
    text = re.sub(r" ([,.!?])", r"\1", text)
    return text[0].upper() + text[1:]


def realise(sentence: Sentence) -> tuple[str, str]:
    """Return the German and the English sentence of a specification."""
    de, en = _REALISERS[type(sentence)](sentence)
    return _detokenise(de), _detokenise(en)


# What may contain a pair; words and other leaves may not.
_BRANCHES = (Clause, NounPhrase, PrepositionalPhrase, Predicate, Conjoined, tuple)


def combinations(node: object) -> list[tuple[str, str]]:
    """Return the (verb, object), (adjective, noun) and (number over 20, noun) pairs of a tree."""
    pairs = []
    if isinstance(node, Clause):
        arguments = [node.accusative, node.dative, node.prepositional and node.prepositional.nominal]
        for argument in arguments:
            noun = getattr(argument, "noun", None)
            if noun and noun.kind != "measure":
                pairs.append((node.verb.infinitive, noun.de))
    elif isinstance(node, NounPhrase):
        if node.adjective:
            pairs.append((node.adjective.de, node.noun.de))
        if node.count and node.count > 20:
            pairs.append((str(node.count), node.noun.de))
    elif isinstance(node, Predicate):
        pairs.extend(node.pairs)
    for child in node if isinstance(node, tuple) else vars(node).values():
        if isinstance(child, _BRANCHES):
            pairs.extend(combinations(child))
    return pairs
