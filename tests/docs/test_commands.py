"""The commands and the Python of README and docs, run from the pages themselves as a reader would, top to bottom."""

import pytest

from tests.docs.conftest import run_in, shell
from tests.docs.markdown import PAGES, ROOT, split


def checked(block, result) -> str:
    """What the block printed; it must have succeeded."""
    assert result.returncode == 0, f"{block.name}\n{block.edited()}\n{result.stdout[-1500:]}"
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.runs for block in split(page)[1])],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_page(page, clone):
    printed, script = "", []
    for block in split(page)[1]:
        if block.kind == "output":
            assert block.text in printed, f"{block.name}: printed was\n{printed}"
        elif block.kind == "file":
            file = clone / block.test.split(" ", 1)[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.runs and block.language == "bash":
            printed = checked(block, shell(clone, block.edited()))
        elif block.runs:
            # One script of all of the page's Python, each line under its number on the page.
            script += [""] * (block.line - 1 - len(script)) + block.edited().splitlines()
            last = block
    if script:
        (clone / "page.py").write_text("\n".join(script) + "\n", encoding="utf-8")
        checked(last, run_in(clone, "python", "page.py"))
