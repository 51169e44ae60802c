"""From archives to clean text: members, SGML, what is dropped and counted."""

import gzip
import io
import tarfile

import pytest
from wmt14 import catalogue, clean, sgm, text

from tests.examples.wmt14_de_en.building import SIZES


def tgz(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return path


def test_members_come_out_of_an_archive(refused, tmp_path):
    path = tgz(tmp_path / "a.tgz", {"other": b"x" * 5000, "./in/a.de": b"eins\n", "in/a.en": b"one\n"})
    text.unpack(path, {"in/a.de": tmp_path / "de", "in/a.en": tmp_path / "en"})
    assert [(tmp_path / language).read_bytes() for language in ("de", "en")] == [b"eins\n", b"one\n"]
    error = refused(text.unpack, path, {"in/a.de": tmp_path / "de", "in/b.en": tmp_path / "en"})
    assert error == f"{path} has no in/b.en: not the archive that WMT published"


def test_broken_archives(refused, tmp_path):
    whole = tgz(tmp_path / "a.tgz", {"a": bytes(range(256)) * 1000}).read_bytes()
    for content in (whole[:300], b"<html>not found</html>" * 100, b"", gzip.compress(b"no tar" * 1000)):
        (tmp_path / "b.tgz").write_bytes(content)
        error = refused(text.unpack, tmp_path / "b.tgz", {"a": tmp_path / "out"})
        assert error.startswith(f"{tmp_path}/b.tgz is broken (") and error.endswith("): delete it and start again")


def test_sides_of_different_length(refused, tmp_path):
    (tmp_path / "de").write_bytes(b"eins\nzwei\n")
    (tmp_path / "en").write_bytes(b"one\xe2\x80\xa8two\n")
    lines = text.line_pairs(tmp_path / "de", tmp_path / "en", ("a.de", "a.en"))
    error = refused(list, lines)
    assert error == "a.en ends at line 1, the other side goes on: not the files that WMT published"


SGML = """<srcset setid="x" srclang="any">
<doc sysid="src" docid="a/1" origlang="de">
<hl><seg id="1">Schlagzeile &amp; mehr</seg></hl>
<p><seg id='2'>  zwei
Zeilen &quot;&#228;&quot;</seg> <SEG  ID=3>&amp;amp; &x &lt;b></SEG></p>
</doc><doc docid="a/2"><seg id="1"></seg></doc></srcset>"""


def test_segments_in_order_with_entities_resolved_once():
    keys, texts = sgm.read_segments(SGML)
    assert keys == [(1, "1"), (1, "2"), (1, "3"), (2, "1")]
    assert texts == ["Schlagzeile & mehr", 'zwei Zeilen "ä"', "&amp; &x <b>", ""]


def test_numbers_of_no_character_stay():
    assert sgm.unescape("&#0; &#xD800; &#99999999; &#x41;") == "&#0; &#xD800; &#99999999; A"


def test_segments_are_those_of_sacrebleu(place, tmp_path):
    from sacrebleu.dataset.fake_sgml import FakeSGMLDataset

    members = catalogue.CORPORA[-1].members
    files = [tmp_path / language for language in ("de", "en")]
    text.unpack(place / "wmt14/test-full.tgz", dict(zip(members, files)))
    for file, name in zip(files, ("test.de", "test.en")):
        FakeSGMLDataset("x", langpairs={})._convert_format(str(file), str(tmp_path / "theirs"))
        theirs = (tmp_path / "theirs").read_text(encoding="utf-8").split("\n")[:-1]
        assert sgm.read_segments(file.read_text(encoding="utf-8"))[1] == [sgm.unescape(line) for line in theirs]
        assert len(theirs) == SIZES["test"]


@pytest.mark.parametrize(
    "english, message",
    [
        (SGML.replace("ID=3", "ID=4").encode(), "a.de (4 segments) and a.en (4) differ in documents or segment ids: "),
        (SGML.replace('</doc><doc docid="a/2">', "").encode(), "a.de (4 segments) and a.en (4) differ in documents"),
        (b"<html></html>", "a.en has no segments: not the file that WMT published"),
        (SGML.encode("latin-1"), None),
        (SGML.replace("Zeilen", "Zähl").encode("latin-1"), "a.en is not UTF-8: not the file that WMT published"),
    ],
)
def test_test_sets_that_do_not_belong_together(refused, english, message):
    if message is None:
        assert len(sgm.read_pairs(SGML.encode(), english, ("a.de", "a.en"))) == 4
    else:
        assert refused(sgm.read_pairs, SGML.encode(), english, ("a.de", "a.en")).startswith(message)


def test_cleaning_counts_what_it_drops():
    cleaner = clean.Cleaner(clean.Limits(5, 2.0), drop_duplicates=True)
    cleaner.hold_out([("ein Satz", "a sentence")])
    pairs = [
        (b" zwei\xc2\xa0 \tWorte\n", b"two\xe2\x80\xa8words\r\n"),
        (b"ein Satz\n", b"another one\n"),
        (b"\n", b"something\n"),
        (b"etwas\n", b" \n"),
        (b"a b c d e f\n", b"a b c\n"),
        (b"a b c d e\n", b"a b\n"),
        (b"a b c d\n", b"a b\n"),
        (b"\xe4\n", b"ae\n"),
        (b"zwei Worte\n", b"two words\n"),
        (b"zwei Worte\n", b"other words"),
    ]
    counts = {}
    kept = list(cleaner.clean(pairs, counts))
    assert kept == [
        ("zwei Worte", "two words"),
        ("ein Satz", "another one"),
        ("a b c d", "a b"),
        ("zwei Worte", "other words"),
    ]
    assert counts == {
        "read": 10,
        "kept": 4,
        "side in valid or test": 1,
        "dropped": {"empty": 2, "too long": 1, "length ratio": 1, "not UTF-8": 1, "duplicate": 1},
    }
    again = {}
    assert list(cleaner.clean(pairs[:1], again)) == [] and again["dropped"] == {"duplicate": 1}
    assert len(list(clean.Cleaner(clean.Limits(5, 2.0)).clean(pairs[:1] * 3, {}))) == 3
