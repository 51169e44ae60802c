"""Every form of the paper that folds, with weights that are nowhere at rest."""

import pytest
import torch
from torch import nn

from fairseq_ringformer.modules import PROJECTIONS
from tests.building import ABLATIONS, PAPERS, WIDE_FFN, build

EVERYWHERE = [f"{part}.{name}" for part, names in PROJECTIONS.items() for name in names]
BOTH_PRE_NORM = ("--encoder-normalize-before", "--decoder-normalize-before")
FORMS = {
    **{name: form for name, form in ABLATIONS.items() if name != "static signal"},
    **{f"one wide ffn, {name}": ("one_wide_ffn", flags) for name, flags in WIDE_FFN.items()},
    "vanilla": ("vanilla_transformer", ()),
    **PAPERS,
    "sharing maps": (
        "ringformer",
        ("--self-attn-sharing", "cycle:2", "--ffn-sharing", "sequence:2")
        + ("--cross-attn-sharing", "own", "--norm-sharing", "0,1,1"),
    ),
    **{
        f"signals everywhere, {place}": (
            "ringformer",
            ("--signals", ",".join(f"{name}:{place}" for name in EVERYWHERE)),
        )
        for place in ("after", "before")
    },
    "scaled outputs": ("ringformer", ("--residual-scale", "1/N", "--attn-bias", "--ffn-bias")),
    "no feed-forward at all": ("ringformer", ("--ffn-sharing", "none")),
}
OPTIONS = {
    "shared embeddings": ("--share-all-embeddings",),
    "tied head": ("--share-decoder-input-output-embed",),
    "learned positions": ("--encoder-learned-pos", "--decoder-learned-pos"),
    "no positions": ("--no-token-positional-embeddings",),
    "embedding norm, no scale": ("--layernorm-embedding", "--no-scale-embedding"),
    "biases": ("--attn-bias", "--ffn-bias"),
    "sides of other sizes": ("--decoder-embed-dim", "40", "--decoder-ffn-embed-dim", "24", "--decoder-layers", "2"),
    "sides of other heads and norms": ("--decoder-attention-heads", "2", "--decoder-normalize-before"),
}


def ring(arch, *flags, **options):
    """A model whose norms and biases differ from what they start as, as after training."""
    model = build(arch, *flags, **options)
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.2)
    return model


@pytest.fixture(params=[False, True], ids=["post-norm", "pre-norm"])
def norm_flags(request):
    return BOTH_PRE_NORM if request.param else ()


# Norms matter to a feed-forward that is not there, and to what all layers are written with.
PRE_NORM = ("ours", "vanilla", "one wide ffn, SharedEncNoDec", "no feed-forward at all", "scaled outputs")


@pytest.fixture(params=[*((name, ()) for name in FORMS), *((name, BOTH_PRE_NORM) for name in PRE_NORM)], ids=str)
def any_form(request):
    name, norm_flags = request.param
    arch, flags = FORMS[name]
    return ring(arch, *norm_flags, *flags)


@pytest.fixture(params=OPTIONS)
def any_options(request):
    return ring("ringformer", *OPTIONS[request.param])
