"""The HTTP interface: LibreTranslate's, its limits and its errors."""

import contextlib
import json
import socket
import threading
import time
import urllib.parse

import pytest

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.serve.app import Access, Limits, build_app
from fairseq_ringformer.serve.batching import Settings
from tests.serve.fake import Shouting, served

LIMITS = Limits(characters=40, waiting=1, seconds=5)


@pytest.fixture(scope="module")
def client():
    with served(
        Shouting(), Shouting("fr", "en"), Shouting("en", "de"), limits=LIMITS, note=lambda text: None
    ) as client:
        yield client


def test_a_text_or_a_list(client):
    assert client.translate("eins") == (200, {"translatedText": "EINS"})
    assert client.translate(["eins", "", "zwei\ndrei"]) == (200, {"translatedText": ["EINS", "", "ZWEI\nDREI"]})
    assert client.translate([]) == (200, {"translatedText": []})


def test_a_form_is_read_as_json_is(client):
    body = urllib.parse.urlencode(
        {"q": "grüße & küsse", "source": "de", "target": "en", "alternatives": "1", "beam": 2}
    )
    status, _, found = client.ask("POST", "/translate", body, Content_Type="application/x-www-form-urlencoded")
    assert (status, found) == (200, {"translatedText": "GRÜSSE & KÜSSE", "alternatives": ["GRÜSSE & KÜSSE!"]})


def test_alternatives_are_the_other_hypotheses(client):
    assert client.translate(alternatives=2) == (200, {"translatedText": "EINS", "alternatives": ["EINS!", "EINS!!"]})
    assert client.translate(["a", "b"], alternatives=1)[1]["alternatives"] == [["A!"], ["B!"]]
    assert client.translate(alternatives=7)[0] == 200  # a beam that holds them is taken


def test_the_search_is_the_requests(client):
    with served(translator := Shouting(), defaults=Settings(beam=3)) as own:
        own.translate()
        own.translate(beam=2, alternatives=1, alignment=True)
    assert translator.batches == [(["eins"], 3, 1, False), (["eins"], 2, 2, True)]


def test_alignment_says_where_the_decoder_looked(client):
    piece = {"source": "a b", "text": "A B", "score": 0.0}
    piece["alignment"] = {"source": ["a", "b"], "target": ["A", "B"], "weights": [[0.5, 0.5], [0.5, 0.5]]}
    assert client.translate("a b", alignment=True) == (200, {"translatedText": "A B", "pieces": [piece]})
    assert client.translate(" ", alignment=True)[1]["pieces"][0]["alignment"] is None


def test_auto_is_the_only_language_there_is(client):
    detected = {"language": "en", "confidence": 0}
    assert client.translate("one", "auto", "de") == (200, {"translatedText": "ONE", "detectedLanguage": detected})
    assert client.translate(["one"], "auto", "de")[1]["detectedLanguage"] == [detected]
    status, found = client.translate("eins", "auto", "en")
    assert status == 400 and found["error"] == "source: languages are not detected here, name one of de, fr"


def test_languages_settings_health(client):
    german, french, english = client.ask("GET", "/languages")[2]
    assert german == {"code": "de", "name": "German", "targets": ["en"]}
    assert (french["targets"], english["targets"]) == (["en"], ["de"])
    settings = client.ask("GET", "/frontend/settings")[2]
    assert settings["language"] == {
        "source": {"code": "de", "name": "German"},
        "target": {"code": "en", "name": "English"},
    }
    assert (settings["charLimit"], settings["keyRequired"], settings["filesTranslation"]) == (40, False, False)
    assert client.ask("GET", "/health")[2] == {"status": "ok"}


JSON = {"Content_Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "the body is no JSON"),
        ("{", "the body is no JSON"),
        ("[" * 60_000, "the body is no JSON"),
        ("[1]", "the body is no JSON object"),
        ('{"source": "de", "target": "en"}', "q is missing: the text to translate"),
        ('{"q": null}', "q is missing: the text to translate"),
        ('{"q": 1}', "q is neither a text nor a list of texts"),
        ('{"q": ["a", ["b"]]}', "q is neither a text nor a list of texts"),
        ('{"q": "a", "target": "en"}', "source is missing"),
        ('{"q": "a", "source": 1, "target": "en"}', "source is no text"),
        (
            '{"q": "a", "source": "de", "target": "tlh"}',
            "de to tlh is not translated here, but de to en, fr to en, en to de",
        ),
        ('{"q": "a", "format": "html"}', "format: only text is translated here; take the text out of the markup"),
        ('{"q": "a", "alternatives": -1}', "alternatives is no whole number from 0 to 9"),
        ('{"q": "a", "alternatives": true}', "alternatives is no whole number from 0 to 9"),
        ('{"q": "a", "beam": 1e999}', "beam is no whole number from 1 to 10"),
        ('{"q": "a", "beam": 2, "alternatives": 2}', "2 alternatives need a beam of at least 3"),
        ('{"q": "a", "alignment": "perhaps"}', "alignment is neither true nor false"),
        (f'{{"q": "{"a" * 41}", "source": "de", "target": "en"}}', "q has 41 characters, 40 are the limit"),
    ],
)
def test_mistakes_are_answered_in_words(client, body, error):
    status, _, found = client.ask("POST", "/translate", body, **JSON)
    assert (status, found) == (400, {"error": error})


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/translate", 405, "Method Not Allowed"),
        ("POST", "/detect", 404, "languages are not detected here: name the source"),
        ("POST", "/translate_file", 404, "files are not translated here: send their text to /translate"),
    ],
)
def test_other_addresses(client, method, path, status, error):
    found = client.ask(method, path, "" if method == "POST" else None)
    assert (found[0], found[2]) == (status, {"error": error})
    assert found[1]["Allow"] == ("POST" if status == 405 else None)


def test_other_kinds_of_body(client):
    status, _, found = client.ask("POST", "/translate", "q=a", Content_Type="text/plain")
    assert status == 415 and found["error"].startswith("text/plain is not read here: send application/json or ")


def raw(client, head, body=b""):
    """Send bytes, and the first line of what comes back."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        return connection.recv(1000).split(b"\r\n")[0].decode()


def test_a_body_that_is_too_long_is_not_read(client):
    head = f"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 40}"
    assert raw(client, head) == "HTTP/1.1 413 Request Entity Too Large"  # nothing was sent, nothing is waited for
    chunked = "POST /translate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked"
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    assert raw(client, chunked, 2 * chunk).startswith("HTTP/1.1 413 ")


def test_halves_of_characters_are_replaced(client):
    body = r'{"q": "a\ud83d b\ud83d\ude00", "source": "de", "target": "en"}'
    assert client.ask("POST", "/translate", body, **JSON)[2] == {"translatedText": "A\ufffd B😀"}


def test_a_key_where_keys_are_asked():
    with served(Shouting(), access=Access(keys=["geheim", "schlüssel"])) as client:
        assert client.translate() == (403, {"error": "api_key is missing"})
        for wrong in ("geheim ", "geheimer", "\ud800"):
            assert client.translate(api_key=wrong) == (403, {"error": "api_key is not one of this service"})
        for right in ("geheim", "schlüssel"):
            assert client.translate(api_key=right) == (200, {"translatedText": "EINS"})
        assert client.ask("GET", "/frontend/settings")[2]["keyRequired"] is True
        assert client.ask("GET", "/languages")[0] == 200


def status_of(client, **headers):
    return client.ask("POST", "/translate", {"q": "a", "source": "de", "target": "en"}, **headers)[0]


def test_foreign_pages_and_foreign_names_are_refused(client):
    own = f"127.0.0.1:{client.port}"
    for headers in (
        {},
        {"Origin": f"http://{own}"},
        {"Host": "localhost"},
        {"Host": "[::1]:5000"},
        {"Host": "192.0.2.1"},
    ):
        assert status_of(client, **headers) == 200, headers
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}):
        assert status_of(client, **headers) == 403, headers
    for host in ("evil.example", f"evil.example:{client.port}", "localhost.evil.example", "127.0.0.1.evil.example", ""):
        status, _, found = client.ask("GET", "/languages", Host=host)
        assert (
            status == 403
            and f"not called {host.partition(':')[0] or 'so'}: start it with --allow-host" in found["error"]
        )


def test_pages_that_are_allowed():
    page, name = "https://page.example", "translate.example"
    with served(Shouting(), access=Access(origins=[page], hosts=[f"{name}:8443"])) as client:
        assert (
            status_of(client, Host=name)
            == status_of(client, Host=f"{name}:8443")
            == status_of(client, Origin=page)
            == 200
        )
        assert status_of(client, Origin="https://other.example") == 403
        asked = {
            "Origin": page,
            "Access_Control_Request_Method": "POST",
            "Access_Control_Request_Headers": "content-type",
        }
        status, headers, _ = client.ask("OPTIONS", "/translate", **asked)
        assert status == 200 and headers["Access-Control-Allow-Origin"] == page
        status, headers, found = client.ask("POST", "/translate", {}, Origin=page)
        assert status == 400 and headers["Access-Control-Allow-Origin"] == page  # it may read errors, too


def test_a_text_that_cannot_be_translated_is_an_error_of_one():
    noted = []
    with served(Shouting(broken=["bad"]), note=noted.append) as client:
        assert client.translate(["good", "bad"]) == (500, {"error": "this text could not be translated"})
        assert client.translate("good")[0] == 200
    assert noted == ["a text could not be translated: RuntimeError: broken"]


@contextlib.contextmanager
def held(**limits):
    """A service whose translator holds a first request; its client, its translator and the answers that come."""
    translator, answers = Shouting(), []
    with served(translator, limits=Limits(**limits)) as client:
        translator.gate.clear()
        threads = []

        def ask(text):
            threads.append(threading.Thread(target=lambda: answers.append(client.translate(text))))
            threads[-1].start()

        ask("first")
        while not translator.batches:
            time.sleep(0.005)
        try:
            yield client, translator, ask, answers
        finally:
            translator.gate.set()
            for thread in threads:
                thread.join()


def test_more_requests_than_may_wait():
    with held(waiting=1) as (client, translator, ask, answers):
        ask("second")
        time.sleep(0.2)
        status, headers, body = client.ask("POST", "/translate", {"q": "a", "source": "de", "target": "en"})
        assert (status, headers["Retry-After"]) == (503, "1") and body == {"error": "too many requests wait: try again"}
    assert sorted(body["translatedText"] for _, body in answers) == ["FIRST", "SECOND"]


def test_a_request_that_takes_too_long():
    with held(seconds=0.2) as (client, translator, ask, answers):
        status, found = client.translate("late")
        assert (status, found["error"]) == (504, "not translated within 0.2 seconds: send less at once")
        translator.gate.set()
        assert client.translate("next") == (200, {"translatedText": "NEXT"})
        assert ["late"] not in [texts for texts, *_ in translator.batches]  # nobody waits for it any more


def test_who_hangs_up_is_not_translated():
    with held() as (client, translator, ask, answers):
        body = json.dumps({"q": "left", "source": "de", "target": "en"})
        head = f"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            connection.sendall(f"{head}\r\n\r\n{body}".encode())
            time.sleep(0.1)
        time.sleep(0.1)
        translator.gate.set()
        assert client.translate("next")[0] == 200
        assert [texts for texts, *_ in translator.batches] == [["first"], ["next"]]


def test_two_models_of_one_pair():
    with pytest.raises(UserError, match="two models translate de to en: give one"):
        build_app([Shouting(), Shouting()])


def test_the_page_allows_nothing_from_elsewhere(client):
    status, headers, text = client.ask("GET", "/")
    policy = headers["Content-Security-Policy"]
    assert status == 200 and policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    assert (
        "innerHTML" not in text and "src=" not in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    )
