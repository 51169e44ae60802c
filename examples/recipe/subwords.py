"""Learn joined sub-word vocabularies of the size asked for. The same text and size give the same model."""

import contextlib
import io
import re
from collections.abc import Iterable, Mapping

from fairseq_ringformer.errors import UserError


def learn_sentencepiece(lines: Iterable[str], size: int, coverage: float = 1.0) -> bytes:
    """A BPE model of sentencepiece with ``size`` pieces, for the characters that make up ``coverage`` of the text.

    Raises UserError if the text has too many characters for that, or too few sub-words.
    """
    import sentencepiece

    # Given file names, the trainer would write them into the model, and a model would tell where it was made.
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            character_coverage=coverage,
            # References stay as they are, so what the model can say must not differ from them by normalisation.
            normalization_rule_name="identity",
            max_sentence_length=1 << 16,
            num_threads=1,  # the model would hold another number
            minloglevel=2,
        )
    except RuntimeError as error:
        most = re.search(r"set it to a value <= (\d+)", str(error))
        least = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if most:
            raise too_large(size, int(most[1])) from None
        if least:
            raise too_small(size, int(least[1])) from None
        problem = " ".join(str(error).split())
        raise UserError(f"sentencepiece cannot learn --vocab-size {size} from this text: {problem}") from None
    return model.getvalue()


def learn_subword_nmt(words: Mapping[str, int], size: int) -> str:
    """The codes of subword-nmt that make up to ``size`` sub-words of ``words`` (with their frequencies).

    Raises UserError if the text has too many characters for that, or too few sub-words.
    """
    from subword_nmt.learn_bpe import learn_bpe

    # A character inside a word and the same one at its end are two symbols; the merges add one each.
    characters = len({letter for word in words for letter in word[:-1]}) + len({word[-1] for word in words})
    if size <= characters:
        raise too_small(size, characters + 1)
    codes = io.StringIO()
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar and a report of every merge
        learn_bpe([f"{word} {count}" for word, count in words.items()], codes, size, is_dict=True, total_symbols=True)
    merges = codes.getvalue().count("\n") - 1
    if merges < size - characters:
        raise too_large(size, characters + merges)
    return codes.getvalue()


def too_large(size: int, most: int) -> UserError:
    return UserError(f"--vocab-size {size} is too large for this text: choose at most {most}")


def too_small(size: int, least: int) -> UserError:
    return UserError(f"--vocab-size {size} is too small for the characters of this text: choose at least {least}")
