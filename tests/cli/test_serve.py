"""``ringformer serve`` as a process of its own, with a model."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fairseq_ringformer.cli.serve import _origin, _read_keys
from fairseq_ringformer.errors import UserError
from fairseq_ringformer.serve import server
from fairseq_ringformer.serve.app import Limits
from fairseq_ringformer.serve.batching import Settings
from tests.serve.fake import Client, served
from tests.serve.test_hostile import ask_all, plain, texts

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def process(*arguments):
    """A running service: its process and a client."""
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main", "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as service:
        try:
            line = service.stdout.readline()
            assert line.startswith("ringformer serve: de to en at http://127.0.0.1:"), line + service.stderr.read()
            yield service, Client(int(line.split(":")[-1].split()[0]))
        finally:
            service.kill()


def test_a_service_translates_as_translate_does_and_stops_when_told(toy, exported, ringformer):
    lines = (toy.root / "valid.de").read_text(encoding="utf-8").splitlines()
    expected = ringformer("translate", "--model", exported, *lines)[1].splitlines()
    with process("--model", exported, "--threads", 1, "--char-limit", 10**6) as (service, client):
        assert client.translate(lines)[1] == {"translatedText": expected}
        assert client.translate(lines[0], alternatives=1)[1]["translatedText"] == expected[0]
        (piece,) = client.translate(lines[0], alignment=True)[1]["pieces"]
        assert len(piece["alignment"]["weights"]) == len(piece["alignment"]["target"]) > 1
        # Much work is asked for, then it is told to stop: the work is done, and nothing new is taken.
        answers = []
        asking = threading.Thread(target=lambda: answers.append(client.translate(100 * lines)))
        asking.start()
        while client.ask("GET", "/health")[0] != 200:
            pass
        threading.Event().wait(0.2)
        service.send_signal(signal.SIGTERM)
        asking.join(60)
        assert answers == [(200, {"translatedText": 100 * expected})]
        assert (service.wait(20), service.stderr.read()) == (0, "")
        with pytest.raises(ConnectionRefusedError):
            client.ask("GET", "/health")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--model", "nowhere"), "nowhere"),
        (("--model", "{exported}", "--api-key-file", "nowhere"), "--api-key-file nowhere: "),
        (("--model", "{exported}", "--api-key-file", ""), "No such file or directory"),
        (("--model", "{exported}", "--api-key-file", "/dev/null"), "holds no key: write one in each line"),
        (("--model", "{exported}", "--allow-origin", "https://a.example/"), "without a path"),
        (("--model", "{exported}", "--allow-host", "https://a.example"), "a name alone, as translate.example.org"),
        (("--model", "{exported}", "--host", "no.such.name.invalid"), "--host no.such.name.invalid --port 5000: "),
        (("--model", "{exported}", "--device", "nonsense"), "nonsense"),
    ],
)
def test_mistakes(exported, refused, flags, text):
    assert text in refused("serve", *(flag.format(exported=exported) for flag in flags))


def test_origins_are_as_browsers_write_them():
    for origin in ("https://Example.org", "https://example.org:443", "https://example.org"):
        assert _origin(origin) == "https://example.org"
    kept = ["http://example.org:443", "https://example.org:8443", "*", "null"]
    assert list(map(_origin, kept)) == kept


def test_one_of_two_services_that_start_at_once_is_refused():
    with server.bind("127.0.0.1", 0) as first, server.bind("127.0.0.1", first.getsockname()[1]) as second:
        server.listen(first)
        with pytest.raises(UserError, match="Address already in use"):
            server.listen(second)


def test_keys_are_lines_without_what_an_editor_adds(tmp_path):
    (tmp_path / "keys").write_bytes(b"\xef\xbb\xbfgeheim \r\n\n schl\xc3\xbcssel")
    assert _read_keys(tmp_path / "keys") == ["geheim", "schlüssel"]


def test_a_port_that_is_taken(exported, refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port}: Address already in use" in refused("serve", "--model", exported, "--port", port)


@pytest.mark.slow
def test_ten_thousand_hostile_requests(exported):
    """Answers are those of the translator alone; a batch may tip a translation of which two are equally likely."""
    from fairseq_ringformer.text import Translator

    asked = texts(10_000)
    with Translator(str(exported), threads=2, note=lambda text: None) as translator:
        expected = [found.text for found in translator.translate([plain(text) for text in asked], beam=2)]
        with served(translator, defaults=Settings(beam=2), limits=Limits(seconds=300)) as client:
            found = ask_all(client, asked)
    assert [status for status, _ in found] == [200] * len(asked)
    other = [index for index, (_, answer) in enumerate(found) if answer["translatedText"] != expected[index]]
    assert len(other) <= 10, [(asked[index], found[index], expected[index]) for index in other[:3]]
