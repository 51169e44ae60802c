"""Clauses in German and in English: verbs, word order, modals, negation."""

from dataclasses import dataclass

from language.morphology import Verb, english_past, english_third, present, preterite
from language.phrases import INDEFINITE, Adverbial, Nominal, Predicate, PrepositionalPhrase, Pronoun

_REFLEXIVE = dict(zip("ich du er wir ihr sie".split(), "mich dich sich uns euch sich".split()))

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
    accusative: Nominal | None = None
    dative: Nominal | None = None
    prepositional: PrepositionalPhrase | None = None
    predicate: Predicate | None = None
    phrases: tuple[PrepositionalPhrase, ...] = ()
    adverbial: Adverbial | None = None
    tense: str = "present"
    modal: str = ""
    negated: bool = False
    front: str = ""
    elided: bool = False

    def fronted(self) -> str:
        """Return the field of the interrogative or relative phrase, or ``front``."""
        for name in ("subject", "accusative", "dative", "prepositional", "adverbial"):
            value = getattr(self, name)
            if value is not None and value.wh:
                return name
        return "phrases" if any(phrase.wh for phrase in self.phrases) else self.front

    def _german_verb(self) -> tuple[str, str]:
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

    def _german_fields(self, inverted: bool = False) -> list[tuple[str, str]]:
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
        front = self.fronted()
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

    def _english_verb(self, inverted: bool) -> tuple[str, str]:
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

    def _english_rest(self, verb: str, front: str) -> list[str]:
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
        front = self.fronted()
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
