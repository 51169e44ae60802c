"""Random clauses."""

from collections.abc import Sequence
from dataclasses import replace

from language.clauses import Clause
from language.morphology import NOUNS, Verb, english_number, german_number
from language.phrases import INDEFINITE, Conjoined, Nominal, NounPhrase, Predicate, PrepositionalPhrase
from language.sampler.choices import (
    ADVERBIALS,
    BARE_DETERMINERS,
    BE,
    BENEFACTIVE,
    CITIES,
    COST,
    EURO,
    FEMALE_JOBS,
    FRAMES,
    HOME,
    KIND_ADJECTIVES,
    MALE_JOBS,
    OBJECTS,
    PEOPLE,
    TOGETHER,
    YEAR,
    nouns_of,
)
from language.sampler.phrases import PhraseSampler


class ClauseSampler(PhraseSampler):
    """Draws clauses, with what they are made of."""

    def clause(
        self,
        tense: str,
        subject: Nominal | None = None,
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
        verb = self.rng.choice(FRAMES[frame])
        # A genitive beside a dative could be taken for one: "das Buch der Mutter".
        genitive = frame not in ("dative", "ditransitive")
        if frame == "lie":
            noun = self.rng.choice(nouns_of(*verb.subjects))
            subject = self.noun_phrase(noun, rich=False)
            if noun.kind in PEOPLE and self._chance(0.3):
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
        nouns = OBJECTS[verb.frame, verb.infinitive]
        relative = relative and not getattr(subject, "relative", None)
        if verb.frame == "transitive":
            return replace(clause, accusative=self._object(nouns, subject, "acc", True, relative))
        if verb.frame == "dative":
            return replace(clause, dative=self._object(nouns, subject, "dat", genitive, relative))
        if verb.frame == "ditransitive":
            recipient = self._object(nouns_of(*PEOPLE), subject, "dat", False)
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
                return replace(clause, phrases=(PrepositionalPhrase("in", "dat", self.rng.choice(CITIES), "in"),))
            names = ("Haus", "Stadt", "Dorf") if verb.infinitive == "wohnen" else ("Hotel", "Museum", "Krankenhaus")
            phrase = self.noun_phrase(self.rng.choice(nouns_of(*names)), rich=False)
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
            city = self.rng.choice(CITIES)
            return PrepositionalPhrase("nach", "dat", city, "to")
        if self._chance(0.15):
            return HOME
        if kind == "room" and self._chance(0.5):
            return PrepositionalPhrase("zu", "dat", self.noun_phrase(self._person(), rich=False), "to")
        phrase = NounPhrase(self.rng.choice(nouns_of(kind)), self._weighted({"der": 5, "ein": 2, "dieser": 0.5}))
        if self._chance(0.2):
            phrase = replace(phrase, adjective=self.rng.choice(KIND_ADJECTIVES[kind]))
        return PrepositionalPhrase("in", "acc", phrase, "to")

    def _with_modifiers(self, clause: Clause) -> Clause:
        verb, phrases = clause.verb, clause.phrases
        places = {"transitive": 0.12, "intransitive": 0.5}.get(verb.frame, 0)
        takes_place = not verb.state and not {"place", "room"} & set(verb.objects)
        if takes_place and self._chance(places):
            phrases += (self.place(),)
        company = verb.infinitive in TOGETHER and verb.frame in ("intransitive", "motion") and self._chance(0.3)
        if company or verb.infinitive in BENEFACTIVE and self._chance(0.25):
            de, case, en = ("mit", "dat", "with") if company else ("für", "acc", "for")
            someone = self._object(nouns_of(*PEOPLE), clause.subject, case, rich=False)
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
            if getattr(argument, "determiner", "") in BARE_DETERMINERS:
                return clause
            if argument is not clause.accusative and getattr(argument, "determiner", "der") in INDEFINITE:
                return clause
        fixed = ADVERBIALS["past"] + ADVERBIALS["future"] + ADVERBIALS["today"]
        if clause.adverbial and clause.adverbial not in fixed:
            return clause
        accusative = clause.accusative
        if getattr(accusative, "determiner", "der") in INDEFINITE and not getattr(accusative, "owner", None):
            accusative = replace(accusative, determiner="kein")
        return replace(clause, accusative=accusative, negated=True)

    def _copula(self, tense: str, subject: Nominal | None, relative: bool = False) -> Clause:
        if subject is None:
            things = ("animal", "place", "room", "thing", "vehicle", "furniture", "clothing", "book", "note", "device")
            subject = self.subject(PEOPLE if self._chance(0.5) else (self.rng.choice(things),), False, relative)
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
            price = NounPhrase(EURO, "", True, count=count, digits=self._chance(0.5))
            return Clause(COST, subject, price, tense=tense)
        if kind in PEOPLE and single and definite and self._chance(0.35):
            gender = (
                noun.gender if noun else getattr(subject, "gender", None) or {"er": "m", "sie": "f"}.get(subject.key)
            )
            if self._chance(0.5):
                young = noun and noun.de in ("Kind", "Junge", "Mädchen")
                count, digits = self.rng.randint(*((2, 17) if young else (21, 99))), self._chance(0.5)
                de, en = (str(count),) * 2 if digits else (german_number(count), english_number(count))
                pairs = ((str(count), YEAR.de),) if count > 20 else ()
                return Clause(
                    BE, subject, predicate=Predicate(f"{de} Jahre alt", f"{en} years old", None, pairs), tense=tense
                )
            if gender in ("m", "f") and kind == "kin" or not noun and gender:
                job = NOUNS[self.rng.choice(MALE_JOBS if gender == "m" else FEMALE_JOBS)]
                return Clause(
                    BE, subject, predicate=Predicate(job.de, NounPhrase(job, "ein").english(False)), tense=tense
                )
        adjective = self.rng.choice(KIND_ADJECTIVES[kind])
        rivals = [other for other in nouns_of(kind) if other is not noun]
        if noun and definite and not noun.mass and self._chance(0.3):
            standard = replace(self.noun_phrase(self.rng.choice(rivals), rich=False), plural=False)
            return Clause(
                BE, subject, predicate=Predicate(adjective.comparative, adjective.en_comparative, standard), tense=tense
            )
        clause = Clause(BE, subject, predicate=Predicate(adjective.de, adjective.en), tense=tense)
        if (
            definite
            and self._chance(0.2)
            and not isinstance(subject, Conjoined)
            and not getattr(subject, "relative", None)
        ):
            clause = replace(clause, negated=True)
        return clause
