"""Scores are of whole test sets, on natural text."""

import pytest

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.prepared import PreparedData
from fairseq_ringformer.text.scoring import generate, read_hypotheses, score
from fairseq_ringformer.text.subwords import Subwords


def prepared(folder, subwords):
    return PreparedData(folder, ("de", "en"), subwords, folder, folder, {})


def test_a_sentence_without_translation_is_an_error(tmp_path):
    """fairseq leaves out sentences in silence; a score over the rest would not be comparable."""
    log, data = tmp_path / "generate.log", prepared(tmp_path, Subwords(None, None, None))
    log.write_text("H-2\t-0.5\tthird\nH-0\t-0.1\tfirst\nH-0\t-0.9\tsecond best\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_hypotheses(log, data, 3)
    assert str(error.value) == "1 of 3 sentences have no translation, the first is 2"
    log.write_text(log.read_text() + "H-1\t-0.3\t\n")
    assert read_hypotheses(log, data, 3) == ["first", "", "third"]


def test_bytes_in_a_log_are_characters(byte_fallback, tmp_path):
    """fairseq's own detokenised lines have <0xF0><0x9F>... instead."""
    log, pieces = tmp_path / "generate.log", byte_fallback.encode("one \U0001f642\r two", out_type=str)
    assert "<0xF0>" in pieces
    log.write_text(f"H-0\t-0.1\t{' '.join(pieces)}\nD-0\t-0.1\t<0xF0>\n", encoding="utf-8", newline="")
    data = prepared(tmp_path, Subwords("sentencepiece", byte_fallback.path, None))
    assert read_hypotheses(log, data, 1) == ["one \U0001f642  two"]


def test_a_perfect_translation_scores_100_with_signatures():
    sentences = ["This is a whole sentence.", "And here comes another one!"]
    scores = score(sentences, sentences)
    assert scores.bleu == scores.chrf == 100
    assert scores.bleu_signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert scores.chrf_signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")


def test_a_failed_generation_ends_with_its_last_line(tmp_path):
    command = ["sh", "-c", r"echo started; printf 'no dictionary d\374r\n' >&2; exit 3"]
    with pytest.raises(UserError, match="^fairseq-generate failed: no dictionary d\ufffdr$"):
        generate(command, tmp_path / "generate.log")
    assert (tmp_path / "generate.log").read_text() == "started\n"
