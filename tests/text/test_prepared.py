"""What a recipe has prepared is found by its recipe.json, and what is missing is named."""

import json

import pytest

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.distillation import holds_distilled
from fairseq_ringformer.text.prepared import PreparedData
from fairseq_ringformer.text.subwords import Subwords

DETAILS = {
    "source_lang": "de",
    "target_lang": "en",
    "raw": "raw",
    "bin": "bin",
    "bpe": "sentencepiece",
    "bpe_model": "model",
    "tokenizer": None,
}


@pytest.fixture
def folder(tmp_path):
    for name in ("raw", "bin"):
        (tmp_path / name).mkdir()
    for name in ("model", "bin/dict.de.txt", "bin/dict.en.txt"):
        (tmp_path / name).touch()
    (tmp_path / "raw/test.de").write_text("eins\u2028zwei\rdrei\n\n", encoding="utf-8", newline="")
    (tmp_path / "raw/test.en").write_text("one\u2028two\n\nend", encoding="utf-8", newline="")
    write(tmp_path, DETAILS)
    return tmp_path


def write(folder, details):
    (folder / "recipe.json").write_text(json.dumps(details))


def test_text_is_cut_at_line_feeds_alone(folder):
    assert PreparedData.read(folder).text("test") == (["eins\u2028zwei\rdrei", ""], ["one\u2028two", "", "end"])


def test_paths_are_whole(folder):
    data = PreparedData.read(str(folder))
    assert (data.subwords.bpe, data.subwords.model, data.subwords.tokenizer) == (
        "sentencepiece",
        str(folder / "model"),
        None,
    )
    assert data.binary == folder / "bin" and data.files("test")[1] == folder / "raw/test.en"
    assert data.languages == ("de", "en") and data.details == DETAILS


def test_plain_words_have_no_model(folder):
    write(folder, {name: value for name, value in {**DETAILS, "bpe": None}.items() if name != "bpe_model"})
    assert PreparedData.read(folder).subwords == Subwords(None, None, None)
    assert not holds_distilled(folder)


def test_a_recipe_may_lie_among_the_binary_data(folder):
    write(folder, {name: value for name, value in DETAILS.items() if name != "bin"})
    for language in ("de", "en"):
        (folder / f"dict.{language}.txt").touch()
    assert PreparedData.read(folder).binary == folder


@pytest.mark.parametrize(
    "details, why",
    [
        (
            {**DETAILS, "bpe": "letters"},
            "unknown kind of sub-words 'letters'; known: sentencepiece, subword_nmt, wordpiece",
        ),
        ({**DETAILS, "bpe_model": "other"}, "other: No such file or directory"),
        ({**DETAILS, "target_lang": "fr"}, "dict.fr.txt: No such file or directory"),
        ({"bpe": "sentencepiece"}, "KeyError: 'source_lang'"),
        ([], "TypeError: "),
    ],
)
def test_what_is_missing_is_named(folder, details, why):
    write(folder, details)
    with pytest.raises(UserError) as error:
        PreparedData.read(folder)
    message = str(error.value)
    assert message.startswith(f"{folder} holds no prepared data (") and why in message
    assert message.endswith("): run a recipe's prepare.sh first")


def test_missing_text_is_named(folder):
    (folder / "raw/test.en").unlink()
    with pytest.raises(UserError, match=r"holds no prepared data \(.*/raw/test.en: No such file or directory\): run a"):
        PreparedData.read(folder).text("test")


def test_missing_binary_data_are_named(folder):
    data = PreparedData.read(folder)
    for subset in ("train", "valid", "test"):
        for name in (f"{subset}.de-en.{language}.{end}" for language in ("de", "en") for end in ("idx", "bin")):
            (data.binary / name).touch()
    data.check_binary()
    (data.binary / "valid.de-en.en.bin").unlink()
    with pytest.raises(
        UserError, match=r"holds no prepared data \(.*/bin/valid.de-en.en.bin: No such file or directory\)"
    ):
        data.check_binary()
