"""Each aligner of the Debian recipe on tiny files in the format of its source."""

import gzip
import struct
from collections import Counter

import pytest
from corpus import roff
from corpus.blocks import Block, align
from corpus.sources import descriptions, ding, guides, handbooks, libreoffice_help, libreoffice_ui, manpages


def pairs_of(module, packages):
    """What a source's aligner makes of ``packages``: the (german, english) texts and the counts of the rest."""
    skipped = Counter()
    return [(pair.german, pair.english) for pair in module.align(packages, skipped)], skipped


# Ding dictionary


def ding_pairs(*lines):
    return pairs_of(ding, {"trans-de-en": {"usr/share/trans/de-en": "\n".join(lines).encode()}})


@pytest.mark.parametrize(
    ("german", "english", "pairs"),
    [
        # Headwords and phrases stay, sentences are taken.
        (
            "Zaun {m} [constr.] | Zäune {pl} | Der Zaun ist hoch. | am Zaun stehen",
            "fence | fences | The fence is high. | to stand by the fence",
            [("Der Zaun ist hoch.", "The fence is high.")],
        ),
        # Remarks around a sentence go.
        (
            "Eile {f} | Beeil dich! [ugs.] (Aufforderung)",
            "hurry | Get a move on! [coll.] <Move on!>",
            [("Beeil dich!", "Get a move on!")],
        ),
        # Wordings are paired in order, each with its stop.
        (
            "Regen {m} | Es regnet; Es gießt.",
            "rain | It is raining.; It is pouring; Rain is falling.",
            [("Es regnet.", "It is raining."), ("Es gießt.", "It is pouring."), ("Es gießt.", "Rain is falling.")],
        ),
        # Of words joined by a slash, the first.
        (
            "Ziel {n} | Mein Ziel bleibt.",
            "aim | My main/primary aim remains.",
            [("Mein Ziel bleibt.", "My main aim remains.")],
        ),
        # Single quotes are quotes, apostrophes are apostrophes.
        (
            "Antwort {f} | „Ich weiß es nicht.“",
            "answer | ‘I don’t know.’",
            [("„Ich weiß es nicht.“", '"I don’t know."')],
        ),
    ],
)
def test_ding_takes_sentences(german, english, pairs):
    assert ding_pairs("# Version :: test", f"{german} :: {english}")[0] == pairs


@pytest.mark.parametrize(
    ("german", "english", "reason"),
    [
        ("Man sagt jdm. alles.", "One tells sb. everything.", "pattern, not a sentence"),
        ("Trinken Sie (mit uns)?", "Would you join us?", "optional words on one side"),
        ("„Ja, sagte er.", "Yes, he said.", "unbalanced quotes"),
        ("Das war teuer.", "That was dear / cost a lot.", "wordings joined by a slash"),
        ("Die Tür ist zu. | Mach auf!", "The door is closed.", "fields differ in number"),
    ],
)
def test_ding_says_why_it_leaves_a_field(german, english, reason):
    texts, skipped = ding_pairs(f"Wort {{n}} | {german} :: word | {english}")
    assert (texts, skipped[reason]) == ([], 1)


def test_ding_makes_one_document_of_the_entries_with_one_headword():
    text = "\n".join(
        [
            "Bank {f} (Sitz) | Die Bank ist nass. :: bench | The bench is wet.",
            "Bank {f} [fin.]; Geldhaus {n} | Die Bank hat zu. :: bank | The bank is closed.",
            "Baum {m} | Der Baum ist alt. :: tree | The tree is old.",
        ]
    )
    found = list(ding.align({"trans-de-en": {"usr/share/trans/de-en": text.encode()}}, Counter()))
    assert [pair.document for pair in found] == ["bank", "bank", "baum"]


# LibreOffice help


def help_page(*body):
    return f'<html><body><h1>Menü</h1><div id="DisplayArea">{"".join(body)}</div></body></html>'.encode()


def help_pairs(german, english, name="swriter/guide/a.html"):
    base = "usr/share/libreoffice/help/{}/text/" + name
    return pairs_of(
        libreoffice_help,
        {"libreoffice-help-de": {base.format("de"): german}, "libreoffice-help-en-us": {base.format("en-US"): english}},
    )


def test_help_pairs_by_id_not_by_order():
    found, skipped = help_pairs(
        help_page('<p id="b">Der zweite Absatz.</p><p id="a">Der <b>erste</b> Absatz.</p>'),
        help_page(
            '<p id="a">The first <i>paragraph</i>.</p><p id="b">The second paragraph.</p><p id="c">Only English.</p>'
        ),
    )
    assert found == [("Der erste Absatz.", "The first paragraph."), ("Der zweite Absatz.", "The second paragraph.")]
    assert skipped["no counterpart"] == 1


def test_help_pairs_paragraphs_without_id_by_their_place_after_an_id():
    found, _ = help_pairs(
        help_page('<p id="a">Ein Anfang hier.</p><p>Ein Hinweis dazu.</p>'),
        help_page('<p id="a">A start here.</p><p>A note on it.</p>'),
    )
    assert found[1] == ("Ein Hinweis dazu.", "A note on it.")


def test_help_shows_the_variant_for_linux_and_no_code():
    switch = (
        '<span class="switchinline" id="s"><span hidden="true" id="MAC1" class="MAC">Befehl</span>'
        '<span hidden="true" id="default1">Strg</span></span>'
    )
    found, _ = help_pairs(
        help_page(f'<p id="a">Drücken Sie {switch}+F2.</p>', '<p id="b" class="code">Print a b</p>'),
        help_page(
            f'<p id="a">Press {switch.replace("Befehl", "Command").replace("Strg", "Ctrl")}+F2.</p>',
            '<p id="b" class="code">Print a c</p>',
        ),
    )
    assert found == [("Drücken Sie Strg+F2.", "Press Ctrl+F2.")]


def test_help_leaves_single_words_and_what_is_outside_the_text():
    found, skipped = help_pairs(help_page('<p id="a">SUMME</p>'), help_page('<p id="a">SUM</p>'))
    assert (found, skipped["single word"]) == ([], 1)


# LibreOffice messages


def catalogue(messages):
    """A .mo file with these messages."""
    messages = {"": "Content-Type: text/plain; charset=UTF-8\n", **messages}
    keys = sorted(messages)
    texts = [[key.encode() for key in keys], [messages[key].encode() for key in keys]]
    offset = 28 + 16 * len(keys)
    tables, body = [], b""
    for side in texts:
        for text in side:
            tables.append(struct.pack("<II", len(text), offset + len(body)))
            body += text + b"\0"
    header = struct.pack("<IIIIIII", 0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, 0)
    return header + b"".join(tables) + body


def ui(messages):
    return {"libreoffice-l10n-de": {"usr/lib/libreoffice/program/resource/de/LC_MESSAGES/sw.mo": catalogue(messages)}}


def test_ui_removes_shortcut_marks_and_fills_in_the_product():
    found, _ = pairs_of(
        libreoffice_ui,
        ui({"dialog|save\x04_Save this %PRODUCTNAME file now": "Diese %PRODUCTNAME-Datei jetzt ~speichern"}),
    )
    assert found == [("Diese LibreOffice-Datei jetzt speichern", "Save this LibreOffice file now")]
    assert libreoffice_ui.plain("set a_b and c_d") == "set a_b and c_d"  # no marks of shortcuts


def test_ui_leaves_short_labels_but_not_short_sentences():
    found, skipped = pairs_of(libreoffice_ui, ui({"a\x04_Open File": "Datei öffnen", "b\x04File not found.": "Fehlt."}))
    assert found == [("Fehlt.", "File not found.")]
    assert skipped["short label"] == 1


def test_ui_makes_a_document_of_a_dialog():
    messages = {
        "box|one\x04This is the first.": "Das ist das erste.",
        "box|two\x04This is the second.": "Das ist das zweite.",
        "STR_END\x04This is the end.": "Das ist das Ende.",
    }
    found = list(libreoffice_ui.align(ui(messages), Counter()))
    assert {pair.english: pair.document for pair in found} == {
        "This is the first.": "sw/box",
        "This is the second.": "sw/box",
        "This is the end.": "sw/STR_END",
    }


# Manual pages

GERMAN_PAGE = r"""
.\" Kommentar
.TH FALTE 1
.SH BEZEICHNUNG
falte \- faltet \fIPapier\fP und Tücher
.SH BESCHREIBUNG
.B falte
liest \(lqalles\(rq, was kommt,
und faltet es.
.nf
falte \-x  # Beispiel im Quelltext
.fi
.TP
.BR \-n ,\  \-\-nass
faltet auch Nasses,
wenn man \e eingibt\&.
.SH ÜBERSETZUNG
Diese Seite wurde von Hand übersetzt.
"""
ENGLISH_PAGE = r"""
.TH FOLD 1
.SH NAME
fold \- folds \fIpaper\fP and cloths
.SH DESCRIPTION
.B fold
reads \(lqeverything\(rq that comes
and folds it.
.EX
fold \-x  # an example in code
.EE
.TP
.BR \-n ,\  \-\-wet
folds wet things too
if one enters \e\&.
"""


def manual(german, english):
    return {
        "manpages-de": {"usr/share/man/de/man1/fold.1.gz": gzip.compress(german.encode())},
        "manpages-de-dev": {
            "usr/share/man/de/man3/alone.3.gz": gzip.compress(b".SH NAME\nalone \\- without original\n")
        },
        "folding": {"usr/share/man/man1/fold.1.gz": gzip.compress(english.encode())},
    }


def test_manual_pages_are_paired_without_roff_markup_code_and_credits():
    found, skipped = pairs_of(manpages, manual(GERMAN_PAGE, ENGLISH_PAGE))
    assert found == [
        ("falte - faltet Papier und Tücher", "fold - folds paper and cloths"),
        ('falte liest "alles", was kommt, und faltet es.', 'fold reads "everything" that comes and folds it.'),
        ("-n, --nass", "-n, --wet"),
        ("faltet auch Nasses, wenn man \\ eingibt.", "folds wet things too if one enters \\."),
    ]
    assert skipped["page without original"] == 1


def test_manual_page_with_an_extra_paragraph_still_pairs_the_others():
    german = GERMAN_PAGE.replace(
        ".nf", ".PP\nDieser Absatz hat kein Gegenstück im anderen Text und ist sehr lang.\n.nf"
    )
    found, _ = pairs_of(manpages, manual(german, ENGLISH_PAGE))
    assert ("faltet auch Nasses, wenn man \\ eingibt.", "folds wet things too if one enters \\.") in found
    assert not any("kein Gegenstück" in pair[0] for pair in found)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (r"\fBfett\fP und \f(CWfest\fR", "fett und fest"),
        (r"systemd\*(Aqs \(bu \[u00E4]", "systemd's • ä"),
        (r"a\ b\~c\0d", "a b c d"),
        (r"eins \" Rest der Zeile", "eins "),
        (r"\s-1KLEIN\s0", "KLEIN"),
        (r"\*(QX", r"\(QX"),
    ],
)
def test_roff_escapes(line, text):
    assert roff.plain(line) == text


def test_roff_pages_in_other_macros_or_without_text_have_no_blocks():
    assert list(roff.blocks(".Dd May 1\n.Sh NAME\nx\n")) == []
    assert list(roff.blocks(".so man1/other.1\n")) == []


def test_roff_arguments_with_quotes_and_alternating_fonts():
    page = '.SH "TWO WORDS"\n.BR "a b" (1)\n.IP "tag ""x""" 4\nbody\n'
    assert list(roff.blocks(page)) == [
        Block("h", "TWO WORDS"),
        Block("p", "a b(1)"),
        Block("term", 'tag "x"'),
        Block("p", "body"),
    ]


# Package descriptions


def test_descriptions_are_paired_by_checksum_and_paragraph():
    german = """Package: falter
Description-md5: 11
Description-de: Faltprogramm für Papier
 Dieses Programm faltet alles,
 was man ihm gibt.
 .
 Es kann:
  * falten und
    glätten,
  * nass arbeiten.

Package: veraltet
Description-md5: 99
Description-de: Ohne Gegenstück dazu
 Nichts weiter hier.
"""
    english = """Package: folder
Description-md5: 11
Description-en: folding program for paper
 This program folds all that
 it is given.
 .
 It can:
  * fold and
    smooth,
  * work wet.
"""
    found, _ = pairs_of(descriptions, {"de": {"main": german.encode()}, "en": {"main": english.encode()}})
    assert found == [
        ("Faltprogramm für Papier", "folding program for paper"),
        ("Dieses Programm faltet alles, was man ihm gibt.", "This program folds all that it is given."),
        ("Es kann:", "It can:"),
        ("falten und glätten,", "fold and smooth,"),
        ("nass arbeiten.", "work wet."),
    ]


def test_descriptions_that_open_alike_are_one_document():
    def entry(number, language, title, opening):
        return f"Package: p{number}\nDescription-md5: {number}\nDescription-{language}: {title}\n {opening}\n\n"

    lists = {
        "de": {"m": "".join(entry(n, "de", f"Ding Nummer {n}", f"Text {n // 2} davon.") for n in range(4)).encode()},
        "en": {"m": "".join(entry(n, "en", f"thing number {n}", f"Text {n // 2} of it.") for n in range(4)).encode()},
    }
    found = list(descriptions.align(lists, Counter()))
    assert [pair.document for pair in found] == ["0", "0", "0", "0", "2", "2", "2", "2"]


# Handbooks


def test_handbooks_in_docbook_know_the_entities_of_kde_and_paths_through_menus():
    def book(title, menu, item, entity):
        return f"""<?xml version="1.0" ?>
<!DOCTYPE book PUBLIC "x" "y" [ <!ENTITY app "<application>Falter</application>"> ]>
<book><bookinfo><authorgroup><author>Jemand</author></authorgroup></bookinfo>
<chapter><title>{title}</title><para>&app;: {entity} &LMB;
<menuchoice><shortcut><keycap>F</keycap></shortcut><guimenu>{menu}</guimenu> <guimenuitem>{item}</guimenuitem></menuchoice>
</para><programlisting>kein Text</programlisting></chapter></book>""".encode()

    tools = "usr/share/kf5/kdoctools/customization/"
    found, _ = pairs_of(
        handbooks,
        {
            "kdoctools5": {
                tools + "de/user.entities": b'<!ENTITY LMB "<mousebutton>linke</mousebutton> Maustaste">',
                tools + "en/user.entities": b'<!ENTITY LMB "<mousebutton>left</mousebutton> mouse button">',
                tools + "entities/general.entities": b'<!ENTITY LMB "nobody sees this">',
            },
            "falter": {
                "usr/share/doc/HTML/de/falter/index.docbook": book("Der Falter", "Datei", "Falten", "f&uuml;r die"),
                "usr/share/doc/HTML/en/falter/index.docbook": book("The Folder", "File", "Fold", "for the"),
            },
        },
    )
    assert found == [
        ("Der Falter", "The Folder"),
        ("Falter: für die linke Maustaste Datei ▸ Falten", "Falter: for the left mouse button File ▸ Fold"),
    ]


def test_handbooks_show_an_unknown_entity_so_that_cleaning_drops_it():
    page = b"<book><para>%s &nobody.knows; hier</para></book>"
    paths = {f"usr/share/doc/HTML/{language}/a/index.docbook": page % language.encode() for language in ("de", "en")}
    found, _ = pairs_of(handbooks, {"a": paths})
    assert found == [("de &nobody.knows; hier", "en &nobody.knows; hier")]


def test_handbooks_in_mallard_leave_credits_and_count_pages_alone():
    page = """<page xmlns="http://projectmallard.org/1.0/" id="x"><info><credit><name>Wer auch immer</name></credit>
<desc>{}</desc></info><title>{}</title><list><item><p>{} <guiseq><gui>A</gui><gui>B</gui></guiseq></p></item></list></page>"""
    found, skipped = pairs_of(
        handbooks,
        {
            "g": {
                "usr/share/help/de/g/x.page": page.format("Kurz gesagt.", "Der Titel", "Klicken Sie auf").encode(),
                "usr/share/help/C/g/x.page": page.format("In short.", "The title", "Click on").encode(),
                "usr/share/help/C/g/y.page": page.format("a", "b", "c").encode(),
            }
        },
    )
    assert found == [
        ("Kurz gesagt.", "In short."),
        ("Der Titel", "The title"),
        ("Klicken Sie auf A ▸ B", "Click on A ▸ B"),
    ]
    assert skipped["page without translation"] == 1


def test_handbooks_skip_what_is_not_xml():
    paths = {"usr/share/help/de/g/x.page": b"<page><p>offen</page>", "usr/share/help/C/g/x.page": b"<page/>"}
    found, skipped = pairs_of(handbooks, {"g": paths})
    assert (found, skipped["page that is not XML"]) == ([], 1)


# Guides


@pytest.mark.parametrize(
    ("german", "english"),
    [
        ("usr/share/doc/maint-guide-de/html/start.de.html", "usr/share/doc/maint-guide/html/start.en.html"),
        ("usr/share/doc/debian/FAQ/de/software.de.html", "usr/share/doc/debian/FAQ/software.en.html"),
        ("usr/share/doc/harden-doc/html/de-DE/ch01.html", "usr/share/doc/harden-doc/html/en-US/ch01.html"),
        ("usr/share/developers-reference/de/scope.html", "usr/share/developers-reference/scope.html"),
        ("usr/share/doc/apt-doc/guide.de.html/ch1.html", "usr/share/doc/apt-doc/guide.html/ch1.html"),
    ],
)
def test_guides_find_the_counterpart_of_a_page(german, english):
    assert guides.WANTED.search(german)
    assert guides.WANTED.search(english)
    packages = {"g": {german: b"<p>Ein ganzer Satz.</p>", english: b"<p>A whole sentence.</p>"}}
    assert pairs_of(guides, packages)[0] == [("Ein ganzer Satz.", "A whole sentence.")]


def test_guides_leave_navigation_code_and_numbers_of_headings():
    page = (
        '<div class="navheader"><a>{0} hier</a></div><h2>{1} 5.1. {2}</h2><p>{3}<a class="headerlink">¶</a></p>'
        "<pre>x = 1</pre><table><tr><td>{4}</td></tr></table>"
    )
    packages = {
        "g": {
            "usr/share/doc/g/de/a.html": page.format(
                "Weiter", "Kapitel", "Das Netz", "Ein Satz hier.", "Eine Zelle"
            ).encode(),
            "usr/share/doc/g/en/a.html": page.format("Next", "Chapter", "The net", "A phrase here.", "A cell").encode(),
        }
    }
    assert pairs_of(guides, packages)[0] == [
        ("Das Netz", "The net"),
        ("Ein Satz hier.", "A phrase here."),
        ("Eine Zelle", "A cell"),
    ]


# Blocks


def test_align_pairs_only_blocks_of_a_kind_and_skips_the_cheaper_way():
    german = [Block("h", "Die Überschrift"), Block("p", "Der Befehl mount(8) hilft."), Block("p", "Ende der Sache.")]
    english = [
        Block("h", "The heading"),
        Block("p", "A paragraph that the translation does not have at all, with 17 numbers."),
        Block("p", "The command mount(8) helps."),
        Block("p", "End of the matter."),
    ]
    skipped = Counter()
    assert align(german, english, skipped) == [
        ("Die Überschrift", "The heading"),
        ("Der Befehl mount(8) hilft.", "The command mount(8) helps."),
        ("Ende der Sache.", "End of the matter."),
    ]
    assert skipped["no counterpart"] == 1


def test_align_of_nothing_counts_all_as_alone():
    skipped = Counter()
    assert align([], [Block("p", "Some text here.")], skipped) == []
    assert skipped["no counterpart"] == 1
