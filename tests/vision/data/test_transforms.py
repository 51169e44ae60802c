import random

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

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


@pytest.mark.parametrize("config", [COLOUR, GREY])
def test_evaluation_gives_the_values_of_timms_own_transform(config):
    own = create_transform(
        config.size,
        is_training=False,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        crop_pct=config.crop_pct,
    )
    image = picture(1, 20, "L" if config.size[0] == 1 else "RGB")
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


def test_no_crop_is_as_in_evaluation():
    image = picture(1, 20)
    plain = train_transform(COLOUR, Augmentation(crop="none", hflip=0))
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


@pytest.mark.parametrize("config", [COLOUR, GREY, InputConfig((3, 8, 12), (0.5,) * 3, (0.5,) * 3, "bicubic", 0.9)])
@pytest.mark.parametrize("crop", ["rrc", "resize", "pad", "none"])
@pytest.mark.parametrize(
    "automatic", ["none", "trivial", "rand-m9-mstd0.5-inc1", "original-mstd0.5", "v0", "3a", "augmix-m5-w4-d2"]
)
def test_every_augmentation_gives_a_tensor_of_the_models_size(config, crop, automatic):
    transform = train_transform(config, Augmentation(crop=crop, auto_augment=automatic, **EVERYTHING))
    for number in range(8):
        tensor = call_seeded(transform, picture(number, 14, "L" if config.size[0] == 1 else "RGB"), number)
        assert tensor.shape == config.size and tensor.dtype == torch.float32 and tensor.isfinite().all()


@pytest.mark.parametrize("automatic", ["rand-m10-n9-p1-inc1", "rand-m0-n9-p1", "v0", "augmix-m10-w5-b1"])
def test_posterize_to_no_bits_is_black(automatic):
    """Newer Pillows raise an error there, at random times of a training."""
    transform = train_transform(COLOUR, Augmentation(crop="none", auto_augment=automatic))
    for number in range(60):
        assert call_seeded(transform, picture(number, 10), number).isfinite().all()


def test_colour_jitter_varies_brightness():
    transform = train_transform(COLOUR, Augmentation(crop="none", hflip=0, color_jitter=0.4))
    means = [call_seeded(transform, picture(1, 14), number).mean().item() for number in range(5)]
    assert len(set(means)) == 5


def test_the_global_generators_are_left_as_they_were():
    transform = train_transform(COLOUR, Augmentation(auto_augment="rand-m9-mstd0.5", **EVERYTHING))

    def draws(between):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        numbers = []
        for _ in range(3):
            between()
            numbers += [random.random(), np.random.random(), np.random.randint(9), torch.rand(()).item()]
        return numbers

    image = picture(1, 14)
    assert draws(lambda: call_seeded(transform, image, 3, 4, 5)) == draws(lambda: None)

    def failing(value):
        random.random(), np.random.random(), torch.rand(())
        raise KeyError

    def fail():
        with pytest.raises(KeyError):
            call_seeded(failing, image, 1)

    assert draws(fail) == draws(lambda: None)


def test_seeded_calls_depend_on_all_numbers_and_nothing_else():
    def draw(_):
        return random.random(), np.random.random(), torch.rand(()).item()

    values = {numbers: call_seeded(draw, None, *numbers) for numbers in [(1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3)]}
    assert len(set(values.values())) == 4
    torch.rand(7), random.random()
    assert call_seeded(draw, None, 1, 2, 3) == values[1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": "center"}, "crop center: choose one of rrc, resize, pad, none"),
        ({"padding": 3}, "padding goes with crop pad, not with crop rrc"),
        ({"crop": "pad", "scale": (0.5, 1.0)}, "scale goes with crop rrc, not with crop pad"),
        ({"crop": "resize", "ratio": (0.9, 1.1)}, "ratio goes with crop rrc, not with crop resize"),
        ({"crop": "pad", "padding": -1}, "padding -1: choose a number of pixels, 0 or more"),
        ({"scale": (0.5, 0.1)}, "scale 0.5 0.1: choose 0 < LOW <= HIGH <= 1"),
        ({"scale": (0.5, 2.0)}, "scale 0.5 2.0: choose 0 < LOW <= HIGH <= 1"),
        ({"ratio": (0.0, 1.0)}, "ratio 0.0 1.0: choose 0 < LOW <= HIGH"),
        ({"hflip": 1.5}, "hflip 1.5: choose a probability, 0 to 1"),
        ({"random_erasing": -0.1}, "random-erasing -0.1: choose a probability, 0 to 1"),
        ({"color_jitter": -1.0}, "color-jitter -1.0: choose a number of at least 0"),
        (
            {"color_jitter": 0.4, "auto_augment": "trivial"},
            "color-jitter excludes auto-augment trivial, which varies colours: set one",
        ),
    ],
)
def test_impossible_augmentations(changes, message):
    with pytest.raises(ValueError) as error:
        Augmentation(**changes)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("automatic", "message"),
    [
        ("random", "auto-augment random: choose none, trivial, or a string of timm that begins with rand, augmix"),
        ("rand-m9-foo", "auto-augment rand-m9-foo: timm has no section 'foo' of rand"),
        ("rand-m9-mst0.5", "auto-augment rand-m9-mst0.5: timm has no section 'mst0.5' of rand"),
        ("rand-tnothing", "auto-augment rand-tnothing: timm has no section 'tnothing' of rand"),
        ("rand-m0.5", "auto-augment rand-m0.5: timm has no section 'm0.5' of rand"),
        ("original-m5", "auto-augment original-m5: timm has no section 'm5' of original"),
        ("", "auto-augment : choose none, trivial"),
    ],
)
def test_impossible_auto_augment(automatic, message):
    with pytest.raises(ValueError) as error:
        train_transform(COLOUR, Augmentation(auto_augment=automatic))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (2, 8, 8)}, "images of 2 channels: only 1 (grey) and 3 (colour) can be read"),
        ({"size": (1, 8, 8)}, "mean has 3 values for 1 channels"),
        ({"size": (3, 0, 8)}, "image size 0 x 8: sides are at least 1"),
        ({"std": (0.1, 0.0, 0.1)}, "std (0.1, 0.0, 0.1): every value must be above 0"),
        ({"interpolation": "cubic"}, "interpolation cubic: choose one of nearest, bilinear"),
        ({"crop_pct": 1.2}, "crop-pct 1.2: choose a number above 0, at most 1"),
    ],
)
def test_impossible_inputs(changes, message):
    with pytest.raises(ValueError) as error:
        InputConfig(**changes)
    assert str(error.value).startswith(message)
