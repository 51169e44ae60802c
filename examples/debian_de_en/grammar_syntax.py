"""Phrases, clauses and sentences of the toy grammar, each realised in German and in English.

A specification is a tree of the frozen dataclasses below.  ``realise`` turns one into a sentence
pair and ``combinations`` lists the word pairs whose recombination the test split measures.
"""

import re
from dataclasses import dataclass
from typing import List, Optional, Tuple, Union

from grammar_morphology import (
    Adjective,
    Noun,
    Verb,
    adjective_ending,
    definite_article,
    determiner_ending,
    english_number,
    english_past,
    english_third,
    german_number,
    indefinite_article,
    present,
    preterite,
)

# Agreement person, nominative, accusative, dative, English subject and object form.  The
# accusatives of sie are left out: "sie" would be both "her" and "them".
_PRONOUNS = {
    "ich": ("ich", "ich", "mich", "mir", "I", "me"),
    "du": ("du", "du", "dich", "dir", "you", "you"),
    "er": ("er", "er", "ihn", "ihm", "he", "him"),
    "sie": ("er", "sie", None, "ihr", "she", "her"),
    "wir": ("wir", "wir", "uns", "uns", "we", "us"),
    "ihr": ("ihr", "ihr", "euch", "euch", "you", "you"),
    "sie_plural": ("sie", "sie", None, "ihnen", "they", "them"),
    "Sie": ("sie", "Sie", "Sie", "Ihnen", "you", "you"),
    "wer": ("er", "wer", "wen", "wem", "who", "who"),
    "was": ("er", None, "was", None, "what", "what"),
}
_REFLEXIVE = dict(zip("ich du er wir ihr sie".split(), "mich dich sich uns euch sich".split()))

# German determiner: (stem, adjective declension after it, English singular, English plural).
_DETERMINERS = {
    "dieser": ("dies", "weak", "this", "these"),
    "jeder": ("jed", "weak", "every", None),
    "alle": ("all", "weak", None, "all"),
    "welcher": ("welch", "weak", "which", "which"),
    "ein": ("ein", "mixed", None, None),
    "kein": ("kein", "mixed", "no", "no"),
    "mein": ("mein", "mixed", "my", "my"),
    "dein": ("dein", "mixed", "your", "your"),
    "sein": ("sein", "mixed", "his", "his"),
    "unser": ("unser", "mixed", "our", "our"),
    "Ihr": ("Ihr", "mixed", "your", "your"),
    "viele": ("viel", "strong", None, "many"),
    "einige": ("einig", "strong", None, "some"),
}
INDEFINITE = ("ein", "", "kein", "viele", "einige")


@dataclass(frozen=True)
class Pronoun:
    """A personal or interrogative pronoun, named by its key in the table above."""

    key: str

    @property
    def person(self) -> str:
        """Return the person that the German verb agrees with."""
        return _PRONOUNS[self.key][0]

    @property
    def wh(self) -> bool:
        """Tell whether this is an interrogative."""
        return self.key in ("wer", "was")

    def german(self, case: str) -> str:
        """Return the German form."""
        return _PRONOUNS[self.key][("nom", "acc", "dat").index(case) + 1]

    def english(self, subject: bool) -> str:
        """Return the English form."""
        return _PRONOUNS[self.key][4 if subject else 5]


@dataclass(frozen=True)
class Name:
    """A proper name without an article."""

    de: str
    en: str
    gender: str
    title: str = ""
    person: str = "er"
    wh: bool = False

    def german(self, case: str) -> str:
        """Return the German form; only Herr and the genitive are inflected."""
        title = "Herrn" if self.title == "Herr" and case != "nom" else self.title
        return f"{title} {self.de}".strip() + ("s" if case == "gen" else "")

    def english(self, subject: bool) -> str:
        """Return the English form."""
        return {"Herr": "Mr ", "Frau": "Mrs ", "": ""}[self.title] + self.en


@dataclass(frozen=True)
class NounPhrase:
    """A noun with a determiner ("" is none), adjective, number, possessor or relative clause.

    ``owner`` is a name, which stands first, or a noun phrase, which follows in the genitive.
    """

    noun: Noun
    determiner: str = "der"
    plural: bool = False
    adjective: Optional[Adjective] = None
    count: Optional[int] = None
    digits: bool = False
    owner: Optional[Union[Name, "NounPhrase"]] = None
    relative: Optional["Clause"] = None

    @property
    def person(self) -> str:
        """Return the person that the German verb agrees with."""
        return "sie" if self.plural else "er"

    @property
    def wh(self) -> bool:
        """Tell whether this is an interrogative."""
        return self.determiner in ("welcher", "wie viele")

    def german(self, case: str) -> str:
        """Return the German form."""
        column = "pl" if self.plural else self.noun.gender
        declension, words = "strong", []
        if isinstance(self.owner, Name):
            words.append(self.owner.german("gen"))
        elif self.determiner == "der":
            declension = "weak"
            words.append(definite_article(column, case))
        elif self.determiner == "wie viele":
            words.append("wie viele" + ("n" if case == "dat" else ""))
        elif self.determiner:
            stem, declension = _DETERMINERS[self.determiner][:2]
            suffix = determiner_ending("weak" if declension == "strong" else declension, column, case)
            words.append(stem + suffix)
        if self.count:
            words.append(str(self.count) if self.digits else german_number(self.count))
        if self.adjective:
            words.append(self.adjective.stem + adjective_ending(declension, column, case))
        words.append(self.noun.german(self.plural, case))
        if isinstance(self.owner, NounPhrase):
            words.append(self.owner.german("gen"))
        if self.relative:
            words.append(f", {self.relative.german('final')} ,")
        return " ".join(words)

    def english(self, subject: bool) -> str:
        """Return the English form."""
        words = [self.noun.english(self.plural)]
        if self.adjective:
            words.insert(0, self.adjective.en)
        if self.count:
            words.insert(0, str(self.count) if self.digits else english_number(self.count))
        possessor = isinstance(self.owner, Name) or (self.owner and self.owner.noun.kind in ("person", "kin"))
        if possessor:
            owner = self.owner.english(True)
            words.insert(0, owner + ("'" if owner.endswith("s") and self.owner.person == "sie" else "'s"))
        elif self.determiner == "der":
            words.insert(0, "the")
        elif self.determiner == "wie viele":
            words.insert(0, "how many")
        elif self.determiner == "kein" and not subject:
            words.insert(0, "any" if self.plural or self.noun.mass else indefinite_article(words[0]))
        elif self.determiner == "ein":
            words.insert(0, indefinite_article(words[0]))
        elif self.determiner:
            words.insert(0, _DETERMINERS[self.determiner][3 if self.plural else 2])
        if self.owner and not possessor:
            words += ["of", self.owner.english(False)]
        if self.relative:
            words.append(self.relative.english())
        return " ".join(words)


@dataclass(frozen=True)
class Conjoined:
    """Two noun phrases joined by und."""

    first: Union[Name, NounPhrase]
    second: Union[Name, NounPhrase]
    person: str = "sie"
    wh: bool = False

    def german(self, case: str) -> str:
        """Return the German form."""
        return f"{self.first.german(case)} und {self.second.german(case)}"

    def english(self, subject: bool) -> str:
        """Return the English form."""
        return f"{self.first.english(subject)} and {self.second.english(subject)}"


@dataclass(frozen=True)
class Gap:
    """The place in a relative clause of the noun that it modifies."""

    noun: Noun
    plural: bool = False
    wh: bool = True

    @property
    def person(self) -> str:
        """Return the person that the German verb agrees with."""
        return "sie" if self.plural else "er"

    def german(self, case: str) -> str:
        """Return the relative pronoun."""
        if self.plural and case == "dat":
            return "denen"
        return definite_article("pl" if self.plural else self.noun.gender, case)

    def english(self, subject: bool) -> str:
        """Return who, whom or that."""
        if self.noun.kind in ("person", "kin"):
            return "who" if subject else "whom"
        return "that"


Nominal = Union[Pronoun, Name, NounPhrase, Conjoined, Gap]

_CONTRACTIONS = {
    "in dem": "im",
    "in das": "ins",
    "an dem": "am",
    "an das": "ans",
    "von dem": "vom",
    "zu dem": "zum",
    "zu der": "zur",
    "bei dem": "beim",
}


@dataclass(frozen=True)
class PrepositionalPhrase:
    """A preposition, the case that it governs here, its object and its English rendering."""

    de: str
    case: str
    nominal: Nominal
    en: str = ""

    @property
    def wh(self) -> bool:
        """Tell whether the phrase asks a question or relates."""
        return self.nominal.wh

    def german(self) -> str:
        """Return the German form, with the article contracted where that is usual."""
        nominal = self.nominal.german(self.case)
        if (
            getattr(self.nominal, "determiner", "") == "der"
            and not self.nominal.relative
            and not isinstance(self.nominal.owner, Name)
        ):
            article, _, rest = nominal.partition(" ")
            contraction = _CONTRACTIONS.get(f"{self.de} {article}")
            if contraction:
                return f"{contraction} {rest}"
        return f"{self.de} {nominal}"

    def english(self) -> str:
        """Return the English form."""
        nominal = "which" if isinstance(self.nominal, Gap) else self.nominal.english(False)
        return f"{self.en} {nominal}".strip()


@dataclass(frozen=True)
class Adverbial:
    """A fixed adverbial; ``when`` is habit, mid, today, past, future, any or wh."""

    de: str
    en: str
    when: str = "any"

    @property
    def wh(self) -> bool:
        """Tell whether this is an interrogative."""
        return self.when == "wh"


@dataclass(frozen=True)
class Predicate:
    """The complement of sein: a fixed text, with the standard of a comparison after it."""

    de: str
    en: str
    standard: Optional[NounPhrase] = None
    pairs: Tuple[Tuple[str, str], ...] = ()

    def german(self) -> str:
        """Return the German form."""
        return f"{self.de} als {self.standard.german('nom')}" if self.standard else self.de

    def english(self) -> str:
        """Return the English form."""
        return f"{self.en} than {self.standard.english(True)}" if self.standard else self.en


# English modal by tense: an auxiliary and what follows it, or a full verb (no auxiliary).
_MODALS = {
    "können": {"present": ("can", ""), "past": ("could", "")},
    "sollen": {"present": ("should", "")},
    "möchten": {"present": ("would", "like to ")},
    "müssen": {"present": ("", "have to "), "past": ("", "have to ")},
    "wollen": {"present": ("", "want to "), "past": ("", "want to ")},
    "dürfen": {"present": ("", "be allowed to "), "past": ("", "be allowed to ")},
}


@dataclass(frozen=True)
class Clause:
    """A verb with its arguments and adverbials.

    ``tense`` is present, past (perfect, or the preterite of sein, haben and the modals) or future;
    ``front`` names the field that precedes the German finite verb instead of the subject.  An
    interrogative phrase or a relative pronoun is fronted in both languages, a fronted adverbial
    too; other fronted phrases only in German.
    """

    verb: Verb
    subject: Nominal
    accusative: Optional[Nominal] = None
    dative: Optional[Nominal] = None
    prepositional: Optional[PrepositionalPhrase] = None
    predicate: Optional[Predicate] = None
    phrases: Tuple[PrepositionalPhrase, ...] = ()
    adverbial: Optional[Adverbial] = None
    tense: str = "present"
    modal: str = ""
    negated: bool = False
    front: str = ""
    elided: bool = False

    def _fronted(self) -> str:
        """Return the field of the interrogative or relative phrase, or ``front``."""
        for name in ("subject", "accusative", "dative", "prepositional", "adverbial"):
            value = getattr(self, name)
            if value is not None and value.wh:
                return name
        return "phrases" if any(phrase.wh for phrase in self.phrases) else self.front

    def _german_verb(self) -> Tuple[str, str]:
        """Return the finite form and the rest of the verb, which closes the clause."""
        person, verb = self.subject.person, self.verb
        if self.modal:
            form = preterite if self.tense == "past" else present
            return form(self.modal, person), verb.infinitive
        if self.tense == "future":
            return present("werden", person), verb.infinitive
        if self.tense == "past":
            simple = verb.preterite(person)
            return (simple, "") if simple else (present(verb.auxiliary, person), verb.participle)
        return verb.present(person), verb.prefix

    def _german_fields(self, inverted: bool = False) -> List[Tuple[str, str]]:
        """Return the fields with their German text in the order of the clause's middle.

        Unstressed pronouns come first if the subject is a full phrase after the verb (``inverted``).
        """
        pronominal, objects, late = [], [], []
        if self.verb.reflexive:
            pronominal.append(("reflexive", _REFLEXIVE[self.subject.person]))
        for name, case in (("dative", "dat"), ("accusative", "acc")):
            value = getattr(self, name)
            if value is None:
                continue
            text = (name, value.german(case))
            if isinstance(value, Pronoun):
                pronominal.append(text)
            elif name == "accusative" and getattr(value, "determiner", "der") in INDEFINITE:
                late.append(text)
            else:
                objects.append(text)
        adverbial = [("adverbial", self.adverbial.de)] if self.adverbial else []
        negated_noun = getattr(self.accusative, "determiner", "") == "kein"
        negation = [("negation", "nicht")] if self.negated and not negated_noun else []
        phrases = [("phrases", phrase.german()) for phrase in self.phrases]
        # A place stands before an indefinite object, a beneficiary after it.
        split = sum(phrase.de == "in" and phrase.case == "dat" for phrase in self.phrases)
        tail = [("prepositional", self.prepositional.german())] if self.prepositional else []
        tail += [("predicate", self.predicate.german())] if self.predicate else []
        middle = adverbial + objects + negation + phrases[:split] + late + phrases[split:] + tail
        subject = [("subject", self.subject.german("nom"))]
        inverted = inverted and not isinstance(self.subject, Pronoun)
        return (pronominal + subject if inverted else subject + pronominal) + middle

    def german(self, order: str) -> str:
        """Return the German clause; ``order`` is second, first or final."""
        finite, closing = self._german_verb()
        front = self._fronted()
        parts = self._german_fields(order == "first" or order == "second" and front not in ("", "subject"))
        if order == "first":
            parts = [part for part in parts if not (self.elided and part[0] == "subject")]
            words = [finite] + [text for _, text in parts] + [closing]
        elif order == "second":
            front = front or "subject"
            words = [text for name, text in parts if name == front] + [finite]
            words += [text for name, text in parts if name != front] + [closing]
        else:
            parts.sort(key=lambda part: bool(front) and part[0] != front)
            separable = not self.modal and self.tense == "present"
            verb = closing + finite if separable else f"{closing} {finite}".strip()
            words = [text for _, text in parts] + [verb]
        return " ".join(filter(None, words))

    def german_infinitive(self) -> str:
        """Return the infinitive clause with zu."""
        words = [text for name, text in self._german_fields() if name != "subject"]
        return " ".join(words + [self.verb.zu_infinitive])

    def german_imperative(self) -> str:
        """Return the polite imperative."""
        words = [text for _, text in self._german_fields()]
        # The subject and the pronouns after it come first.
        start = 1 + sum(isinstance(value, Pronoun) for value in (self.accusative, self.dative))
        words = [self.verb.present("sie")] + words[:start] + ["bitte"] + words[start:]
        return " ".join(filter(None, words + [self.verb.prefix]))

    def _english_verb(self, inverted: bool) -> Tuple[str, str]:
        """Return the auxiliary ("" if none) and the rest of the verb."""
        past = self.tense == "past"
        auxiliary, lead = _MODALS[self.modal][self.tense] if self.modal else ("", "")
        verb = lead + self.verb.en
        if not self.modal and (self.tense == "future" or self._tomorrow()):
            auxiliary = "will"
        if auxiliary:
            return auxiliary, verb
        subject = self.subject.english(True)
        third = self.subject.person == "er"
        head, _, rest = verb.partition(" ")
        if head == "be":
            singular = {"I": ("am", "was")}.get(subject, ("is", "was") if third else ("are", "were"))
            return singular[past], rest
        if inverted or self.negated:
            return "did" if past else "does" if third else "do", verb
        particle = verb.replace("~", " ~")
        finite = english_past(particle) if past else english_third(particle) if third else particle
        return "", finite.replace(" ~", "~")

    def _tomorrow(self) -> bool:
        return bool(self.tense == "present" and self.adverbial and self.adverbial.when == "future")

    def _english_rest(self, verb: str, front: str) -> List[str]:
        """Return the verb with everything that follows it."""
        accusative = self.accusative.english(False) if self.accusative and front != "accusative" else ""
        dative = self.dative.english(False) if self.dative and front != "dative" else ""
        if verb.endswith(" to") and self.dative and self.accusative:
            verb, objects = verb[:-3], [accusative, f"to {dative}"]
        else:
            objects = [dative, accusative]
        if isinstance(self.accusative, Pronoun) and accusative and "~" in verb:
            head, _, particle = verb.partition("~")
            verb, objects = head, [accusative, particle]
        words = [verb.replace("~", " ")] + objects
        if self.prepositional and front != "prepositional":
            words.append(self.prepositional.nominal.english(False))
        if self.predicate:
            words.append(self.predicate.english())
        words += [phrase.english() for phrase in self.phrases if not (front == "phrases" and phrase.wh)]
        if self.adverbial and self.adverbial.when != "mid" and front != "adverbial":
            words.append(self.adverbial.en)
        return words

    def english(self, question: bool = False) -> str:
        """Return the English clause."""
        front = self._fronted()
        value = getattr(self, front) if front and front != "phrases" else None
        if front == "phrases":
            moved = next((phrase.english() for phrase in self.phrases if phrase.wh), "")
        elif front == "adverbial":
            moved = value.en if value.when != "mid" else ""
        elif value is not None and value.wh and front != "subject":
            nominal = value.nominal if front == "prepositional" else value
            moved = nominal.english(False)
        else:
            moved = ""
        if not moved:
            front = ""
        inverted = question and not self.subject.wh
        auxiliary, verb = self._english_verb(inverted)
        subject = "" if self.elided else self.subject.english(True)
        if self.negated and auxiliary:
            auxiliary = "cannot" if auxiliary == "can" else auxiliary + " not"
        start = [auxiliary, subject] if inverted else [subject, auxiliary]
        middle = self.adverbial.en if self.adverbial and self.adverbial.when == "mid" else ""
        return " ".join(filter(None, [moved] + start + [middle] + self._english_rest(verb, front)))

    def english_infinitive(self) -> str:
        """Return the bare infinitive with its objects and adverbials."""
        return " ".join(filter(None, self._english_rest(self.verb.en, "")))


@dataclass(frozen=True)
class Simple:
    """One main clause; ``mood`` is statement, question or imperative."""

    clause: Clause
    mood: str = "statement"


@dataclass(frozen=True)
class Complex:
    """A main clause with a verb-final clause after or, if ``first``, before it."""

    main: Clause
    conjunction: Tuple[str, str]
    subordinate: Clause
    first: bool = False


@dataclass(frozen=True)
class Compound:
    """Two main clauses; the subject of the second may be elided."""

    first: Clause
    conjunction: Tuple[str, str]
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


def _simple(sentence: Simple) -> Tuple[str, str]:
    clause = sentence.clause
    if sentence.mood == "imperative":
        return clause.german_imperative() + " !", f"please {clause.english_infinitive()} !"
    if sentence.mood == "question":
        order = "second" if clause._fronted() else "first"
        return clause.german(order) + " ?", clause.english(question=True) + " ?"
    return clause.german("second") + " .", clause.english() + " ."


def _complex(sentence: Complex) -> Tuple[str, str]:
    de, en = sentence.conjunction
    de = f"{de} {sentence.subordinate.german('final')}"
    en = f"{en} {sentence.subordinate.english()}"
    if sentence.first:
        return f"{de} , {sentence.main.german('first')} .", f"{en} , {sentence.main.english()} ."
    return f"{sentence.main.german('second')} , {de} .", f"{sentence.main.english()} {en} ."


def _compound(sentence: Compound) -> Tuple[str, str]:
    de, en = sentence.conjunction
    second = sentence.second.german("first" if sentence.second.elided else "second")
    comma = "" if de == "und" else ", "
    # English has a comma between full clauses, German before aber only.
    en_comma = "" if sentence.second.elided else ", "
    return (
        f"{sentence.first.german('second')} {comma}{de} {second} .",
        f"{sentence.first.english()} {en_comma}{en} {sentence.second.english()} .",
    )


def _infinitival(sentence: Infinitival) -> Tuple[str, str]:
    de, en = sentence.infinitive.german_infinitive(), sentence.infinitive.english_infinitive()
    de = f"{sentence.main.german('second')} , {'um ' if sentence.purpose else ''}{de} ."
    return de, f"{sentence.main.english()} {'in order to' if sentence.purpose else 'to'} {en} ."


def _existential(sentence: Existential) -> Tuple[str, str]:
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


def realise(sentence: Sentence) -> Tuple[str, str]:
    """Return the German and the English sentence of a specification."""
    de, en = _REALISERS[type(sentence)](sentence)
    return _detokenise(de), _detokenise(en)


# What may contain a pair; words and other leaves may not.
_BRANCHES = (Clause, NounPhrase, PrepositionalPhrase, Predicate, Conjoined, tuple)


def combinations(node: object) -> List[Tuple[str, str]]:
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
