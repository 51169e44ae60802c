"""Files are written whole or not at all; what is no checkpoint, or not readable here, ends in one line."""

import os
import pickle
import zipfile

import numpy
import pytest
import torch

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.files import read_checkpoint, whole_file, whole_folder, write_checkpoint, write_text

FAILURES = [OSError(28, "No space left on device"), UserError("a mistake"), KeyboardInterrupt()]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, failure):
    path = tmp_path / "a.txt"
    write_text(path, "before\n")
    with pytest.raises((UserError, KeyboardInterrupt)) as error:
        with whole_file(path) as partial, open(partial, "w") as stream:
            stream.write("half")
            raise failure
    assert not isinstance(failure, OSError) or str(error.value) == f"cannot write {path}: No space left on device"
    assert path.read_text() == "before\n" and os.listdir(tmp_path) == ["a.txt"]
    write_text(path, "after\n")
    assert path.read_text() == "after\n" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_write_leaves_the_folder_as_it_was(tmp_path, failure):
    def write(text, failure=None):
        with whole_folder(tmp_path / "a") as folder:
            with open(os.path.join(folder, text), "w") as stream:
                stream.write(text)
            if failure:
                raise failure

    write("before")
    with pytest.raises((UserError, KeyboardInterrupt)):
        write("half", failure)
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["before"]
    write("after")
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["after"]


def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    replace = os.replace

    def refuse(source, target):
        if source.endswith("new"):
            raise OSError(5, "Input/output error")
        replace(source, target)

    (tmp_path / "a").mkdir()
    (tmp_path / "a/before").touch()
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match="Input/output error"), whole_folder(tmp_path / "a"):
        pass
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["before"]


def test_what_is_no_file_is_not_replaced_by_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, why in ((tmp_path / "pipe", "it is no regular file"), (tmp_path / "no/a", "No such file or directory")):
        with pytest.raises(UserError, match=f"cannot write {place}: {why}"):
            write_text(place, "text")
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_full_disk_leaves_the_checkpoint_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    write_checkpoint({"weight": torch.ones(2)}, path)

    def full(state, stream):
        stream.write(b"half of it")
        raise RuntimeError("unexpected pos 64 vs 0")  # torch's words for it

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(UserError, match=f"cannot write {path}: unexpected pos"):
            write_checkpoint({}, path)
    assert read_checkpoint(path)["weight"].tolist() == [1, 1] and os.listdir(tmp_path) == ["a.pt"]


@pytest.mark.parametrize("rest", [b"", b"symbol0 1\n", bytes(200)])
def test_whatever_the_bytes(tmp_path, rest):
    """Text is often the beginning of a pickle, too."""
    path = tmp_path / "dict.de.txt"
    for byte in range(256):
        path.write_bytes(bytes([byte]) + rest)
        with pytest.raises(UserError, match="dict.de.txt: ") as error:
            read_checkpoint(str(path))
        assert "\n" not in str(error.value)


def test_what_the_system_refuses_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.pt").touch()
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(UserError, match="a.pt: cannot be read .Permission denied."):
        read_checkpoint(str(tmp_path / "a.pt"))


class Harm:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_nothing_in_a_checkpoint_is_executed(tmp_path, write):
    write({"model": Harm(tmp_path / "harm")}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="a.pt: .*nothing in it was executed"):
        read_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "harm").exists()


def test_a_truncated_checkpoint(tmp_path):
    torch.save({"weight": torch.ones(1000)}, tmp_path / "a.pt")
    content = (tmp_path / "a.pt").read_bytes()
    for length in (100, len(content) // 2, len(content) - 10):
        (tmp_path / "a.pt").write_bytes(content[:length])
        with pytest.raises(UserError, match="a.pt: .*damaged"):
            read_checkpoint(tmp_path / "a.pt")


def rename(path, old, new):
    """Write the checkpoint again with another name of a module in it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            assert not name.endswith("data.pkl") or old in content
            archive.writestr(name, content.replace(old, new))


@pytest.mark.parametrize("core", [b"core", b"_core"])
def test_scores_of_numpy_1_and_2_are_read(tmp_path, core):
    path = tmp_path / "a.pt"
    torch.save({"best": numpy.float64(1.5), "scores": numpy.arange(3.0)}, path)
    rename(path, b"numpy._core.multiarray", b"numpy.%s.multiarray" % core)
    state = read_checkpoint(str(path))
    assert state["best"] == 1.5 and state["scores"].tolist() == [0, 1, 2]


def test_a_refusal_names_what_it_found(tmp_path):
    torch.save({"best": zipfile.ZipFile}, tmp_path / "a.pt")
    expected = "a.pt: refused by torch's safe loader, nothing in it was executed .it holds zipfile.ZipFile."
    with pytest.raises(UserError, match=expected) as error:
        read_checkpoint(str(tmp_path / "a.pt"))
    assert "\n" not in str(error.value)
