"""Every registered model, at sizes for tests."""

import timm
import torch
from torch import nn

import fairseq_ringformer.vision  # noqa: F401  registers the models
from fairseq_ringformer.vision.registry import MODELS

NAMES = tuple(MODELS)
FAMILIES = ("ring", "universal", "owf", "vanilla")
# A name is a family and its sizes, which `small` overrides: but for what a name registers, these are all.
TINY = tuple(f"vit_{family}_tiny_patch4_28" for family in FAMILIES)
SMALL = dict(img_size=32, patch_size=8, embed_dim=32, ffn_dim=48, depth=3, num_heads=4, num_classes=5)
# The signals of a ring that the paper's ablations know, and the other ways to share.
RINGS = {
    "ours": {},
    "state": dict(signal_input="state"),
    "state, before": dict(signal_input="state", attention_signal="before", ffn_signal="inter"),
    "full rank": dict(signal="full-rank"),
    "low rank and diagonal": dict(signal="low-rank+diagonal"),
    "diagonal, state": dict(signal="diagonal", signal_input="state"),
    "full rank, state": dict(signal="full-rank", signal_input="state"),
    "before attention": dict(attention_signal="before"),
    "inter": dict(ffn_signal="inter"),
    "no attention signal": dict(attention_signal="none"),
    "rank 1": dict(signal_rank=1),
    "cycle": dict(self_attn_sharing="cycle:2", ffn_sharing="sequence:2"),
    "wide middle": dict(ffn_sharing="0,1,0", ffn_widths=(48, 80)),
    "one norm": dict(norm_sharing="one"),
    "no feed-forward": dict(ffn_sharing="none", ffn_signal="none"),
    "norm per level": dict(norm_per="level"),
    "scaled outputs": dict(residual_scale="1/N"),
    "learned positions": dict(pos_embed="learned"),
    "average pooling": dict(global_pool="avg"),
}


def small(name: str, seed: int = 1, **changes) -> nn.Module:
    """The model `name` at a test's size, its signals away from zero as after training, in evaluation mode."""
    torch.manual_seed(seed)
    model = timm.create_model(name, **{**SMALL, **changes})
    for own, parameter in model.named_parameters():
        if ".signals." in own:
            nn.init.normal_(parameter, std=0.2)
    return model.eval()


def images(model: nn.Module, count: int = 2, seed: int = 2) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(count, model.in_chans, *model.patch_embed.img_size)
