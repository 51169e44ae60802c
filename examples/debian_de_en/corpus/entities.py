"""Replace the entities that documents in DocBook define or take from the tools of KDE."""

import html
import re
from collections.abc import Mapping

_DEFINITION = re.compile(r"""<!ENTITY\s+([\w.:-]+)\s+(?:"([^"]*)"|'([^']*)')\s*>""")
_REFERENCE = re.compile(r"&([A-Za-z][\w.:-]*);")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL)
_XML = frozenset(("amp", "lt", "gt", "quot", "apos"))


def definitions(text: str) -> dict[str, str]:
    """The entities that a file (or the head of a document) defines, as name -> value; the first definition counts."""
    found: dict[str, str] = {}
    for name, double, single in _DEFINITION.findall(_COMMENT.sub("", text)):
        found.setdefault(name, double or single)
    return found


def resolve(document: str, known: Mapping[str, str]) -> str:
    """An XML document without its DOCTYPE, with the values of its own and the ``known`` entities put in.

    An unknown entity stays as it looks in the source, ``&name;``, as text: no reader should see that,
    so the cleaning drops it.
    """
    doctype = _DOCTYPE.search(document)
    own = {**known, **definitions(doctype.group())} if doctype else known
    return _REFERENCE.sub(lambda match: _value(match[1], own, 0), _DOCTYPE.sub("", document, count=1))


def _value(name: str, known: Mapping[str, str], depth: int) -> str:
    if name in _XML:
        return f"&{name};"
    if name in known and depth < 10:  # a definition may go round in a circle
        return _REFERENCE.sub(lambda match: _value(match[1], known, depth + 1), known[name])
    character = html.unescape(f"&{name};")
    return f"&amp;{name};" if character == f"&{name};" else character
