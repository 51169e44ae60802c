"""The German-English grammar: its split, its sentences and its command line."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "debian_de_en"
sys.path.insert(0, str(RECIPE))

import grammar  # noqa: E402
from language.clauses import Clause  # noqa: E402
from language.morphology import (  # noqa: E402
    ADJECTIVES,
    NOUNS,
    PERSONS,
    VERBS,
    Verb,
    english_number,
    english_past,
    english_third,
    german_number,
    indefinite_article,
)
from language.phrases import Adverbial, Gap, Name, NounPhrase, Predicate, PrepositionalPhrase, Pronoun  # noqa: E402
from language.sampler import Sampler  # noqa: E402
from language.sentences import Complex, Compound, Existential, Infinitival, Simple, combinations, realise  # noqa: E402

SEED = 3
SIZES = {"train": 2000, "valid": 60, "test": 80}


@pytest.fixture(scope="module")
def splits():
    return grammar.draw(SEED, **SIZES)


@pytest.fixture(scope="module")
def sample():
    """Unfiltered pairs, repetitions included."""
    sampler = Sampler(random.Random(5))
    return [realise(sampler.sentence()) for _ in range(5000)]


def noun_phrase(noun, determiner="der", adjective=None, **kwargs):
    return NounPhrase(NOUNS[noun], determiner, adjective=adjective and ADJECTIVES[adjective], **kwargs)


def clause(frame, verb, subject, **kwargs):
    return Clause(VERBS[frame, verb], subject, **kwargs)


def place(noun, de="in", case="dat", en="in", **kwargs):
    return PrepositionalPhrase(de, case, noun_phrase(noun, **kwargs), en)


TEACHER, SHE, HE = noun_phrase("Lehrer"), Pronoun("sie"), Pronoun("er")
PUPILS = noun_phrase("Schüler", plural=True)
TOMORROW = Adverbial("morgen", "tomorrow", "future")
READS = clause("transitive", "lesen", TEACHER, accusative=noun_phrase("Buch"))
READ = clause("transitive", "lesen", TEACHER, accusative=noun_phrase("Buch"), tense="past")
BE = Verb("sein", "be", "copula")

CASES = {
    "separable verb, fronted adverbial": (
        Simple(clause("transitive", "anrufen", TEACHER, accusative=PUPILS, adverbial=TOMORROW, front="adverbial")),
        "Morgen ruft der Lehrer die Schüler an.",
        "Tomorrow the teacher will call the pupils.",
    ),
    "perfect with sein": (
        Simple(
            clause(
                "intransitive",
                "aufstehen",
                SHE,
                tense="past",
                adverbial=Adverbial("um halb acht", "at half past seven"),
            )
        ),
        "Sie ist um halb acht aufgestanden.",
        "She got up at half past seven.",
    ),
    "perfect in a question": (
        Simple(READ, "question"),
        "Hat der Lehrer das Buch gelesen?",
        "Did the teacher read the book?",
    ),
    "modal verb": (
        Simple(clause("transitive", "mitbringen", HE, accusative=noun_phrase("Suppe", "ein", "heiß"), modal="müssen")),
        "Er muss eine heiße Suppe mitbringen.",
        "He has to bring along a hot soup.",
    ),
    "negation with nicht": (
        Simple(clause("transitive", "lesen", TEACHER, accusative=noun_phrase("Brief"), negated=True)),
        "Der Lehrer liest den Brief nicht.",
        "The teacher does not read the letter.",
    ),
    "negation with kein": (
        Simple(clause("transitive", "trinken", HE, accusative=noun_phrase("Milch", "kein", "kalt"), negated=True)),
        "Er trinkt keine kalte Milch.",
        "He does not drink any cold milk.",
    ),
    "strong adjectives and a number": (
        Simple(
            clause("transitive", "kaufen", TEACHER, accusative=noun_phrase("Buch", "", "alt", plural=True, count=23))
        ),
        "Der Lehrer kauft dreiundzwanzig alte Bücher.",
        "The teacher buys twenty-three old books.",
    ),
    "fronted accusative": (
        Simple(clause("transitive", "lesen", noun_phrase("Frau"), accusative=noun_phrase("Brief"), front="accusative")),
        "Den Brief liest die Frau.",
        "The woman reads the letter.",
    ),
    "dative and weak noun": (
        Simple(
            clause(
                "ditransitive",
                "geben",
                SHE,
                dative=noun_phrase("Student", "mein", "jung"),
                accusative=noun_phrase("Apfel", "ein"),
            )
        ),
        "Sie gibt meinem jungen Studenten einen Apfel.",
        "She gives my young student an apple.",
    ),
    "genitive": (
        Simple(
            clause(
                "transitive",
                "kaufen",
                HE,
                accusative=noun_phrase("Auto", adjective="neu", owner=noun_phrase("Bruder", "mein")),
            )
        ),
        "Er kauft das neue Auto meines Bruders.",
        "He buys my brother's new car.",
    ),
    "accusative of direction": (
        Simple(clause("motion", "gehen", HE, phrases=(place("Park", case="acc", en="to"),))),
        "Er geht in den Park.",
        "He goes to the park.",
    ),
    "dative of place": (
        Simple(clause("intransitive", "schlafen", HE, phrases=(place("Park"),))),
        "Er schläft im Park.",
        "He sleeps in the park.",
    ),
    "verb-final clause": (
        Complex(
            clause("intransitive", "lachen", HE),
            ("weil", "because"),
            clause("transitive", "anrufen", TEACHER, accusative=Pronoun("ich"), tense="past"),
        ),
        "Er lacht, weil der Lehrer mich angerufen hat.",
        "He laughs because the teacher called me.",
    ),
    "verb-final clause first": (
        Complex(
            clause("intransitive", "lachen", HE),
            ("wenn", "if"),
            clause("transitive", "abholen", SHE, accusative=HE),
            True,
        ),
        "Wenn sie ihn abholt, lacht er.",
        "If she picks him up, he laughs.",
    ),
    "relative clause": (
        Simple(
            clause(
                "dative",
                "danken",
                SHE,
                dative=noun_phrase(
                    "Mann",
                    relative=clause(
                        "prepositional",
                        "warten",
                        Pronoun("wir"),
                        prepositional=PrepositionalPhrase("auf", "acc", Gap(NOUNS["Mann"])),
                    ),
                ),
            )
        ),
        "Sie dankt dem Mann, auf den wir warten.",
        "She thanks the man whom we wait for.",
    ),
    "relative clause inside": (
        Simple(
            clause(
                "intransitive",
                "arbeiten",
                noun_phrase(
                    "Frau",
                    relative=clause("transitive", "lesen", Gap(NOUNS["Frau"]), accusative=noun_phrase("Zeitung")),
                ),
                phrases=(place("Garten"),),
            )
        ),
        "Die Frau, die die Zeitung liest, arbeitet im Garten.",
        "The woman who reads the newspaper works in the garden.",
    ),
    "sie is they with a plural verb": (
        Simple(clause("transitive", "lesen", Pronoun("sie_plural"), accusative=noun_phrase("Buch"))),
        "Sie lesen das Buch.",
        "They read the book.",
    ),
    "polite question": (
        Simple(clause("transitive", "lesen", Pronoun("Sie"), accusative=noun_phrase("Buch")), "question"),
        "Lesen Sie das Buch?",
        "Do you read the book?",
    ),
    "polite imperative": (
        Simple(clause("transitive", "anrufen", Pronoun("Sie"), accusative=Pronoun("ich")), "imperative"),
        "Rufen Sie mich bitte an!",
        "Please call me!",
    ),
    "object question": (
        Simple(
            clause("prepositional", "warten", TEACHER, prepositional=PrepositionalPhrase("auf", "acc", Pronoun("wer"))),
            "question",
        ),
        "Auf wen wartet der Lehrer?",
        "Who does the teacher wait for?",
    ),
    "subject question": (
        Simple(clause("transitive", "lesen", Pronoun("wer"), accusative=noun_phrase("Buch")), "question"),
        "Wer liest das Buch?",
        "Who reads the book?",
    ),
    "reflexive verb before a full subject": (
        Simple(
            clause(
                "prepositional",
                "freuen",
                TEACHER,
                adverbial=Adverbial("heute", "today"),
                front="adverbial",
                prepositional=PrepositionalPhrase("auf", "acc", noun_phrase("Brief")),
            )
        ),
        "Heute freut sich der Lehrer auf den Brief.",
        "Today the teacher looks forward to the letter.",
    ),
    "infinitive of purpose": (
        Infinitival(
            clause("motion", "fahren", SHE, phrases=(place("Stadt", case="acc", en="to"),)),
            clause("transitive", "abholen", SHE, accusative=noun_phrase("Kind", "ein")),
            purpose=True,
        ),
        "Sie fährt in die Stadt, um ein Kind abzuholen.",
        "She drives to the city in order to pick up a child.",
    ),
    "elided subject": (
        Compound(READS, ("und", "and"), clause("intransitive", "lachen", TEACHER, elided=True)),
        "Der Lehrer liest das Buch und lacht.",
        "The teacher reads the book and laughs.",
    ),
    "existential": (
        Existential(noun_phrase("Hund", "ein"), place("Garten"), place_first=True),
        "Im Garten gibt es einen Hund.",
        "There is a dog in the garden.",
    ),
    "comparison": (
        Simple(
            Clause(
                BE, noun_phrase("Haus"), predicate=Predicate("größer", "bigger", noun_phrase("Kirche")), tense="past"
            )
        ),
        "Das Haus war größer als die Kirche.",
        "The house was bigger than the church.",
    ),
    "title in the dative": (
        Simple(
            clause("dative", "helfen", noun_phrase("Kind", plural=True), dative=Name("Weber", "Weber", "m", "Herr"))
        ),
        "Die Kinder helfen Herrn Weber.",
        "The children help Mr Weber.",
    ),
}


@pytest.mark.parametrize("sentence, de, en", CASES.values(), ids=CASES)
def test_construction(sentence, de, en):
    assert realise(sentence) == (de, en)


@pytest.mark.parametrize(
    "verb, forms, participle",
    [
        (("transitive", "lesen"), "lese liest liest lesen lest lesen", "gelesen"),
        (("transitive", "einladen"), "lade lädst lädt laden ladet laden", "eingeladen"),
        (("transitive", "öffnen"), "öffne öffnest öffnet öffnen öffnet öffnen", "geöffnet"),
        (("transitive", "zeichnen"), "zeichne zeichnest zeichnet zeichnen zeichnet zeichnen", "gezeichnet"),
        (("transitive", "füttern"), "füttere fütterst füttert füttern füttert füttern", "gefüttert"),
        (("transitive", "reparieren"), "repariere reparierst repariert reparieren repariert reparieren", "repariert"),
        (("transitive", "umarmen"), "umarme umarmst umarmt umarmen umarmt umarmen", "umarmt"),
        (("clausal", "wissen"), "weiß weißt weiß wissen wisst wissen", "gewusst"),
    ],
)
def test_german_verb(verb, forms, participle):
    assert " ".join(VERBS[verb].present(person) for person in PERSONS) == forms
    assert VERBS[verb].participle == participle


def test_numbers():
    assert [german_number(n) for n in (12, 16, 17, 20, 21, 37, 99)] == [
        "zwölf",
        "sechzehn",
        "siebzehn",
        "zwanzig",
        "einundzwanzig",
        "siebenunddreißig",
        "neunundneunzig",
    ]
    assert [english_number(n) for n in (12, 15, 40, 21)] == ["twelve", "fifteen", "forty", "twenty-one"]


def test_english_words():
    assert [english_third(v) for v in ("watch", "carry", "play", "have", "wait for")] == [
        "watches",
        "carries",
        "plays",
        "has",
        "waits for",
    ]
    assert [english_past(v) for v in ("plan", "carry", "play", "bake", "think of")] == [
        "planned",
        "carried",
        "played",
        "baked",
        "thought of",
    ]
    assert [indefinite_article(w) for w in ("old", "honest", "university", "useful", "umbrella")] == [
        "an",
        "an",
        "a",
        "a",
        "an",
    ]


def test_sizes_are_exact(splits):
    assert {split: len(examples) for split, examples in splits.items()} == SIZES
    assert grammar.generate(SEED, 300, 0, 0)["valid"] == []


def test_generate_is_a_function_of_its_seed(splits):
    again = grammar.generate(SEED, **SIZES)
    assert again == {split: [(e.de, e.en) for e in examples] for split, examples in splits.items()}
    assert grammar.generate(SEED + 1, 300, 0, 0) != grammar.generate(SEED, 300, 0, 0)


def test_sentences_are_distinct(splits):
    examples = [example for split in splits.values() for example in split]
    assert len({example.de for example in examples}) == len({example.en for example in examples}) == len(examples)


def test_only_valid_and_test_hold_held_out_pairs(splits):
    def held_out(example):
        return any(grammar.is_held_out(SEED, pair) for pair in combinations(example.sentence))

    assert not any(held_out(example) for example in splits["train"])
    assert all(held_out(example) for example in splits["valid"] + splits["test"])


def test_combinations_of_a_sentence():
    books = noun_phrase("Buch", "", "alt", plural=True, count=23)
    seen = clause("transitive", "finden", Pronoun("wir"), accusative=Gap(NOUNS["Mann"]))
    sentence = Complex(
        clause("transitive", "lesen", noun_phrase("Mann", relative=seen), accusative=books),
        ("weil", "because"),
        clause(
            "prepositional",
            "warten",
            HE,
            prepositional=PrepositionalPhrase("auf", "acc", noun_phrase("Frau", "ein", "jung")),
        ),
    )
    assert sorted(combinations(sentence)) == [
        ("23", "Buch"),
        ("alt", "Buch"),
        ("finden", "Mann"),
        ("jung", "Frau"),
        ("lesen", "Buch"),
        ("warten", "Frau"),
    ]
    assert combinations(noun_phrase("Buch", "", plural=True, count=12)) == []


@pytest.mark.parametrize("side", ["de", "en"])
def test_every_word_form_occurs_in_training(splits, side):
    known = {word for example in splits["train"] for word in grammar.words(getattr(example, side))}
    for example in splits["valid"] + splits["test"]:
        assert set(grammar.words(getattr(example, side))) <= known


def test_german_determines_english(sample):
    english = {}
    assert all(english.setdefault(de, en) == en for de, en in sample)


def test_sentences_are_well_formed(sample):
    for pair in sample:
        for text in pair:
            assert re.fullmatch(r"[A-ZÄÖÜ0-9][^.!?]*(\d[.:]\s?[^.!?]*)*[.!?]", text), text
            assert not re.search(r"\s\s|\s[,.!?]|,,", text), text


def test_articles_agree(sample):
    for de, en in sample:
        assert not re.search(r"\b(mit|bei|aus|von|zu) (das|die|eine?|eines|einen)\b", de), de
        assert not re.search(r"\b(für|über) (der|dem|einem|einer)\b", de), de
        for article, word in re.findall(r"\b(an?) (\w+)", en):
            assert article == indefinite_article(word), en


def test_english_verbs_agree(sample):
    for _, en in sample:
        assert not re.search(r"\b(do|does|did) not (\w+(?<!fe)(?<!ne)ed|was|is|has|had)\b", en), en
        assert not re.match(
            r"(He|She) (have|are|were|do|go|like)\b|(They|We|You) (has|is|was|does|goes|likes)\b", en
        ), en


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="sizes must not be negative: train=1, valid=-2, test=3"):
        grammar.generate(1, 1, -2, 3)


def test_too_small_a_training_set_is_refused(monkeypatch):
    monkeypatch.setattr(grammar, "PATIENCE_START", 100)
    with pytest.raises(ValueError, match=r"train=3 is too small: after \d+ draws 0 of 2 held-out sentences"):
        grammar.generate(1, 3, 1, 1)


def test_command_writes_the_splits(tmp_path):
    assert (
        grammar.main(
            ["--seed", "4", "--train", "400", "--valid", "5", "--test", "6", "--output", str(tmp_path / "new")]
        )
        == 0
    )
    expected = grammar.generate(4, 400, 5, 6)
    for split, pairs in expected.items():
        for side, language in enumerate(("de", "en")):
            lines = (tmp_path / "new" / f"{split}.{language}").read_text(encoding="utf-8").splitlines()
            assert lines == [pair[side] for pair in pairs]


def test_command_shows_pairs():
    command = [sys.executable, str(RECIPE / "grammar.py"), "--show", "3"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert [line.count("\t") for line in result.stdout.splitlines()] == [1, 1, 1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--train", "x", "--output", "o"], "argument --train: invalid int value: 'x'"),
        (["--train", "-1", "--output", "o"], "sizes must not be negative: train=-1, valid=500, test=500"),
        (["--show", "-1"], "--show must not be negative: -1"),
        ([], "one of the arguments --output --show is required"),
    ],
)
def test_bad_input_gets_one_line_and_status_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        grammar.main(arguments)
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.count("\n") == 1 and error.endswith(f"error: {message}\n")
