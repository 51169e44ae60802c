"""Cleaning, sentence splitting, the split by document and the sub-words of the Debian recipe."""

import random
from collections import Counter

import pytest
from corpus.clean import key, normalise, why_unfit
from corpus.pairs import Pair
from corpus.sentences import split, split_pair
from corpus.split import SPLITS, held_out_documents, split_by_document
from corpus.subwords import DICTIONARY, MODEL, segment
from corpus.text import clean_pairs, make_splits, write_splits

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.wordpieces import WordPieces

LANGUAGES = ("de", "en")

# Cleaning


def test_normalise_makes_typography_uniform():
    assert normalise(" „Gru\u0308n“ \n heißt’s\u00a0 – Wo\u00adche …\u200b ") == '"Grün" heißt\'s – Woche ...'


@pytest.mark.parametrize(
    ("german", "english", "reason"),
    [
        ("Das ist gut.", "This is good.", None),
        ("", "This is good.", "empty"),
        ("Das hÃ¤lt gut.", "This holds well.", "encoding"),
        ("Das Zeichen \ufffd hier.", "The sign here.", "encoding"),
        ("Das Wort мир hier.", "The word мир here.", "other script"),
        ("Das <b>ist</b> gut.", "This is good.", "markup"),
        ("Das &ist; gut.", "This is good.", "markup"),
        ("Das ist $(ARG1) gut.", "This is $(ARG1) good.", "markup"),
        (r"Das \fBist\fP gut.", "This is good.", "markup"),
        ("Haus {n} hier", "house here", "markup"),
        ("12, 13: 14 + 15 a", "12, 13: 14 + 15 b", "not text"),
        ("Open the file!", "Open the file.", "untranslated"),
        ("wort " * 200, "word " * 200, None),
        ("wort " * 201, "word " * 201, "too long"),
        ("Ja, das ist ein wirklich sehr langer Satz ohne Gegenstück.", "Yes.", "length ratio"),
    ],
)
def test_why_unfit(german, english, reason):
    assert why_unfit(german, english) == reason


def test_key_ignores_case_spacing_and_punctuation_but_not_letters_and_digits():
    assert key('"Öffne,  die Datei-1!"') == key("öffne die DATEI 1")
    assert key("Straße") == key("STRASSE")
    assert key("Datei 1") != key("Datei 2")


def test_clean_pairs_drops_duplicates_within_and_across_sources():
    seen, dropped = set(), Counter()
    first = clean_pairs([Pair("a", "Gut so.", "Well done."), Pair("b", "gut so!", "Well done")], seen, dropped)
    second = clean_pairs([Pair("c", "Gut so.", "Well done."), Pair("c", "Gut so.", "Good.")], seen, dropped)
    assert first == [Pair("a", "Gut so.", "Well done.")]
    assert second == [Pair("c", "Gut so.", "Good.")]
    assert dropped == {"duplicate": 2}


# Sentences


@pytest.mark.parametrize(
    ("paragraph", "sentences"),
    [
        ("Eins. Zwei! Drei?", ["Eins.", "Zwei!", "Drei?"]),
        ("Das gilt z. B. hier. Dort nicht.", ["Das gilt z. B. hier.", "Dort nicht."]),
        ("Das gilt z.B. Hier auch. Dort nicht.", ["Das gilt z.B. Hier auch.", "Dort nicht."]),
        ("Am 3. Mai kam sie. Er ging.", ["Am 3. Mai kam sie.", "Er ging."]),
        ("See e.g. Smith et al. It works.", ["See e.g. Smith et al.", "It works."]),
        ("Mr. A. Smith left. He was late.", ["Mr. A. Smith left.", "He was late."]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("Use version 2.5 of foo.bar now.", ["Use version 2.5 of foo.bar now."]),
        ("no capital. so no end", ["no capital. so no end"]),
        ("", []),
    ],
)
def test_split_into_sentences(paragraph, sentences):
    assert split(paragraph) == sentences


def test_split_pair_splits_where_both_sides_agree():
    assert split_pair("Es regnet. Wir gehen.", "It rains. We leave.") == [
        ("Es regnet.", "It rains."),
        ("Wir gehen.", "We leave."),
    ]


def test_split_pair_keeps_the_paragraph_where_numbers_or_lengths_differ():
    german, english = "Es regnet. Wir gehen.", "It rains, so we leave."
    assert split_pair(german, english) == [(german, english)]
    german = "Ja. Danach gehen wir zusammen nach Hause und essen dort zu Abend."
    english = "Well, if you really want to know it, then I will tell you. We go."
    assert split_pair(german, english) == [(german, english)]


# Split


def sources(seed=3):
    """Two sources with some documents of 1 to 6 pairs each, and now and then a text that many documents have."""
    random.seed(seed)
    made = {}
    for source, documents in (("alpha", 120), ("beta", 60)):
        made[source] = []
        for document in range(documents):
            for line in range(random.randint(1, 6)):
                text = f"{source} {document} {line}"
                german = "Immer dasselbe" if random.random() < 0.05 else f"satz {text}"
                english = "Always the same" if random.random() < 0.05 else f"sentence {text}"
                made[source].append(Pair(f"doc{document}", german, english))
    return made


def test_no_document_and_no_text_is_in_two_splits():
    result = split_by_document(sources(), 40, seed=1)
    for source in ("alpha", "beta"):
        documents = [{pair.document for pair in result.pairs[split][source]} for split in SPLITS]
        assert not documents[0] & documents[1] and not documents[0] & documents[2] and not documents[1] & documents[2]
    for side in ("german", "english"):
        texts = [{key(getattr(pair, side)) for own in result.pairs[split].values() for pair in own} for split in SPLITS]
        assert all(texts)
        assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]


def test_texts_that_differ_in_case_and_punctuation_only_count_as_the_same():
    pairs = [Pair(f"d{n}", f"Satz {n}", f"sentence {n}") for n in range(40)]
    held = held_out_documents(pairs, 4, 1, "s")["test"]
    twin = next(pair for pair in pairs if pair.document in held)
    extra = Pair("twin", "etwas anderes", f"  {twin.english.upper()}!")
    result = split_by_document({"s": [*pairs, extra]}, 4, seed=1)
    if "twin" in held_out_documents([*pairs, extra], 4, 1, "s")["test"]:
        pytest.fail("the twin was drawn itself; choose another name for its document")
    assert extra not in result.pairs["train"]["s"]
    assert result.dropped["s"]["held out elsewhere (train)"] == 1


def test_sizes_are_proportional_to_the_sources_and_what_is_dropped_is_counted():
    made = sources()
    result = split_by_document(made, 60, seed=1)
    share = len(made["alpha"]) / (len(made["alpha"]) + len(made["beta"]))
    for subset in ("valid", "test"):
        sizes = {source: len(own) for source, own in result.pairs[subset].items()}
        assert 48 <= sum(sizes.values()) <= 70
        assert abs(sizes["alpha"] / sum(sizes.values()) - share) < 0.1
    for source, own in made.items():
        kept = sum(len(result.pairs[subset][source]) for subset in SPLITS)
        assert kept + sum(result.dropped[source].values()) == len(own)


def test_the_split_depends_on_the_seed_alone():
    def documents(seed, order):
        made = sources()
        for own in made.values():
            order(own)
        result = split_by_document(made, 40, seed)
        return {subset: {pair.document for pair in result.pairs[subset]["alpha"]} for subset in ("valid", "test")}

    assert documents(1, lambda own: None) == documents(1, random.Random(5).shuffle)
    assert documents(1, lambda own: None) != documents(2, lambda own: None)


def test_a_document_of_more_than_a_third_of_the_quota_is_never_held_out():
    pairs = [Pair("large", f"groß {n}", f"big {n}") for n in range(50)]
    pairs += [Pair(f"small{n}", f"klein {n}", f"small {n}") for n in range(200)]
    for seed in range(20):
        held = held_out_documents(pairs, 30, seed, "s")
        assert "large" not in held["valid"] | held["test"]
        assert len(held["valid"]) == len(held["test"]) == 30


def test_little_text_is_not_held_out_altogether():
    pairs = [Pair(f"d{n}", f"Satz {n}", f"sentence {n}") for n in range(50)]
    result = split_by_document({"s": pairs}, 1000, seed=1)
    assert len(result.pairs["train"]["s"]) == 40


def test_make_splits_writes_parallel_files_and_counts_add_up(tmp_path):
    made = {
        "s": [
            Pair(f"d{n}", f"Satz Nummer {n} ist da. Zeile {n} auch.", f"Item {n} is. Row {n} too.") for n in range(90)
        ]
    }
    made["s"].append(Pair("d0", "kaputt <b>", "broken <b>"))
    counts = make_splits(made, 20, 1, tmp_path)
    lines = {file.name: file.read_text(encoding="utf-8").splitlines() for file in tmp_path.iterdir()}
    for subset in SPLITS:
        assert len(lines[f"{subset}.de"]) == len(lines[f"{subset}.en"]) == counts["s"]["kept"][subset] > 0
    for german, english in zip(lines["test.de"], lines["test.en"], strict=True):
        assert [word for word in german.split() if word.isdigit()] == [
            word for word in english.split() if word.isdigit()
        ]
    assert counts["s"]["extracted"] == 91
    assert counts["s"]["dropped"]["markup"] == 1
    assert sum(counts["s"]["kept"].values()) + sum(counts["s"]["dropped"].values()) == 181


# Sub-words


@pytest.fixture
def raw(tmp_path):
    words = "haus hof garten baum zaun wiese mauer dach tor weg".split()
    generator = random.Random(1)
    pairs = [(" ".join(generator.choices(words, k=6)), " ".join(generator.choices(words, k=6))) for _ in range(200)]
    folder = tmp_path / "raw"
    folder.mkdir()
    write_splits(folder, LANGUAGES, {"train": pairs, "valid": pairs[:10], "test": pairs[10:20]})
    return folder


def segmented(raw, kind, size, name):
    folder = raw.parent / name
    folder.mkdir()
    segment(raw, folder, LANGUAGES, kind, size)
    return folder


@pytest.mark.parametrize(
    ("kind", "undo"), [("sentencepiece", ("▁", " ")), ("subword-nmt", ("@@ ", "")), ("wordpiece", (" ##", ""))]
)
def test_segment_keeps_lines_and_text_and_is_repeatable(raw, kind, undo):
    first, second = segmented(raw, kind, 40, "one"), segmented(raw, kind, 40, "two")
    model = (first / MODEL[kind]).read_bytes()
    assert model == (second / MODEL[kind]).read_bytes()
    assert str(raw.parent).encode() not in model
    for name in ("train.de", "test.en"):
        pieces = (first / name).read_text(encoding="utf-8").splitlines()
        text = (raw / name).read_text(encoding="utf-8").splitlines()
        joined = [line.replace(" ", "") if kind == "sentencepiece" else line for line in pieces]
        assert [line.replace(*undo).strip() for line in joined] == text
        assert pieces != text
    assert len(set((first / "train.de").read_text(encoding="utf-8").split())) <= 40


@pytest.mark.parametrize("kind", ["sentencepiece", "subword-nmt", "wordpiece"])
def test_a_vocabulary_that_does_not_fit_is_refused_with_one_that_does(raw, kind):
    with pytest.raises(UserError, match=r"--vocab-size 5000 is too large for this text: choose at most \d+$") as error:
        segmented(raw, kind, 5000, "large")
    segmented(raw, kind, int(str(error.value).rsplit(" ", 1)[1]), "fits")
    with pytest.raises(UserError, match=r"--vocab-size 3 is too small for the characters .*: choose at least \d+$"):
        segmented(raw, kind, 3, "small")


def test_moses_tokens_come_before_subword_nmt(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    pairs = [("Sie sagt: „Gut-so & fertig.“", "She says: well-done & ready.")] * 5
    write_splits(folder, LANGUAGES, {"train": pairs, "valid": pairs, "test": pairs})
    out = segmented(folder, "subword-nmt", 60, "sub")
    tokens = (out / "test.en").read_text(encoding="utf-8").splitlines()[0].replace("@@ ", "")
    assert tokens == "She says : well @-@ done &amp; ready ."


def test_a_known_wordpiece_vocabulary_is_used_as_it_is(raw):
    learnt = segmented(raw, "wordpiece", 40, "learnt")
    pieces = WordPieces.load(learnt / MODEL["wordpiece"])
    assert len((learnt / DICTIONARY).read_text(encoding="utf-8").splitlines()) == len(pieces) - 4 == 36
    (raw / "train.de").write_text("etwas anderes\n", encoding="utf-8")
    folder = raw.parent / "used"
    folder.mkdir()
    segment(raw, folder, LANGUAGES, "wordpiece", 8000, pieces)
    for name in (MODEL["wordpiece"], DICTIONARY, "train.en", "test.de"):
        assert (folder / name).read_bytes() == (learnt / name).read_bytes()
