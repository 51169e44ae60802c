"""Reading the pages of attention maps."""

import base64
import html.parser
import json

import numpy


class Page(html.parser.HTMLParser):
    """What a page holds, and what it would load."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.scripts, self._inside, self.texts = [], {}, None, []
        self.feed(path.read_text(encoding="utf-8"))
        self.data = json.loads(self.scripts["data"])

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.loaded += [value for name, value in attributes.items() if name in ("src", "href")]
        self._inside = attributes.get("id", "code") if tag == "script" else None

    def handle_data(self, data):
        if self._inside:
            self.scripts[self._inside] = self.scripts.get(self._inside, "") + data
        elif data.strip():
            self.texts.append(data.strip())

    def weights(self, number):
        part = self.data["parts"][number]
        steps = numpy.frombuffer(base64.b64decode(part["weights"]), numpy.uint8)
        return steps.reshape(part["shape"]) / 255
