"""What the images of a data set are, beside what a model makes of them."""

import statistics
from typing import NamedTuple

import numpy

from ..data import Images, InputConfig, StreamedImages

LOOKED_AT = 8
COLOURED = 16  # levels of 255 between two channels of a pixel that is not grey
LOST = 0.5  # of the shorter side


class Survey(NamedTuple):
    """Of some images: their median width and height, whether all have these, and whether any is coloured."""

    width: int
    height: int
    alike: bool
    coloured: bool


def survey(images: Images | StreamedImages) -> Survey | None:
    """Look at some of the images; None where none can be read in advance."""
    found = images.peek(LOOKED_AT)
    if not found:
        return None
    widths, heights = zip(*(image.size for image in found))
    coloured = False
    for image in found:
        pixels = numpy.asarray(image).astype(numpy.int16)
        coloured |= bool((numpy.ptp(pixels, axis=2) > COLOURED).mean() > 0.001)
    alike = len({image.size for image in found}) == 1
    return Survey(round(statistics.median(widths)), round(statistics.median(heights)), alike, coloured)


def becoming(seen: Survey | None, input: InputConfig) -> str:
    """What images are, and what a model that reads `input` makes of them, in a few words."""
    channels, height, width = input.size
    made = f"{width} x {height} {'grey' if channels == 1 else 'in colour'}"
    if seen is None:
        return f"images become {made}"
    about = "" if seen.alike else "about "
    return f"images of {about}{seen.width} x {seen.height} {'in colour' if seen.coloured else 'in grey'} become {made}"


def losses(seen: Survey | None, input: InputConfig) -> list[str]:
    """A line for each thing of the images that is thrown away, and what would keep it."""
    lines = []
    if seen is not None and seen.coloured and input.size[0] == 1:
        lines.append("warning: their colour is thrown away: --in-chans 3 keeps it")
    if seen is not None:
        left = min(input.size[1:]) / input.crop_pct / min(seen.width, seen.height)
        if left < LOST:
            lines.append(f"warning: their sides shrink to {left:.0%}: a higher --img-size keeps more of what they show")
    return lines
