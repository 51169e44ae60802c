"""What README and docs promise about themselves: links lead somewhere, quotes are the code, the README stays short."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.docs.markdown import ALL, PAGES, ROOT, anchors, links, split


def lines_of(fragment: str) -> tuple[int, int]:
    """First and last line of ``L3`` or ``L3-L9``."""
    first, last = re.fullmatch(r"L(\d+)(?:-L(\d+))?", fragment).groups()
    return int(first), int(last or first)


def problem(page: Path, target: str) -> str | None:
    path, _, fragment = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{target}: no such file"
    if not fragment:
        return None
    if file.suffix == ".md":
        return None if fragment in anchors(file) else f"{target}: no such heading"
    first, last = lines_of(fragment)
    length = len(file.read_text(encoding="utf-8").splitlines())
    return None if 1 <= first <= last <= length else f"{target}: the file has {length} lines"


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert [found for target in links(page) if (found := problem(page, target))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_are_as_their_comments_say(page):
    for block in split(page)[1]:
        block.edited()
        if block.kind == "quote":
            file, _, fragment = block.test.split(" ", 1)[1].partition("#")
            first, last = lines_of(fragment)
            lines = (ROOT / file).read_text(encoding="utf-8").splitlines()[first - 1 : last]
            assert block.text == textwrap.dedent("\n".join(lines) + "\n"), block.name


def test_every_page_is_in_the_index():
    indexed = set(links(ROOT / "docs" / "README.md"))
    assert {page.name for page in PAGES if page.name != "README.md"} <= indexed


def test_readme_is_two_pages():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
