"""The help pages of LibreOffice: the same HTML files in both languages, made from one original.

Headings and paragraphs carry the id they have in the original, so they are paired by file and id. The few
without an id are paired by their place after the last one that has an id.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from lxml import html

from corpus.pairs import Pair

WANTED = re.compile(r"^usr/share/libreoffice/help/(?:de|en-US)/text/.*\.html$")

_BLOCKS = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6"))
_CODE = frozenset(("code", "codeintable", "smathcode", "bascode", "pycode", "debug", "bug", "image"))


def align(packages: Mapping[str, Mapping[str, bytes]], skipped: Counter) -> Iterator[Pair]:
    """Pair headings and paragraphs by id; a document is a help page."""
    german_pages = _by_name(packages["libreoffice-help-de"])
    english_pages = _by_name(packages["libreoffice-help-en-us"])
    for name in sorted(english_pages.keys() & german_pages.keys()):
        german, english = blocks(german_pages[name]), blocks(english_pages[name])
        for place, text in english.items():
            if place not in german:
                skipped["no counterpart"] += 1
            elif " " not in text and " " not in german[place]:
                # Names of functions and keys, cells of tables.
                skipped["single word"] += 1
            else:
                yield Pair(name, german[place], text)


def _by_name(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {re.sub(r"^.*?/(?:de|en-US)/text/", "", path): content for path, content in files.items()}


def blocks(page: bytes) -> dict[tuple[str, int], str]:
    """The texts of a help page by place: (id, 0) or (the last id before it, its number after that)."""
    found: dict[tuple[str, int], str] = {}
    tree = html.fromstring(page.decode("utf-8", errors="replace"))
    areas = tree.xpath('//div[@id="DisplayArea"]')
    last, number = "", 0
    for element in areas[0].iter() if areas else ():
        if element.tag not in _BLOCKS or _is_code(element):
            continue
        identity = element.get("id")
        if identity:
            last, number = identity, 0
        else:
            number += 1
        text = _text(element)
        if text:
            # An id that a page embeds twice stands for the same text.
            found.setdefault((last, number), text)
    return found


def _is_code(element: html.HtmlElement) -> bool:
    line = [element, *element.iterancestors()]
    return any(_CODE.intersection((ancestor.get("class") or "").split()) for ancestor in line)


def _text(element: html.HtmlElement) -> str:
    """The text of a paragraph as a reader on Linux sees it."""
    return re.sub(r"\s+", " ", "".join(_pieces(element))).strip()


def _pieces(element: html.HtmlElement) -> Iterator[str]:
    yield element.text or ""
    variants = [child for child in element if child.tag == "span" and child.get("hidden") is not None]
    for child in element:
        # A switch holds one text per system or program; "default" is for whatever is not named.
        if child not in variants or child is _shown(variants):
            if child.tag == "br":
                yield " "
            elif isinstance(child.tag, str) and child.tag not in ("img", "input", "script"):
                yield from _pieces(child)
        yield child.tail or ""


def _shown(variants: list[html.HtmlElement]) -> html.HtmlElement:
    defaults = [variant for variant in variants if (variant.get("id") or "").lower().startswith("default")]
    return (defaults or variants)[0]
