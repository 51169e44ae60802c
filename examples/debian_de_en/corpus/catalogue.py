"""The sources of text: what they are called, which packages hold them, who aligns them, under which licence."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from corpus.sources import ding, libreoffice_help, libreoffice_ui


@dataclass(frozen=True)
class Source:
    """A source of text. ``packages`` it cannot do without, ``optional`` ones are used where there are any."""

    name: str
    title: str
    licence: str
    align: Callable
    wanted: re.Pattern
    packages: tuple[str, ...]
    optional: tuple[str, ...] = ()


DING = Source(
    "ding",
    "Example sentences of the Ding dictionary",
    "GPL-2+",
    ding.align,
    ding.WANTED,
    ("trans-de-en",),
)
LIBREOFFICE_HELP = Source(
    "libreoffice-help",
    "Help pages of LibreOffice",
    "MPL-2.0",
    libreoffice_help.align,
    libreoffice_help.WANTED,
    ("libreoffice-help-de", "libreoffice-help-en-us"),
)
LIBREOFFICE_UI = Source(
    "libreoffice-ui",
    "Messages of LibreOffice's user interface",
    "MPL-2.0",
    libreoffice_ui.align,
    libreoffice_ui.WANTED,
    ("libreoffice-l10n-de",),
)

QUICK = (DING, LIBREOFFICE_HELP, LIBREOFFICE_UI)
SETS = {"quick": QUICK}

# How many pairs valid and test should have, about, in each set.
HELD_OUT = {"quick": 1800, "full": 3000}
