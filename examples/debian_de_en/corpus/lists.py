"""The package descriptions that apt fetches beside its package lists, in German and English."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from corpus.packages import OTHERWISE, run, why
from fairseq_ringformer.errors import UserError

LANGUAGES = ("de", "en")

# "none" stands in the configuration of many machines and would win over anything that is merely added.
_CONFIGURATION = """#clear Acquire::Languages;
Acquire::Languages { "de"; "en"; };
Acquire::IndexTargets::deb::Packages::DefaultEnabled "false";
"""


class Descriptions(NamedTuple):
    """One list of descriptions: the release and component it belongs to, its language, its text."""

    name: str
    language: str
    text: bytes
    sha256: str


def fetch(cache: Path) -> list[Descriptions]:
    """Download the lists into the folder ``cache``/lists, apart from the machine's own, so that no root is needed.

    Raises UserError if they cannot be had, or if the archive has no German ones.
    """
    folder = (cache / "lists").resolve()
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    configuration = folder.parent / "lists.conf"
    configuration.write_text(_CONFIGURATION, encoding="utf-8")
    # apt would ask for a user of its own to write here, which only root may grant.
    apt = ["-c", str(configuration), "-o", f"Dir::State::Lists={folder}", "-o", "APT::Sandbox::User=root"]
    result = run(["apt-get", *apt, "update", "-q"])
    fetched = list(_read(apt))
    missing = [
        language for language in LANGUAGES if language not in {descriptions.language for descriptions in fetched}
    ]
    if missing:
        raise UserError(
            f"could not download the {missing[0]} package descriptions ({why(result)}): "
            f"check the network and start again, {OTHERWISE}"
        )
    return fetched


def _read(apt: list[str]) -> Iterator[Descriptions]:
    line = "$(RELEASE)/$(COMPONENT)\t$(LANGUAGE)\t$(FILENAME)"
    listed = run(["apt-get", *apt, "indextargets", "--format", line, "Created-By: Translations"]).stdout
    for release, language, file in sorted(re.findall(r"^(\S+)\t(\S+)\t(.+)$", listed, re.MULTILINE)):
        text = run(["/usr/lib/apt/apt-helper", "cat-file", file]).stdout.encode("utf-8")
        if text:
            yield Descriptions(f"{release} Translation-{language}", language, text, hashlib.sha256(text).hexdigest())
