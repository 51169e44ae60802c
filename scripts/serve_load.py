#!/usr/bin/env python
"""Ask a running `ringformer serve` for the lines of a file, and print sentences per second and latency.

  scripts/serve_load.py --input german.txt --clients 1 8 32 --seconds 20 [--expect english.txt]

Each client asks for one line at a time, on a connection of its own, as soon as it has its answer. With --expect, answers
are compared with the same lines of a file, such as `ringformer translate` has written. Needs nothing but Python.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


class Client:
    """One connection to the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str):
        self.reader, self.writer, self.host = reader, writer, host

    async def translate(self, fields: dict) -> tuple[int, dict]:
        """Status and answer."""
        body = json.dumps(fields).encode()
        head = f"POST /translate HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        answer = await self.reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), json.loads(answer)


async def load(url: str, clients: int, seconds: float, texts: list[str], fields: dict) -> tuple[list, float]:
    """What `clients` get within `seconds`: line number, status, answer and latency of each request; and the time taken."""
    place, found, lines = urllib.parse.urlsplit(url), [], itertools.count()
    begun = time.perf_counter()

    async def ask() -> None:
        connection = await asyncio.open_connection(place.hostname, place.port)
        client = Client(*connection, place.netloc)
        while time.perf_counter() < begun + seconds:
            line = next(lines) % len(texts)
            asked = time.perf_counter()
            status, answer = await client.translate({"q": texts[line], **fields})
            found.append((line, status, answer, time.perf_counter() - asked))
        connection[1].close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    return found, time.perf_counter() - begun


def languages(url: str) -> list:
    """What the service translates; it has 20 seconds to start."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"{url}/languages") as answer:
                return json.load(answer)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
        time.sleep(0.2)
    sys.exit(f"serve_load: no service at {url}")


def read_lines(path: Path) -> list[str]:
    """The lines of a file, cut at line feeds alone, as `ringformer translate` cuts them."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:5000")
    parser.add_argument("--input", required=True, type=Path)
    parser.add_argument("--expect", type=Path)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--beam", type=int, default=5)
    args = parser.parse_args()
    texts = read_lines(args.input)
    expected = read_lines(args.expect) if args.expect else None
    if expected is not None and len(expected) != len(texts):
        sys.exit(f"serve_load: {args.input} has {len(texts)} lines, {args.expect} {len(expected)}")
    language = next(one for one in languages(args.url) if one["targets"])
    fields = {"source": language["code"], "target": language["targets"][0], "beam": args.beam}
    print("| clients | sentences/s | 50% | 95% | 99% | requests | refused |" + (" as expected |" if expected else ""))
    print("|---:|---:|---:|---:|---:|---:|---:|" + ("---:|" if expected else ""))
    for clients in args.clients:
        found, took = asyncio.run(load(args.url, clients, args.seconds, texts, fields))
        answered = [one for one in found if one[1] == 200]
        times = sorted(1000 * one[3] for one in answered) or [0]
        shares = [f"{times[int(share * (len(times) - 1))]:.0f} ms" for share in (0.5, 0.95, 0.99)]
        row = [clients, f"{len(answered) / took:.0f}", *shares, len(found), len(found) - len(answered)]
        if expected:
            row.append(sum(answer["translatedText"] == expected[line] for line, _, answer, _ in answered))
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
