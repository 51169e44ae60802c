"""Files that are no checkpoints, or are not readable here, end in one line."""

import zipfile

import numpy
import pytest
import torch

from fairseq_ringformer.files import read_checkpoint


@pytest.mark.parametrize("rest", [b"", b"symbol0 1\n", bytes(200)])
def test_whatever_the_bytes(tmp_path, rest):
    """Text is often the beginning of a pickle, too."""
    path = tmp_path / "dict.de.txt"
    for byte in range(256):
        path.write_bytes(bytes([byte]) + rest)
        with pytest.raises(ValueError, match="dict.de.txt: ") as error:
            read_checkpoint(str(path))
        assert "\n" not in str(error.value)


def test_what_the_system_refuses_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.pt").touch()
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ValueError, match="a.pt: cannot be read .Permission denied."):
        read_checkpoint(str(tmp_path / "a.pt"))


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
    with pytest.raises(ValueError, match=expected) as error:
        read_checkpoint(str(tmp_path / "a.pt"))
    assert "\n" not in str(error.value)
