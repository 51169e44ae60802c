"""From an image to the normalised tensor that a model reads, with and without augmentation."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import posterize as timm_posterize
from timm.data.transforms import ResizeKeepRatio, str_to_interp_mode
from torch import Tensor
from torchvision import transforms

from ...errors import UserError
from .pixels import colour, image_mode

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
CROPS = ("rrc", "resize", "pad", "none")
CROP_MODES = ("center", "squash", "border")
# timm ignores what it cannot read in a section of its strings; these are the sections that it reads.
SECTIONS = {
    "rand": r"(m|n|mmax|inc)\d+|(p|mstd)\d+(\.\d+)?|t(weights|3a|3aw)",
    "augmix": r"(m|w|d|b)\d+|(a|mstd)\d+(\.\d+)?",
    **dict.fromkeys(("original", "originalr", "v0", "v0r", "3a"), r"mstd\d+(\.\d+)?"),
}


@dataclass(frozen=True)
class InputConfig:
    """What a model wants its images like.

    Attributes:
        size: (channels, height, width); 1 channel is grey, 3 are red, green and blue.
        mean, std: of each channel, in units of full brightness.
        crop_pct: the part of the resized image's shorter side that evaluation keeps.
        crop_mode: how evaluation brings an image to its size, in timm's words: ``center``, the shorter side resized, the
            centre cropped; ``squash``, both sides resized; ``border``, the longer side resized, the rest filled.
        background: what shows through transparent pixels.
    """

    size: tuple[int, int, int] = (3, 224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: str = "bicubic"
    crop_pct: float = 0.875
    background: str = "white"
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        image_mode(self.size[0])
        _require(min(self.size) > 0, f"image size {self.size[1]} x {self.size[2]}: sides are at least 1")
        for name in ("mean", "std"):
            count = len(getattr(self, name))
            _require(count == self.size[0], f"{name} has {count} values for {self.size[0]} channels")
        _require(all(value > 0 for value in self.std), f"std {self.std}: every value must be above 0")
        _require_one_of("interpolation", self.interpolation, INTERPOLATIONS)
        _require_one_of("crop mode", self.crop_mode, CROP_MODES)
        colour(self.background)
        _require(0 < self.crop_pct <= 1, f"crop-pct {self.crop_pct}: choose a number above 0, at most 1")


@dataclass(frozen=True)
class Augmentation:
    """How training images vary.

    Attributes:
        crop: ``rrc``, a part of random size and shape, resized; ``resize``, the shorter side resized to
            size / crop_pct, then a random crop; ``pad``, as in evaluation, then `padding` black pixels around it and a
            random crop; ``none``, as in evaluation.
        padding: pixels on every side, for ``pad``.
        scale, ratio: bounds of the part's area and of its width / height, for ``rrc``.
        hflip, vflip: probabilities.
        auto_augment: ``none``, ``trivial`` (TrivialAugmentWide), or a string of timm, such as ``rand-m9-mstd0.5-inc1``.
        color_jitter: how far brightness, contrast and saturation vary; without `auto_augment` only.
        random_erasing: probability that a rectangle becomes noise.
    """

    crop: str = "rrc"
    padding: int = 2
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 1.3333)
    hflip: float = 0.5
    vflip: float = 0.0
    auto_augment: str = "none"
    color_jitter: float = 0.0
    random_erasing: float = 0.0

    def __post_init__(self) -> None:
        _require_one_of("crop", self.crop, CROPS)
        default = {field.name: field.default for field in fields(self)}
        for name, crop in (("padding", "pad"), ("scale", "rrc"), ("ratio", "rrc")):
            unused = self.crop != crop and _listed(getattr(self, name)) != _listed(default[name])
            _require(not unused, f"{name} goes with crop {crop}, not with crop {self.crop}")
        _require(self.padding >= 0, f"padding {self.padding}: choose a number of pixels, 0 or more")
        _require(_rising(self.scale) and self.scale[1] <= 1, f"scale {_text(self.scale)}: choose 0 < LOW <= HIGH <= 1")
        _require(_rising(self.ratio), f"ratio {_text(self.ratio)}: choose 0 < LOW <= HIGH")
        for name in ("hflip", "vflip", "random_erasing"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"{name.replace('_', '-')} {value}: choose a probability, 0 to 1")
        _require(self.color_jitter >= 0, f"color-jitter {self.color_jitter}: choose a number of at least 0")
        if self.color_jitter and self.auto_augment != "none":
            raise UserError(f"color-jitter excludes auto-augment {self.auto_augment}, which varies colours: set one")


def train_transform(input: InputConfig, augmentation: Augmentation) -> Callable[[Image.Image], Any]:
    """From a PIL image, of mode L or RGB as the model's channels are, to a float tensor (channels, height, width).

    Raises:
        UserError: if timm cannot read `augmentation.auto_augment`, or it fails on such images.
    """
    automatic = augmentation.auto_augment
    of_timm = automatic not in ("none", "trivial")
    if of_timm:
        _check_auto_augment(automatic)
    try:
        spatial, colours, final = create_transform(
            input.size,
            is_training=True,
            scale=tuple(augmentation.scale),
            ratio=tuple(augmentation.ratio),
            hflip=augmentation.hflip,
            vflip=augmentation.vflip,
            color_jitter=augmentation.color_jitter or None,
            auto_augment=automatic if of_timm else None,
            interpolation=input.interpolation,
            mean=input.mean,
            std=input.std,
            re_prob=augmentation.random_erasing,
            re_mode="pixel",
            separate=True,
        )
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"auto-augment {automatic}: timm cannot read it ({error})") from None
    for operation in _operations(colours):
        if operation.name.startswith("Posterize"):
            operation.aug_fn = _posterize
    flips = spatial.transforms[1:]
    if automatic == "trivial":
        fill = [round(255 * value) for value in input.mean]
        mode = transforms.InterpolationMode.NEAREST
        colours = transforms.Compose([transforms.TrivialAugmentWide(interpolation=mode, fill=fill)])
    erasing = final.transforms[2:]
    steps = [*_crop(input, augmentation, spatial.transforms[0]), *flips, *colours.transforms]
    return transforms.Compose([*steps, ToNormalized(input.mean, input.std), *erasing])


def eval_transform(input: InputConfig) -> Callable[[Image.Image], Any]:
    """By default the shorter side resized to size / crop_pct, the centre cropped; normalised: timm's own transform."""
    *steps, _, _ = create_transform(
        input.size,
        is_training=False,
        interpolation=input.interpolation,
        mean=input.mean,
        std=input.std,
        crop_pct=input.crop_pct,
        crop_mode=input.crop_mode,
    ).transforms
    return transforms.Compose([*steps, ToNormalized(input.mean, input.std)])


class ToNormalized:
    """timm's ToTensor and Normalize in one step, the same values: on a small image those two take half of all time.

    Args:
        mean, std: of each channel, in units of full brightness.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (mean, std))

    def __call__(self, image: Image.Image) -> Tensor:
        pixels = numpy.array(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)
        return torch.from_numpy(pixels.astype(numpy.float32, order="C")).div_(255).sub_(self.mean).div_(self.std)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()})"


def _crop(input: InputConfig, augmentation: Augmentation, random_resized: Callable) -> list[Callable]:
    size = input.size[1:]
    if augmentation.crop == "rrc":
        return [random_resized]
    if augmentation.crop == "none":
        return eval_transform(input).transforms[:2]
    if augmentation.crop == "pad":
        crop = transforms.RandomCrop(size, padding=augmentation.padding or None)
        return [*eval_transform(input).transforms[:2], crop]
    # The sizes that eval_transform resizes to.
    large = [math.floor(side / input.crop_pct) for side in size]
    if large[0] == large[1]:
        resize = transforms.Resize(large[0], interpolation=str_to_interp_mode(input.interpolation))
    else:
        resize = ResizeKeepRatio(large, interpolation=input.interpolation)
    return [resize, transforms.RandomCrop(size)]


def _operations(colours: transforms.Compose) -> Iterator[Any]:
    """The operations among which timm's auto-augment chooses."""
    for step in colours.transforms:
        yield from getattr(step, "ops", ())
        for policy in getattr(step, "policy", ()):
            yield from policy


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    """Keep the highest `bits` of each pixel. timm also asks for 0 bits, black, which newer Pillows refuse."""
    return timm_posterize(image, bits) if bits > 0 else image.point(lambda value: 0)


def _check_auto_augment(text: str) -> None:
    name, *sections = text.split("-")
    if name not in SECTIONS:
        raise UserError(
            f"auto-augment {text}: choose none, trivial, or a string of timm that begins with {', '.join(SECTIONS)}"
        )
    for section in sections:
        if not re.fullmatch(SECTIONS[name], section):
            raise UserError(f"auto-augment {text}: timm has no section '{section}' of {name}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def _require_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, f"{name} {value}: choose one of {', '.join(choices)}")


def _rising(bounds: tuple[float, float]) -> bool:
    return len(bounds) == 2 and 0 < bounds[0] <= bounds[1]


def _listed(value: Any) -> Any:
    """Lists and tuples alike: a configuration file has lists."""
    return list(value) if isinstance(value, (list, tuple)) else value


def _text(bounds: tuple[float, float]) -> str:
    return " ".join(map(str, bounds))
