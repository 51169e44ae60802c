"""Random nominals and adverbials."""

import random
from collections.abc import Sequence
from dataclasses import replace

from language import lexicon
from language.clauses import Clause
from language.morphology import NOUNS, VERBS, Noun, Verb, english_number, german_number
from language.phrases import Adverbial, Conjoined, Gap, Name, Nominal, NounPhrase, PrepositionalPhrase, Pronoun
from language.sampler.choices import (
    ADVERBIALS,
    FRAMES,
    KIND_ADJECTIVES,
    OBJECTS,
    ON_FURNITURE,
    OWNED,
    PEOPLE,
    TRANSITIVE_FOR,
    WEEKLY,
    nouns_of,
)


class PhraseSampler:
    """Draws nominals and adverbials."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        # One sentence addresses its reader as du or as Sie, never as both.
        self.formal = False
        self.relative_tense = "present"

    def _chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def _weighted(self, weights: dict[str, float]) -> str:
        point = self.rng.random() * sum(weights.values())
        for key, weight in weights.items():
            point -= weight
            if point < 0:
                break
        return key

    # Noun phrases

    def _possessive(self) -> str:
        return self.rng.choice(("mein", "unser", "sein", "Ihr" if self.formal else "dein"))

    def _name(self) -> Name:
        gender = self.rng.choice("mf")
        if self._chance(0.3):
            surname = self.rng.choice(lexicon.SURNAMES)
            return Name(surname, surname, gender, "Herr" if gender == "m" else "Frau")
        name = self.rng.choice(lexicon.MEN if gender == "m" else lexicon.WOMEN)
        return Name(name, name, gender)

    def noun_phrase(self, noun: Noun, rich: bool = True, relative: bool = False) -> NounPhrase:
        """Return a noun phrase; ``rich`` allows quantities and possessors, ``relative`` a clause."""
        adjectives = KIND_ADJECTIVES[noun.kind]
        adjective = self.rng.choice(adjectives) if adjectives and self._chance(0.33) else None
        if noun.mass:
            if adjective and adjective.de in ("groß", "klein"):
                adjective = None
            determiner = self._weighted({"der": 4, "": 5, "dieser": 1})
            return NounPhrase(noun, determiner, adjective=adjective)
        if rich and noun.kind != "kin" and self._chance(0.1):
            high = self._chance(0.6)
            count = self.rng.randint(21, 99) if high else self.rng.randint(2, 12)
            return NounPhrase(noun, "", True, adjective, count, digits=high and self._chance(0.5))
        # Nobody has several mothers.
        plural = self._chance(0.3) and noun.de not in ("Mutter", "Vater", "Großmutter", "Großvater")
        if rich and self._chance(0.1):
            owner = self._owner(noun)
            if owner:
                return NounPhrase(noun, "der", plural, adjective, owner=owner)
        if noun.kind == "kin":
            weights = {"der": 1, "possessive": 4}
        elif plural:
            weights = {"der": 6, "possessive": 1, "dieser": 1}
            if rich:
                weights.update({"": 1.5, "viele": 1, "einige": 1, "alle": 0.7})
        else:
            weights = {"der": 6, "ein": 3, "dieser": 0.8}
            if rich:
                weights["jeder"] = 0.4
            if noun.kind in OWNED or noun.de in ("Freund", "Lehrer", "Lehrerin", "Kollege", "Nachbarin"):
                weights["possessive"] = 1.5
        determiner = self._weighted(weights)
        if determiner == "possessive":
            determiner = self._possessive()
        clause = None
        if relative and determiner in ("der", "ein", "dieser", "viele") and self._chance(0.2):
            clause = self.relative_clause(noun, plural)
        return NounPhrase(noun, determiner, plural, adjective, relative=clause)

    def _owner(self, noun: Noun) -> Nominal | None:
        if noun.kind == "opening":
            return NounPhrase(self.rng.choice(nouns_of("Haus", "Kirche", "Hotel", "Schule", "Museum", "Zimmer")))
        if noun.kind == "kin" or noun.kind in OWNED:
            if self._chance(0.4):
                return self._name()
            kin = self._chance(0.4)
            owner = self.rng.choice(nouns_of("kin" if kin else "person"))
            return NounPhrase(owner, self._possessive() if kin else "der", self._chance(0.25))
        return None

    def relative_clause(self, noun: Noun, plural: bool) -> Clause | None:
        """Return a relative clause about a noun, or None if its kind has none."""
        gap, tense = Gap(noun, plural), self.relative_tense
        if noun.kind in PEOPLE:
            role = self._weighted({"thing": 3, "action": 1, "dative": 1, "accusative": 1, "prepositional": 1})
            # "die Frau, die das Kind sieht" has two readings: the other role is never a person,
            # or it is a pronoun with a form of its own for the nominative.
            if role == "thing":
                verb = self.rng.choice(FRAMES["transitive"])
                things = [n for n in OBJECTS["transitive", verb.infinitive] if n.kind not in PEOPLE + ("animal",)]
                if not things:
                    return None
                thing = self.noun_phrase(self.rng.choice(things), rich=False)
                return Clause(verb, gap, thing, tense=tense)
            if role == "action":
                verb = self.rng.choice(FRAMES["intransitive"])
                return Clause(verb, gap, phrases=(self.place(),), tense=tense)
            subject = Pronoun(self.rng.choice(("ich", "wir", "er", "ich" if self.formal else "du")))
            if role == "accusative":
                return Clause(self.rng.choice(TRANSITIVE_FOR[noun]), subject, gap, tense=tense)
            if role == "dative":
                return Clause(self.rng.choice(FRAMES["dative"]), subject, dative=gap, tense=tense)
            verb = VERBS["prepositional", self.rng.choice(("warten", "sprechen", "denken", "diskutieren"))]
            return Clause(
                verb, subject, prepositional=PrepositionalPhrase(verb.preposition, verb.case, gap), tense=tense
            )
        subject = self.subject(PEOPLE, rich=False)
        if noun.de in ("Haus", "Stadt", "Dorf", "Hotel"):
            where = PrepositionalPhrase("in", "dat", gap, "in")
            return Clause(VERBS["static", "wohnen"], subject, phrases=(where,), tense=tense)
        verbs = [verb for verb in TRANSITIVE_FOR[noun] if verb.infinitive not in ("kochen", "backen", "haben")]
        if not verbs or noun.kind == "animal":
            return None
        return Clause(self.rng.choice(verbs), subject, gap, tense=tense)

    def subject(self, kinds: Sequence[str], rich: bool = True, relative: bool = False) -> Nominal:
        """Return a subject of the given kinds."""
        if "person" in kinds:
            form = self._weighted({"pronoun": 3, "name": 2, "conjoined": 0.5 * rich, "noun": 5})
            if form == "pronoun":
                second = ("Sie", "Sie") if self.formal else ("du", "ihr")
                return Pronoun(self.rng.choice(("ich", "er", "sie", "wir", "sie_plural") + second))
            if form == "name":
                return self._name()
            if form == "conjoined":
                first = self._name() if self._chance(0.3) else self.noun_phrase(self._person(), rich=False)
                second = self.noun_phrase(self._person(), rich=False)
                if second.noun != getattr(first, "noun", None):
                    return Conjoined(first, second)
        noun = self._person() if "person" in kinds and self._chance(0.85) else self.rng.choice(nouns_of(*kinds))
        return self.noun_phrase(noun, rich, relative)

    def _person(self) -> Noun:
        return self.rng.choice(nouns_of("kin" if self._chance(0.3) else "person"))

    def _object(
        self, nouns: Sequence[Noun], subject: Nominal, case: str, rich: bool = True, relative: bool = False
    ) -> Nominal:
        """Return an object headed by one of the nouns, or a pronoun or a name in place of a person."""
        taken = getattr(subject, "noun", None)
        noun = self.rng.choice([noun for noun in nouns if noun is not taken])
        if noun.kind in PEOPLE and self._chance(0.22):
            keys = {"ich", "er", "wir"} | ({"Sie"} if self.formal else {"du", "ihr"})
            if case == "dat":
                keys |= {"sie", "sie_plural"}
            key = getattr(subject, "key", "")
            same = ({"ich", "wir"}, {"du", "ihr", "Sie"})
            keys -= {key}.union(*(group for group in same if key in group))
            return Pronoun(self.rng.choice(sorted(keys)))
        if noun.kind in PEOPLE and self._chance(0.15):
            name = self._name()
            if name.de != getattr(subject, "de", ""):
                return name
        return self.noun_phrase(noun, rich, relative)

    # Adverbials

    def place(self) -> PrepositionalPhrase:
        """Return a place with in and the dative."""
        noun = self.rng.choice(nouns_of("place", "room"))
        phrase = NounPhrase(noun, self._weighted({"der": 6, "ein": 2, "dieser": 0.5, "unser": 0.5}))
        if self._chance(0.15):
            phrase = replace(phrase, adjective=self.rng.choice(KIND_ADJECTIVES[noun.kind]))
        return PrepositionalPhrase("in", "dat", phrase, "at" if noun.de == "Universität" else "in")

    def _beside(self, verb: Verb, case: str, taken: Noun) -> PrepositionalPhrase:
        """Return a place at a piece of furniture: dative for a position, accusative for a goal."""
        prepositions = ("auf", "neben") if verb.infinitive == "sitzen" else tuple(ON_FURNITURE)
        while True:
            de = self.rng.choice(prepositions)
            en, names = ON_FURNITURE[de]
            noun = NOUNS[self.rng.choice(names.split())]
            if noun != taken and not (de == "in" and taken.kind == "furniture"):
                break
        phrase = self.noun_phrase(noun, rich=False)
        return PrepositionalPhrase(de, case, replace(phrase, plural=False) if phrase.determiner else phrase, en)

    def _clock(self) -> Adverbial:
        hour = self.rng.randint(2, 12)
        de, en = german_number(hour), english_number(hour)
        form = self._weighted({"full": 3, "half": 1, "past": 1, "to": 1, "digits": 2})
        if form == "full":
            return Adverbial(f"um {de} Uhr", f"at {en} o'clock")
        if form == "half":
            return Adverbial(f"um halb {de}", f"at half past {english_number(hour - 1)}")
        if form == "digits":
            hour, minute = self.rng.randint(6, 22), self.rng.choice((10, 15, 20, 30, 40, 45))
            return Adverbial(f"um {hour}.{minute} Uhr", f"at {hour}:{minute}")
        return Adverbial(f"um Viertel {'nach' if form == 'past' else 'vor'} {de}", f"at a quarter {form} {en}")

    def _date(self) -> Adverbial:
        form = self._weighted({"date": 4, "year": 1, "month": 1, "ago": 1})
        month_de, month_en = self.rng.choice(lexicon.MONTHS).split(":")
        day, year = self.rng.randint(1, 28), self.rng.randint(1990, 2023)
        if form == "date":
            suffix = f" {year}" if self._chance(0.5) else ""
            return Adverbial(f"am {day}. {month_de}{suffix}", f"on {day} {month_en}{suffix}")
        if form == "year":
            return Adverbial(f"im Jahr {year}", f"in {year}")
        if form == "month":
            return Adverbial(f"im {month_de}", f"in {month_en}")
        count = self.rng.randint(2, 12)
        unit_de, unit_en = self.rng.choice((("Jahren", "years"), ("Tagen", "days"), ("Wochen", "weeks")))
        return Adverbial(f"vor {german_number(count)} {unit_de}", f"{english_number(count)} {unit_en} ago")

    def time(self, tense: str) -> Adverbial:
        """Return an adverbial of time that goes with the tense."""
        kind = self._weighted(
            {
                "present": {"habit": 4, "mid": 4, "weekly": 2, "today": 1, "clock": 2, "future": 2},
                "past": {"past": 4, "date": 5, "day": 2, "clock": 1},
                "future": {"future": 5, "day": 2, "clock": 1},
            }[tense]
        )
        if kind == "clock":
            return self._clock()
        if kind == "date":
            return self._date()
        if kind == "day":
            de, en = self.rng.choice(lexicon.DAYS).split(":")
            return Adverbial(f"am {de}", f"on {en}")
        return self.rng.choice(WEEKLY if kind == "weekly" else ADVERBIALS[kind])
