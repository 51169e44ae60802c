"""Inflection of the toy grammar's words: German nouns, verbs, adjectives, numbers; English verbs.

The entries of ``language.lexicon`` become the tables ``NOUNS``, ``VERBS`` and ``ADJECTIVES`` here.
"""

import re
from dataclasses import dataclass

from language import lexicon

GENDERS = "mfn"
CASES = ("nom", "acc", "dat", "gen")
PERSONS = ("ich", "du", "er", "wir", "ihr", "sie")

# Endings by column (m, f, n, plural) in the order of CASES.
_DER_WORD = {"m": "er en em es", "f": "e e er er", "n": "es es em es", "pl": "e e en er"}
_EIN_WORD = {"m": " en em es", "f": "e e er er", "n": "  em es", "pl": "e e en er"}
_ARTICLE = {"m": "der den dem des", "f": "die die der der", "n": "das das dem des", "pl": "die die den der"}
_STRONG = {"m": "er en em en", "f": "e e er er", "n": "es es em en", "pl": "e e en er"}
_WEAK = {"m": "e en en en", "f": "e e en en", "n": "e e en en", "pl": "en en en en"}
_MIXED = {"m": "er en en en", "f": "e e en en", "n": "es es en en", "pl": "en en en en"}


def ending(table: dict[str, str], column: str, case: str) -> str:
    """Return the ending for a column (m, f, n or pl) and a case."""
    return table[column].split(" ")[CASES.index(case)]


def definite_article(column: str, case: str) -> str:
    """Return der, die, das ... for a column and a case."""
    return ending(_ARTICLE, column, case)


def determiner_ending(kind: str, column: str, case: str) -> str:
    """Return the ending of a der word ("weak") or an ein word ("mixed")."""
    return ending(_DER_WORD if kind == "weak" else _EIN_WORD, column, case)


def adjective_ending(declension: str, column: str, case: str) -> str:
    """Return the adjective's ending in the strong, weak or mixed declension."""
    return ending({"strong": _STRONG, "weak": _WEAK, "mixed": _MIXED}[declension], column, case)


@dataclass(frozen=True)
class Noun:
    """A noun with its English rendering and its semantic kind."""

    de: str
    gender: str
    de_plural: str
    en: str
    en_plural: str
    kind: str
    weak: bool = False
    mass: bool = False

    def german(self, plural: bool, case: str) -> str:
        """Return the German form."""
        if plural:
            bare = case != "dat" or self.de_plural.endswith(("n", "s"))
            return self.de_plural if bare else self.de_plural + "n"
        if self.weak:
            return self.de if case == "nom" else self.de_plural
        if case == "gen" and self.gender != "f":
            short = len(re.findall("[aeiouyäöü]+", self.de.lower())) == 1
            long_ending = self.de.endswith(("s", "z", "x", "ß", "sch")) or (
                short and self.de.endswith(("d", "t", "b", "g", "ch", "nn", "hn"))
            )
            return self.de + ("es" if long_ending else "s")
        return self.de

    def english(self, plural: bool) -> str:
        """Return the English form."""
        return self.en_plural if plural else self.en


@dataclass(frozen=True)
class Adjective:
    """An adjective; ``stem`` is what endings attach to."""

    de: str
    stem: str
    comparative: str
    en: str
    en_comparative: str
    kinds: tuple[str, ...]


_IRREGULAR_DE = {
    "sein": ("bin bist ist sind seid sind", "war warst war waren wart waren"),
    "haben": ("habe hast hat haben habt haben", "hatte hattest hatte hatten hattet hatten"),
    "werden": ("werde wirst wird werden werdet werden", ""),
    "wissen": ("weiß weißt weiß wissen wisst wissen", ""),
    "mögen": ("mag magst mag mögen mögt mögen", "mochte mochtest mochte mochten mochtet mochten"),
    "können": ("kann kannst kann können könnt können", "konnte konntest konnte konnten konntet konnten"),
    "müssen": ("muss musst muss müssen müsst müssen", "musste musstest musste mussten musstet mussten"),
    "wollen": ("will willst will wollen wollt wollen", "wollte wolltest wollte wollten wolltet wollten"),
    "dürfen": ("darf darfst darf dürfen dürft dürfen", "durfte durftest durfte durften durftet durften"),
    "sollen": ("soll sollst soll sollen sollt sollen", ""),
    "möchten": ("möchte möchtest möchte möchten möchtet möchten", ""),
}


@dataclass(frozen=True)
class Verb:
    """A German verb with its frame and its English rendering.

    ``frame`` names the table of the lexicon it comes from; ``objects`` and ``subjects`` are the
    semantic kinds (or single nouns) that it takes; ``state`` excludes imperatives and adverbials.
    """

    de: str
    en: str
    frame: str
    changed: str = ""
    participle: str = ""
    auxiliary: str = "haben"
    objects: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ("person", "kin")
    preposition: str = ""
    case: str = ""
    reflexive: bool = False
    state: bool = False

    @property
    def prefix(self) -> str:
        """Return the separable prefix, or the empty string."""
        return self.de.split("|")[0] if "|" in self.de else ""

    @property
    def infinitive(self) -> str:
        """Return the infinitive as one word."""
        return self.de.replace("|", "")

    @property
    def zu_infinitive(self) -> str:
        """Return the infinitive with zu, which stands inside a separable verb."""
        return self.de.replace("|", "zu") if "|" in self.de else "zu " + self.de

    def present(self, person: str) -> str:
        """Return the finite present form without the separable prefix."""
        return _present(self.de.split("|")[-1], self.changed, person)

    def preterite(self, person: str) -> str:
        """Return the preterite, or the empty string where the grammar uses the perfect."""
        return preterite(self.de, person)


def _needs_e(stem: str) -> bool:
    return bool(re.search("[td]$|ch[mn]$|[^aeiouäöürlhmn][mn]$", stem))


def _present(base: str, changed: str, person: str) -> str:
    index = PERSONS.index(person)
    if base in _IRREGULAR_DE:
        return _IRREGULAR_DE[base][0].split()[index]
    if person in ("wir", "sie"):
        return base
    stem = base[:-2] if base.endswith("en") else base[:-1]
    if person == "ich":
        return stem[:-2] + "le" if base.endswith("eln") and base != stem + "en" else stem + "e"
    e = "e" if _needs_e(stem) else ""
    if person == "ihr":
        return stem + e + "t"
    if changed:
        stem, e = changed, ""
    if person == "du":
        return stem + e + ("t" if stem.endswith(("s", "z", "ß", "x")) else "st")
    return stem if changed and stem.endswith("t") else stem + e + "t"


def present(base: str, person: str) -> str:
    """Return the present of sein, haben, werden or a modal verb."""
    return _present(base, "", person)


def preterite(base: str, person: str) -> str:
    """Return the preterite of sein, haben or a modal verb; the empty string for others."""
    forms = _IRREGULAR_DE.get(base, ("", ""))[1].split()
    return forms[PERSONS.index(person)] if forms else ""


def _regular_participle(verb: str) -> str:
    prefix, _, base = verb.rpartition("|")
    stem = base[:-2] if base.endswith("en") else base[:-1]
    unstressed = base.endswith("ieren") or re.match("be|er|ver|ent|emp|zer|über|unter|wider|um", base)
    return prefix + ("" if unstressed else "ge") + stem + ("et" if _needs_e(stem) else "t")


def english_plural(word: str) -> str:
    """Return the regular plural."""
    return _add_s(word)


def _add_s(word: str) -> str:
    if re.search("(s|x|ch|sh|o)$", word) and word not in ("photo", "radio", "piano", "mango"):
        return word + "es"
    return word[:-1] + "ies" if re.search("[^aeiou]y$", word) else word + "s"


def english_third(verb: str) -> str:
    """Return the third person singular of the present, inflecting the first word."""
    head, _, rest = verb.partition(" ")
    return " ".join(filter(None, ({"have": "has"}.get(head) or _add_s(head), rest)))


def english_past(verb: str) -> str:
    """Return the simple past, inflecting the first word."""
    head, _, rest = verb.partition(" ")
    past = lexicon.IRREGULAR_PAST.get(head)
    if past is None:
        past = head + "d" if head.endswith("e") else re.sub("(?<=[^aeiou])y$", "i", head) + "ed"
    return " ".join(filter(None, (past, rest)))


def indefinite_article(word: str) -> str:
    """Return a or an before a word."""
    lower = word.lower()
    if lower.startswith(("honest", "hour")):
        return "an"
    return "an" if lower[0] in "aeiou" and not lower.startswith(("uni", "use", "euro")) else "a"


_DE_ONES = "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf".split()
_DE_TENS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
_EN_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen""".split()
_EN_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def german_number(number: int) -> str:
    """Return a number from 2 to 99 in words."""
    if number <= 12:
        return _DE_ONES[number]
    tens, ones = divmod(number, 10)
    if tens == 1:
        return {6: "sech", 7: "sieb"}.get(ones, _DE_ONES[ones]) + "zehn"
    return (_DE_ONES[ones] + "und" if ones else "") + _DE_TENS[tens - 2]


def english_number(number: int) -> str:
    """Return a number from 2 to 99 in words."""
    if number < 20:
        return _EN_ONES[number]
    tens, ones = divmod(number, 10)
    return _EN_TENS[tens - 2] + (f"-{_EN_ONES[ones]}" if ones else "")


def _rows(block: str) -> list[list[str]]:
    return [row.split() for line in block.splitlines() for row in line.split(";") if row.strip()]


def _column(row: list[str], index: int) -> str | None:
    return row[index].replace("_", " ") if len(row) > index and row[index] != "-" else None


def _read_nouns() -> dict[str, Noun]:
    nouns = {}
    for kind, block in lexicon.NOUNS.items():
        for row in _rows(block):
            en = row[3].replace("_", " ")
            nouns[row[0]] = Noun(
                row[0],
                row[1][0],
                row[2],
                en,
                _column(row, 4) or english_plural(en),
                kind,
                weak="w" in row[1],
                mass="x" in row[1],
            )
    return nouns


def _read_verbs() -> dict[tuple[str, str], Verb]:
    verbs = {}
    for frame in (
        "TRANSITIVE",
        "DATIVE",
        "DITRANSITIVE",
        "PREPOSITIONAL",
        "INTRANSITIVE",
        "MOTION",
        "STATIC",
        "PUT",
        "LIE",
        "CLAUSAL",
        "CONTROL",
    ):
        for row in _rows(getattr(lexicon, frame)):
            mark, de = re.fullmatch(r"([*=]*)(.+)", row[0]).groups()
            participle = _column(row, 2) or _regular_participle(de)
            preposition, _, case = (_column(row, 5) or "").partition(":") if frame == "PREPOSITIONAL" else ("",) * 3
            subjects = _column(row, 6)
            verbs[frame.lower(), de.replace("|", "")] = Verb(
                de,
                _column(row, 3),
                frame.lower(),
                _column(row, 1) or "",
                participle.lstrip("+"),
                "sein" if participle.startswith("+") else "haben",
                tuple((_column(row, 4) or "").split(",")) if _column(row, 4) else (),
                tuple(subjects.split(",")) if subjects else ("person", "kin"),
                preposition,
                case,
                "=" in mark,
                "*" in mark,
            )
    return verbs


def _read_adjectives() -> dict[str, Adjective]:
    adjectives = {}
    for row in _rows(lexicon.ADJECTIVES):
        de, _, stem = row[0].partition("/")
        adjectives[de] = Adjective(
            de,
            stem or de,
            _column(row, 1) or de + "er",
            row[2],
            _column(row, 3) or "more " + row[2],
            tuple(row[4].split(",")),
        )
    return adjectives


NOUNS = _read_nouns()
VERBS = _read_verbs()
ADJECTIVES = _read_adjectives()
