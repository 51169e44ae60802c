"""WordPieces against Hugging Face's own BERT tokenizer, and there and back."""

import json
import pickle
import random
import string
import subprocess
import sys

import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled
from tokenizers import BertWordPieceTokenizer, Tokenizer, models

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.wordpieces import WordPieces

LETTERS = string.ascii_letters + string.digits + "äöüßÄÖÜéñ€°"
MARKS = string.punctuation + "„“”‚‘’«»–—…•¿"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the house Haus gut good und don re MASK UNK ##ing ##se 10 20".split()
VOCABULARY = [*SPECIAL, *LETTERS, *MARKS, "漢", "字", *(f"##{letter}" for letter in LETTERS), *WORDS]
TEXTS = [
    "",
    "the house",
    "  the\thouse  is\u00a0good ",
    'He said: "Don\'t do (that)!" – 3.5 % of 1,000, at 10:30.',
    "a , b ;c ! d?e .f ( g ) [h ]i",
    "„gut“ und »gut«, « bon », “good” ‘yes’ ' x ' 'y' \" z \" \"w\"",
    "well-known - and -x --help Ein- und Ausgabe, Ein -und-aus",
    "a/b a / b a/ b a /b http://www.example.com/~x_y?z=1&w=%20#top",
    "f(x)=2*x+1; y = -1 e.g. z.B. x@y.de C:\\dir $HOME ${x} `ls`",
    "[MASK] a[MASK]b [UNK] ##s x ##s ##ing [CLS][SEP] [PAD] </s> <s> <unk> <pad> [unused1]",
    "# ## ### a#b ##",
    "漢字 und 漢 字x 漢.字",
    "don't don 't don' t DON'T dogs' 'tis rock'n'roll",
    "..... . . . ...a",
    "5° °C 5 ° 10–20 10 – 20 –x – …x… … ¿que ?",
]


def one_blank(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("".join(f"{symbol}\n" for symbol in VOCABULARY), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pieces(path):
    return WordPieces.load(path)


def write(folder, symbols, config=None):
    (folder / "vocab.txt").write_text("".join(f"{symbol}\n" for symbol in symbols), encoding="utf-8")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder / "vocab.txt"


def random_texts(count):
    rng = random.Random(1)
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 20)):
            parts.append(rng.choice(("house", "don", "a", "10", "S", "漢", "MASK", *MARKS, *MARKS)))
            parts.append(rng.choice(("", "", " ", "\t ")))
        yield "".join(parts)


@pytest.mark.parametrize("text", TEXTS)
def test_there_and_back(pieces, text):
    assert pieces.decode(pieces.encode(text)) == one_blank(text)
    assert "[UNK]" not in pieces.encode(text).split()


def test_there_and_back_with_any_marks_and_blanks(pieces):
    for text in random_texts(500):
        assert pieces.decode(pieces.encode(text)) == one_blank(text), text


@pytest.mark.parametrize("lowercase", [False, True])
def test_pieces_are_those_of_hugging_face(path, tmp_path, lowercase):
    """Apart from markers. Its tokenizer takes "[MASK]" in a text for its own entry; that is left out here."""
    own = WordPieces.load(write(tmp_path, VOCABULARY, {"do_lower_case": lowercase}))
    strip = None if lowercase else False
    reference = BertWordPieceTokenizer(str(path), lowercase=lowercase, strip_accents=strip)
    odd = [
        "naïve Ünïcödé € ΑΒΓ",
        "a\u200bb \u00adc\x00 d\u2028e \ufeff",
        "漢x字 ひ漢",
        "x" * 101,
        "😀 good😀",
        "\x85a\x0bb",
    ]
    for text in (*TEXTS, *odd, *random_texts(100)):
        if any(special in text for special in SPECIAL):
            continue
        expected = reference.encode(text, add_special_tokens=False).tokens
        assert [piece for piece in own.encode(text).split() if piece != "[MASK]"] == expected, text


def test_ordinary_sentences_get_no_marker(pieces):
    for text in ('He said: "Don\'t do that (please)!"', "Am 3. Mai war es „gut“, z. B. um 10:30 Uhr – oder 3,5 %?"):
        marked = [piece for piece in pieces.encode(text).split() if piece == "[MASK]"]
        assert len(marked) == text.count(" %")
    assert pieces.encode("a / b") == "a [MASK] / [MASK] b"


def test_what_bert_takes_away_is_all_that_is_lost(pieces):
    assert pieces.decode(pieces.encode("a\u00ad\u200bb.\u200b c\ufeff .\x07d\ufffd\u3000e")) == "ab. c .d e"


def test_unknown_words_are_one_entry_each_and_visible(pieces):
    assert pieces.encode("the жук, 😀!") == "the [UNK] , [UNK] !"
    assert pieces.decode("the [UNK] , <unk> !") == "the <unk>, <unk>!"
    assert pieces.encode("x" * 101) == "[UNK]"  # BERT's longest word has 100 characters


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("##ing house", "ing house"),
        ("[MASK] house [MASK]", "house"),
        ("a [MASK] [MASK] . b", "a. b"),
        ("a [MASK] ##s . [MASK] b", "as.b"),
        ("a ##", "a ##"),
        ("", ""),
        ("[MASK]", ""),
        ("<unk> ##s <<unk>>", "<unk>s <<unk>>"),
    ],
)
def test_whatever_a_model_writes_is_decoded(pieces, written, text):
    assert pieces.decode(written) == text


def test_many_lines_are_encoded_as_one_by_one(pieces, monkeypatch):
    monkeypatch.setattr("fairseq_ringformer.text.wordpieces.BATCH", 7)
    assert list(pieces.encode_lines(iter(TEXTS))) == [pieces.encode(text) for text in TEXTS]
    assert pickle.loads(pickle.dumps(pieces)).encode(TEXTS[3]) == pieces.encode(TEXTS[3])


@pytest.mark.parametrize(
    ("special", "marker", "left"),
    [
        (["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<mask>", ["<mask>"]),
        (["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[unused7]", "[unused2]"], "[unused7]", ["[unused7]", "[unused2]"]),
        (["[CLS]", "[PAD]", "[SEP]", "[UNK]"], None, []),
        (["[UNK]", "<s>", "[CLS]"], None, ["[CLS]"]),
    ],
)
def test_special_entries(tmp_path, special, marker, left):
    own = WordPieces.load(write(tmp_path, [*special, *VOCABULARY[5:]]))
    assert (own.marker, own.lossless) == (marker, marker is not None)
    assert own.dictionary() == [*left, *VOCABULARY[5:]]
    slash = " / " if marker else "/"
    assert own.decode(own.encode("a / b, ж [unused7] <mask>")) == f"a{slash}b, <unk> [unused7] <mask>"


def test_a_tokenizer_json_says_the_same(pieces, path, tmp_path):
    pieces.save(tmp_path / "tokenizer.json")
    reference = BertWordPieceTokenizer(str(path), lowercase=False)
    reference.enable_truncation(3)
    reference.enable_padding(length=5)
    reference.save(str(tmp_path / "theirs"))
    write(tmp_path, ["[UNK]"])  # a folder's tokenizer.json comes first
    for name in ("tokenizer.json", "theirs", "."):
        own = WordPieces.load(tmp_path / name)
        assert own.dictionary() == pieces.dictionary()
        assert [own.encode(text) for text in TEXTS] == [pieces.encode(text) for text in TEXTS]
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode("the [MASK] house").tokens == ["the", "[MASK]", "house"]


def test_line_ends_of_windows(path, tmp_path):
    (tmp_path / "vocab.txt").write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert WordPieces.load(tmp_path).dictionary() == WordPieces.load(path).dictionary()


def test_case_is_kept_unless_the_configuration_says_so(tmp_path):
    write(tmp_path, VOCABULARY, {"do_lower_case": True})
    assert WordPieces.load(tmp_path).encode("The Éñ") == "the e ##n"
    write(tmp_path, VOCABULARY, {"do_lower_case": True, "strip_accents": False})
    assert WordPieces.load(tmp_path).encode("The Éñ") == "the é ##ñ"
    write(tmp_path, VOCABULARY, {})
    assert WordPieces.load(tmp_path).encode("The") == "T ##h ##e"


def bert_json(**changes):
    return {
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {"[UNK]": 0},
            **changes,
        },
    }


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("vocab.txt", "the\nhouse\n", "no line [UNK]"),
        ("vocab.txt", b"\xff\xfe\n", "not UTF-8 text"),
        ("tokenizer.json", "{", "damaged"),
        ("tokenizer.json", "[1]", "not a tokenizer.json of tokenizers"),
        ("tokenizer.json", Tokenizer(models.BPE()).to_str(), "of kind BPE"),
        ("tokenizer.json", json.dumps(bert_json(continuing_subword_prefix="@@")), "continues words with '@@'"),
        ("tokenizer.json", json.dumps(bert_json(vocab={"a": 0})), "lacks [UNK]"),
        ("tokenizer.json", json.dumps({**bert_json(), "pre_tokenizer": None}), "no BertPreTokenizer"),
        ("tokenizer.json", json.dumps(bert_json(max_input_chars_per_word="x")), "not a tokenizer that tokenizers can"),
        ("other.txt", "", "holds neither tokenizer.json nor vocab.txt"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        WordPieces.load(tmp_path)
    assert text in str(error.value) and str(tmp_path) in str(error.value)


def test_a_damaged_configuration_is_named(tmp_path):
    write(tmp_path, VOCABULARY)
    for content in ("{", '{"do_lower_case": "yes"}'):
        (tmp_path / "tokenizer_config.json").write_text(content)
        with pytest.raises(UserError, match="the tokenizer_config.json beside it is damaged"):
            WordPieces.load(tmp_path)


@pytest.mark.parametrize("name", ["missing.txt", "a/b/c", "/no/vocab", "data/vocab.txt", "../up/x"])
def test_the_hub_is_not_asked_for_paths(monkeypatch, name):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *names: pytest.fail("asked"))
    with pytest.raises(UserError, match=f"^{name}: no such file or folder$"):
        WordPieces.load(name)


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("there", [("tokenizer.json",), ("vocab.txt",), ("vocab.txt", "tokenizer_config.json")])
def test_a_name_on_the_hub(monkeypatch, tmp_path, pieces, there, offline):
    pieces.save(tmp_path / "tokenizer.json")
    write(tmp_path, VOCABULARY, {"do_lower_case": True} if len(there) == 2 else None)

    def download(repository, name, local_files_only=False):
        assert repository == "jhu-clsp/bibert-ende" and local_files_only == (offline and name != "tokenizer.json")
        if name not in there:
            raise (LocalEntryNotFoundError if offline else EntryNotFoundError)(f"no {name}")
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    (tmp_path / "tokenizer.json").rename(tmp_path / "elsewhere") if there[0] == "vocab.txt" else None
    expected = "the" if len(there) == 2 else "T ##h ##e"
    assert WordPieces.load("jhu-clsp/bibert-ende").encode("The") == expected


@pytest.mark.parametrize(
    "error", [LocalEntryNotFoundError("long\nstory"), OfflineModeIsEnabled("no network"), OSError("no network\nat all")]
)
def test_a_hub_out_of_reach(monkeypatch, error):
    def download(repository, name, local_files_only=False):
        if local_files_only:
            raise LocalEntryNotFoundError("not in the cache")
        raise error from (OSError("no network") if isinstance(error, LocalEntryNotFoundError) else None)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(UserError) as refusal:
        WordPieces.load("jhu-clsp/bibert-ende")
    message = str(refusal.value)
    assert message.startswith("jhu-clsp/bibert-ende: ") and "from the hub (no network): download its" in message


def test_training_is_repeatable_and_of_the_size_asked_for(tmp_path):
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(2, 6))) for _ in range(40)]
    lines = [" ".join(rng.choices(words, k=6)) + "." for _ in range(60)]
    (tmp_path / "text").write_text("\n".join(lines) + "\n")
    first, second = (WordPieces.train([tmp_path / "text"], 60) for _ in range(2))
    assert first.to_json() == second.to_json() and len(first) == 60 and first.marker == "[MASK]"
    for line in lines:
        assert "[UNK]" not in first.encode(line) and first.decode(first.encode(line)) == line
    most = len(WordPieces.train([tmp_path / "text"], 5000))
    assert 60 < most < 5000 and len(WordPieces.train([tmp_path / "text"], most)) == most
    least = len(WordPieces.train([tmp_path / "text"], 3))
    assert 3 < least < 60


def test_neither_torch_nor_fairseq_is_imported():
    code = "import sys, fairseq_ringformer.text.wordpieces; assert not {'torch', 'fairseq'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
