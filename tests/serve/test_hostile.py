"""Many requests with hostile text at once: each gets its own answer."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.serve.fake import Client, Shouting, served

PARTS = [
    *("\x00", "\x1b[2J", "\x7f", "\ufeff", "\u202e", "\u2028", "\u200b", "\ufffd", "\U0010ffff", "\r\n", "\n\n", "\t"),
    *(
        "<pad>",
        "</s>",
        "<unk>",
        "<script>alert(1)</script>",
        "&amp;",
        "'; DROP TABLE x;--",
        "%00%s%n",
        "${x}",
        "\\u0000",
    ),
    *(
        "a\u0301" * 30,
        "👩‍👩‍👧‍👦",
        "🏳️‍🌈",
        "ﷺ",
        "Z̷͓͑a̴l̶g̷o̸",
        "مرحبا",
        "你好",
        "ß",
        "İ",
        "ŉ",
        "ﬃ",
        "\ud800",
        "x" * 300,
        "1" * 90,
    ),
    *("Guten Morgen.", "eins zwei drei.", "Dr. No. 7", "„Ring“", "...", "?!", " ", ""),
]


def texts(count: int, seed: int = 1) -> list[str]:
    """Hostile texts; each has a number of its own."""
    rng = random.Random(seed)
    return [
        f"{number} " + rng.choice(["", " "]).join(rng.choices(PARTS, k=rng.randint(0, 6))) for number in range(count)
    ]


def ask_all(client: Client, asked: list[str], clients: int = 32) -> list[tuple[int, dict]]:
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(client.translate, asked))


def plain(text: str) -> str:
    """`text` as it arrives: half characters are replaced."""
    return text.replace("\ud800", "\ufffd")


def test_none_is_lost_and_none_swapped():
    asked, together = texts(600), threading.Event()

    class Counting(Shouting):
        def translate(self, texts, **settings):
            if len(texts) > 4:
                together.set()
            return super().translate(texts, **settings)

    with served(Counting()) as client:
        found = ask_all(client, asked)
    assert found == [(200, {"translatedText": plain(text).upper()}) for text in asked]
    assert together.is_set()  # or this was no test
