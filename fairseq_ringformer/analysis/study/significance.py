"""Whether a difference in BLEU is more than chance: sacreBLEU's paired bootstrap."""

from collections.abc import Mapping, Sequence
from typing import Any

SAMPLES = 1000


def paired_bootstrap(
    baseline: Sequence[str], others: Mapping[str, Sequence[str]], references: Sequence[str], samples: int = SAMPLES
) -> dict[str, float]:
    """Compare translations of the same sentences with those of a baseline.

    Args:
        baseline, others: hypotheses, a sentence each.
        references: as many.
        samples: of the bootstrap; sacreBLEU draws them with its own seed, so the result is always the same.

    Returns:
        for each of `others` the probability of a difference in BLEU as large by chance.
    """
    from sacrebleu.metrics import BLEU
    from sacrebleu.significance import PairedTest

    systems: list[Any] = [("", list(baseline)), *((name, list(lines)) for name, lines in others.items())]
    test = PairedTest(systems, {"BLEU": BLEU(references=[list(references)])}, None, test_type="bs", n_samples=samples)
    results = test()[1]["BLEU"][1:]
    # Of two equal texts sacreBLEU finds no sample that differs by more than nothing, and thinks the difference certain.
    return {
        name: 1.0 if list(lines) == list(baseline) else result.p_value
        for (name, lines), result in zip(others.items(), results, strict=True)
    }
