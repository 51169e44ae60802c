"""Which files of a folder or an archive are images, and of which class."""

import io
import os
import tarfile

import numpy as np
import pytest

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.data import no_images, open_images
from fairseq_ringformer.vision.data.files import images_in
from tests.vision.images import damage, encoded, picture, write_folder, write_tar


def refused(path) -> str:
    with pytest.raises(UserError) as error:
        open_images(str(path), "")
    assert "\n" not in str(error.value)
    return str(error.value)


def packed(folder, kind: str):
    """The folder itself, or as a tar file of its class folders, or of a tar file for each class."""
    if kind == "folder":
        return folder
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if kind == "nested":
        inner: dict = {}
        for name, content in files.items():
            cls, _, rest = name.partition("/")
            inner.setdefault(cls, {})[rest] = content
        files = {f"{cls}.tar": write_tar(folder.parent / "inner", own).read_bytes() for cls, own in inner.items()}
    return write_tar(folder.parent / f"{kind}.tar", files)


KINDS = pytest.mark.parametrize("kind", ["folder", "tar", "nested"])


@KINDS
def test_images_of_any_ending_are_read_and_other_files_named(tmp_path, kind):
    folder = write_folder(tmp_path / "x", classes=("cat", "dog"), count=2)
    (folder / "bird").mkdir()
    for name, format in {
        "1.webp": "WEBP",
        "2.BMP": "BMP",
        "3.tif": "TIFF",
        "4.gif": "GIF",
        "5": "PNG",
        "6.dat": "JPEG",
    }.items():
        (folder / "bird" / name).write_bytes(encoded(1, format=format))
    for name in ("notes.txt", "empty", "drawing.eps"):
        (folder / "bird" / name).write_bytes(b"" if name == "empty" else b"%!PS-Adobe-3.0 EPSF-3.0\n" * 9)
    root = packed(folder, kind)
    images = open_images(str(root), "")
    assert images.classes == ["bird", "cat", "dog"] and len(images) == 6 + 4
    assert [images[index][1:] for index in range(10)] == [(0, -1)] * 6 + [(1, -1)] * 2 + [(2, -1)] * 2
    bird = root / "bird.tar" if kind == "nested" else root / "bird"
    assert images.others == [f"{bird}/{name}" for name in ("drawing.eps", "empty", "notes.txt")]
    assert no_images(images.others) == [f"3 files are no images, left out: {', '.join(images.others)}"]


@KINDS
def test_what_is_hidden_is_no_data(tmp_path, kind):
    folder = write_folder(tmp_path / "x")
    write_folder(folder, classes=(".ipynb_checkpoints", "cat/.thumbnails"))
    (folder / "cat" / "._1.png").write_bytes(b"what another system leaves")
    (folder / ".DS_Store").write_bytes(b"x")
    images = open_images(str(packed(folder, kind)), "")
    assert images.classes == ["cat", "dog"] and len(images) == 8 and images.others == []


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_class_folder_without_a_readable_image_ends_in_a_line(tmp_path, kind):
    folder = write_folder(tmp_path / "x", count=2)
    (folder / "bird").mkdir()
    (folder / "bird" / "1.txt").write_bytes(b"no image")
    if kind == "folder":
        assert refused(folder) == f"{folder}/bird: a class folder without images: put some there, or remove it"
        (folder / "ant").mkdir()
        assert refused(folder).startswith(f"{folder}/ant: a class folder without images (and 1 more): ")
        (folder / "ant").rmdir()
    (folder / "bird" / "1.png").write_bytes(b"no image")
    root = packed(folder, kind)
    assert refused(root) == (
        f"{root}/bird: a class folder without a readable image; the first is {root}/bird/1.png (in no format of images)"
    )
    write_folder(folder, classes=("bird",), count=3)
    damage(folder / "bird" / "0.png")
    assert len(open_images(str(packed(folder, kind)), "")) == 7


def test_a_folder_beside_the_images_of_a_class_is_no_class(tmp_path):
    folder = write_folder(tmp_path / "x")
    (folder / "cat" / "boxes").mkdir()
    (folder / "cat" / "boxes" / "0.xml").write_bytes(b"<box/>")
    images = open_images(str(folder), "")
    assert images.classes == ["cat", "dog"] and images.others == [f"{folder}/cat/boxes/0.xml"]


def test_links_and_what_has_no_bytes(tmp_path):
    folder = write_folder(tmp_path / "x", count=1)
    (folder / "cat" / "link.png").symlink_to(folder / "dog" / "0.png")
    (folder / "cat" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(folder / "cat" / "pipe.png")
    images = open_images(str(folder), "")
    assert len(images) == 3 and images.others == [f"{folder}/cat/broken.png", f"{folder}/cat/pipe.png"]
    (folder / "dog" / "again").symlink_to(folder)
    assert refused(folder) == f"{folder}/dog/again: a link to a folder that it lies in: remove it"


def test_links_in_an_archive(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind, target in (
            ("./a/0.png", tarfile.REGTYPE, ""),
            ("./b/hard.png", tarfile.LNKTYPE, "./a/0.png"),
            ("./b/soft.png", tarfile.SYMTYPE, "../a/0.png"),
            ("./b/broken.png", tarfile.SYMTYPE, "nowhere.png"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            content = encoded(3) if kind == tarfile.REGTYPE else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    images = open_images(str(tmp_path / "x.tar"), "")
    assert [images.name(index)[-10:] for index in range(3)] == ["ar/a/0.png", "b/hard.png", "b/soft.png"]
    assert all(np.array_equal(np.asarray(images[index][0]), np.asarray(picture(3))) for index in range(3))
    assert images.others == [f"{tmp_path}/x.tar/b/broken.png"]


def test_an_archive_cut_off_between_files(tmp_path):
    tar = write_tar(tmp_path / "x.tar", {f"a/{number}.png": encoded(number) for number in range(4)})
    tar.write_bytes(tar.read_bytes()[:2048])
    assert refused(tar) == f"{tar}: damaged tar file (cut off, it does not end as a tar file does)"


def test_any_name_that_the_file_system_holds(tmp_path):
    """Not UTF-8, colons, digits that int() does not read; in an order that is the same in every process."""
    root = os.fsencode(tmp_path / "x")
    names = [b"\xfcmlaut", b"a:b", b"#?%41 x", "10²3".encode(), "²".encode(), b"Cat", b"cat", b"010", b"10", b"2"]
    for number, name in enumerate(names):
        os.makedirs(os.path.join(root, name))
        with open(os.path.join(root, name, b"\xe4:1.png"), "wb") as stream:
            stream.write(encoded(number))
    images = open_images(os.fsdecode(root), "")
    assert [os.fsencode(name) for name in images.classes[:4]] == [b"2", b"010", b"10", "10²3".encode()]
    assert images.classes.index("Cat") + 1 == images.classes.index("cat")
    for index in range(len(names)):
        number = names.index(os.fsencode(images.classes[images[index][1]]))
        assert np.array_equal(np.asarray(images[index][0]), np.asarray(picture(number)))


def test_all_images_under_a_folder(tmp_path):
    folder = write_folder(tmp_path / "x", count=1)
    write_folder(folder, classes=(".hidden",))
    (folder / "a.webp").write_bytes(encoded(1, format="WEBP"))
    (folder / "readme.md").write_bytes(b"text")
    assert images_in(str(folder)) == (
        [f"{folder}/a.webp", f"{folder}/cat/0.png", f"{folder}/dog/0.png"],
        [f"{folder}/readme.md"],
    )
