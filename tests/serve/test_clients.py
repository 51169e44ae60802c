"""Clients of LibreTranslate that others wrote, as their documentation shows them."""

import json
import os
import shutil
import subprocess
import urllib.error
from pathlib import Path

import pytest

from fairseq_ringformer.serve.app import Access
from tests.serve.fake import Shouting, served

ROOT = Path(__file__).resolve().parents[2]
TEXT = "Grüße & Küsse, „Ring“ 😀\nzwei"


@pytest.fixture
def client():
    with served(Shouting(), access=Access(keys=["geheim"])) as client:
        yield client


def test_libretranslatepy(client):
    libretranslatepy = pytest.importorskip("libretranslatepy")
    url = f"http://127.0.0.1:{client.port}"
    library = libretranslatepy.LibreTranslateAPI(url, api_key="geheim")
    assert library.translate(TEXT, "de", "en") == TEXT.upper()
    assert library.languages()[0] == {"code": "de", "name": "German", "targets": ["en"]}
    with pytest.raises(urllib.error.HTTPError) as error:
        libretranslatepy.LibreTranslateAPI(url).translate(TEXT, "de", "en")
    assert error.value.code == 403 and json.load(error.value) == {"error": "api_key is missing"}


def npm_package(name: str) -> Path:
    """The folder of an npm package, in NODE_PATH or in this repository; skip where it is not."""
    if shutil.which("node") is None:
        pytest.skip("no node here (Debian: apt-get install nodejs npm)")
    folders = [*os.environ.get("NODE_PATH", "").split(os.pathsep), ROOT / "node_modules"]
    for folder in filter(None, folders):
        if (Path(folder) / name).is_dir():
            return Path(folder, name)
    pytest.skip(f"no {name} here (npm install --no-save {name})")


def node(script: str) -> list:
    """What a module for node prints, line by line as JSON."""
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_translate_of_npm(client):
    package = npm_package("translate")
    script = f"""
    import {{ Translate }} from {json.dumps((package / "index.min.js").as_uri())};
    const options = {{ engine: "libre", url: "http://127.0.0.1:{client.port}/translate", from: "de", to: "en" }};
    console.log(JSON.stringify(await new Translate({{ ...options, key: "geheim" }})({json.dumps(TEXT)})));
    try {{ await new Translate({{ ...options, key: "falsch" }})("other"); }}
    catch (error) {{ console.log(JSON.stringify(error.message)); }}
    """
    assert node(script) == [TEXT.upper(), "api_key is not one of this service"]


def test_libretranslate_ts_of_npm(client):
    package = npm_package("libretranslate-ts")
    script = f"""
    import bundle from {json.dumps((package / "dist/bundle.cjs.js").as_uri())};
    const {{ libreTranslate }} = bundle;
    libreTranslate.setApiEndpoint("http://127.0.0.1:{client.port}");
    libreTranslate.setApiKey("geheim");
    console.log(JSON.stringify(await libreTranslate.translate({json.dumps(TEXT)}, "de", "en", 1)));
    console.log(JSON.stringify(await libreTranslate.listLanguages()));
    """
    translation, languages = node(script)
    assert translation == {"status": 200, "translatedText": TEXT.upper(), "alternatives": [TEXT.upper() + "!"]}
    assert languages[0]["code"] == "de"
