"""Hugging Face's tokenizer cuts and joins text as this package does, to the ids of the dictionaries."""

import random
import re

import pytest
import sentencepiece
from transformers import AutoTokenizer

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.hf_tokenizer import build_tokenizer
from fairseq_ringformer.text.normalisation import Normalisation
from fairseq_ringformer.text.subwords import SPECIAL, Subwords, build_codec

WORDS = 'der die das Haus Häuser Größe größer gehen geht the house houses is are big bigger going 3,5 (ein) "ja" wo? - km/h. <a> punkt'.split()
AWKWARD = [
    "",
    "   ",
    "  zwei   Häuser ",
    "</s> <s> <unk> <pad> das</s>",
    "中文 字 das 中a文",
    "\u2581 Haus \u2581",
    "\u2581\u2581",
    "das \u2581 ",
    "Haus\u00a0ist\u2028gro\u00adß",
    "Gro\u0308\u00dfe »Haus« ‚x‘ …—–‑− ½ ² ™ ＡＢ ﬁ ſ",
    "tab\there\nline\r\nbreak \x07\x00",
    ">>de<< das Haus",
    "aaaaaaaaaaaa das",
    "\U0001f642\ufe0f ok \u200b\ufeff",
    "das@@ Ha@@ us",
]
NORMALISATION = Normalisation(
    "NFC",
    {"„": '"', "“": '"', "…": "...", "\u00ad": ""},
    spaces=True,
    characters="".join(sorted({*"".join(WORDS)})) + '"-.',
)


def lines(seed=1, count=300):
    """Sentences, and characters and pieces of words in any order."""
    rng = random.Random(seed)
    letters = "".join(WORDS) + "    „“»—…ëxQ\u2581\u00a0\u3000中🙂"
    drawn = [" ".join(rng.choices(WORDS, k=rng.randint(1, 8))) for _ in range(count)]
    return drawn, [*AWKWARD, *("".join(rng.choices(letters, k=rng.randint(1, 20))) for _ in range(count))]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of sentencepiece, one of subword-nmt."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "text").write_text("\n".join(lines()[0]) + "\n", encoding="utf-8")
    for name, options in {
        "bpe": dict(vocab_size=90),
        "identity": dict(vocab_size=90, normalization_rule_name="identity", remove_extra_whitespaces=False),
        "unigram": dict(vocab_size=50, model_type="unigram"),
        "user": dict(vocab_size=90, user_defined_symbols="<x>"),
    }.items():
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text"),
            model_prefix=str(folder / name),
            minloglevel=2,
            num_threads=1,
            **{"model_type": "bpe", **options},
        )
    (folder / "codes").write_text(
        "#version: 0.2\na s</w>\nd as</w>\nd e\nH a\nu s</w>\nHa us</w>\nh o\nho u\n", encoding="utf-8"
    )
    return folder


def subwords(models, bpe, name, normalisation=None):
    return Subwords(bpe, name and str(models / name), None, normalisation)


def dictionary(codec, seed):
    """What fairseq-preprocess finds in text, without its seldom words."""
    found = {word: 0 for line in lines(seed)[0] for word in codec.encode(line).split()}
    return [*SPECIAL, *sorted(found)[:-3], "madeupword0000"]


KINDS = [
    ("sentencepiece", "bpe.model"),
    ("sentencepiece", "identity.model"),
    ("sentencepiece", "unigram.model"),
    ("subword_nmt", "codes"),
    (None, None),
]
# They leave white space as it is.
UNCHANGED = ("identity.model", "codes")


@pytest.mark.parametrize("normalisation", [None, NORMALISATION], ids=["as it is", "normalised"])
@pytest.mark.parametrize(("bpe", "name"), KINDS)
def test_ids_are_those_of_the_dictionaries(models, tmp_path, bpe, name, normalisation):
    cut = subwords(models, bpe, name, normalisation)
    codec = build_codec(cut, "de", "en")
    source = dictionary(codec, seed=1)
    target = [*SPECIAL, *source[:10:-1]]  # another order, and some that the source has not
    built, rows = build_tokenizer(cut, source, target, 100)
    built.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    known = {symbol: number for number, symbol in enumerate(source)}
    for text in (*lines(seed=2)[0], *lines(seed=3)[1]):
        if name in UNCHANGED and normalisation is None and re.search(r"[^\S ]", text):
            continue  # where other white space is left, it is an unknown piece here, and none to fairseq
        expected = [known.get(word, 3) for word in codec.encode(text).split()]
        # Text that looks like a special symbol is not one.
        expected = [number if number > 3 else 3 for number in expected]
        assert [rows[number] for number in tokenizer(text).input_ids] == [*expected, 2], text
    for text in lines(seed=2)[0][:50]:
        words = [word for word in codec.encode(text).split() if word in target]
        ids = [target.index(word) for word in words]
        assert tokenizer.decode([2, *ids, 3, *ids, 2, 1, 1], skip_special_tokens=True) == codec.decode(
            " ".join([*words, "<unk>", *words])
        )
    assert tokenizer.model_max_length == 100


@pytest.mark.parametrize("name", ["codes", "identity.model"])
def test_white_space_is_single_blanks_behind_fairseqs_space_tokenizer(models, name):
    cut = Subwords("subword_nmt" if name == "codes" else "sentencepiece", str(models / name), "space")
    words = build_codec(cut, "de", "en").encode("das\u00a0 Haus\tdas").split()
    source = [*SPECIAL, *dict.fromkeys(words)]
    tokenizer, _ = build_tokenizer(cut, source, source, 100)
    assert tokenizer("das\u00a0 Haus\tdas").input_ids == [*map(source.index, words), 2]


def test_with_one_dictionary_the_ids_are_its_own(models):
    cut = subwords(models, "sentencepiece", "bpe.model")
    codec = build_codec(cut, "de", "en")
    source = dictionary(codec, seed=1)
    _, rows = build_tokenizer(cut, source, source, 100)
    assert rows[: len(source)] == list(range(len(source))) and set(rows[len(source) :]) == {3}


def test_bytes(byte_fallback):
    cut = Subwords("sentencepiece", byte_fallback.path, None)
    codec = build_codec(cut, "de", "en")
    source = [*SPECIAL, *(byte_fallback.id_to_piece(number) for number in range(3, 300))]
    tokenizer, rows = build_tokenizer(cut, source, source, 100)
    assert len(rows) == len(source)
    for text in ("eins \U0001f642 two", "Größe ➜ 中文", "<0x41> two", ""):
        ids = tokenizer(text).input_ids
        assert ids == [*(source.index(word) for word in codec.encode(text).split()), 2]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    bytes_of_breaks = [source.index(word) for word in "▁one <0x0A> <0x0D> ▁two <0x0A>".split()]
    assert tokenizer.decode(bytes_of_breaks) == "one  two"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(tokenizer="moses"), "tokenizers cannot do what --tokenizer moses does"),
        (dict(bpe="wordpiece"), "cannot write the marker of blanks that --wordpiece-model"),
        (dict(model="user.model"), "no sentencepiece with user-defined symbols"),
        (dict(model="text"), "not a model of sentencepiece, or a damaged one"),
        (dict(bpe="subword_nmt", model="text"), "no merges of subword-nmt 0.2"),
        (dict(normalisation=Normalisation(replace={"ß": "ss", "s": "z"})), "cannot normalise text as its recipe says"),
    ],
)
def test_what_tokenizers_cannot_is_refused(models, change, message):
    details = {"bpe": "sentencepiece", "model": "bpe.model", "tokenizer": None, "normalisation": None, **change}
    cut = Subwords(**{**details, "model": str(models / details["model"])})
    with pytest.raises(UserError, match=message):
        build_tokenizer(cut, SPECIAL, SPECIAL, 100)


def test_a_dictionary_of_other_special_symbols_is_refused(models):
    with pytest.raises(UserError, match="begins with <s> <pad> </s> x, not with <s> <pad> </s> <unk>"):
        build_tokenizer(subwords(models, None, None), ["<s>", "<pad>", "</s>", "x"], SPECIAL, 100)
