"""Sentences, in German and English above all."""

import random

import pytest

from fairseq_ringformer.text.sentences import Segmenter


@pytest.mark.parametrize(
    ("language", "text"),  # with | where a sentence ends
    [
        ("de", "Klicken Sie auf die Schaltfläche Speichern. |Geben Sie den Namen der Datei ein."),
        ("de", "Guten Tag! |Wie geht es? |Gut."),
        ("de", "Am 3. Oktober 1990 war es so weit. |Am 24. Dezember ist Heiligabend."),
        ("de", "Am 3. Mai kam er, z. B. um 3 Uhr. |Er ging."),
        ("de", "Das war im 17. Jahrhundert. |Der 2. Weltkrieg war 1945 zu Ende. |Nun nicht mehr."),
        ("de", "Das kostet 3.50 Euro, d. h. ca. 7 Mark. |Es gibt u. a. Birnen."),
        ("de", "Herr Dr. Müller kam um 8.30 Uhr. |Prof. Schmidt kam nicht."),
        ("de", "Siehe Kap. 3, Abs. 2 und Abb. 5. |Siehe auch S. 12 ff. im Anhang."),
        ("de", "„Kommst du?“, fragte er. |„Nein.“ |Sie ging."),
        ("de", "„Komm!“ |Er kam. |(Sie auch.) |Ende"),
        ("de", "»Er kam. |Er sah.« |Ende."),
        ("de", "Klicken Sie auf OK. |Dann sah er mich. |Das ist eine dieser Art. |Möchten Sie?"),
        ("de", "Version 2.0 ist da… |Endlich… ist sie da."),
        ("de", "Wählen Sie Extras – Optionen... – LibreOffice. |Liefert com.sun.star.util.Time. |Ja."),
        ("de_DE", "Das gilt z. B. heute. |Ja."),
        ("en", "Mr. Smith met Dr. Jones at 3 p.m. on Friday. |They left at 5 p.m. |It was late."),
        ("en", "It costs $3.50, i.e. about 3 euros. |See e.g. Fig. 3 and Sec. 2.1."),
        ("en", "“Are you coming?” he asked. |“No. |Never.” |She left."),
        ("en", 'He said, "I am coming." |Then he left. |(This is in brackets.) |This is not.'),
        ("en", "Select the box and click OK. |Select another. |It is not worth it to me. |Define it."),
        ("en", "The U.S. economy grew. |J. K. Rowling wrote it."),
        ("zh", "你好。|再见！"),
        ("tlh", "Unknown languages, too. |They end."),
        ("de", "das ist gut. |das auch, z. b. heute, ca. um drei. |„ßo?“ |ja."),
        ("de", "Das ist gut. das nicht, z. B. um drei."),
        ("de", "ohne Ende"),
        ("de", "erste Zeile\r |zweite\u2028|dritte"),
    ],
)
def test_sentences(language, text):
    assert Segmenter(language).split(text.replace("|", "")) == text.split("|")


def test_nothing_is_lost():
    """Neither is a hostile text slow."""
    rng = random.Random(1)
    segmenter = Segmenter("de")
    for _ in range(2000):
        text = "".join(rng.choices("aAbB1. .!?\"'„“()[]…–,;\t\u00a0\u0301。", k=rng.randint(0, 40)))
        assert "".join(segmenter.split(text)) == text
    for unit in ('"', "(A. ", "A.B", "OK. A", "am 17. J ", '"Das ist. ', "z. B. "):
        text = unit * 20_000
        assert "".join(segmenter.split(text)) == text
