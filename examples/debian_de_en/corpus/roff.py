"""The text blocks of a manual page in roff's ``man`` macros, without the markup."""

import re
from collections.abc import Iterator

from corpus.blocks import Block

# Macros that set their arguments in a font: side by side, or as one phrase with spaces.
_FONTS_TOGETHER = frozenset(("BR", "BI", "RB", "RI", "IB", "IR"))
_FONTS_APART = frozenset(("B", "I", "R", "SM", "SB"))
_NEW_BLOCK = frozenset(("PP", "P", "LP", "RS", "RE", "HP", "br", "sp", "bp", "ce", "in", "ti", "TQ", "PD", "ad", "nh"))
# From the first to the second is code, a table, a picture, or a definition.
_SKIPPED = {"nf": "fi", "EX": "EE", "TS": "TE", "PS": "PE", "EQ": "EN", "de": ".", "ig": ".", "SY": "YS"}
_LINKS = frozenset(("UR", "UE", "MT", "ME"))

_CHARACTERS = {
    "aq": "'", "Aq": "'", "dq": '"', "lq": '"', "rq": '"', "oq": "'", "cq": "'", "bq": "„", "Bq": "„", "Fo": "»", "Fc": "«",
    "bu": "•", "em": "—", "en": "–", "hy": "-", "mi": "-", "ha": "^", "ti": "~", "rs": "\\", "co": "©", "rg": "®",
    "ga": "`", "at": "@", "sh": "#", "Do": "$", "sl": "/", "ba": "|", "or": "|", "mu": "×", "+-": "±", "de": "°",
    "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "<-": "←", "ss": "ß", ":a": "ä", ":o": "ö", ":u": "ü", ":A": "Ä",
    ":O": "Ö", ":U": "Ü", "'e": "é", "tm": "™", "sc": "§", "Eu": "€", "mc": "µ", "12": "½", "lB": "[", "rB": "]",
}  # fmt: skip
_ESCAPE = re.compile(
    r"""\\(?: f(?:\[[^\]]*\]|\(..|.)        # font
          | s[-+]?\d | s\[[^\]]*\]          # size
          | [hvwlLDX]'[^']*'                # motion, drawing
          | m(?:\[[^\]]*\]|\(..|.)          # colour
          | k. | n(?:\[[^\]]*\]|\(..|.)     # positions, numbers
          | \((?P<two>..) | \[(?P<long>[^\]]*)\] | \*\((?P<string>..) | \*\[(?P<strings>[^\]]*)\] | \*(?P<one>.)
          | (?P<single>.) )""",
    re.VERBOSE,
)
_SINGLE = {
    "-": "-",
    "e": "\\",
    "\\": "\\",
    "~": " ",
    " ": " ",
    "0": " ",
    "t": " ",
    "'": "'",
    "`": "`",
    ".": ".",
    "_": "_",
}
_NOTHING = frozenset("&|^/,:%)c!{}zdur")


def _unescape(match: re.Match) -> str:
    if match["single"]:
        character = match["single"]
        # What is not known stays and makes the cleaning drop the line.
        return "" if character in _NOTHING else _SINGLE.get(character, match[0])
    name = match["two"] or match["long"] or match["string"] or match["strings"] or match["one"]
    if not name:
        return ""
    if re.fullmatch(r"u[0-9A-F]{4,5}", name):
        return chr(int(name[1:], 16))
    return _CHARACTERS.get(name, {"R": "®", "Tm": "™"}.get(name, f"\\({name}"))


def plain(line: str) -> str:
    """A roff text line as a reader sees it."""
    return _ESCAPE.sub(_unescape, re.sub(r'(?<!\\)((?:\\\\)*)\\["#].*', r"\1", line))


def _arguments(text: str) -> list[str]:
    """The arguments of a macro call; a quoted one may have spaces, and quotes if they are doubled."""
    found = re.findall(r'"((?:[^"]|"")*)"?(?:\s+|$)|((?:\\.|[^\s\\])+)', text)
    return [quoted.replace('""', '"') or bare for quoted, bare in found]


def blocks(page: str) -> Iterator[Block]:
    """The headings (``h``), tags of lists (``term``) and paragraphs (``p``) of a manual page, in order.

    Code, tables and definitions are left out. A page in the ``mdoc`` macros, or one that only points to
    another, has no blocks.
    """
    if re.search(r"^\.(?:Dd|so)\s", page, re.MULTILINE):
        return
    kind, pieces, until, next_kind = "p", [], "", ""

    def flush() -> Iterator[Block]:
        text = re.sub(r"\s+", " ", " ".join(pieces)).strip()
        pieces.clear()
        if text:
            yield Block(kind, text)

    for line in page.splitlines():
        macro, _, rest = line[1:].lstrip().partition(" ") if line[:1] in (".", "'") else ("", "", line)
        rest = rest.strip() if macro else rest
        if until:
            if macro == until:
                until = ""
            continue
        if line[:1] in (".", "'"):
            if not macro or macro.startswith(('\\"', "\\#")):
                continue
            if macro in _SKIPPED:
                yield from flush()
                until, kind = _SKIPPED[macro], "p"
                continue
            if macro in ("SH", "SS", "TP", "IP") or macro in _NEW_BLOCK:
                yield from flush()
                kind, next_kind = "p", ""
                arguments = _arguments(rest)
                if macro in ("SH", "SS"):
                    kind, next_kind = "h", "p"
                    pieces.extend(plain(argument) for argument in arguments)
                elif macro == "TP":
                    kind, next_kind = "term", "p"
                elif macro == "IP" and arguments:
                    yield Block("term", plain(arguments[0]))
                if not (macro in ("SH", "SS") and pieces):
                    continue
            elif macro in _FONTS_TOGETHER:
                pieces.append(plain("".join(_arguments(rest))))
            elif macro in _FONTS_APART:
                pieces.append(plain(" ".join(_arguments(rest))))
            elif macro in _LINKS:
                arguments = [plain(argument) for argument in _arguments(rest)]
                if macro in ("UE", "ME") and arguments and pieces:
                    pieces[-1] += arguments[0]
                continue
            else:  # requests without text, conditions, macros of the page's own
                continue
        elif not line.strip():
            yield from flush()
            kind = "p"
            continue
        else:
            pieces.append(plain(line))
        if next_kind:  # a heading or a tag is one line
            yield from flush()
            kind, next_kind = next_kind, ""
    yield from flush()
