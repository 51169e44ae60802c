"""Closed forms against torch's counter, and against the figures of the paper."""

import pytest
import torch

from fairseq_ringformer.analysis.counts.compute import (
    FOLDED,
    THIN,
    classifier_compute,
    measured,
    papers_convention,
    total,
    translator_compute,
)
from fairseq_ringformer.analysis.counts.vision import build_on_meta
from tests.building import ABLATIONS, MODELS, build
from tests.vision.models import RINGS, TINY, small

VARIANTS = {**{model: (model, ()) for model in MODELS}, **ABLATIONS}


@pytest.mark.parametrize("form", (THIN, FOLDED))
@pytest.mark.parametrize(
    "name, changes", [*((name, {}) for name in TINY), *((TINY[0], own) for own in RINGS.values() if own)]
)
def test_a_classifier_computes_what_the_formula_says(name, changes, form):
    model = small(name, **changes)
    assert measured(model, form) == total(classifier_compute(model), form)


@pytest.mark.parametrize("form", (THIN, FOLDED))
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_translator_computes_what_the_formula_says(variant, form):
    arch, flags = VARIANTS[variant]
    model = build(f"{arch}_tiny", *flags)
    assert measured(model, form, 5, 7) == total(translator_compute(model, 5, 7), form)


def test_counting_changes_no_output():
    model = small("vit_ring_tiny_patch4_28")
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        before = model(x)
        for form in (THIN, FOLDED):
            measured(model, form)
        torch.testing.assert_close(model(x), before, rtol=0, atol=0)


def test_the_papers_figures():
    ring, plain = (build_on_meta(f"vit_{own}_768_l12_patch16_224") for own in ("ring", "vanilla"))
    assert papers_convention(plain)["plain"] == papers_convention(plain)["signals"]
    assert round(papers_convention(plain)["plain"] / 1e9, 3) == 17.636
    assert round(papers_convention(ring)["signals"] / 1e9, 2) == 19.03
    # What it truly costs.
    assert round(total(classifier_compute(plain), THIN) / 1e9, 3) == 17.564
    assert round(total(classifier_compute(ring), THIN) / 1e9, 3) == 18.261
    assert round(total(classifier_compute(ring), FOLDED) / 1e9, 3) == 17.564
