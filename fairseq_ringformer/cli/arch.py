"""Models by name, of either kind: fairseq's architectures with the flags of fairseq-train, timm's with their keywords."""

import sys
from typing import Any

from ..errors import UserError
from .errors import require_fairseq, require_timm

CLASSIFIER = "vit_"  # what the names of this package's classifiers begin with, and of no translation model


def is_classifier(arch: str) -> bool:
    """Whether `arch` is a name in timm, of this package or registered by a --user-dir."""
    timm = sys.modules.get("timm")
    return arch.startswith(CLASSIFIER) or (timm is not None and timm.is_model(arch))


def keywords(flags: list[str]) -> dict[str, Any]:
    """``--signal-rank 4 --pos-embed learned`` as keywords of a model."""
    from ..vision.training.options import load_yaml

    given: dict[str, Any] = {}
    pending = list(flags)
    while pending:
        flag = pending.pop(0)
        name, equals, value = flag.partition("=")
        if not name.startswith("--") or (not equals and not pending):
            raise UserError(f"{flag}: model flags of an image classifier are written --keyword value")
        value = value if equals else pending.pop(0)
        try:
            given[name[2:].replace("-", "_")] = load_yaml(value) if value else ""
        except UserError:
            raise UserError(f"{name} {value}: not a YAML value") from None
    return given


def build_classifier(arch: str, flags: list[str]):
    """The classifier `arch` on torch's meta device.

    Raises:
        UserError: if there is none, or `flags` do not suit it.
    """
    require_timm()
    from ..analysis.counts.vision import build_on_meta

    return build_on_meta(arch, keywords(flags))


def build_translator(arch: str, flags: list[str], source: int, target: int):
    """The translation model `arch` on torch's meta device, for vocabularies of these sizes; UserError as above."""
    require_fairseq()
    from ..analysis.counts.translation import build_on_meta

    return build_on_meta(arch, flags, source, target)
