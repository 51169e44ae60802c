"""From options to the parts of a training: model, data, loss, optimiser, schedule."""

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from timm.data import Mixup, resolve_data_config
from timm.layers import PatchEmbed, resample_abs_pos_embed
from timm.loss import BinaryCrossEntropy
from timm.models import adapt_input_conv
from timm.optim import create_optimizer_v2, list_optimizers
from timm.scheduler import create_scheduler_v2
from torch import Tensor, nn

from ...errors import UserError, one_line
from ..checkpoint import choose_weights, default_config, difference, input_config, read_classifier
from ..data import (
    Augmentation,
    Images,
    InputConfig,
    StreamedImages,
    check_images,
    check_same_classes,
    eval_transform,
    no_images,
    open_images,
    train_transform,
)
from .distillation import Teacher
from .options import Options

Dataset = Images | StreamedImages
# The model's keywords for what it begins with, which a trained one does without.
INITIAL = ("pretrained", "checkpoint_path")


def model_arguments(options: Options, num_classes: int) -> dict[str, Any]:
    """The keywords of ``timm.create_model``: what the flags say, and what --model-arg adds.

    Raises:
        UserError: if both say the same.
    """
    flags = {
        "img_size": options.img_size,
        "in_chans": options.in_chans,
        "drop_rate": options.drop_rate or None,
        "drop_path_rate": options.drop_path or None,
        "pos_drop_rate": options.dropout or None,
        "proj_drop_rate": options.dropout or None,
    }
    arguments = {name: value for name, value in flags.items() if value is not None}
    twice = sorted({*arguments, "num_classes"} & set(options.model_arg))
    if twice:
        raise UserError(f"--model-arg {twice[0]}: there is a flag for it, use that")
    return {**arguments, **options.model_arg, "num_classes": num_classes}


def model_input(model: nn.Module, options: Options) -> InputConfig:
    """What `model` wants its images like: its own wishes, overridden by flags."""
    wishes = resolve_data_config({}, pretrained_cfg=model.pretrained_cfg)
    channels = options.in_chans or getattr(model, "in_chans", None) or wishes["input_size"][0]
    patches = getattr(model, "patch_embed", None)
    size = getattr(patches, "img_size", None) or (options.img_size,) * 2
    height, width = wishes["input_size"][1:] if size[0] is None else size
    return InputConfig(
        size=(channels, height, width),
        mean=_by_channel(options.mean or wishes["mean"], channels),
        std=_by_channel(options.std or wishes["std"], channels),
        interpolation=options.interpolation or wishes["interpolation"],
        crop_pct=wishes["crop_pct"] if options.crop_pct is None else options.crop_pct,
        background=options.background,
        crop_mode=wishes["crop_mode"],
    )


def compile_by_trial(model: nn.Module, input: InputConfig, batch_size: int, accelerator: Accelerator) -> None:
    """Compile `model`, and try it, so that what the compiler cannot do ends here."""
    model.compile()
    before = copy.deepcopy(model.state_dict())  # batch norms count what they see
    try:
        with accelerator.autocast():
            trial = torch.zeros(batch_size, *input.size, device=accelerator.device)
            model.train()(trial).float().sum().backward()
    except Exception as error:
        raise UserError(f"--compile failed, train without it ({one_line(error)})") from None
    model.zero_grad()
    model.load_state_dict(before)


def _by_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value for all channels counts for each; those of colours are averaged for grey."""
    values = tuple(map(float, values))
    if len(values) == 1:
        return values * channels
    if channels == 1 and len(values) == 3:
        return (sum(values) / 3,)
    return values


def augmentation(options: Options) -> Augmentation:
    """The part of the options that says how training images vary."""
    return Augmentation(**{name: getattr(options, name) for name in Augmentation.__dataclass_fields__})


def image_channels(options: Options) -> int:
    """How many channels the model reads."""
    known = default_config(options.model)
    return options.in_chans or options.model_arg.get("in_chans") or known["input_size"][0]


def open_both(options: Options) -> tuple[Dataset, Dataset]:
    """The images for training and for evaluation, still without the transforms, for which the model must be known.

    Raises:
        UserError: if they cannot be opened, or have other classes.
    """
    common = dict(
        dataset=options.dataset,
        seed=options.seed,
        channels=image_channels(options),
        background=options.background,
        num_classes=options.num_classes,
    )
    train = open_images(options.data, options.train_split, training=True, **common)
    valid = open_images(options.data, options.valid_split, **common)
    check_same_classes(train, valid)
    return train, valid


def set_transforms(train: Dataset, valid: Dataset, input: InputConfig, options: Options) -> None:
    """Make the images what the model reads."""
    train.transform = train_transform(input, augmentation(options))
    valid.transform = eval_transform(input)


def refuse_damaged(train: Dataset, valid: Dataset, workers: int, progress: bool) -> None:
    """UserError that names the first images that cannot be decoded, or files that are no images."""
    if isinstance(train, StreamedImages) or isinstance(valid, StreamedImages):
        raise UserError("--damaged refuse cannot look through streamed images first: use --damaged skip")
    damaged = [name for images in (train, valid) for name in check_images(images, workers, progress)]
    others = [line for images in (train, valid) for line in no_images(images.others)]
    if damaged:
        shown = ", ".join(damaged[:3]) + (", ..." if len(damaged) > 3 else "")
        raise UserError(f"{len(damaged)} damaged image{'s' if len(damaged) > 1 else ''} (--damaged refuse): {shown}")
    if others:
        raise UserError(f"{'; '.join(others)} (--damaged refuse)")


def load_initial(model: nn.Module, path: str) -> None:
    """Begin with the weights of the checkpoint `path`.

    A head for another number of classes keeps its new weights; positions are resampled to the model's image size; the
    first weights are adapted to grey or to colour as timm does, so that a grey image gives what it gave.

    Raises:
        UserError: if any other weight differs in name or size.
    """
    state = read_classifier(path)
    weights, fresh = dict(choose_weights(path, state)), model.state_dict()
    head = next((name for name, part in model.named_modules() if part is model.get_classifier()), "head")
    if state["num_classes"] != model.num_classes:
        weights |= {key: weight for key, weight in fresh.items() if key.startswith(f"{head}.")}
    weights |= _for_channels(model, weights, fresh)
    weights |= _for_grid(model, weights, input_config(state))
    problem = difference(weights, fresh)
    if problem:
        raise UserError(f"--init-from {path} does not fit the model: {problem}")
    model.load_state_dict(weights)


def _for_channels(model: nn.Module, weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that read images, where those read grey images and the model reads colour, or the reverse."""
    first = model.pretrained_cfg.get("first_conv") or ()
    names = [f"{name}.weight" for name in ((first,) if isinstance(first, str) else first)]
    adapted = {}
    for name in names:
        if name in weights and name in fresh and weights[name].dim() == 4:
            before, now = weights[name].shape[1], fresh[name].shape[1]
            if {before, now} == {1, 3}:
                adapted[name] = adapt_input_conv(now, weights[name], base_chans=before)
    return adapted


def _for_grid(model: nn.Module, weights: Mapping[str, Tensor], input: InputConfig) -> dict[str, Tensor]:
    """The learned positions of images like `input`, resampled to the grid of patches that the model reads."""
    positions, patches = weights.get("pos_embed"), getattr(model, "patch_embed", None)
    # timm's pyramids have positions of other shapes, which do not move.
    if positions is None or positions.dim() != 3 or not isinstance(patches, PatchEmbed):
        return {}
    prefix = model.num_prefix_tokens
    # Told, since timm takes an unknown grid for a square.
    before = [side // patch for side, patch in zip(input.size[1:], patches.patch_size)]
    if before == list(patches.grid_size) or before[0] * before[1] + prefix != positions.shape[1]:
        return {}
    return {"pos_embed": resample_abs_pos_embed(positions, patches.grid_size, before, num_prefix_tokens=prefix)}


def make_optimizer(model: nn.Module, options: Options) -> torch.optim.Optimizer:
    """timm's optimiser `options.opt`.

    Raises:
        UserError: if there is none of this name, or it refuses an argument.
    """
    known = list_optimizers()
    if options.opt.lower() not in known:
        raise UserError(f"--opt {options.opt}: timm has no such optimiser, but {', '.join(known)}")
    try:
        optimizer = create_optimizer_v2(
            model,
            opt=options.opt,
            lr=options.lr,
            weight_decay=options.weight_decay,
            layer_decay=options.layer_decay,
            **options.opt_arg,
        )
    except (TypeError, ValueError, AssertionError, RuntimeError, ImportError) as error:
        raise UserError(f"--opt {options.opt}: {one_line(error)}") from None
    if getattr(optimizer, "is_second_order", False):
        raise UserError(f"--opt {options.opt} needs second derivatives, which are not computed here: choose another")
    return optimizer


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """The present learning rate; with --layer-decay, that of the head."""
    return max(group["lr"] for group in optimizer.param_groups)


def make_schedule(optimizer: torch.optim.Optimizer, options: Options, updates: int):
    """timm's schedule over `updates`; ``step_update(n)`` sets the learning rate of the update after n.

    Warm-up takes its n-th update with n / (warm-up + 1) of the learning rate, so that the first is not lost.
    """
    if options.warmup_updates >= updates:
        raise UserError(f"--warmup-updates {options.warmup_updates} leaves nothing of {updates} updates")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule, _ = create_scheduler_v2(
            optimizer,
            # A cosine that does not fall is constant.
            sched="cosine" if options.sched == "constant" else options.sched,
            num_epochs=updates,
            warmup_epochs=options.warmup_updates,
            warmup_lr=options.lr / (options.warmup_updates + 1),
            min_lr=options.lr if options.sched == "constant" else options.min_lr,
            decay_rate=1.0,  # poly's power: a straight line
            step_on_epochs=False,
            updates_per_epoch=1,
        )
    return schedule


class Loss:
    """The training loss of logits `(batch, classes)` for targets `(batch,)`, with Mixup, CutMix and smoothing.

    Args:
        options: with ``exit_weight``, the model is an :class:`.Exits`, and the mean loss of its earlier levels, of the
            same kind, is added with this weight.
        teacher: also gives soft targets, for the images as they are mixed; for the last level alone.
    """

    def __init__(self, options: Options, num_classes: int, teacher: Teacher | None = None):
        self.teacher, self.exit_weight = teacher, options.exit_weight
        smoothing = options.label_smoothing
        self.mix: Mixup | None = None
        if options.mixup or options.cutmix:
            self.mix = Mixup(options.mixup, options.cutmix, label_smoothing=smoothing, num_classes=num_classes)
            smoothing = 0.0  # is in the mixed targets
        self.measure: Callable[[Tensor, Tensor], Tensor] = (
            BinaryCrossEntropy(smoothing) if options.loss == "bce" else nn.CrossEntropyLoss(label_smoothing=smoothing)
        )

    def __call__(self, model: Callable, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the last level's logits of the images, mixed or not."""
        mixed = targets
        if self.mix is not None:
            images, mixed = self.mix(images, targets)
        output = model(images).float()
        logits = output[0] if self.exit_weight else output
        loss = self.measure(logits, mixed)
        if self.teacher is not None:
            loss = self.teacher.add(loss, logits, images)
        if self.exit_weight:
            loss = loss + self.exit_weight * torch.stack([self.measure(early, mixed) for early in output[1:]]).mean()
        return loss, logits
