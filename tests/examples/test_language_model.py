"""The recipe of language models, without network and packages; and bits a unit from fairseq's report."""

import importlib.util
import io
import json

import pytest

from .conftest import EXAMPLES


def load(name):
    spec = importlib.util.spec_from_file_location(f"language_model_{name}", EXAMPLES / "language_model" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dna_is_cut_into_lines_of_one_length(monkeypatch, tmp_path, capsys):
    recipe = load("prepare")
    genome = ">one\n" + "\n".join("ACGT" * 20 for _ in range(700)) + "\n>two\nacgtnACGT\n"
    monkeypatch.setattr(recipe, "download", lambda options: {"genomes/x.fna": genome.encode()})
    assert recipe.main(["dna", "--output", str(tmp_path)]) == 0
    assert "base" in capsys.readouterr().out
    sizes = json.loads((tmp_path / "bin" / "sizes.json").read_text())
    assert sizes["test"] == {"units": 511 * 5, "lines": 5, "tokens": 512 * 5, "unknown": 0}
    lines = (tmp_path / "raw" / "train.txt").read_text().splitlines()
    assert {len(line) for line in lines} == {511} and len(lines) == 56000 // 511 - 10
    assert {path.name for path in (tmp_path / "bin").iterdir()} >= {"dict.txt", "train.bin", "test.idx"}


def test_dna_has_no_size_of_a_vocabulary(capsys):
    with pytest.raises(SystemExit):
        load("prepare").main(["dna", "--vocab-size", "100"])
    assert "--vocab-size is for text: DNA is cut into its bases" in capsys.readouterr().err


def test_text_keeps_pages_together_and_repeats_nothing():
    recipe = load("prepare")
    page = "<html><body><p>Menu</p><p>Page {0} begins.</p><p>It ends {0}.</p></body></html>"
    files = {f"usr/share/doc/guide/en/{number}.html": page.format(number).encode() for number in range(40)}
    files["usr/share/doc/guide/de/1.html"] = page.format("deutsch").encode()
    found = recipe.read_text(files, seed=1)
    assert [len(found[split]) for split in recipe.SPLITS] == [73, 4, 4]
    assert {line.rstrip(".").split()[-1] for line in found["test"] if line.startswith("It")} == {
        line.split()[1] for line in found["test"] if line.startswith("Page")
    }
    assert not {"deutsch"} & {word for lines in found.values() for line in lines for word in line.split()}


@pytest.mark.parametrize(
    "log, expected",
    [
        ("Evaluated 1,200 tokens in 1.0s\nLoss (base 2): 2.5, P", 0),
        ("Evaluated 1,192 tokens in 1.0s\nLoss (base 2): 2.5, P", 2),  # some were left out
        ("no", 2),
    ],
)
def test_bits_are_of_the_raw_sequence(log, expected, monkeypatch, tmp_path, capsys):
    counted = {"units": 1500, "lines": 3, "tokens": 1200, "unknown": 0}
    (tmp_path / "sizes.json").write_text(json.dumps({"unit": "byte", "test": counted}))
    monkeypatch.setattr("sys.stdin", io.StringIO(log))
    assert load("bits").main([str(tmp_path)]) == expected
    assert ("2.0000 bits per byte (test, 1,500 bytes)" in capsys.readouterr().out) is (expected == 0)
