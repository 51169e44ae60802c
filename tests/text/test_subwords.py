"""Sub-words are those of fairseq's --tokenizer and --bpe."""

import argparse
import json
import sys

import pytest
import sentencepiece

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.normalisation import Normalisation
from fairseq_ringformer.text.prepared import recipe_normalisation, recipe_subwords
from fairseq_ringformer.text.subwords import Subwords, build_codec


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "text").write_text("ein, zwei & drei: bin ein Wort.\n" * 20, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "sp"), model_type="bpe", vocab_size=30, minloglevel=2
    )
    (folder / "codes").write_text("#version: 0.2\ne i\nei n</w>\nb i\n", encoding="utf-8")
    vocabulary = ("[UNK]", "[MASK]", *"ein,&»«.-3", "##e", "##i", "##n")
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    return folder


@pytest.mark.parametrize("tokenizer", [None, "moses", "space"])
@pytest.mark.parametrize(
    ("bpe", "name"), [(None, None), ("sentencepiece", "sp.model"), ("subword_nmt", "codes"), ("wordpiece", "vocab.txt")]
)
def test_text_is_cut_as_fairseq_cuts_it(models, bpe, name, tokenizer):
    from fairseq.data import encoders

    import fairseq_ringformer.models.wordpiece  # noqa: F401  registers it

    model = name and str(models / name)
    codec = build_codec(Subwords(bpe, model, tokenizer), "de", "en")
    options = argparse.Namespace(
        tokenizer=tokenizer,
        bpe=bpe,
        source_lang="de",
        target_lang="en",
        sentencepiece_model=model,
        bpe_codes=model,
        wordpiece_model=model,
    )
    tokenize, cut = encoders.build_tokenizer(options), encoders.build_bpe(options)
    for text in ("ein, zwei & »drei« bin-ein.", "", "  zwei   Wörter\t!", "3. Mai, z. B. <unk> x@@ y", "\u2581 a"):
        expected = text if tokenize is None else tokenize.encode(text)
        expected = expected if cut is None else cut.encode(expected)
        assert codec.encode(text) == expected
        back = expected if cut is None else cut.decode(expected)
        assert codec.decode(expected) == (back if tokenize is None else tokenize.decode(back))


def test_bytes_become_characters_again(byte_fallback):
    codec = build_codec(Subwords("sentencepiece", byte_fallback.path, None), "de", "en")
    for text in ("eins \U0001f642", "Größe ➜ 中文", "<0x41> two", ""):
        assert codec.decode(codec.encode(text)) == text
    assert "<0xF0> <0x9F>" in codec.encode("\U0001f642")
    # A line stays one line, whatever bytes a model makes.
    assert codec.decode("▁one <0x0A> <0x0D> ▁two <0x0A>") == "one  two"
    assert codec.encode("one\rtwo") == codec.encode("one two")


def test_text_is_normalised_before_it_is_cut(models):
    normalisation = Normalisation("NFC", {"„": "»", "“": "«"}, spaces=True)
    for bpe, name in (
        (None, None),
        ("sentencepiece", "sp.model"),
        ("subword_nmt", "codes"),
        ("wordpiece", "vocab.txt"),
    ):
        path = name and str(models / name)
        codec = build_codec(Subwords(bpe, path, None, normalisation), "de", "en")
        plain = build_codec(Subwords(bpe, path, None), "de", "en")
        assert codec.encode("zwei\u00a0 „dru\u0308i“") == plain.encode("zwei »drüi«")


def test_a_package_that_lacks_is_not_called_a_damaged_model(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "subword_nmt.apply_bpe", None)
    with pytest.raises(UserError, match="these sub-words need subword_nmt.*scripts/setup.sh subwords"):
        build_codec(Subwords("subword_nmt", str(models / "codes"), None), "de", "en")


def test_a_tokenizer_that_is_not_here_is_not_passed_over():
    with pytest.raises(UserError, match="unknown tokenizer 'nltk' before the sub-words; known: moses, space"):
        build_codec(Subwords(None, None, "nltk"), "de", "en")


@pytest.mark.parametrize("bpe", ["sentencepiece", "subword_nmt"])
def test_a_damaged_model_is_named(tmp_path, bpe):
    (tmp_path / "bad").write_bytes(b"\x00nothing of the kind")
    with pytest.raises(UserError, match=f"bad: not a model of {bpe}, or a damaged one"):
        build_codec(Subwords(bpe, str(tmp_path / "bad"), None), "de", "en")


def test_a_recipe_counts_for_its_own_data_alone(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "other").mkdir()
    recipe = {"bpe": "subword_nmt", "bpe_model": "codes", "tokenizer": "moses", "bin": "bin"}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    expected = Subwords("subword_nmt", str(tmp_path / "codes"), "moses")
    assert recipe_subwords(str(tmp_path)) == recipe_subwords(str(tmp_path / "bin")) == expected
    assert recipe_subwords(str(tmp_path / "other")) is None
    (tmp_path / "other/recipe.json").write_text("{")
    with pytest.raises(UserError, match="recipe.json: not a recipe, or a damaged one"):
        recipe_subwords(str(tmp_path / "other"))
    (tmp_path / "other/recipe.json").write_text("{}")
    with pytest.raises(UserError, match="recipe.json: not a recipe of sub-words"):
        recipe_subwords(str(tmp_path / "other"))


def test_a_recipe_says_how_text_was_normalised(tmp_path):
    recipe = {"bpe": "subword_nmt", "bpe_model": "codes", "normalisation": {"form": "NFC", "spaces": True}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    expected = Normalisation("NFC", spaces=True)
    assert recipe_subwords(str(tmp_path)).normalisation == recipe_normalisation(str(tmp_path)) == expected
    (tmp_path / "recipe.json").write_text(json.dumps({**recipe, "normalisation": "NFC"}))
    for read in (recipe_subwords, recipe_normalisation):
        with pytest.raises(UserError, match="recipe.json: its normalisation is not of form"):
            read(str(tmp_path))
    assert recipe_normalisation(str(tmp_path / "no")) is None
