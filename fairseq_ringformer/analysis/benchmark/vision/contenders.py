"""The classifiers that are compared: built by timm from names and keywords, with random weights."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import timm
import torch
from torch import nn

from ....export.timm_vit import STOCK, fold_classifier, stock_args, why_not_stock
from ....vision import RingClassifier
from ....vision.registry import MODELS
from ...counts.compute import multiply_adds

DROPOUT = 0.1  # the paper's, of embeddings, and of what sub-layers and the activation put out
DROPOUTS = ("pos_drop_rate", "proj_drop_rate")
OUTER = re.compile(r"^(patch_embed|cls_token|pos_embed|head)(\.|$)")


@dataclass(frozen=True)
class Contender:
    """How to build one model; small and picklable, so that a child process can build it again.

    Attributes:
        name: as tables show it.
        arch: timm's name.
        options: keywords of ``timm.create_model``.
        seed: of the weights.
        folded: whether the model runs folded into timm's VisionTransformer, and only classifies.
        mixed_precision: "no", or the type of products under ``torch.autocast``, "bf16".
    """

    name: str
    arch: str
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 1
    folded: bool = False
    mixed_precision: str = "no"

    def build(self) -> nn.Module:
        """The model with random weights, in training mode, on the device that torch builds on.

        Raises:
            ValueError: if the options make no model.
        """
        torch.manual_seed(self.seed)
        try:
            model = timm.create_model(self.arch, **self.options)
        except (ValueError, AssertionError, TypeError, RuntimeError) as error:
            raise ValueError(f"{self.arch} cannot be built: {' '.join(str(error).split()) or repr(error)}") from None
        return fold_classifier(model) if self.folded else model


def build_on_meta(contender: Contender) -> nn.Module:
    """The model without allocating a weight."""
    with torch.device("meta"):
        return contender.build()


def choose(ours: str, baseline: str, seed: int, mixed_precision: str = "no") -> list[Contender]:
    """The contenders of a benchmark, the baseline first.

    Args:
        ours: name of a model of this package.
        baseline: timm's name of what it is compared with, at the same image size and with as many classes; empty for
            timm's VisionTransformer of the same dimensions.
        seed: see :class:`Contender`.
        mixed_precision: if not "no", a further contender, `ours` in this type.

    A last contender, `ours` folded, is there if it folds.

    Raises:
        ValueError: for unknown names, and a baseline that does not take the images.
    """
    if ours not in MODELS:
        raise ValueError(f"unknown model {ours!r}: choose one of {', '.join(MODELS)}")
    dropouts = dict.fromkeys(DROPOUTS, DROPOUT)
    own = Contender(ours, ours, dropouts, seed)
    model = build_on_meta(own)
    if baseline:
        stock = _baseline(baseline, model, seed)
    else:
        stock = Contender("timm's VisionTransformer", STOCK, {**stock_args(model), **dropouts}, seed)
    if stock.name == own.name:
        stock = replace(stock, name=f"{baseline} (baseline)")
    contenders = [stock, own]
    if mixed_precision != "no":
        contenders.append(replace(own, name=f"{ours} {mixed_precision}", mixed_precision=mixed_precision))
    if why_not_stock(model) is None:
        contenders.append(replace(own, name=f"{ours} folded", folded=True))
    return contenders


def _baseline(name: str, model: RingClassifier, seed: int) -> Contender:
    """timm's model `name` for the images and classes of `model`, with the same dropout where it knows such."""
    if not timm.is_model(name):
        raise ValueError(f"--against {name}: timm has no such model (timm.list_models() names all)")
    options = {"num_classes": model.num_classes, "in_chans": model.in_chans}
    for key, value in (("img_size", model.patch_embed.img_size), *dict.fromkeys(DROPOUTS, DROPOUT).items()):
        trial = Contender(name, name, {**options, key: value}, seed)
        try:
            build_on_meta(trial)
        except ValueError as error:
            if "unexpected keyword argument" not in str(error):
                raise
        else:
            options = trial.options
    baseline = Contender(name, name, options, seed)
    if name in MODELS:
        return baseline
    images = torch.empty(1, model.in_chans, *model.patch_embed.img_size, device="meta")
    try:
        logits = build_on_meta(baseline).eval()(images)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"--against {name} does not take these images: {' '.join(str(error).split())}") from None
    if logits.shape != (1, model.num_classes):
        raise ValueError(f"--against {name} is no classifier of {model.num_classes} classes")
    return baseline


def is_outer(name: str) -> bool:
    """Whether a weight of this name belongs to embeddings or head, in our models and in timm's VisionTransformer."""
    return OUTER.search(name) is not None


@dataclass(frozen=True)
class Task:
    """What a model of this package is for: the size of images `(channels, height, width)`, and the number of classes.

    `multiply_adds` are those of an image in timm's VisionTransformer of the same dimensions.
    """

    size: tuple[int, int, int]
    classes: int
    multiply_adds: int

    @classmethod
    def of(cls, contender: Contender) -> "Task":
        model = build_on_meta(contender)
        size = (model.in_chans, *model.patch_embed.img_size)
        stock = build_on_meta(Contender(STOCK, STOCK, stock_args(model))).eval()
        return cls(size, model.num_classes, multiply_adds(lambda: stock(torch.empty(1, *size, device="meta"))))
