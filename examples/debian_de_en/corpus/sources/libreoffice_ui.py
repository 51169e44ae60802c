"""The messages of LibreOffice's user interface, from its German .mo catalogues.

The English text of a message is its key, after a context such as ``breakpointmenus|extended_tip|properties``
(a control of a dialog) or ``STR_TABLE_READONLY``.
"""

import gettext
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from corpus.pairs import Pair

WANTED = re.compile(r"/LC_MESSAGES/[^/]+\.mo$")

# Labels of one to three words are names more than language, repeat endlessly, and would flatter a test
# score or ruin it by chance; what has more words, or ends like a sentence, stays.
MIN_WORDS = 4

_MNEMONIC = re.compile(r"[~_](?=\w)")


def align(packages: Mapping[str, Mapping[str, bytes]], skipped: Counter) -> Iterator[Pair]:
    """Pair the messages with their translations; a document is a dialog (or message) of a catalogue."""
    for path, content in sorted(packages["libreoffice-l10n-de"].items()):
        catalogue = PurePosixPath(path).stem
        # GNUTranslations can be asked for one message only; the catalogue it holds has no public name.
        messages = gettext.GNUTranslations(io.BytesIO(content))._catalog
        for key, german in messages.items():
            if not isinstance(key, str):  # a plural form
                skipped["plural form"] += 1
                continue
            context, separator, english = key.partition("\x04")
            if not separator:  # the catalogue's own header
                continue
            english, german = plain(english), plain(german)
            if len(english.split()) < MIN_WORDS and not re.search(r"\w\w[.!?]$", english):
                skipped["short label"] += 1
                continue
            yield Pair(f"{catalogue}/{context.partition('|')[0]}", german, english)


def plain(message: str) -> str:
    """A message without the marks of keyboard shortcuts (``~File``, ``_File``), with the product named."""
    message = message.replace("%PRODUCTNAME", "LibreOffice")
    if "://" not in message and message.count("_") + message.count("~") == 1:
        message = _MNEMONIC.sub("", message)
    return re.sub(r"\s+", " ", message.replace("\\n", " ")).strip()
