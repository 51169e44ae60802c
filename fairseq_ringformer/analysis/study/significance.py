"""Whether a difference in BLEU or chrF is more than chance: sacreBLEU's paired bootstrap."""

from typing import Any, Dict, List, Mapping, Sequence

SAMPLES = 1000


def paired_bootstrap(
    baseline: Sequence[str], others: Mapping[str, Sequence[str]], references: Sequence[str], samples: int = SAMPLES
) -> Dict[str, Dict[str, Any]]:
    """Compare translations of the same sentences with those of a baseline.

    Args:
        baseline, others: hypotheses, a sentence each; of several seeds one after another.
        references: as many.
        samples: of the bootstrap; sacreBLEU draws them with its own seed, so the result is always the same.

    Returns:
        for each of `others`, by metric (``bleu``, ``chrf``) the score and the probability ``p`` of a difference as large
        by chance.
    """
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest

    systems: List[Any] = [("baseline", list(baseline)), *((name, list(own)) for name, own in others.items())]
    metrics = {"BLEU": BLEU(references=[list(references)]), "chrF2": CHRF(references=[list(references)])}
    test = PairedTest(systems, metrics, None, test_type="bs", n_samples=samples)
    found = test()[1]
    names = [name.removeprefix("Baseline: ") for name in found["System"]]
    # Of two equal texts sacreBLEU finds no sample that differs by more than nothing, and thinks the difference certain.
    equal = {name for name, own in systems if own == systems[0][1]}
    return {
        name: {
            short: {"score": found[metric][place].score, "p": 1.0 if name in equal else found[metric][place].p_value}
            for short, metric in (("bleu", "BLEU"), ("chrf", "chrF2"))
        }
        for place, name in enumerate(names)
        if place
    }
