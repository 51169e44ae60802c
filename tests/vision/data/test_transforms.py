import contextlib
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.data import Augmentation, InputConfig, eval_transform, train_transform
from fairseq_ringformer.vision.data.randomness import call_seeded
from tests.vision.images import picture

COLOUR = InputConfig((3, 8, 8), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bilinear", 0.8)
GREY = InputConfig((1, 8, 8), (0.5,), (0.25,), "bilinear", 1.0)
EVERYTHING = dict(hflip=0.5, vflip=0.5, random_erasing=0.5)


def test_evaluation_resizes_crops_the_centre_and_normalises():
    image = picture(1, 20)
    resized = image.resize((10, 10), Image.BILINEAR).crop((1, 1, 9, 9))
    pixels = torch.tensor(np.asarray(resized), dtype=torch.float32).permute(2, 0, 1) / 255
    expected = (pixels - torch.tensor(COLOUR.mean)[:, None, None]) / torch.tensor(COLOUR.std)[:, None, None]
    torch.testing.assert_close(eval_transform(COLOUR)(image), expected)


@pytest.mark.parametrize(
    "config", [COLOUR, GREY, replace(COLOUR, crop_mode="squash"), replace(GREY, crop_mode="border")]
)
def test_evaluation_gives_the_values_of_timms_own_transform(config):
    own = create_transform(
        config.size,
        is_training=False,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        crop_pct=config.crop_pct,
        crop_mode=config.crop_mode,
    )
    image = picture(1, 20, "L" if config.size[0] == 1 else "RGB").crop((0, 0, 20, 13))
    assert eval_transform(config)(image).equal(own(image))


def test_resize_takes_every_crop_of_the_resized_image_and_no_other():
    image = picture(1, 20)
    transform = train_transform(COLOUR, Augmentation(crop="resize", hflip=0))
    large = eval_transform(InputConfig((3, 10, 10), COLOUR.mean, COLOUR.std, "bilinear", 1.0))(image)
    possible = [large[:, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    seen = set()
    for number in range(100):
        cut = call_seeded(transform, image, number)
        seen |= {index for index, other in enumerate(possible) if torch.allclose(cut, other, atol=1e-5)}
    assert seen == set(range(9))


def test_pad_shifts_the_image_over_black():
    image = picture(1, 8, "L")
    whole = eval_transform(GREY)(image)
    black = eval_transform(GREY)(Image.new("L", (8, 8)))[0, 0, 0].item()
    padded = torch.nn.functional.pad(whole, (2, 2, 2, 2), value=black)
    possible = [padded[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
    transform = train_transform(GREY, Augmentation(crop="pad", padding=2, hflip=0))
    cuts = [call_seeded(transform, image, number) for number in range(50)]
    assert all(any(torch.allclose(cut, other) for other in possible) for cut in cuts)
    assert len({cut.numpy().tobytes() for cut in cuts}) > 10


@pytest.mark.parametrize("crop", [dict(crop="none"), dict(crop="pad", padding=0)])
def test_without_a_random_crop_an_image_is_as_in_evaluation(crop):
    image = picture(1, 20).crop((0, 0, 20, 13))
    plain = train_transform(COLOUR, Augmentation(**crop, hflip=0))
    assert plain(image).equal(eval_transform(COLOUR)(image))


def test_random_resized_crop_is_timms():
    image = picture(1, 20)
    ours = train_transform(COLOUR, Augmentation(auto_augment="rand-m9-mstd0.5-inc1"))
    timms = create_transform(
        COLOUR.size,
        is_training=True,
        color_jitter=None,
        auto_augment="rand-m9-mstd0.5-inc1",
        interpolation="bilinear",
        mean=COLOUR.mean,
        std=COLOUR.std,
        ratio=(0.75, 1.3333),
    )
    for number in range(5):
        assert call_seeded(ours, image, number).equal(call_seeded(timms, image, number))


@pytest.mark.parametrize(
    ("config", "crop", "automatic"),
    [
        (InputConfig((3, 8, 12), (0.5,) * 3, (0.5,) * 3, "bicubic", 0.9), "rrc", "none"),
        (GREY, "resize", "trivial"),
        (GREY, "pad", "rand-m9-mstd0.5-inc1"),
        (COLOUR, "none", "v0"),
        (GREY, "resize", "augmix-m5-w4"),
    ],
)
def test_every_augmentation_gives_a_tensor_of_the_models_size(config, crop, automatic):
    transform = train_transform(config, Augmentation(crop=crop, auto_augment=automatic, **EVERYTHING))
    for number in range(8):
        tensor = call_seeded(transform, picture(number, 14, "L" if config.size[0] == 1 else "RGB"), number)
        assert tensor.shape == config.size and tensor.dtype == torch.float32 and tensor.isfinite().all()


@pytest.mark.parametrize("automatic", ["rand-m10-n9-p1-inc1", "v0"])
def test_posterize_to_no_bits_is_black(automatic):
    """Newer Pillows raise an error there, at random times of a training."""
    transform = train_transform(COLOUR, Augmentation(crop="none", auto_augment=automatic))
    for number in range(60):
        assert call_seeded(transform, picture(number, 10), number).isfinite().all()


def test_colour_jitter_varies_brightness():
    transform = train_transform(COLOUR, Augmentation(crop="none", hflip=0, color_jitter=0.4))
    means = [call_seeded(transform, picture(1, 14), number).mean().item() for number in range(5)]
    assert len(set(means)) == 5


def test_seeded_calls_depend_on_all_numbers_and_nothing_else():
    def draw(_):
        return random.random(), np.random.random(), torch.rand(()).item()

    values = {numbers: call_seeded(draw, None, *numbers) for numbers in [(1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3)]}
    assert len(set(values.values())) == 4
    torch.rand(7), random.random()
    assert call_seeded(draw, None, 1, 2, 3) == values[1, 2, 3]


def test_generators_are_restored_also_after_an_error():
    def fail(_):
        random.random(), np.random.random(), torch.rand(())
        raise KeyError

    numbers = []
    for function in (lambda _: None, fail):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        with contextlib.suppress(KeyError):
            call_seeded(function, None, 1)
        numbers.append([random.random(), np.random.random(), torch.rand(()).item()])
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Augmentation, dict(crop="center"), "crop center: choose one of rrc, resize, pad, none"),
        (Augmentation, dict(padding=3), "padding goes with crop pad, not with crop rrc"),
        (Augmentation, dict(scale=(0.5, 0.1)), "scale 0.5 0.1: choose 0 < LOW <= HIGH <= 1"),
        (Augmentation, dict(hflip=1.5), "hflip 1.5: choose a probability, 0 to 1"),
        (Augmentation, dict(color_jitter=0.4, auto_augment="trivial"), "color-jitter excludes auto-augment trivial"),
        (InputConfig, dict(size=(2, 8, 8)), "images of 2 channels"),
        (InputConfig, dict(size=(1, 8, 8)), "mean has 3 values for 1 channels"),
        (InputConfig, dict(interpolation="cubic"), "interpolation cubic: choose one of nearest, bilinear"),
        (InputConfig, dict(crop_pct=1.2), "crop-pct 1.2: choose a number above 0, at most 1"),
    ],
)
def test_what_no_image_can_be_made_into(kind, changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        kind(**changes)


@pytest.mark.parametrize("automatic", ["random", "rand-m9-foo", "rand-m0.5", "original-m5", ""])
def test_auto_augment_that_timm_cannot_read(automatic):
    """timm itself ignores what it does not know."""
    with pytest.raises(UserError, match=f"^auto-augment {automatic}: "):
        train_transform(COLOUR, Augmentation(auto_augment=automatic))
