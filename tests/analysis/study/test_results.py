"""The file of results: read whole, or refused by the line."""

import json

import pytest

from fairseq_ringformer.analysis.study.results import KEYS, append_result, read_results

RESULT = {**dict.fromkeys(KEYS, 1), "bleu": 20.0}


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "results.jsonl"
    append_result(path, RESULT)
    append_result(path, {**RESULT, "row": "ümlaut"})
    assert [entry["row"] for entry in read_results(path)] == [1, "ümlaut"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.jsonl"]


def test_a_file_cut_in_the_middle_of_a_line(tmp_path):
    path = tmp_path / "results.jsonl"
    append_result(path, RESULT)
    path.write_text(path.read_text() + json.dumps(RESULT)[:20])
    with pytest.raises(
        ValueError, match=r"results.jsonl: line 2 ends in the middle of a line: delete that line; ringformer study"
    ):
        read_results(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("hello\n", "line 1 holds something else than JSON"),
        ('{"grid": "table4"}\n', "line 1 is no result: it lacks row, seed, parameters"),
        ("[1]\n", "line 1 is no result"),
        (json.dumps(dict.fromkeys(KEYS, 1)), "line 1 is no result: it lacks bleu or top1"),
        (b"\xff\xfe", "not a text file"),
        (None, "No such file or directory"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path, text, message):
    path = tmp_path / "results.jsonl"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_results(path)
