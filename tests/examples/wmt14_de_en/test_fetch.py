"""Where archives come from: addresses, checksums, local mirrors, downloads that break off."""

import hashlib
import http.server
import shutil
import threading
from pathlib import Path

import pytest
from wmt14 import catalogue, fetch

from tests.examples.wmt14_de_en.building import mirror


class Server:
    """Serves one file over HTTP, with its whims.

    Attributes:
        ranges: the Range headers of the requests, None where there was none.
        resumes: whether it heeds them.
        cuts: how many bytes it sends before it drops the connection, request by request.
    """

    def __init__(self, content):
        self.content, self.ranges, self.resumes, self.cuts = content, [], True, []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self)

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, request):
        wanted = request.headers["Range"]
        self.ranges.append(wanted)
        if request.path.endswith("nothing.tgz"):
            request.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.resumes else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        body = self.content[start:]
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetch, "PAUSE", 0)
    server = Server(bytes(range(256)) * 20)
    yield server
    server.http.shutdown()
    server.http.server_close()


def archive_of(content, size=True):
    return catalogue.Archive(
        "wmt13/test.tgz", "sha256", hashlib.sha256(content).hexdigest(), len(content) if size else None
    )


@pytest.fixture
def archives(place):
    return catalogue.with_checksums(place / mirror.CHECKSUMS)


def test_addresses_are_the_published_ones_unless_told_otherwise():
    published = catalogue.addresses(None, {})
    assert published["wmt13/training-parallel-europarl-v7.tgz"] == (
        "https://www.statmt.org/wmt13/training-parallel-europarl-v7.tgz"
    )
    assert published["wmt14/test-full.tgz"] == "https://www.statmt.org/wmt14/test-full.tgz"
    own = catalogue.addresses(None, {"WMT13": "/mnt/wmt/2013/"})
    assert own == {**published, **{name: f"/mnt/wmt/2013/{name[6:]}" for name in own if name.startswith("wmt13")}}
    everything = catalogue.addresses("http://host/x/", {"WMT13": "/mnt"})
    assert everything == {name: f"http://host/x/{name}" for name in catalogue.ARCHIVES}


@pytest.mark.parametrize("name, corpus", [("wmt12", -3), ("wmt13", -2), ("wmt14/full", -1)])
def test_sacrebleu_knows_the_same_test_sets(name, corpus):
    from sacrebleu.dataset import DATASETS

    theirs, ours = DATASETS[name], catalogue.CORPORA[corpus]
    archive = catalogue.ARCHIVES[ours.archive]
    assert [address.split("statmt.org/")[1] for address in theirs.data] == [archive.name]
    assert (archive.algorithm, [archive.checksum]) == ("md5", theirs.md5)
    assert tuple(theirs.langpairs["de-en"]) == ours.members


def test_own_checksums_replace_those_they_name(tmp_path):
    path = tmp_path / "sums.json"
    path.write_text('{"wmt12/test.tgz": {"md5": "ABCD"}, "wmt14/test-full.tgz": {"sha256": "00", "size": 7}}')
    archives = catalogue.with_checksums(path)
    assert archives["wmt12/test.tgz"][1:] == ("md5", "abcd", None)
    assert archives["wmt14/test-full.tgz"][1:] == ("sha256", "00", 7)
    assert archives["wmt13/test.tgz"] == catalogue.ARCHIVES["wmt13/test.tgz"]


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "cannot read"),
        ("{", "is not of the form"),
        ('{"wmt12/test.tgz": {"md5": 5}}', "is not of the form"),
        ('{"wmt12/dev.tgz": {"md5": "00"}}', "names wmt12/dev.tgz, which is none of wmt13/training-parallel-europarl"),
    ],
)
def test_checksums_that_cannot_be_used(refused, tmp_path, content, message):
    if content is not None:
        (tmp_path / "sums.json").write_text(content)
    assert message in refused(catalogue.with_checksums, tmp_path / "sums.json")


def test_a_local_mirror_is_used_where_it_lies(place, archives, tmp_path):
    name = "wmt14/test-full.tgz"
    for address in (str(place / name), (place / name).as_uri()):
        assert fetch.fetch(archives[name], address, tmp_path) == place / name
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda path: path.unlink(), "no archive {path}: a mirror holds wmt12/test.tgz and the others in this layout"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            "{path} has {less:,} bytes, not the {size:,} of wmt12/test.tgz: replace it, or give the mirror's own sums with "
            "--checksums FILE",
        ),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "{path} is not wmt12/test.tgz (sha256 "),
    ],
)
def test_a_local_archive_that_is_not_the_right_one(refused, place, archives, tmp_path, change, message):
    name = "wmt12/test.tgz"
    path = Path(shutil.copytree(place, tmp_path / "own")) / name
    size = path.stat().st_size
    change(path)
    error = refused(fetch.fetch, archives[name], str(path), tmp_path)
    assert error.startswith(message.format(path=path, size=size, less=size - 1))


def test_a_download_is_kept_and_not_repeated(server, tmp_path):
    archive = archive_of(server.content)
    path = fetch.fetch(archive, server.address, tmp_path)
    assert path == tmp_path / "wmt13/test.tgz" and path.read_bytes() == server.content
    assert fetch.fetch(archive, server.address, tmp_path) == path
    assert server.ranges == [None] and [own.name for own in path.parent.iterdir()] == ["test.tgz"]


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("size", [True, False])
def test_a_download_goes_on_from_its_part(server, tmp_path, resumes, size):
    server.resumes = resumes
    part = tmp_path / "wmt13/test.tgz.part"
    part.parent.mkdir()
    part.write_bytes(server.content[:1000])
    path = fetch.fetch(archive_of(server.content, size), server.address, tmp_path)
    assert path.read_bytes() == server.content and server.ranges == ["bytes=1000-"]


def test_a_lost_connection_is_taken_up_again(server, tmp_path):
    server.cuts = [1000, 500]
    path = fetch.fetch(archive_of(server.content), server.address, tmp_path)
    assert path.read_bytes() == server.content and server.ranges == [None, "bytes=1000-", "bytes=1500-"]


def test_a_connection_lost_for_good_keeps_what_came(refused, server, tmp_path):
    server.cuts = [100] * fetch.TRIES
    error = refused(fetch.fetch, archive_of(server.content), server.address, tmp_path)
    part = tmp_path / "wmt13/test.tgz.part"
    assert part.read_bytes() == server.content[:500]
    assert "connection lost at 500 of 5,120 bytes" in error
    assert f"500 bytes are in {part}, the same command goes on from there" in error
    assert fetch.fetch(archive_of(server.content), server.address, tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("size", [True, False])
def test_a_whole_part_only_needs_its_checksum(server, tmp_path, size):
    (tmp_path / "wmt13").mkdir()
    (tmp_path / "wmt13/test.tgz.part").write_bytes(server.content)
    path = fetch.fetch(archive_of(server.content, size), server.address, tmp_path)
    assert path.read_bytes() == server.content
    assert server.ranges == ([] if size else [f"bytes={len(server.content)}-"])


def test_a_download_of_something_else_is_not_used(refused, server, tmp_path):
    other = archive_of(server.content[::-1])
    error = refused(fetch.fetch, other, server.address, tmp_path)
    part = tmp_path / "wmt13/test.tgz.part"
    assert error.startswith(f"{part} is not wmt13/test.tgz (sha256 ") and "delete it and start again" in error
    assert not part.with_suffix("").exists()


def test_mirrors_that_do_not_answer(refused, server, tmp_path):
    part = tmp_path / "x.part"
    error = refused(fetch.download, f"{server.address}/nothing.tgz", part, None)
    assert error == (
        f"cannot fetch {server.address}/nothing.tgz (HTTP 404 Not Found): check the network, "
        "or name another place with --mirror"
    )
    server.http.shutdown()
    server.http.server_close()
    assert f"cannot fetch {server.address} (" in refused(fetch.download, server.address, part, None)
    assert "cannot fetch gopher://x (" in refused(fetch.download, "gopher://x", part, None)
    assert not part.exists()


def test_no_room(refused, server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    error = refused(fetch.download, server.address, tmp_path / "x.tgz.part", 5120)
    assert error == f"{tmp_path} has no room for x.tgz: choose another --cache" and not server.ranges
