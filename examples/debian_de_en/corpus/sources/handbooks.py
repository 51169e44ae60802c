"""The handbooks of KDE and GNOME programs: DocBook and Mallard files with the same structure in both languages."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from lxml import etree

from corpus import blocks, entities, markup
from corpus.pairs import Pair

WANTED = re.compile(
    r"^usr/share/(?:help/(?:de|C)|doc/(?:kde/)?HTML/(?:de|en))/.*\.(?:page|docbook|xml)$"
    r"|^usr/share/kf5/kdoctools/customization/(?:(?:de|en)/[^/]*|entities/general|entities/l10n)\.entities$"
)

# The package of the entities that KDE's handbooks use.
KDE_ENTITIES = "kdoctools5"

_RULES = markup.Rules(
    blocks=frozenset(
        # DocBook
        "book chapter sect1 sect2 sect3 sect4 section title subtitle titleabbrev para simpara term listitem member entry "
        "question answer step screeninfo caption phrase abstract glossterm glossdef formalpara refpurpose blockquote "
        "programlisting screen literallayout synopsis mediaobject variablelist itemizedlist orderedlist simplelist "
        # Mallard
        "page p desc item td th subtitle note list steps terms".split()
    ),
    skipped=frozenset(
        "programlisting screen literallayout synopsis cmdsynopsis funcsynopsis imageobject inlinemediaobject authorgroup "
        "author othercredit copyright legalnotice date releaseinfo revhistory keywordset indexterm remark footnote "
        "footnoteref shortcut publisher edition productnumber glosssee glossseealso "
        "credit link-grid revision include license media years keyword".split()
    ),
    joints={"menuchoice": " ▸ ", "guiseq": " ▸ ", "keycombo": "+", "keyseq": "+"},
)


def align(packages: Mapping[str, Mapping[str, bytes]], skipped: Counter) -> Iterator[Pair]:
    """Pair the files by name and their blocks by order; a document is a file."""
    tools = {path: content.decode("utf-8", "replace") for path, content in packages.get(KDE_ENTITIES, {}).items()}
    known = {language: _kde_entities(tools, language) for language in ("de", "en")}
    for package, files in sorted(packages.items()):
        for path, content in sorted(files.items()):
            german_path = re.sub(r"/HTML/en/", "/HTML/de/", re.sub(r"/help/C/", "/help/de/", path))
            if german_path == path or path.endswith(".entities"):
                continue
            # KDE's K3b is the one with its German handbook in a package of its own.
            german = files.get(german_path) or _elsewhere(packages, german_path)
            if german is None:
                skipped["page without translation"] += 1
                continue
            pages = _blocks(german, known["de"]), _blocks(content, known["en"])
            if None in pages:
                skipped["page that is not XML"] += 1
                continue
            name = re.sub(r"^.*?/(?:C|en)/", "", path)
            for pair in blocks.align(*pages, skipped):
                yield Pair(f"{package}/{name}", *pair)


def _elsewhere(packages: Mapping[str, Mapping[str, bytes]], path: str) -> bytes | None:
    return next((files[path] for files in packages.values() if path in files), None)


def _kde_entities(tools: Mapping[str, str], language: str) -> dict[str, str]:
    """The entities of a language; those of the language itself win over the general ones."""
    known: dict[str, str] = {}
    for path, text in sorted(tools.items(), key=lambda item: f"/{language}/" in item[0]):
        if f"/{language}/" in path or "/entities/" in path:
            known.update(entities.definitions(text))
    return known


def _blocks(content: bytes, known: Mapping[str, str]) -> list[blocks.Block] | None:
    """The blocks of a file; None if it is no XML."""
    text = entities.resolve(content.decode("utf-8", errors="replace"), known)
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    try:
        root = etree.fromstring(text, etree.XMLParser(resolve_entities=False, remove_comments=True, huge_tree=True))
    except etree.XMLSyntaxError:
        return None
    return list(markup.blocks(root, _RULES))
