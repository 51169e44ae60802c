"""From an encoded image to upright, opaque pixels of 8 bits: the one way in for training, evaluation and prediction."""

import errno
import io
from functools import cache
from typing import Any

import numpy
from PIL import ExifTags, Image, ImageCms, ImageColor, ImageOps, UnidentifiedImageError

from ...errors import UserError

# EPS would run Ghostscript; of the others Pillow knows the name, and needs a program to decode them.
NOT_PICTURES = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})
# No fault of the image: the same file can be read later.
NOT_DAMAGED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # tags of TIFF
WHITE_IS_ZERO = 0


class Damaged(Exception):
    """One image that cannot be decoded; its text says why."""


@cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that it can decode; those without a signature, which it can but try, come last."""
    Image.preinit()
    Image.init()
    known = [name for name in Image.ID if name not in NOT_PICTURES]
    return tuple(sorted(known, key=lambda name: name not in _signed()))


@cache
def _signed() -> frozenset[str]:
    """The formats that are told by the first bytes of a file."""
    return frozenset(name for name, (_, accepts) in Image.OPEN.items() if accepts)


@cache
def extensions() -> frozenset[str]:
    """The ends of files' names, in lower case and with the point, that stand for those formats."""
    formats()
    names = Image.registered_extensions().items()
    return frozenset(ending for ending, format in names if format in (*formats(), "MPO"))


def begins_as_image(content: bytes) -> bool:
    """Whether a file of an unknown ending begins as an image does."""
    signed = [name for name in formats() if name in _signed()]
    try:
        with Image.open(io.BytesIO(content), formats=signed):
            return True
    except Exception as error:
        if isinstance(fault(error), Damaged):
            return False
        raise


def image_mode(channels: int) -> str:
    """PIL's mode for images of so many channels."""
    if channels not in (1, 3):
        raise UserError(f"images of {channels} channels: only 1 (grey) and 3 (colour) can be read")
    return "L" if channels == 1 else "RGB"


def colour(name: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour's name, ``white`` or ``#ffffff``; UserError if there is none."""
    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError:
        raise UserError(f"background {name}: no colour; write white, black or #rrggbb") from None


def decode(content: Any, mode: str, background: str = "white") -> Image.Image:
    """Read an image to its last pixel: bytes, an open file, or an image of PIL's.

    Args:
        mode: ``L`` or ``RGB``.
        background: what shows through transparent pixels.

    Raises:
        Damaged: if that fails, and the image is at fault.
    """
    try:
        if isinstance(content, Image.Image):
            return to_mode(content, mode, background)
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=formats()) as image:
            return to_mode(image, mode, background)
    except Exception as error:  # PIL's decoders raise whatever they like: RuntimeError, struct.error, SyntaxError, ...
        raise fault(error) from None


def read_image(path: str, channels: int, background: str = "white") -> Image.Image:
    """The image in a file, grey (1) or in colour (3); UserError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return decode(stream.read(), image_mode(channels), background)
    except Damaged as error:
        raise UserError(f"{path}: damaged, or no image ({error})") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder without images") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def fault(error: Exception) -> Exception:
    """`error` itself where the machine is at fault, else :class:`Damaged`."""
    resources = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in NOT_DAMAGED)
    if resources:
        return error
    unknown = isinstance(error, UnidentifiedImageError)
    return Damaged("in no format of images" if unknown else " ".join(str(error).split()) or type(error).__name__)


def to_mode(image: Image.Image, mode: str, background: str = "white") -> Image.Image:
    """An image of any of PIL's modes in `mode`: turned as its EXIF says, scaled to 8 bits, composited on `background`."""
    image.load()
    if image.mode[0] in "IF":
        image = _eight_bits(image)
    if image.info:
        image = _upright(image)
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, colour(background)), image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception as error:  # what cannot be read says nothing, and harms no pixel
        if isinstance(fault(error), Damaged):
            return image
        raise


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of more bits, scaled so that its white is 255, where PIL would cut it off there."""
    values = numpy.asarray(image).astype(numpy.float64)
    if not numpy.isfinite(values).all():
        raise Damaged("some of its pixels are no numbers")
    white = _white(image) or _smallest_white(values, 1 if image.mode == "F" else 255)
    tags = getattr(image, "tag_v2", {})
    scaled = (values.clip(0, white) * (255 / white)).round().astype(numpy.uint8)
    grey = Image.fromarray(255 - scaled if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else scaled)
    grey.info = dict(image.info)
    transparent = grey.info.pop("transparency", None)
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray((values != transparent).astype(numpy.uint8) * 255))
    return grey


def _white(image: Image.Image) -> int | None:
    """What white is in a file of more than 8 bits, as far as its format says."""
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]
    if image.mode.startswith("I;16"):
        return 2**bits - 1
    if image.mode == "I" and image.format == "PPM":
        return 2**16 - 1
    if image.mode == "I" and image.format == "TIFF" and bits == 16:  # with a sign
        return 2**15 - 1
    return None


def _smallest_white(values: numpy.ndarray, least: int) -> int:
    """Integers of 32 bits and floats do not tell their white: the smallest usual one that no pixel exceeds."""
    usual = [white for white in (1, 2**8 - 1, 2**16 - 1) if white >= max(least, values.max())]
    if not usual:
        raise Damaged(f"its pixels reach {values.max():g}, and nothing says what is white")
    return usual[0]
