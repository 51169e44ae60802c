"""What is missing is named by the extra that brings it, and setup.py does bring it."""

import re
import sys
from pathlib import Path

import pytest
import setuptools

from fairseq_ringformer import extras
from fairseq_ringformer.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
# Distributions that are not called as what one imports.
DISTRIBUTIONS = {
    **extras.CALLED,
    "fairseq": "fairseq-fixed",
    "fairseq_cli": "fairseq-fixed",
    "subword_nmt": "subword-nmt",
}
# Brought by others: fairseq-fixed brings omegaconf.
INDIRECT = {"omegaconf"}


@pytest.fixture
def declared(monkeypatch):
    """The arguments of setup() in setup.py."""
    found = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: found.update(arguments))
    exec(compile((ROOT / "setup.py").read_text(), str(ROOT / "setup.py"), "exec"), {"__file__": str(ROOT / "setup.py")})
    return found


def test_each_extra_brings_what_it_is_named_for(declared):
    assert set(declared["extras_require"]) == {*extras.EXTRAS, "dev"}
    for extra, requirements in declared["extras_require"].items():
        names = {re.split("[<>=]", requirement)[0] for requirement in requirements}
        _, modules = extras.EXTRAS.get(extra, (None, extras.EXTRA_OF))
        assert {DISTRIBUTIONS.get(module, module) for module in set(modules) - INDIRECT} <= names, extra


def test_the_base_needs_nothing_large(declared):
    assert declared["install_requires"] == ["pyyaml", "tabulate", "tqdm"]


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    message = (
        "image classifiers need timm, which is not installed: "
        "run scripts/setup.sh vision in a clone, or pip install '.[vision]'"
    )
    with pytest.raises(extras.MissingPackage) as error:
        extras.require("matplotlib", "timm")
    assert str(error.value) == message
    with pytest.raises(extras.MissingPackage) as error, extras.named():
        import timm.models  # noqa: F401
    assert str(error.value) == message


def test_other_errors_stay_as_they_are():
    error = ImportError("cannot import name f", name="timm")
    with pytest.raises(ImportError) as seen, extras.named():
        raise error
    assert seen.value is error


def test_a_command_that_lacks_a_package_says_so_in_a_line(monkeypatch, capsys):
    def run(args):
        import lxml.etree  # noqa: F401

    monkeypatch.setitem(sys.modules, "lxml", None)
    monkeypatch.setattr("fairseq_ringformer.cli.user_dir.run", run)
    assert main(["user-dir"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("ringformer user-dir: recipes need lxml") and err.count("\n") == 1
