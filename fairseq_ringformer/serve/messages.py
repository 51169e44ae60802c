"""What a request to translate says, and what is answered: LibreTranslate's fields, and two of ours.

Ours are ``beam``, the width of the search, and ``alignment``: whether the answer says where the decoder looked.
"""

import json
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.exceptions import HTTPException

from ..text.stream import Hypothesis, Translation
from .batching import Settings

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
AUTO = "auto"
MOST_BEAM = 10
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
TRUE, FALSE = ("true", "1"), ("false", "0")


class Refusal(HTTPException):
    """A request that is not answered, and why: status, text, headers."""


@dataclass(frozen=True)
class Query:
    """A request to translate.

    Attributes:
        texts: to be translated.
        listed: whether they came as a list, and go as one.
        source, target: languages; the source may be ``auto``.
        settings: how to search.
        key: the API key, empty if there is none.
    """

    texts: Sequence[str]
    listed: bool
    source: str
    target: str
    settings: Settings
    key: str

    @property
    def characters(self) -> int:
        """Length of all texts; an empty one counts as one."""
        return sum(max(1, len(text)) for text in self.texts)


def read_query(content_type: str, body: bytes, defaults: Settings) -> Query:
    """The request in `body`.

    Args:
        content_type: JSON, or a form's; empty is a form's.
        defaults: how to search where the request does not say.

    Raises:
        Refusal: if it is none, or asks for what there is not.
    """
    fields = _fields(content_type.partition(";")[0].strip().lower() or FORM, body)
    if "q" not in fields:
        raise Refusal(400, "q is missing: the text to translate")
    texts, listed = fields["q"], isinstance(fields["q"], list)
    texts = texts if listed else [texts]
    if not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "q is neither a text nor a list of texts")
    if _text(fields, "format", "text") != "text":
        raise Refusal(400, "format: only text is translated here; take the text out of the markup")
    alternatives = _whole(fields, "alternatives", 0, 0, MOST_BEAM - 1)
    width = _whole(fields, "beam", max(defaults.beam, alternatives + 1), 1, MOST_BEAM)
    if width <= alternatives:
        raise Refusal(400, f"{alternatives} alternatives need a beam of at least {alternatives + 1}")
    settings = replace(defaults, beam=width, nbest=alternatives + 1, alignment=_truth(fields, "alignment"))
    source, target = _text(fields, "source"), _text(fields, "target")
    return Query([_plain(text) for text in texts], listed, source, target, settings, _text(fields, "api_key", ""))


def answer(query: Query, source: str, translations: Sequence[Translation]) -> dict[str, Any]:
    """What is answered to `query`.

    Args:
        source: language of the texts.
        translations: of each text.
    """
    columns: dict[str, list[Any]] = {"translatedText": [found.text for found in translations]}
    if query.source == AUTO:
        # Nothing was detected: it is the only language that is translated into this target.
        columns["detectedLanguage"] = [{"language": source, "confidence": 0} for _ in translations]
    if query.settings.nbest > 1:
        columns["alternatives"] = [[other.text for other in found.hypotheses[1:]] for found in translations]
    if query.settings.alignment:
        columns["pieces"] = [[_piece(*piece) for piece in found.pieces] for found in translations]
    return columns if query.listed else {name: column[0] for name, column in columns.items()}


def _piece(source: str, hypothesis: Hypothesis) -> dict[str, Any]:
    found = hypothesis.alignment
    alignment = None
    if found is not None:
        weights = [[round(float(weight), 4) for weight in row] for row in found.weights]
        alignment = {"source": list(found.source), "target": list(found.target), "weights": weights}
    return {"source": source, "text": hypothesis.text, "score": round(hypothesis.score, 4), "alignment": alignment}


def _fields(kind: str, body: bytes) -> dict[str, Any]:
    if kind == JSON:
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            raise Refusal(400, "the body is no JSON") from None
        if not isinstance(fields, dict):
            raise Refusal(400, "the body is no JSON object")
        return {name: value for name, value in fields.items() if value is not None}
    if kind == FORM:
        found = urllib.parse.parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")
        return {name: values if len(values) > 1 else values[0] for name, values in found.items()}
    raise Refusal(415, f"{kind} is not read here: send {JSON} or {FORM}")


def _plain(text: str) -> str:
    """`text` as it can be written in UTF-8: JSON may hold halves of characters."""
    return LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _text(fields: dict[str, Any], name: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if value is None:
        raise Refusal(400, f"{name} is missing")
    if not isinstance(value, str):
        raise Refusal(400, f"{name} is no text")
    return _plain(value)


def _whole(fields: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = fields.get(name, default)
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):  # of a form
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Refusal(400, f"{name} is no whole number from {least} to {most}")
    return value


def _truth(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if isinstance(value, str) and value.lower() in TRUE + FALSE:  # of a form
        value = value.lower() in TRUE
    if not isinstance(value, bool):
        raise Refusal(400, f"{name} is neither true nor false")
    return value
