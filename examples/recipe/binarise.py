"""Call fairseq's own preprocessing on sub-word files, with one dictionary for both languages."""

from pathlib import Path

from fairseq_ringformer.text.preprocessing import preprocess

# fairseq's dictionary, in the folder of the cut text, where the vocabulary and not the text says what is in it.
DICTIONARY = "dict.txt"
# fairseq's <s>, <pad>, </s> and <unk>, which its limit on a dictionary's entries counts too.
OWN_SYMBOLS = 4


def binarise(sub: Path, folder: Path, languages: tuple[str, str], workers: int = 1, most: int | None = None) -> None:
    """Write fairseq's binary data for ``sub``/{train,valid,test}.LANGUAGE into ``folder``.

    The ``dict.LANGUAGE.txt`` of both are the same dictionary: ``sub``'s own if it has one, or else that of the
    training text, the ``most`` frequent sub-words if there is a limit. Raises UserError if fairseq refuses.
    """
    options = ["--source-lang", languages[0], "--target-lang", languages[1]]
    options += [f"--{split}pref={sub / split}" for split in ("train", "valid", "test")]
    options += ["--joined-dictionary", "--destdir", str(folder), "--workers", str(workers)]
    if (sub / DICTIONARY).is_file():
        options += ["--srcdict", str(sub / DICTIONARY)]
    elif most is not None:
        options += ["--nwordssrc", str(most + OWN_SYMBOLS), "--nwordstgt", str(most + OWN_SYMBOLS)]
    preprocess(options, by_hand_on=sub)
