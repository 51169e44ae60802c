"""Nominals, prepositional phrases, adverbials and predicates, each in German and in English."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Union

from language.morphology import (
    Adjective,
    Noun,
    adjective_ending,
    definite_article,
    determiner_ending,
    english_number,
    german_number,
    indefinite_article,
)

if TYPE_CHECKING:
    from language.clauses import Clause

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
    adjective: Adjective | None = None
    count: int | None = None
    digits: bool = False
    owner: Union[Name, "NounPhrase"] | None = None
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

    first: Name | NounPhrase
    second: Name | NounPhrase
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
    standard: NounPhrase | None = None
    pairs: tuple[tuple[str, str], ...] = ()

    def german(self) -> str:
        """Return the German form."""
        return f"{self.de} als {self.standard.german('nom')}" if self.standard else self.de

    def english(self) -> str:
        """Return the English form."""
        return f"{self.en} than {self.standard.english(True)}" if self.standard else self.en
