"""Random sentences: what the toy grammar says, and how often."""

from dataclasses import replace

from language.clauses import Clause
from language.morphology import VERBS
from language.phrases import INDEFINITE, Name, Nominal, NounPhrase, PrepositionalPhrase, Pronoun
from language.sampler.choices import ADVERBIALS, BARE_DETERMINERS, FRAMES, INVOLUNTARY, PEOPLE, QUESTIONS, nouns_of
from language.sampler.clauses import ClauseSampler
from language.sentences import Complex, Compound, Existential, Infinitival, Sentence, Simple


class Sampler(ClauseSampler):
    """Draws random sentence specifications."""

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
            return Simple(replace(clause, adverbial=QUESTIONS[form]), "question")
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
        person = isinstance(clause.accusative, (Pronoun, Name)) or clause.accusative.noun.kind in PEOPLE + ("animal",)
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
        if clause.verb.state or clause.verb.reflexive or clause.verb.infinitive in INVOLUNTARY:
            return self._imperative()
        if self._chance(0.3):
            clause = replace(clause, adverbial=self.rng.choice(ADVERBIALS["today"] + ADVERBIALS["future"]))
        return Simple(clause, "imperative")

    def _resume(self, subject: Nominal) -> Nominal | None:
        """Return the pronoun that takes up a subject, or None for neuters and quantifiers."""
        if isinstance(subject, Pronoun):
            return subject
        if getattr(subject, "determiner", "der") in BARE_DETERMINERS:
            return None
        if subject.person == "sie":
            return Pronoun("sie_plural")
        gender = subject.noun.gender if isinstance(subject, NounPhrase) else subject.gender
        kind = subject.noun.kind if isinstance(subject, NounPhrase) else "person"
        return Pronoun({"m": "er", "f": "sie"}[gender]) if gender != "n" and kind in PEOPLE else None

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
        subject = self.subject(PEOPLE, rich=False)
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
        verb = VERBS["clausal", "wissen"] if doubtful else self.rng.choice(FRAMES["clausal"])
        main = self._front(Clause(verb, self.subject(PEOPLE, rich=False), tense=tense, negated=doubtful))
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
                Clause(self.rng.choice(FRAMES["control"]), self.subject(PEOPLE, rich=False), tense=tense)
            )
        infinitive = self.clause("present", main.subject, ("transitive", "ditransitive", "dative", "put"), plain=True)
        if infinitive.verb.state or infinitive.verb.infinitive in INVOLUNTARY:
            return self._infinitival()
        if (
            tense == "present"
            and not purpose
            and main.verb.infinitive in ("hoffen", "planen", "versprechen")
            and self._chance(0.4)
        ):
            infinitive = replace(infinitive, adverbial=self.rng.choice(ADVERBIALS["future"]))
        return Infinitival(main, infinitive, purpose)

    def _existential(self) -> Sentence:
        nouns = nouns_of("animal", "person", "furniture", "book", "place")
        noun = self.rng.choice(nouns)
        phrase = self.noun_phrase(noun)
        while phrase.owner or phrase.determiner not in INDEFINITE:
            phrase = self.noun_phrase(noun)
        names = (
            ("Stadt", "Dorf") if noun.kind == "place" else ("room", "Schule", "Hotel", "Garten", "Haus", "Bibliothek")
        )
        if noun.kind == "animal":
            names = ("Park", "Garten", "Wald", "Dorf")
        place = NounPhrase(self.rng.choice(nouns_of(*names)), self._weighted({"der": 5, "dieser": 2, "unser": 1}))
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
