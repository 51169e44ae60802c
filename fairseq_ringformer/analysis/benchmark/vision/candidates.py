"""The classifiers that are compared: built by timm from names and keywords, with random weights."""

import re
from dataclasses import dataclass, replace

import timm
import torch
from torch import nn

from ....errors import UserError
from ....export.timm_vit import STOCK, fold_classifier, stock_args, why_not_stock
from ....vision import RingClassifier
from ....vision.registry import MODELS
from ...counts.compute import multiply_adds
from .. import candidate

DROPOUT = 0.1  # the paper's, of embeddings, and of what sub-layers and the activation put out
DROPOUTS = ("pos_drop_rate", "proj_drop_rate")


@dataclass(frozen=True)
class Candidate(candidate.Candidate):
    """An image classifier.

    Attributes:
        options: keywords of ``timm.create_model``.
        folded: whether the model runs folded into timm's VisionTransformer, and only classifies.
        mixed_precision: "no", or the type of products under ``torch.autocast``, "bf16".
    """

    folded: bool = False
    mixed_precision: str = "no"

    def outer(self, model: nn.Module) -> re.Pattern[str]:
        names = ["patch_embed", "cls_token", "pos_embed", "head"]
        known = getattr(model, "pretrained_cfg", {})  # timm's own models have other names, some several
        for key in ("first_conv", "classifier"):
            named = known.get(key) or ()
            names += [named] if isinstance(named, str) else named
        return re.compile(rf"^({'|'.join(map(re.escape, names))})(\.|$)")

    @property
    def trains(self) -> bool:
        return not self.folded

    def create(self) -> nn.Module:
        model = timm.create_model(self.arch, **self.options)
        return fold_classifier(model) if self.folded else model


def choose(ours: str, baseline: str, seed: int, mixed_precision: str = "no") -> list[Candidate]:
    """The candidates of a benchmark, the baseline first.

    Args:
        ours: name of a model of this package.
        baseline: timm's name of what it is compared with, at the same image size and with as many classes; empty for
            timm's VisionTransformer of the same dimensions.
        seed: see :class:`Candidate`.
        mixed_precision: if not "no", a further candidate, `ours` in this type.

    A last candidate, `ours` folded, is there if it folds.

    Raises:
        UserError: for unknown names, and a baseline that does not take the images.
    """
    dropouts = dict.fromkeys(DROPOUTS, DROPOUT)
    mine = Candidate(ours, ours, dropouts, seed)
    if not timm.is_model(ours) or not isinstance(model := mine.build_on_meta(), RingClassifier):
        raise UserError(f"unknown model {ours!r}: choose one of {', '.join(MODELS)}")
    if not baseline:
        stock = Candidate("timm's VisionTransformer", STOCK, {**stock_args(model), **dropouts}, seed)
    else:
        stock = _baseline(baseline, model, seed)
        stock = replace(stock, name=f"{baseline} (baseline)") if baseline == ours else stock
    candidates = [stock, mine]
    if mixed_precision != "no":
        candidates.append(replace(mine, name=f"{ours} {mixed_precision}", mixed_precision=mixed_precision))
    if why_not_stock(model) is None:
        candidates.append(replace(mine, name=f"{ours} folded", folded=True))
    return candidates


def _baseline(name: str, model: RingClassifier, seed: int) -> Candidate:
    """timm's model `name` for the images and classes of `model`, with the same dropout where it knows such."""
    if not timm.is_model(name):
        raise UserError(f"--against {name}: timm has no such model (timm.list_models() names all)")
    options = {"num_classes": model.num_classes, "in_chans": model.in_chans}
    for key, value in (("img_size", model.patch_embed.img_size), *dict.fromkeys(DROPOUTS, DROPOUT).items()):
        trial = Candidate(name, name, {**options, key: value}, seed)
        try:
            trial.build_on_meta()
        except ValueError as error:
            if "unexpected keyword argument" not in str(error):
                raise
        else:
            options = trial.options
    baseline = Candidate(name, name, options, seed)
    if name in MODELS:
        return baseline
    images = torch.empty(1, model.in_chans, *model.patch_embed.img_size, device="meta")
    try:
        logits = baseline.build_on_meta().eval()(images)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(f"--against {name} does not take these images: {' '.join(str(error).split())}") from None
    if logits.shape != (1, model.num_classes):
        raise UserError(f"--against {name} is no classifier of {model.num_classes} classes")
    return baseline


@dataclass(frozen=True)
class Task:
    """What a model of this package is for: the size of images `(channels, height, width)`, and the number of classes.

    `multiply_adds` are those of an image in timm's VisionTransformer of the same dimensions.
    """

    size: tuple[int, int, int]
    classes: int
    multiply_adds: int

    @classmethod
    def of(cls, candidate: Candidate) -> "Task":
        model = candidate.build_on_meta()
        size = (model.in_chans, *model.patch_embed.img_size)
        stock = Candidate(STOCK, STOCK, stock_args(model)).build_on_meta().eval()
        return cls(size, model.num_classes, multiply_adds(lambda: stock(torch.empty(1, *size, device="meta"))))
