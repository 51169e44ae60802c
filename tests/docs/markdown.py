"""The project's Markdown as tests see it: fenced blocks, what a test does with them, links and anchors.

A comment before a block, ``<!-- test: ... -->``, says one of

- ``skip REASON``: the block is not run;
- ``"OLD" => "NEW"``: it is run with NEW for OLD (fewer updates, the CPU);
- ``output``: it is what the shell block before it prints;
- ``quote FILE#L1-L9``: it is these lines of the repository's FILE;
- ``file FILE``: it is written to FILE of the clone, for the blocks below it.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ALL = [
    *PAGES,
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]

DIRECTIVE = re.compile(r"<!-- test: (.+) -->")
REPLACEMENT = re.compile(r'"(.+)" => "(.+)"')
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass
class Block:
    """A fenced block; `line` is the number of its first line in `page`, `test` what the comment before it says."""

    page: Path
    line: int
    language: str
    text: str
    test: str = ""

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def kind(self) -> str:
        """``skip``, ``output``, ``quote``, ``file``, ``edit`` or nothing.

        Raises:
            ValueError: for a comment that is none of them, or lacks what belongs to it.
        """
        if not self.test or REPLACEMENT.fullmatch(self.test):
            return "edit" if self.test else ""
        word, _, rest = self.test.partition(" ")
        if word not in ("skip", "output", "quote", "file") or bool(rest) == (word == "output"):
            raise ValueError(f"{self.name}: cannot read <!-- test: {self.test} -->")
        return word

    @property
    def runs(self) -> bool:
        return self.language in ("bash", "python") and self.kind in ("", "edit")

    def edited(self) -> str:
        """The text that a test runs.

        Raises:
            ValueError: where the comment replaces what is not there.
        """
        if self.kind != "edit":
            return self.text
        old, new = REPLACEMENT.fullmatch(self.test).groups()
        if old not in self.text:
            raise ValueError(f"{self.name}: {old!r} is not in the block")
        return self.text.replace(old, new)


def split(page: Path) -> tuple[str, list[Block]]:
    """The prose of `page`, lines of blocks empty, and its blocks."""
    prose, blocks, block, test = [], [], None, ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = line.strip().startswith("```")
        if block is None and fence:
            block, test = Block(page, number + 1, line.strip().strip("`"), "", test), ""
        elif block is None:
            directive = DIRECTIVE.fullmatch(line.strip())
            test = directive.group(1) if directive else ""
            prose.append(line)
            continue
        elif fence:
            block.text = textwrap.dedent(block.text)
            blocks.append(block)
            block = None
        else:
            block.text += line + "\n"
        prose.append("")
    if block is not None:
        raise ValueError(f"{block.name}: the block does not end")
    return "\n".join(prose), blocks


def links(page: Path) -> Iterator[str]:
    """Targets of the links and images of `page` that are no addresses."""
    prose = re.sub(r"`[^`\n]*`", "", split(page)[0])
    return (target for target in LINK.findall(prose) if "://" not in target)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of `page`."""
    headings = re.findall(r"^#+ (.+)$", split(page)[0], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
