"""The text blocks of an HTML or XML document."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lxml import etree

from corpus.blocks import Block


class Rules(NamedTuple):
    """What the tags of a format mean: those that begin a block, those to leave out, those that join their parts.

    ``joints`` maps a tag to what a reader sees between its children, as in a path through menus.
    ``skipped_classes`` are values of ``class`` that mean leaving out too.
    """

    blocks: frozenset[str]
    skipped: frozenset[str]
    joints: Mapping[str, str]
    skipped_classes: frozenset[str] = frozenset()


def blocks(root: etree._Element, rules: Rules) -> Iterator[Block]:
    """The blocks of a parsed document in order; the kind of a block is the tag it begins with."""
    kind, pieces = "", []
    for piece in [*_pieces(root, rules), Boundary("")]:
        if not isinstance(piece, Boundary):
            pieces.append(piece)
            continue
        text = re.sub(r"\s+", " ", "".join(pieces)).strip()
        if text:
            yield Block(kind, text)
        kind, pieces = piece.kind, []


class Boundary(NamedTuple):
    """Where a block ends and one of another kind begins."""

    kind: str


def _pieces(element: etree._Element, rules: Rules, kind: str = "") -> Iterator[str | Boundary]:
    """The strings of an element and the boundaries between its blocks, in order."""
    tag = _tag(element)
    if tag in rules.blocks:
        kind = tag
        yield Boundary(kind)
    joint = rules.joints.get(tag)
    if joint is None:
        yield element.text or ""
    joined = False
    for child in element:
        if not _is_skipped(child, rules):
            if joint and joined:
                yield joint
            joined = True
            yield from _pieces(child, rules, kind)
        if _tag(child) in rules.blocks:
            yield Boundary(kind)
        if joint is None:
            yield child.tail or ""


def _is_skipped(element: etree._Element, rules: Rules) -> bool:
    tag = _tag(element)
    classes = (element.get("class") or "").split()
    return not tag or tag in rules.skipped or not rules.skipped_classes.isdisjoint(classes)


def _tag(element: etree._Element) -> str:
    """The name of an element without its namespace; empty for comments and the like."""
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""
