"""What a model sees of an image, for every mode of Pillow, depth, orientation and kind of transparency."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.vision.data import open_images, read_image
from fairseq_ringformer.vision.data.pixels import Damaged, begins_as_image, decode, extensions
from tests.vision.images import write_folder, write_tar

RAMP = np.linspace(0, 255, 16).round().astype(np.uint8).reshape(4, 4)
LAB = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
# What each mode needs to hold the ramp, as Pillow converts it or as bytes.
MADE = {
    "1": lambda: Image.fromarray(RAMP).point(lambda value: value > 127 and 255).convert("1"),
    "I;16": lambda: Image.frombytes("I;16", (4, 4), (RAMP * np.uint16(257)).astype("<u2").tobytes()),
    "I;16L": lambda: Image.frombytes("I;16L", (4, 4), (RAMP * np.uint16(257)).astype("<u2").tobytes()),
    "I;16B": lambda: Image.frombytes("I;16B", (4, 4), (RAMP * np.uint16(257)).astype(">u2").tobytes()),
    "I;16N": lambda: Image.frombytes("I;16N", (4, 4), (RAMP * np.uint16(257)).astype("=u2").tobytes()),
    "P": lambda: Image.fromarray(RAMP).convert("P"),
    "PA": lambda: Image.fromarray(RAMP).convert("P").convert("PA"),
    "La": lambda: Image.fromarray(RAMP).convert("LA").convert("La"),
    "RGBa": lambda: Image.fromarray(RAMP).convert("RGBA").convert("RGBa"),
    "LAB": lambda: ImageCms.profileToProfile(Image.fromarray(RAMP).convert("RGB"), *LAB[::-1], outputMode="LAB"),
}
MODES = ("1 L P PA La LA I F RGB RGBA RGBX RGBa CMYK YCbCr LAB HSV I;16 I;16L I;16B I;16N").split()


def made(mode: str) -> Image.Image:
    return MADE[mode]() if mode in MADE else Image.fromarray(RAMP).convert("RGB").convert(mode)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def pixels(content, mode: str = "L", **options) -> np.ndarray:
    image = decode(content, mode, **options)
    assert image.mode == mode
    return np.asarray(image).astype(int)


def tiff(values: bytes, size: tuple, bits: int, sample_format: int = 1, photometric: int = 1) -> bytes:
    """A grey TIFF of one strip, as Pillow does not write it."""
    tags = {256: size[0], 257: size[1], 258: bits, 259: 1, 262: photometric, 277: 1, 278: size[1], 339: sample_format}
    entries = {**tags, 273: 8 + 2 + 12 * (len(tags) + 2) + 4, 279: len(values)}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, entries[tag]) for tag in sorted(entries))
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + bytes(4) + values


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_pillow_in_grey_and_in_colour(mode):
    wanted = np.where(RAMP > 127, 255, 0) if mode == "1" else RAMP
    tolerance = {"YCbCr": 1, "LAB": 2}.get(mode, 0)
    assert np.abs(pixels(made(mode)) - wanted).max() <= tolerance
    assert np.abs(pixels(made(mode), "RGB") - wanted[..., None]).max() <= tolerance


@pytest.mark.parametrize(
    "content",
    [
        encoded(made("I;16"), "PNG"),
        encoded(made("I;16"), "TIFF"),
        encoded(made("I;16B"), "TIFF"),
        b"P5 4 4 65535\n" + (RAMP * np.uint16(257)).astype(">u2").tobytes(),
        b"P5 4 4 255\n" + RAMP.tobytes(),
        tiff((RAMP * np.uint16(257)).astype("<u2").tobytes(), (4, 4), 16),
        tiff((65535 - RAMP * np.uint16(257)).astype("<u2").tobytes(), (4, 4), 16, photometric=0),
        tiff((RAMP / 255 * 32767).round().astype("<i2").tobytes(), (4, 4), 16, sample_format=2),
        tiff((RAMP * np.uint32(257)).astype("<u4").tobytes(), (4, 4), 32),
        tiff(RAMP.astype("<u4").tobytes(), (4, 4), 32),
        tiff((RAMP / np.float32(255)).astype("<f4").tobytes(), (4, 4), 32, sample_format=3),
        tiff(RAMP.astype("<f4").tobytes(), (4, 4), 32, sample_format=3),
        tiff((RAMP.astype("<f4") * 257).tobytes(), (4, 4), 32, sample_format=3),
        b"Pf 4 4 -1.0\n" + (RAMP[::-1] / np.float32(255)).astype("<f4").tobytes(),
    ],
)
def test_depths_are_scaled_by_their_real_range(content):
    assert np.abs(pixels(content) - RAMP).max() <= 1


def test_twelve_bits_of_a_tiff():
    packed = bytes([0x00, 0x0F, 0xFF, 0x80, 0x04, 0x00])  # 0, 4095, 2048, 1024
    assert pixels(tiff(packed, (4, 1), 12)).tolist() == [[0, 255, 128, 64]]


@pytest.mark.parametrize(
    "values, text",
    [([0.0, 1e6], "its pixels reach 1e\\+06, and nothing says what is white"), ([0.0, np.nan], "are no numbers")],
)
def test_what_nobody_can_know_is_no_picture(values, text):
    with pytest.raises(Damaged, match=text):
        decode(tiff(np.array(values, "<f4").tobytes(), (2, 1), 32, sample_format=3), "L")


# Of each orientation: how the file's pixels come from those that are to be seen.
STORED = {
    1: lambda seen: seen,
    2: np.fliplr,
    3: lambda seen: np.rot90(seen, 2),
    4: np.flipud,
    5: lambda seen: seen.swapaxes(0, 1),
    6: lambda seen: np.rot90(seen, 1),
    7: lambda seen: np.rot90(seen.swapaxes(0, 1), 2),
    8: lambda seen: np.rot90(seen, 3),
}


@pytest.mark.parametrize(
    "orientation, format",
    [
        *((orientation, "PNG") for orientation in STORED),
        *((6, kind) for kind in ("TIFF", "JPEG", "WEBP", "sixteen bits")),
    ],
)
def test_turned_as_exif_says(orientation, format):
    seen = np.kron(np.array([[10, 200, 90], [250, 40, 140]], np.uint8), np.ones((16, 16), np.uint8))
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation](seen)))
    if format == "sixteen bits":
        image, format = Image.fromarray(np.asarray(image) * np.uint16(257)), "PNG"
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": dict(lossless=True), "JPEG": dict(quality=100)}.get(format, {})
    found = pixels(encoded(image, format, exif=exif, **options))
    assert found.shape == seen.shape and np.abs(found - seen).max() <= 3


def test_exif_that_cannot_be_read_harms_no_pixel():
    content = encoded(Image.fromarray(RAMP), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09 rubbish")
    assert np.array_equal(pixels(content), RAMP)


def transparent() -> dict:
    """Images that show a grey of 100 on the left and nothing on the right, whatever colour lies under that."""
    rgba = Image.new("RGBA", (2, 1), (100, 100, 100, 255))
    rgba.putpixel((1, 0), (7, 7, 7, 0))
    palette = Image.new("P", (2, 1))
    palette.putpalette([100] * 3 + [7] * 3)
    palette.putpixel((1, 0), 1)
    grey = Image.fromarray(np.array([[100, 7]], np.uint8))
    deep = Image.fromarray(np.array([[100 * 257, 7 * 257]], np.uint16))
    return {
        "RGBA": encoded(rgba),
        "RGBA, webp": encoded(rgba, "WEBP", lossless=True),
        "LA": encoded(rgba.convert("LA")),
        "palette": encoded(palette, transparency=1),
        "palette by bytes": encoded(palette, transparency=b"\xff\x00"),
        "gif": encoded(palette, "GIF", transparency=1),
        "grey": encoded(grey, transparency=7),
        "colour": encoded(rgba.convert("RGB"), transparency=(7, 7, 7)),
        "sixteen bits": encoded(deep, transparency=7 * 257),
    }


@pytest.mark.parametrize("kind", transparent())
def test_what_shows_through(kind):
    content = transparent()[kind]
    assert pixels(content, background="#404040").tolist() == [[100, 64]]
    assert pixels(content, "RGB", background="#404040").tolist() == [[[100] * 3, [64] * 3]]


def test_half_transparent_and_opaque():
    assert pixels(Image.new("RGBA", (1, 1), (0, 0, 0, 128))).tolist() == [[127]]
    assert np.array_equal(pixels(encoded(Image.fromarray(RAMP).convert("RGBA"))), RAMP)


def test_a_background_that_is_no_colour(tmp_path):
    write_folder(tmp_path / "train")
    with pytest.raises(UserError, match="background pnk: no colour; write white, black or #rrggbb"):
        open_images(str(tmp_path), "train", background="pnk")


def test_one_loader_for_folders_tars_streams_torchvision_and_single_files(tmp_path):
    """The same turned, half transparent, deep images by every way in."""
    image = Image.fromarray(np.dstack([RAMP, RAMP.T, 255 - RAMP, RAMP[::-1]]), "RGBA").resize((8, 4), 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = {"a": encoded(image, exif=exif), "b": encoded(made("I;16"), exif=exif)}
    for name, content in contents.items():
        for split in ("train", "validation"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.png").write_bytes(content)
    write_tar(tmp_path / "x.tar", {f"{name}/0.png": content for name, content in contents.items()})
    shard = {"0.png": contents["a"], "0.cls": b"0", "1.png": contents["b"], "1.cls": b"1"}
    write_tar(tmp_path / "shard-0.tar", shard)
    sets = [
        open_images(str(tmp_path), "train", channels=3),
        open_images(str(tmp_path / "x.tar"), "", channels=3),
        open_images(str(tmp_path), "shard-0.tar|2", dataset="wds/", classes=["a", "b"], channels=3),
        open_images(str(tmp_path), "train", dataset="torch/image_folder", channels=3),
    ]
    wanted = [np.asarray(read_image(str(tmp_path / "train" / name / "0.png"), 3)) for name in contents]
    assert [array.shape for array in wanted] == [(8, 4, 3), (4, 4, 3)]
    for images in sets:
        # A stream has no other way to its images than from the first on.
        samples = [images[index] for index in range(2)] if hasattr(images, "name") else list(images)
        assert [sample[1:] for sample in samples] == [(0, -1), (1, -1)]
        assert all(np.array_equal(np.asarray(found), array) for (found, _, _), array in zip(samples, wanted))


def test_whatever_pillow_reads_and_nothing_that_it_runs():
    wanted = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".ppm", ".tga", ".jp2", ".ico"}
    assert wanted <= extensions() and (".avif" in extensions()) == features.check("avif")
    assert not {".eps", ".ps", ".wmf", ".mpg", ".h5", ".pdf"} & extensions()
    assert begins_as_image(encoded(Image.fromarray(RAMP), "BMP"))
    assert not begins_as_image(b"no image at all" * 40) and not begins_as_image(b"")
    postscript = encoded(Image.fromarray(RAMP), "EPS")
    assert not begins_as_image(postscript)
    with pytest.raises(Damaged, match="in no format of images"):
        decode(postscript, "L")
