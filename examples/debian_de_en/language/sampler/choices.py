"""What the sampler chooses from: words by kind, verbs by frame, adverbials by time."""

from functools import cache

from language import lexicon
from language.morphology import ADJECTIVES, NOUNS, VERBS, Noun, Verb
from language.phrases import Adverbial, Name, PrepositionalPhrase

PEOPLE = ("person", "kin")
OWNED = ("book", "clothing", "vehicle", "device", "instrument", "thing", "animal")
BARE_DETERMINERS = ("viele", "einige", "alle", "jeder", "kein")
YEAR = Noun("Jahr", "n", "Jahre", "year", "years", "measure")
EURO = Noun("Euro", "m", "Euro", "euro", "euros", "measure")
HOME = PrepositionalPhrase("nach", "dat", Name("Hause", "home", "n"), "")
ON_FURNITURE = {
    "auf": ("on", "Tisch Stuhl Bett Sofa Regal Teppich Schrank"),
    "in": ("in", "Schrank"),
    "unter": ("under", "Tisch Stuhl Bett Sofa"),
    "neben": ("next to", "Tisch Stuhl Bett Sofa Regal Schrank"),
    "hinter": ("behind", "Stuhl Bett Sofa Regal Schrank"),
    "vor": ("in front of", "Tisch Stuhl Bett Sofa Regal Schrank"),
}
BENEFACTIVE = "kaufen kochen backen bestellen holen malen bauen zeichnen mieten suchen".split()
INVOLUNTARY = "bekommen verlieren finden sehen vergessen träumen".split()
TOGETHER = "tanzen singen arbeiten frühstücken schwimmen fernsehen gehen fahren reisen fliegen lachen".split()
FEMALE_JOBS = """Lehrerin Ärztin Studentin Köchin Kellnerin Künstlerin Richterin Sekretärin
    Krankenschwester Sängerin Autorin Professorin""".split()
MALE_JOBS = """Lehrer Arzt Student Bäcker Gärtner Polizist Kellner Bauer Künstler Musiker Ingenieur
    Anwalt Fischer Soldat Journalist Pilot Mechaniker""".split()
BE = Verb("sein", "be", "copula", state=True)
COST = Verb("kosten", "cost", "copula", participle="gekostet", state=True)


@cache
def nouns_of(*kinds: str) -> tuple[Noun, ...]:
    """Return the nouns of the given kinds, or the nouns named."""
    return tuple(noun for noun in NOUNS.values() if noun.kind in kinds or noun.de in kinds)


OBJECTS = {key: nouns_of(*verb.objects) for key, verb in VERBS.items()}
FRAMES = {
    frame: [verb for verb in VERBS.values() if verb.frame == frame] for frame in {verb.frame for verb in VERBS.values()}
}
KIND_ADJECTIVES = {kind: [adj for adj in ADJECTIVES.values() if kind in adj.kinds] for kind in lexicon.NOUNS}
TRANSITIVE_FOR = {
    noun: [verb for verb in FRAMES["transitive"] if noun in OBJECTS["transitive", verb.infinitive]]
    for noun in NOUNS.values()
}
CITIES = [Name(*pair.split(":"), "n") for pair in lexicon.CITIES]


def _glosses(text: str, when: str) -> list[Adverbial]:
    return [Adverbial(*pair.replace("_", " ").split(":"), when) for pair in text.split()]


ADVERBIALS = {when: _glosses(text, when) for when, text in lexicon.ADVERBIALS.items()}
WEEKLY = [Adverbial(de.lower() + "s", f"on {en}s") for de, en in (pair.split(":") for pair in lexicon.DAYS)]
QUESTIONS = {de: Adverbial(de, en, "wh") for de, en in (("wo", "where"), ("wann", "when"), ("warum", "why"))}
