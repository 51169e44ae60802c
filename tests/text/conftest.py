"""Sub-word models for the tests of text."""

import pytest
import sentencepiece


@pytest.fixture(scope="session")
def byte_fallback(tmp_path_factory):
    """A model of sentencepiece that writes unknown characters as bytes; its file is `path`."""
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "text").write_text("eins zwei drei\none two three\n" * 20, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "bytes"),
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "bytes.model"))
    model.path = str(folder / "bytes.model")
    return model
