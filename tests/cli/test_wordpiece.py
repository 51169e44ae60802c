"""``ringformer wordpiece``: text to pieces and back, line by line, and fairseq's dictionary."""

import io
import string
import subprocess
import sys
from pathlib import Path

import pytest

from fairseq_ringformer.text.wordpieces import WordPieces

ROOT = Path(__file__).resolve().parents[2]
LETTERS = string.ascii_letters + string.punctuation
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *LETTERS,
    *(f"##{letter}" for letter in string.ascii_letters),
]
TEXT = 'The house, a / b.\n\n  x  \u2028y [MASK]\r\n\n"q" ж'


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("".join(f"{symbol}\n" for symbol in VOCABULARY))
    return path


@pytest.fixture
def standard_input(monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


def test_standard_input_to_standard_output_and_back(ringformer, vocabulary, standard_input):
    standard_input(TEXT.encode())
    status, out, err = ringformer("wordpiece", "--model", vocabulary, "--encode")
    pieces = WordPieces.load(vocabulary)
    lines = ["The house, a / b.", "", "x y [MASK]", "", '"q" ж']
    assert (status, err) == (0, "")
    assert out == "".join(pieces.encode(line) + "\n" for line in lines)
    standard_input(out.encode())
    assert ringformer("wordpiece", "--model", vocabulary, "--decode") == (
        0,
        'The house, a / b.\n\nx y [MASK]\n\n"q" <unk>\n',
        "",
    )


def test_a_pipe_is_answered_line_by_line(vocabulary):
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main", "wordpiece", "--model", vocabulary, "--encode"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        for line in ("ab.", "", "c"):
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode() == WordPieces.load(vocabulary).encode(line) + "\n"


def test_a_closed_output_is_said(refused, vocabulary, standard_input, monkeypatch):
    standard_input(b"a\n")
    monkeypatch.setattr(sys, "stdout", None)
    assert "standard output is closed: give --output" in refused("wordpiece", "--model", vocabulary, "--encode")


def test_files_and_dictionary(ringformer, vocabulary, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    for name in ("a.de", "a.en"):
        (tmp_path / name).write_text(TEXT * (2 if name == "a.en" else 1), newline="")
    command = ("wordpiece", "--model", vocabulary, "--dictionary", tmp_path / "dict.txt", "--encode")
    status, out, err = ringformer(*command, tmp_path / "a.de", tmp_path / "a.en", "--output", folder)
    assert (status, out) == (0, "") and err.splitlines() == [
        f"{tmp_path}/dict.txt: {len(VOCABULARY)} entries, fairseq's own four counted",
        f"{folder}/a.de: 5 lines",
        f"{folder}/a.en: 9 lines",
    ]
    assert len((tmp_path / "dict.txt").read_text().splitlines()) == len(VOCABULARY) - 4
    assert sorted(path.name for path in folder.iterdir()) == ["a.de", "a.en"]
    back = tmp_path / "back.txt"
    assert ringformer("wordpiece", "--model", vocabulary, "--decode", folder / "a.de", "--output", back)[0] == 0
    assert back.read_text() == 'The house, a / b.\n\nx y [MASK]\n\n"q" <unk>\n'


def test_what_is_lost_is_said(ringformer, vocabulary, standard_input):
    vocabulary.write_text(vocabulary.read_text().replace("[MASK]\n", ""))
    standard_input(b"a / b \xff\n")
    status, out, err = ringformer("wordpiece", "--model", vocabulary, "--encode")
    assert (status, out) == (0, "a / b\n")
    assert err.splitlines() == [
        f"ringformer wordpiece: {vocabulary}: no entry [MASK] or [unusedN] to note blanks with: blanks around "
        "punctuation are guessed by rule",
        "ringformer wordpiece: -: line 1: not UTF-8 in places, replaced by \N{REPLACEMENT CHARACTER}",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "nothing to do: give --dictionary, --encode or --decode"),
        (
            ("--dictionary", "d", "--output", "o"),
            "--output is for --encode and --decode; --dictionary names its own file",
        ),
        (("--encode", "a", "b"), "2 files need --output FOLDER, one that exists"),
        (("--encode", "a", "b", "--output", "no"), "2 files need --output FOLDER, one that exists"),
        (
            ("--encode", "--output", "folder"),
            "--output folder is a folder: name a file for what comes from standard input",
        ),
        (("--encode", "a", "folder/a", "--output", "folder"), "files of the same name would overwrite each other"),
        (("--encode", "folder/a", "--output", "folder"), "--output folder/a is to be read"),
        (("--encode", "a", "--output", "a"), "--output a is to be read"),
        (("--encode", "missing"), "missing: no such file"),
        (("--encode", "a", "--output", "no/a"), "no: no such folder for --output"),
        (("--dictionary", "folder"), "--dictionary folder is a folder: name a file"),
        (("--dictionary", "vocab.txt"), "--dictionary vocab.txt is to be read"),
        (("--dictionary", "x", "--decode", "a", "--output", "x"), "--dictionary and --output are the same file"),
        (("--dictionary", "x", "--model", "a"), "a: not a WordPiece vocabulary: it has no line [UNK]"),
        (("--dictionary", "x", "--model", "no.txt"), "no.txt: no such file or folder"),
    ],
)
def test_mistakes(refused, vocabulary, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("a", "b", "folder/a"):
        (tmp_path / name).write_text("x\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert refused("wordpiece", "--model", "vocab.txt", *arguments).startswith(f"ringformer wordpiece: {text}")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "folder" / "a").read_text() == (tmp_path / "a").read_text() == "x\n"


def test_a_missing_vocabulary_is_named(refused, toy):
    command = ("translate", "eins", "--path", toy.run / "checkpoint_last.pt", "--data", toy.data)
    message = refused(*command, "--wordpiece-model", "no.txt")
    assert message == "ringformer translate: no.txt: no such file or folder\n"


def test_a_vocabulary_in_a_folder_is_not_overwritten(refused, vocabulary, tmp_path):
    before = vocabulary.read_text()
    message = refused("wordpiece", "--model", tmp_path, "--dictionary", tmp_path / "vocab.txt")
    assert message.endswith("vocab.txt is to be read: write to another file\n") and vocabulary.read_text() == before


def test_an_interrupted_file_leaves_the_old_one(ringformer, vocabulary, tmp_path, monkeypatch):
    (tmp_path / "a").write_text("x\n")
    (tmp_path / "out").write_text("before\n")

    def interrupt(*_):
        yield "x"
        raise KeyboardInterrupt

    monkeypatch.setattr(WordPieces, "encode_lines", interrupt)
    command = ("wordpiece", "--model", vocabulary, "--encode", tmp_path / "a", "--output", tmp_path / "out")
    assert ringformer(*command)[0] == 130
    assert (tmp_path / "out").read_text() == "before\n" and len(list(tmp_path.iterdir())) == 3
