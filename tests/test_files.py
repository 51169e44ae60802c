"""Files are written whole or not at all; what is no checkpoint, or not readable here, ends in one line."""

import os
import pickle
import shutil
import subprocess
import sys
import zipfile

import numpy
import pytest
import torch

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.files import is_stream, read_checkpoint, whole_file, whole_folder, write_checkpoint, write_text
from tests.hostile import Harm

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


def test_what_is_no_plain_file_is_not_replaced_by_one(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").symlink_to("/dev/full")
    for place, why in (
        ("folder", "Is a directory"),
        ("no/a", "No such file or directory"),
        ("full", "No space left on device"),
    ):
        with pytest.raises(UserError, match=f"cannot write {tmp_path / place}: {why}"):
            write_text(tmp_path / place, "text")
    with pytest.raises(UserError, match="it is no folder"), whole_folder(tmp_path / "full"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["folder", "full"] and (tmp_path / "full").is_char_device()


def test_an_open_file_is_a_stream_by_any_name(tmp_path):
    """As /dev/stdout, after `> out`: replaced, the file would lose what the command prints to it."""
    with open(tmp_path / "out", "w") as stream:
        (tmp_path / "link").symlink_to(f"/dev/fd/{stream.fileno()}")
        assert is_stream(f"/dev/fd/{stream.fileno()}") and is_stream(tmp_path / "link")
        write_text(tmp_path / "link", "text")
        assert os.fstat(stream.fileno()).st_ino == (tmp_path / "out").stat().st_ino
    assert not is_stream(tmp_path / "out") and not is_stream(tmp_path) and not is_stream(tmp_path / "none")
    assert (tmp_path / "out").read_text() == "text"


def test_a_file_that_replaces_one_has_its_permissions_and_place(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/target").write_text("before")
    os.chmod(tmp_path / "there/target", 0o604)
    if os.geteuid() == 0:
        os.chown(tmp_path / "there/target", 1234, 5678)
    (tmp_path / "link").symlink_to("there/target")
    (tmp_path / "dangling").symlink_to("there/new")
    for name, target in (("link", "target"), ("dangling", "new")):
        write_text(tmp_path / name, "after")
        assert (
            os.readlink(tmp_path / name) == f"there/{target}" and (tmp_path / "there" / target).read_text() == "after"
        )
    status = os.stat(tmp_path / "link")
    assert status.st_mode & 0o777 == 0o604 and (os.geteuid() or (status.st_uid, status.st_gid) == (1234, 5678))


def test_what_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    write_text(tmp_path / "a", "before")
    os.chmod(tmp_path / "a", 0o444)
    if os.geteuid() == 0:  # who may write everything
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="Permission denied"):
        write_text(tmp_path / "a", "after")
    assert (tmp_path / "a").read_text() == "before" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["a.txt", "ä" * 120])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, name):
    code = (
        "import os, sys; from fairseq_ringformer.files import whole_file, whole_folder\n"
        "with whole_folder(sys.argv[1]) as folder, whole_file(sys.argv[2]) as partial:\n"
        "    open(os.path.join(folder, 'x'), 'w').close(); open(partial, 'w').close(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "folder", tmp_path / name]).returncode == -9
    (left,) = tmp_path.glob(".partial.*.folder")
    shutil.copytree(left, kept := tmp_path / ".partial.999999999.folder")
    (kept / "old").mkdir()  # killed between its two renamings
    write_text(tmp_path / name, "text")
    with whole_folder(tmp_path / "folder"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([kept.name, "folder", name])
    with whole_folder(tmp_path / "folder"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted(["folder", name])


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
