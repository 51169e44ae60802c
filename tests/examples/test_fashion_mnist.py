"""The Fashion-MNIST recipe, with a stand-in for Debian's archive: tiny files in the same format."""

import gzip
import hashlib
import importlib.util
import math
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest
import torchvision
from recipe.packages import Package

from fairseq_ringformer.errors import UserError

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "fashion_mnist"
NAME = "dataset-fashion-mnist"
LICENCE = "License: Expat"


def load():
    # Another example has a prepare.py as well.
    specification = importlib.util.spec_from_file_location("prepare_fashion_mnist", RECIPE / "prepare.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


prepare = load()


def idx(*sizes) -> bytes:
    header = struct.pack(f">4B{len(sizes)}I", 0, 0, 8, len(sizes), *sizes)
    return header + bytes(number % 10 for number in range(math.prod(sizes)))


class Archive:
    """Says what apt would, and counts the calls."""

    def __init__(self, contents):
        self.packed = {
            f"usr/share/datasets/fashion-mnist/{name}.gz": gzip.compress(content) for name, content in contents.items()
        }
        self.calls = []

    def find(self, names):
        self.calls.append("find")
        return {name: Package(name, "1.0-2", f"{name}_1.0-2_all.deb", 1, "ab" * 32) for name in names}

    def download(self, packages, cache):
        self.calls.append("download")

    def read(self, package, cache, wanted: re.Pattern):
        self.calls.append("read")
        return {path: content for path, content in self.packed.items() if wanted.search(path)}, LICENCE


@pytest.fixture
def archive(monkeypatch):
    sizes = {
        "train-images-idx3-ubyte": (6, 28, 28),
        "train-labels-idx1-ubyte": (6,),
        "t10k-images-idx3-ubyte": (4, 28, 28),
        "t10k-labels-idx1-ubyte": (4,),
    }
    contents = {name: idx(*own) for name, own in sizes.items()}
    files = {name: prepare.Content(own, hashlib.sha256(contents[name]).hexdigest()) for name, own in sizes.items()}
    assert files.keys() == prepare.FILES.keys()
    monkeypatch.setattr(prepare, "FILES", files)
    monkeypatch.setattr(prepare, "archive", Archive(contents))
    return prepare.archive


def failure(tmp_path, capsys) -> str:
    assert prepare.main(["--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("prepare.sh: ") and error.count("\n") == 1
    assert not (tmp_path / "out" / prepare.RAW).exists()
    return error


def test_torchvision_reads_what_comes_out(archive, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare.main(["--output", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"in {out}: done\n")
    assert [len(torchvision.datasets.FashionMNIST(out, train=train)) for train in (True, False)] == [6, 4]
    assert (out / f"{NAME}.copyright").read_text() == LICENCE
    provenance = (out / "PROVENANCE.md").read_text()
    assert f"{NAME} 1.0-2" in provenance and "ab" * 32 in provenance and f"prepare.sh --output {out}" in provenance
    for name, content in prepare.FILES.items():
        assert f"| {name} | {' x '.join(map(str, content.sizes))} | `{content.sha256}` |" in provenance


def test_a_second_run_does_nothing_and_a_lost_file_is_fetched_again(archive, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare.main(["--output", str(out)]) == 0
    done = list(archive.calls)
    assert prepare.main(["--output", str(out)]) == 0
    assert capsys.readouterr().out.endswith("was done already\n") and archive.calls == done
    for lost in (out / prepare.RAW / "t10k-labels-idx1-ubyte", out / "PROVENANCE.md"):
        lost.unlink()
        assert prepare.main(["--output", str(out)]) == 0
        assert lost.is_file()


def test_an_interrupted_run_is_done_again(archive, tmp_path, monkeypatch, capsys):
    def interrupted(package, options, folder):
        (folder / "train-images-idx3-ubyte").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "unpack", interrupted)
        assert prepare.main(["--output", str(tmp_path / "out")]) == 130
    assert "interrupted; the same command goes on from here" in capsys.readouterr().err
    assert not (tmp_path / "out" / prepare.RAW).exists()
    assert prepare.main(["--output", str(tmp_path / "out")]) == 0
    assert len(torchvision.datasets.FashionMNIST(tmp_path / "out")) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "it has 13 bytes, not 14"),
        (lambda content: content[:-1] + b"x", "its SHA-256 is another"),
        (lambda content: content[:4] + b"\1" + content[5:], "its header does not announce 6 bytes"),
    ],
)
def test_other_contents_are_refused(archive, tmp_path, capsys, change, message):
    path = "usr/share/datasets/fashion-mnist/train-labels-idx1-ubyte.gz"
    archive.packed[path] = gzip.compress(change(gzip.decompress(archive.packed[path])))
    assert f"train-labels-idx1-ubyte is not Fashion-MNIST's ({message})" in failure(tmp_path, capsys)


def test_damaged_and_missing_files_are_named(archive, tmp_path, capsys):
    path = "usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
    archive.packed[path] = archive.packed[path][:-20]
    assert "cannot unpack train-images-idx3-ubyte.gz" in failure(tmp_path, capsys)
    del archive.packed[path]
    assert "has no train-images-idx3-ubyte.gz: another version" in failure(tmp_path, capsys)


def test_what_is_missing_is_told(archive, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(archive, "find", lambda names: {})
    assert f"package {NAME} is in no package list: run 'apt-get update' as root" in failure(tmp_path, capsys)

    def unreachable(packages, cache):
        raise UserError("could not download it")

    monkeypatch.undo()
    monkeypatch.setattr(prepare, "archive", Archive({}))
    monkeypatch.setattr(prepare.archive, "download", unreachable)
    assert failure(tmp_path, capsys) == "prepare.sh: could not download it\n"
    (tmp_path / "file").write_text("")
    assert prepare.main(["--output", str(tmp_path / "file" / "out")]) == 1
    assert "cannot write to" in capsys.readouterr().err


def test_without_apt_the_command_says_so(tmp_path):
    for program in ("dirname", "python3"):
        (tmp_path / program).symlink_to(subprocess.check_output(["which", program], text=True).strip())
    result = subprocess.run(
        ["/bin/bash", str(RECIPE / "prepare.sh"), "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("prepare.sh: apt-get is not on this machine: packages need Debian")
