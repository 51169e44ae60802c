"""Random sentence specifications: what the toy grammar says, and how often."""

import random
from dataclasses import replace
from functools import lru_cache
from typing import Dict, List, Optional, Sequence, Tuple

import grammar_lexicon as lexicon
from grammar_morphology import ADJECTIVES, NOUNS, VERBS, Noun, Verb, english_number, german_number
from grammar_syntax import (
    INDEFINITE,
    Adverbial,
    Clause,
    Complex,
    Compound,
    Conjoined,
    Existential,
    Gap,
    Infinitival,
    Name,
    Nominal,
    NounPhrase,
    Predicate,
    PrepositionalPhrase,
    Pronoun,
    Sentence,
    Simple,
)

_PEOPLE = ("person", "kin")
_OWNED = ("book", "clothing", "vehicle", "device", "instrument", "thing", "animal")
_BARE_DETERMINERS = ("viele", "einige", "alle", "jeder", "kein")
_YEAR = Noun("Jahr", "n", "Jahre", "year", "years", "measure")
_EURO = Noun("Euro", "m", "Euro", "euro", "euros", "measure")
_HOME = PrepositionalPhrase("nach", "dat", Name("Hause", "home", "n"), "")
_ON_FURNITURE = {
    "auf": ("on", "Tisch Stuhl Bett Sofa Regal Teppich Schrank"),
    "in": ("in", "Schrank"),
    "unter": ("under", "Tisch Stuhl Bett Sofa"),
    "neben": ("next to", "Tisch Stuhl Bett Sofa Regal Schrank"),
    "hinter": ("behind", "Stuhl Bett Sofa Regal Schrank"),
    "vor": ("in front of", "Tisch Stuhl Bett Sofa Regal Schrank"),
}
_BENEFACTIVE = "kaufen kochen backen bestellen holen malen bauen zeichnen mieten suchen".split()
_INVOLUNTARY = "bekommen verlieren finden sehen vergessen träumen".split()
_TOGETHER = "tanzen singen arbeiten frühstücken schwimmen fernsehen gehen fahren reisen fliegen lachen".split()
_FEMALE_JOBS = """Lehrerin Ärztin Studentin Köchin Kellnerin Künstlerin Richterin Sekretärin
    Krankenschwester Sängerin Autorin Professorin""".split()
_MALE_JOBS = """Lehrer Arzt Student Bäcker Gärtner Polizist Kellner Bauer Künstler Musiker Ingenieur
    Anwalt Fischer Soldat Journalist Pilot Mechaniker""".split()
_BE = Verb("sein", "be", "copula", state=True)
_COST = Verb("kosten", "cost", "copula", participle="gekostet", state=True)


@lru_cache(maxsize=None)
def _nouns(*kinds: str) -> Tuple[Noun, ...]:
    """Return the nouns of the given kinds, or the nouns named."""
    return tuple(noun for noun in NOUNS.values() if noun.kind in kinds or noun.de in kinds)


_OBJECTS = {key: _nouns(*verb.objects) for key, verb in VERBS.items()}
_FRAMES = {
    frame: [verb for verb in VERBS.values() if verb.frame == frame] for frame in {verb.frame for verb in VERBS.values()}
}
_KIND_ADJECTIVES = {kind: [adj for adj in ADJECTIVES.values() if kind in adj.kinds] for kind in lexicon.NOUNS}
_TRANSITIVE_FOR = {
    noun: [verb for verb in _FRAMES["transitive"] if noun in _OBJECTS["transitive", verb.infinitive]]
    for noun in NOUNS.values()
}
_CITIES = [Name(*pair.split(":"), "n") for pair in lexicon.CITIES]


def _glosses(text: str, when: str) -> List[Adverbial]:
    return [Adverbial(*pair.replace("_", " ").split(":"), when) for pair in text.split()]


_ADVERBIALS = {when: _glosses(text, when) for when, text in lexicon.ADVERBIALS.items()}
_WEEKLY = [Adverbial(de.lower() + "s", f"on {en}s") for de, en in (pair.split(":") for pair in lexicon.DAYS)]
_QUESTIONS = {de: Adverbial(de, en, "wh") for de, en in (("wo", "where"), ("wann", "when"), ("warum", "why"))}


class Sampler:
    """Draws random sentence specifications."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        # One sentence addresses its reader as du or as Sie, never as both.
        self.formal = False
        self.relative_tense = "present"

    def _chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def _weighted(self, weights: Dict[str, float]) -> str:
        point = self.rng.random() * sum(weights.values())
        for key, weight in weights.items():
            point -= weight
            if point < 0:
                break
        return key

    # Noun phrases -----------------------------------------------------------------------------

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
        adjectives = _KIND_ADJECTIVES[noun.kind]
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
            if noun.kind in _OWNED or noun.de in ("Freund", "Lehrer", "Lehrerin", "Kollege", "Nachbarin"):
                weights["possessive"] = 1.5
        determiner = self._weighted(weights)
        if determiner == "possessive":
            determiner = self._possessive()
        clause = None
        if relative and determiner in ("der", "ein", "dieser", "viele") and self._chance(0.2):
            clause = self.relative_clause(noun, plural)
        return NounPhrase(noun, determiner, plural, adjective, relative=clause)

    def _owner(self, noun: Noun) -> Optional[Nominal]:
        if noun.kind == "opening":
            return NounPhrase(self.rng.choice(_nouns("Haus", "Kirche", "Hotel", "Schule", "Museum", "Zimmer")))
        if noun.kind == "kin" or noun.kind in _OWNED:
            if self._chance(0.4):
                return self._name()
            kin = self._chance(0.4)
            owner = self.rng.choice(_nouns("kin" if kin else "person"))
            return NounPhrase(owner, self._possessive() if kin else "der", self._chance(0.25))
        return None

    def relative_clause(self, noun: Noun, plural: bool) -> Optional[Clause]:
        """Return a relative clause about a noun, or None if its kind has none."""
        gap, tense = Gap(noun, plural), self.relative_tense
        if noun.kind in _PEOPLE:
            role = self._weighted({"thing": 3, "action": 1, "dative": 1, "accusative": 1, "prepositional": 1})
            # "die Frau, die das Kind sieht" has two readings: the other role is never a person,
            # or it is a pronoun with a form of its own for the nominative.
            if role == "thing":
                verb = self.rng.choice(_FRAMES["transitive"])
                things = [n for n in _OBJECTS["transitive", verb.infinitive] if n.kind not in _PEOPLE + ("animal",)]
                if not things:
                    return None
                thing = self.noun_phrase(self.rng.choice(things), rich=False)
                return Clause(verb, gap, thing, tense=tense)
            if role == "action":
                verb = self.rng.choice(_FRAMES["intransitive"])
                return Clause(verb, gap, phrases=(self.place(),), tense=tense)
            subject = Pronoun(self.rng.choice(("ich", "wir", "er", "ich" if self.formal else "du")))
            if role == "accusative":
                return Clause(self.rng.choice(_TRANSITIVE_FOR[noun]), subject, gap, tense=tense)
            if role == "dative":
                return Clause(self.rng.choice(_FRAMES["dative"]), subject, dative=gap, tense=tense)
            verb = VERBS["prepositional", self.rng.choice(("warten", "sprechen", "denken", "diskutieren"))]
            return Clause(
                verb, subject, prepositional=PrepositionalPhrase(verb.preposition, verb.case, gap), tense=tense
            )
        subject = self.subject(_PEOPLE, rich=False)
        if noun.de in ("Haus", "Stadt", "Dorf", "Hotel"):
            where = PrepositionalPhrase("in", "dat", gap, "in")
            return Clause(VERBS["static", "wohnen"], subject, phrases=(where,), tense=tense)
        verbs = [verb for verb in _TRANSITIVE_FOR[noun] if verb.infinitive not in ("kochen", "backen", "haben")]
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
        noun = self._person() if "person" in kinds and self._chance(0.85) else self.rng.choice(_nouns(*kinds))
        return self.noun_phrase(noun, rich, relative)

    def _person(self) -> Noun:
        return self.rng.choice(_nouns("kin" if self._chance(0.3) else "person"))

    def _object(
        self, nouns: Sequence[Noun], subject: Nominal, case: str, rich: bool = True, relative: bool = False
    ) -> Nominal:
        """Return an object headed by one of the nouns, or a pronoun or a name in place of a person."""
        taken = getattr(subject, "noun", None)
        noun = self.rng.choice([noun for noun in nouns if noun is not taken])
        if noun.kind in _PEOPLE and self._chance(0.22):
            keys = {"ich", "er", "wir"} | ({"Sie"} if self.formal else {"du", "ihr"})
            if case == "dat":
                keys |= {"sie", "sie_plural"}
            key = getattr(subject, "key", "")
            same = ({"ich", "wir"}, {"du", "ihr", "Sie"})
            keys -= {key}.union(*(group for group in same if key in group))
            return Pronoun(self.rng.choice(sorted(keys)))
        if noun.kind in _PEOPLE and self._chance(0.15):
            name = self._name()
            if name.de != getattr(subject, "de", ""):
                return name
        return self.noun_phrase(noun, rich, relative)

    # Adverbials -------------------------------------------------------------------------------

    def place(self) -> PrepositionalPhrase:
        """Return a place with in and the dative."""
        noun = self.rng.choice(_nouns("place", "room"))
        phrase = NounPhrase(noun, self._weighted({"der": 6, "ein": 2, "dieser": 0.5, "unser": 0.5}))
        if self._chance(0.15):
            phrase = replace(phrase, adjective=self.rng.choice(_KIND_ADJECTIVES[noun.kind]))
        return PrepositionalPhrase("in", "dat", phrase, "at" if noun.de == "Universität" else "in")

    def _beside(self, verb: Verb, case: str, taken: Noun) -> PrepositionalPhrase:
        """Return a place at a piece of furniture: dative for a position, accusative for a goal."""
        prepositions = ("auf", "neben") if verb.infinitive == "sitzen" else tuple(_ON_FURNITURE)
        while True:
            de = self.rng.choice(prepositions)
            en, names = _ON_FURNITURE[de]
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
        return self.rng.choice(_WEEKLY if kind == "weekly" else _ADVERBIALS[kind])

    # Clauses ----------------------------------------------------------------------------------

    def clause(
        self,
        tense: str,
        subject: Optional[Nominal] = None,
        frames: Sequence[str] = (),
        plain: bool = False,
        relative: bool = False,
    ) -> Clause:
        """Return a clause; ``plain`` leaves out modal, negation and adverbial."""
        weights = {
            "transitive": 45,
            "dative": 8,
            "ditransitive": 14,
            "prepositional": 12,
            "intransitive": 8,
            "motion": 10,
            "static": 3,
            "put": 5,
            "lie": 4 * (subject is None),
            "copula": 12,
        }
        if frames:
            weights = {frame: weights[frame] for frame in frames}
        frame = self._weighted(weights)
        if frame == "copula":
            return self._copula(tense if tense != "future" else "present", subject, relative)
        verb = self.rng.choice(_FRAMES[frame])
        # A genitive beside a dative could be taken for one: "das Buch der Mutter".
        genitive = frame not in ("dative", "ditransitive")
        if frame == "lie":
            noun = self.rng.choice(_nouns(*verb.subjects))
            subject = self.noun_phrase(noun, rich=False)
            if noun.kind in _PEOPLE and self._chance(0.3):
                subject = self._name()
            return Clause(verb, subject, phrases=(self._beside(verb, "dat", noun),), tense=tense)
        subject = subject or self.subject(verb.subjects, genitive, relative and genitive)
        clause = Clause(verb, subject, tense=tense)
        clause = self._with_arguments(clause, genitive, relative)
        objects = (clause.accusative, clause.dative, clause.prepositional and clause.prepositional.nominal)
        # An adverbial after a relative clause would seem to belong to it.
        closed = any(getattr(value, "relative", None) for value in objects)
        return clause if plain or closed else self._with_modifiers(clause)

    def _with_arguments(self, clause: Clause, genitive: bool, relative: bool) -> Clause:
        verb, subject = clause.verb, clause.subject
        nouns = _OBJECTS[verb.frame, verb.infinitive]
        relative = relative and not getattr(subject, "relative", None)
        if verb.frame == "transitive":
            return replace(clause, accusative=self._object(nouns, subject, "acc", True, relative))
        if verb.frame == "dative":
            return replace(clause, dative=self._object(nouns, subject, "dat", genitive, relative))
        if verb.frame == "ditransitive":
            recipient = self._object(_nouns(*_PEOPLE), subject, "dat", False)
            while True:
                thing = self.noun_phrase(self.rng.choice(nouns), rich=self._chance(0.5))
                if not isinstance(thing.owner, NounPhrase) and thing.noun != getattr(recipient, "noun", None):
                    return replace(clause, dative=recipient, accusative=thing)
        if verb.frame == "prepositional":
            nominal = self._object(nouns, subject, verb.case, True, relative)
            return replace(clause, prepositional=PrepositionalPhrase(verb.preposition, verb.case, nominal))
        if verb.frame == "motion":
            return replace(clause, phrases=(self._goal(verb),))
        if verb.frame == "static":
            english = "at" if verb.infinitive == "ankommen" else "in"
            if self._chance(0.5):
                return replace(clause, phrases=(PrepositionalPhrase("in", "dat", self.rng.choice(_CITIES), "in"),))
            names = ("Haus", "Stadt", "Dorf") if verb.infinitive == "wohnen" else ("Hotel", "Museum", "Krankenhaus")
            phrase = self.noun_phrase(self.rng.choice(_nouns(*names)), rich=False)
            phrase = replace(phrase, plural=False)
            return replace(clause, phrases=(PrepositionalPhrase("in", "dat", phrase, english),))
        if verb.frame == "put":
            thing = self.noun_phrase(self.rng.choice(nouns))
            case = "dat" if verb.infinitive == "verstecken" else "acc"
            return replace(clause, accusative=thing, phrases=(self._beside(verb, case, thing.noun),))
        return clause

    def _goal(self, verb: Verb) -> PrepositionalPhrase:
        kind = self.rng.choice(verb.objects)
        if kind == "city":
            city = self.rng.choice(_CITIES)
            return PrepositionalPhrase("nach", "dat", city, "to")
        if self._chance(0.15):
            return _HOME
        if kind == "room" and self._chance(0.5):
            return PrepositionalPhrase("zu", "dat", self.noun_phrase(self._person(), rich=False), "to")
        phrase = NounPhrase(self.rng.choice(_nouns(kind)), self._weighted({"der": 5, "ein": 2, "dieser": 0.5}))
        if self._chance(0.2):
            phrase = replace(phrase, adjective=self.rng.choice(_KIND_ADJECTIVES[kind]))
        return PrepositionalPhrase("in", "acc", phrase, "to")

    def _with_modifiers(self, clause: Clause) -> Clause:
        verb, phrases = clause.verb, clause.phrases
        places = {"transitive": 0.12, "intransitive": 0.5}.get(verb.frame, 0)
        takes_place = not verb.state and not {"place", "room"} & set(verb.objects)
        if takes_place and self._chance(places):
            phrases += (self.place(),)
        company = verb.infinitive in _TOGETHER and verb.frame in ("intransitive", "motion") and self._chance(0.3)
        if company or verb.infinitive in _BENEFACTIVE and self._chance(0.25):
            de, case, en = ("mit", "dat", "with") if company else ("für", "acc", "for")
            someone = self._object(_nouns(*_PEOPLE), clause.subject, case, rich=False)
            phrases = (
                (PrepositionalPhrase(de, case, someone, en),) + phrases
                if company
                else phrases + (PrepositionalPhrase(de, case, someone, en),)
            )
        clause = replace(clause, phrases=phrases)
        if not verb.state and clause.tense != "future" and self._chance(0.2):
            modals = ("können", "müssen", "wollen", "dürfen") + (
                ("sollen", "möchten") if clause.tense == "present" else ()
            )
            clause = replace(clause, modal=self.rng.choice(modals))
        if not verb.state and self._chance(0.4):
            adverbial = self.time(clause.tense)
            clause = replace(clause, adverbial=adverbial)
        return self._negate(clause) if self._chance(0.14) else clause

    def _negate(self, clause: Clause) -> Clause:
        """Negate the clause unless a quantifier or an adverbial would leave the scope unclear."""
        arguments = [clause.subject, clause.accusative, clause.dative] + [phrase.nominal for phrase in clause.phrases]
        if clause.prepositional:
            arguments.append(clause.prepositional.nominal)
        for argument in filter(None, arguments):
            if (
                isinstance(argument, Conjoined)
                or getattr(argument, "count", None)
                or getattr(argument, "relative", None)
            ):
                return clause
            if getattr(argument, "determiner", "") in _BARE_DETERMINERS:
                return clause
            if argument is not clause.accusative and getattr(argument, "determiner", "der") in INDEFINITE:
                return clause
        fixed = _ADVERBIALS["past"] + _ADVERBIALS["future"] + _ADVERBIALS["today"]
        if clause.adverbial and clause.adverbial not in fixed:
            return clause
        accusative = clause.accusative
        if getattr(accusative, "determiner", "der") in INDEFINITE and not getattr(accusative, "owner", None):
            accusative = replace(accusative, determiner="kein")
        return replace(clause, accusative=accusative, negated=True)

    def _copula(self, tense: str, subject: Optional[Nominal], relative: bool = False) -> Clause:
        if subject is None:
            things = ("animal", "place", "room", "thing", "vehicle", "furniture", "clothing", "book", "note", "device")
            subject = self.subject(_PEOPLE if self._chance(0.5) else (self.rng.choice(things),), False, relative)
            if getattr(subject, "determiner", "") == "ein":
                subject = replace(subject, determiner="der")
        noun = getattr(subject, "noun", None)
        kind = noun.kind if noun else "person"
        single = subject.person == "er" or getattr(subject, "key", "") in ("ich", "du")
        definite = getattr(subject, "determiner", "der") in ("der", "dieser", "mein", "dein", "sein", "unser", "Ihr")
        if (
            kind in ("vehicle", "furniture", "clothing", "device", "instrument")
            and definite
            and not subject.plural
            and self._chance(0.3)
        ):
            count = self.rng.randint(21, 99)
            price = NounPhrase(_EURO, "", True, count=count, digits=self._chance(0.5))
            return Clause(_COST, subject, price, tense=tense)
        if kind in _PEOPLE and single and definite and self._chance(0.35):
            gender = (
                noun.gender if noun else getattr(subject, "gender", None) or {"er": "m", "sie": "f"}.get(subject.key)
            )
            if self._chance(0.5):
                young = noun and noun.de in ("Kind", "Junge", "Mädchen")
                count, digits = self.rng.randint(*((2, 17) if young else (21, 99))), self._chance(0.5)
                de, en = (str(count),) * 2 if digits else (german_number(count), english_number(count))
                pairs = ((str(count), _YEAR.de),) if count > 20 else ()
                return Clause(
                    _BE, subject, predicate=Predicate(f"{de} Jahre alt", f"{en} years old", None, pairs), tense=tense
                )
            if gender in ("m", "f") and kind == "kin" or not noun and gender:
                job = NOUNS[self.rng.choice(_MALE_JOBS if gender == "m" else _FEMALE_JOBS)]
                return Clause(
                    _BE, subject, predicate=Predicate(job.de, NounPhrase(job, "ein").english(False)), tense=tense
                )
        adjective = self.rng.choice(_KIND_ADJECTIVES[kind])
        rivals = [other for other in _nouns(kind) if other is not noun]
        if noun and definite and not noun.mass and self._chance(0.3):
            standard = replace(self.noun_phrase(self.rng.choice(rivals), rich=False), plural=False)
            return Clause(
                _BE,
                subject,
                predicate=Predicate(adjective.comparative, adjective.en_comparative, standard),
                tense=tense,
            )
        clause = Clause(_BE, subject, predicate=Predicate(adjective.de, adjective.en), tense=tense)
        if (
            definite
            and self._chance(0.2)
            and not isinstance(subject, Conjoined)
            and not getattr(subject, "relative", None)
        ):
            clause = replace(clause, negated=True)
        return clause

    # Sentences --------------------------------------------------------------------------------

    def _front(self, clause: Clause) -> Clause:
        """Front a phrase of a statement now and then; initial Sie would be read as they."""
        adverbial, accusative, dative = clause.adverbial, clause.accusative, clause.dative
        formal = getattr(clause.subject, "key", "") == "Sie"
        if adverbial and adverbial.de not in ("nie", "immer", "selten") and (formal or self._chance(0.5)):
            return replace(clause, front="adverbial")
        if not clause.negated:
            # Only the masculine singular tells an accusative from a nominative.
            if (
                isinstance(accusative, NounPhrase)
                and not accusative.plural
                and accusative.noun.gender == "m"
                and accusative.determiner in ("der", "dieser")
                and not accusative.relative
                and not isinstance(accusative.owner, Name)
                and not dative
                and self._chance(0.15)
            ):
                return replace(clause, front="accusative")
            if (
                isinstance(dative, NounPhrase)
                and dative.determiner == "der"
                and not dative.relative
                and self._chance(0.12)
            ):
                return replace(clause, front="dative")
            place = len(clause.phrases) == 1 and clause.phrases[0].de == "in" and clause.phrases[0].case == "dat"
            if place and not clause.verb.state and self._chance(0.3):
                return replace(clause, front="phrases")
        return replace(clause, subject=Pronoun("wir")) if formal else clause

    def _statement(self) -> Sentence:
        tense = self._weighted({"present": 5, "past": 5, "future": 1})
        self.relative_tense = "past" if tense == "past" else "present"
        return Simple(self._front(self.clause(tense, relative=True)))

    def _question(self) -> Sentence:
        tense = self._weighted({"present": 5, "past": 5, "future": 1})
        form = self._weighted(
            {
                "polar": 8,
                "wo": 1,
                "wann": 1,
                "warum": 1.5,
                "wer": 1.5,
                "was": 1,
                "wen": 1,
                "wem": 1,
                "welcher": 1.5,
                "wie viele": 1.5,
            }
        )
        if form in ("wo", "wann", "warum"):
            frames = (
                ("transitive",) if form == "wo" else ("transitive", "ditransitive", "dative", "motion", "intransitive")
            )
            clause = self.clause(tense, frames=frames, plain=True)
            if clause.verb.state and form != "warum":
                return self._question()
            return Simple(replace(clause, adverbial=_QUESTIONS[form]), "question")
        if form == "wer":
            return Simple(
                self.clause(tense, Pronoun("wer"), ("transitive", "ditransitive", "dative", "motion"), plain=True),
                "question",
            )
        if form == "polar":
            clause = self.clause(tense)
            return self._question() if clause.negated else Simple(clause, "question")
        clause = self.clause(tense, frames=("dative",) if form == "wem" else ("transitive",), plain=True)
        if form == "wem":
            return Simple(replace(clause, dative=Pronoun("wer")), "question")
        person = isinstance(clause.accusative, (Pronoun, Name)) or clause.accusative.noun.kind in _PEOPLE + ("animal",)
        if form == "wen" and person:
            return Simple(replace(clause, accusative=Pronoun("wer")), "question")
        if person or form == "wen":
            return self._question()
        if form == "was":
            return Simple(replace(clause, accusative=Pronoun("was")), "question")
        noun = clause.accusative.noun
        if noun.mass:
            return self._question()
        phrase = NounPhrase(noun, form, form == "wie viele" or self._chance(0.3), clause.accusative.adjective)
        return Simple(replace(clause, accusative=phrase), "question")

    def _imperative(self) -> Sentence:
        self.formal = True
        frames = ("transitive", "ditransitive", "dative", "prepositional", "motion", "put")
        clause = self.clause("present", Pronoun("Sie"), frames, plain=True)
        if clause.verb.state or clause.verb.reflexive or clause.verb.infinitive in _INVOLUNTARY:
            return self._imperative()
        if self._chance(0.3):
            clause = replace(clause, adverbial=self.rng.choice(_ADVERBIALS["today"] + _ADVERBIALS["future"]))
        return Simple(clause, "imperative")

    def _resume(self, subject: Nominal) -> Optional[Nominal]:
        """Return the pronoun that takes up a subject, or None for neuters and quantifiers."""
        if isinstance(subject, Pronoun):
            return subject
        if getattr(subject, "determiner", "der") in _BARE_DETERMINERS:
            return None
        if subject.person == "sie":
            return Pronoun("sie_plural")
        gender = subject.noun.gender if isinstance(subject, NounPhrase) else subject.gender
        kind = subject.noun.kind if isinstance(subject, NounPhrase) else "person"
        return Pronoun({"m": "er", "f": "sie"}[gender]) if gender != "n" and kind in _PEOPLE else None

    _ACTIONS = ("transitive", "ditransitive", "dative", "prepositional", "intransitive", "motion", "put")

    def _event(self, *args, **kwargs) -> Clause:
        """Return a clause whose verb is not a state."""
        while True:
            clause = self.clause(*args, **kwargs)
            if not clause.verb.state:
                return clause

    def _complex(self) -> Sentence:
        conjunction = self._weighted(
            {"weil": 4, "obwohl": 3, "wenn": 3, "bevor": 1.5, "während": 1.5, "damit": 1, "als": 1.5, "sobald": 1}
        )
        english = {
            "weil": "because",
            "obwohl": "although",
            "wenn": "if",
            "bevor": "before",
            "während": "while",
            "damit": "so that",
            "als": "when",
            "sobald": "as soon as",
        }[conjunction]
        tense = "present"
        if conjunction in ("weil", "obwohl", "bevor", "während", "als"):
            tense = "past" if conjunction == "als" or self._chance(0.5) else "present"
        timed = conjunction in ("bevor", "während", "als", "sobald", "damit")
        first = conjunction != "damit" and self._chance(0.4)
        subject = self.subject(_PEOPLE, rich=False)
        resumed = self._resume(subject) if self._chance(0.6) else None
        # The clause that comes first names its subject, the other one may take it up.
        subjects = (subject, resumed) if not first else (resumed, subject)
        # A state does not happen before or while something else does.
        actor = self._event if timed else self.clause
        main = actor(tense, subjects[0], self._ACTIONS, plain=timed)
        if conjunction in ("wenn", "sobald") and not main.modal and not main.adverbial and self._chance(0.4):
            main = replace(main, tense="future")
        if conjunction in ("weil", "obwohl", "wenn") and resumed and self._chance(0.45):
            subordinate = self._copula(tense, subjects[1])
        else:
            subordinate = actor(tense, subjects[1], self._ACTIONS, plain=True)
        if conjunction == "damit":
            subordinate = replace(subordinate, modal="können")
        return Complex(main if first else self._front(main), (conjunction, english), subordinate, first)

    def _matrix(self) -> Sentence:
        doubtful = self._chance(0.2)
        tense = self._weighted({"present": 3, "past": 1})
        verb = VERBS["clausal", "wissen"] if doubtful else self.rng.choice(_FRAMES["clausal"])
        main = self._front(Clause(verb, self.subject(_PEOPLE, rich=False), tense=tense, negated=doubtful))
        inner = "past" if tense == "past" else self._weighted({"present": 4, "past": 3, "future": 2})
        subject = self._resume(main.subject) if self._chance(0.3) else None
        return Complex(main, ("ob", "whether") if doubtful else ("dass", "that"), self.clause(inner, subject))

    def _compound(self) -> Sentence:
        tense = self._weighted({"present": 1, "past": 1})
        first = self.clause(tense, frames=self._ACTIONS, plain=True)
        if self._chance(0.4) and not getattr(first.subject, "relative", None):
            second = replace(self.clause(tense, first.subject, self._ACTIONS, plain=True), elided=True)
            conjunction = ("und", "and")
            formal = getattr(first.subject, "key", "") == "Sie"
            if formal:
                return self._compound()
        else:
            second = self._front(self.clause(tense, frames=self._ACTIONS, plain=True))
            conjunction = self.rng.choice((("und", "and"), ("aber", "but")))
            first = self._front(first)
        return Compound(first, conjunction, second)

    def _infinitival(self) -> Sentence:
        tense = self._weighted({"present": 1, "past": 1})
        purpose = self._chance(0.4)
        if purpose:
            main = self._front(self.clause(tense, frames=("motion",), plain=True))
        else:
            main = self._front(
                Clause(self.rng.choice(_FRAMES["control"]), self.subject(_PEOPLE, rich=False), tense=tense)
            )
        infinitive = self.clause("present", main.subject, ("transitive", "ditransitive", "dative", "put"), plain=True)
        if infinitive.verb.state or infinitive.verb.infinitive in _INVOLUNTARY:
            return self._infinitival()
        if (
            tense == "present"
            and not purpose
            and main.verb.infinitive in ("hoffen", "planen", "versprechen")
            and self._chance(0.4)
        ):
            infinitive = replace(infinitive, adverbial=self.rng.choice(_ADVERBIALS["future"]))
        return Infinitival(main, infinitive, purpose)

    def _existential(self) -> Sentence:
        nouns = _nouns("animal", "person", "furniture", "book", "place")
        noun = self.rng.choice(nouns)
        phrase = self.noun_phrase(noun)
        while phrase.owner or phrase.determiner not in INDEFINITE:
            phrase = self.noun_phrase(noun)
        names = (
            ("Stadt", "Dorf") if noun.kind == "place" else ("room", "Schule", "Hotel", "Garten", "Haus", "Bibliothek")
        )
        if noun.kind == "animal":
            names = ("Park", "Garten", "Wald", "Dorf")
        place = NounPhrase(self.rng.choice(_nouns(*names)), self._weighted({"der": 5, "dieser": 2, "unser": 1}))
        return Existential(phrase, PrepositionalPhrase("in", "dat", place, "in"), self._chance(0.4), self._chance(0.5))

    def sentence(self) -> Sentence:
        """Return a random sentence."""
        self.formal = self._chance(0.3)
        return getattr(
            self,
            self._weighted(
                {
                    "_statement": 42,
                    "_question": 13,
                    "_imperative": 4,
                    "_complex": 16,
                    "_matrix": 8,
                    "_compound": 8,
                    "_infinitival": 6,
                    "_existential": 3,
                }
            ),
        )()
