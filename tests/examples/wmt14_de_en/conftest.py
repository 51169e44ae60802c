"""A mirror of WMT's archives in their names and layout, filled with numbers in words."""

import pytest
from corpus import number_words

from fairseq_ringformer.errors import UserError
from tests.examples.wmt14_de_en.building import SIZES, mirror, write_text


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A mirror with its checksums.json, and beside it raw/, the text that it was made from."""
    folder = tmp_path_factory.mktemp("wmt14")
    splits, _ = number_words.generate(("de", "en"), SIZES, seed=1)
    splits["test"][3] = ('Er sagt: "A & B < C"  &amp;', 'He says: "A & B < C" &amp;')
    write_text(folder / "raw", splits)
    mirror.make_mirror(folder / "raw", folder)
    return folder


@pytest.fixture(scope="session")
def vocabulary(place):
    """A WordPiece vocabulary of letters: a piece for each, so that the pieces of a text can be counted."""
    texts = (path.read_text(encoding="utf-8") for path in (place / "raw").iterdir())
    letters = sorted({character for text in texts for character in text if not character.isspace()})
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + letter for letter in letters)]
    path = place / "vocab.txt"
    path.write_text("".join(entry + "\n" for entry in entries), encoding="utf-8")
    return path


@pytest.fixture
def refused():
    """Call something that ends in a UserError of one line, and give its text."""

    def call(action, *arguments):
        with pytest.raises(UserError) as error:
            action(*arguments)
        assert "\n" not in str(error.value)
        return str(error.value)

    return call
