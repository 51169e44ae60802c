"""Guides to Debian and its programs: HTML pages of the same structure in both languages."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from lxml import html

from corpus import blocks, markup
from corpus.pairs import Pair

WANTED = re.compile(
    r"^usr/share(?!.*(?:search|genindex|index)\.).*(?:"
    r"/(?:de|en|de-DE|en-US)/[^/]*\.html|[._](?:de|en)\.html|\.(?:de|en)\.html/[^/]*\.html"
    r"|/developers-reference/[^/]*\.html|/apt-doc/\w+\.html/[^/]*\.html)$"
)

_LANGUAGE = re.compile(r"[/._-](?P<code>de-DE|en-US|de|en)(?=[/.])")

# Some guides come on one page too.
_WHOLE = re.compile(r"/developers-reference\.html$|-single\.html$")

_RULES = markup.Rules(
    blocks=frozenset(
        "html body p div h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table caption thead tbody tr td th blockquote section "
        "article header footer nav aside main pre figure figcaption hr form".split()
    ),
    skipped=frozenset("head pre script style nav img button form input select textarea footer svg".split()),
    joints={},
    skipped_classes=frozenset(
        "navheader navfooter docnav toc toctree-wrapper footnote footnotes headerlink sphinxsidebar related programlisting "
        "screen literallayout bibliography index list-of-tables list-of-figures list-of-examples legalnotice "
        "othercredit authorgroup revhistory mediaobject".split()
    ),
)

# "Kapitel 5. ", "5.1.2. " before a heading or caption, "Tabelle 5.1. ": the same in both languages.
_NUMBER = re.compile(
    r"^(?:(?:Kapitel|Chapter|Anhang|Appendix|Tabelle|Table|Abbildung|Figure|Beispiel|Example|Abschnitt|Section|Teil|Part)"
    r"\s+)?(?:[A-Z]|\d+|[IVX]+)(?:\.\d+)*[.:]\s+"
)


def align(packages: Mapping[str, Mapping[str, bytes]], skipped: Counter) -> Iterator[Pair]:
    """Pair the pages by name and their blocks by order; a document is a page."""
    pages: dict[str, dict[str, bytes]] = {"de": {}, "en": {}}
    for files in packages.values():
        for path, content in files.items():
            if not _WHOLE.search(path):
                pages[language_of(path)].setdefault(_LANGUAGE.sub("", path), content)
    skipped["page without translation"] += len(pages["en"].keys() - pages["de"].keys())
    for name in sorted(pages["en"].keys() & pages["de"].keys()):
        german, english = page_blocks(pages["de"][name]), page_blocks(pages["en"][name])
        for pair in blocks.align(german, english, skipped):
            yield Pair(re.sub(r"^usr/share/(?:doc/)?", "", name), *pair)


def language_of(path: str) -> str:
    """``de`` or ``en``: the language that a path names; English if it names none."""
    found = _LANGUAGE.search(path)
    return found["code"][:2] if found else "en"


def page_blocks(page: bytes) -> list[blocks.Block]:
    """The text of a page, block by block, without the numbers of its headings."""
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", page.decode("utf-8", errors="replace"))
    found = markup.blocks(html.document_fromstring(text), _RULES)
    return [blocks.Block(block.kind, _NUMBER.sub("", block.text)) for block in found]
