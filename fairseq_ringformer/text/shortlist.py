"""Which target pieces a sentence may be translated with: its vocabulary map, so that CTranslate2 scores those alone."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence

from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationTask

from ..errors import UserError
from ..extras import named

# Candidates: of a source piece, those that it is aligned with most often; of every sentence, the most frequent ones.
ALIGNED, FREQUENT = 100, 200
# Sentence pairs that are aligned at most, spread evenly over the training data.
PAIRS = 500_000

Tokens = Sequence[int]


def make_shortlist(task: TranslationTask) -> str:
    """CTranslate2's vocabulary map of the training data of `task`.

    Returns:
        lines of a source piece, a tab, and its candidates; one without a source piece holds what is always one. A piece
        that both sides know is its own candidate, so that names can be copied.

    Raises:
        UserError: if the data folder holds no training data.
        MissingPackage: if eflomal is not installed.
    """
    try:
        task.load_dataset("train")
    except FileNotFoundError:
        raise UserError(f"{task.cfg.data} holds no training data (train.*), which --shortlist aligns") from None
    pairs = task.dataset("train")
    chosen = range(0, len(pairs), max(1, -(-len(pairs) // PAIRS)))
    sources, targets = ([side[index].tolist() for index in chosen] for side in (pairs.src, pairs.tgt))
    return vocabulary_map(sources, targets, task.source_dictionary, task.target_dictionary)


def vocabulary_map(sources: list[Tokens], targets: list[Tokens], source: Dictionary, target: Dictionary) -> str:
    """As :func:`make_shortlist`, of the sentence pairs `sources` and `targets` in ids of `source` and `target`."""
    translations: list[Counter[int]] = [Counter() for _ in source.symbols]
    for left, right, links in zip(sources, targets, align(sources, targets), strict=True):
        for i, j in links:
            translations[left[i]][right[j]] += 1
    frequency = Counter(token for sentence in targets for token in sentence)
    lines = [("", [token for token, _ in frequency.most_common(FREQUENT)])]
    for token, symbol in enumerate(source.symbols[source.nspecial :], source.nspecial):
        same = [target.index(symbol)] if symbol in target else []
        lines.append((symbol, same + [other for other, _ in translations[token].most_common(ALIGNED)]))
    return "".join(
        f"{symbol}\t{' '.join(target[token] for token in dict.fromkeys(tokens) if token >= target.nspecial)}\n"
        for symbol, tokens in lines
    )


def align(sources: list[Tokens], targets: list[Tokens]) -> Iterable[set[tuple[int, int]]]:
    """Word alignment by eflomal, for each pair the positions in source and target that are linked in either direction."""
    with named():
        import eflomal

    with tempfile.TemporaryDirectory(prefix="ringformer-") as folder:
        forward, reverse = (os.path.join(folder, name) for name in ("forward", "reverse"))
        eflomal.Aligner().align(_lines(sources), _lines(targets), forward, reverse)
        with open(forward, encoding="ascii") as one, open(reverse, encoding="ascii") as other:
            for links in zip(one, other, strict=True):
                ends = (link.split("-") for line in links for link in line.split())
                yield {(int(i), int(j)) for i, j in ends}


def _lines(sentences: list[Tokens]) -> Iterable[str]:
    # Of ids: eflomal lowercases words.
    return (" ".join(map(str, sentence)) + "\n" for sentence in sentences)
