"""Translate for other programs over HTTP, with LibreTranslate's interface, and for people, with a page at /.

  ringformer serve --model EXPORTED_DIR
  ringformer serve --model DE_EN --model EN_DE --port 5000 --api-key-file keys.txt

Requests that arrive together are translated together. SIGINT (Ctrl-C) or SIGTERM stops it: what has been asked is
answered, then it ends. docs/serve.md.
"""

import argparse
import contextlib
import ipaddress
import re

from .._fairseq import quiet
from ..errors import UserError, one_line
from ..extras import named, require
from .arguments import add_search_arguments, add_translator_arguments, check_search, positive, translator_options, whole

LOOPBACK = "127.0.0.1"
MOST_SECONDS = 3600
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        dest="models",
        metavar="DIR",
        help="folder that ringformer export has written, or a checkpoint that carries its dictionaries; repeat it for "
        "other languages",
    )
    parser.add_argument(
        "--host", default=LOOPBACK, help=f"address to listen at; default: {LOOPBACK}, this machine alone"
    )
    parser.add_argument("--port", type=whole(0, 65535), default=5000, help="default: 5000; 0 is any that is free")
    add_search_arguments(parser, whole(1, 10), "where a request has none")
    parser.add_argument("--no-split", action="store_true", help="translate texts whole, as ringformer translate does")
    parser.add_argument("--no-normalise", action="store_true", help="leave out what was done to the training text")
    group = parser.add_argument_group("who may ask")
    group.add_argument("--api-key-file", metavar="FILE", help="keys, one a line: requests must bring one of them")
    group.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name of this service, as behind a proxy; may be repeated; default: this machine's, and addresses",
    )
    group.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="web pages that may ask, as https://example.org, or * for all; may be repeated; default: its own page",
    )
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--char-limit", type=positive, default=10_000, metavar="N", help="characters of a request; default: 10000"
    )
    group.add_argument(
        "--waiting", type=positive, default=256, metavar="N", help="requests that may wait for a model; default: 256"
    )
    group.add_argument(
        "--timeout", type=whole(1, MOST_SECONDS), default=30, metavar="S", help="seconds for a request; default: 30"
    )
    group = parser.add_argument_group("resources, of each model")
    add_translator_arguments(group, "sentences")


def run(args: argparse.Namespace) -> int:
    check_search(args)
    require("starlette", "uvicorn", "sentencex")
    origins = [_origin(origin) for origin in args.allow_origin]
    for host in args.allow_host:
        if re.search(r"[/@\s]", host):
            raise UserError(f"--allow-host {host}: a name alone, as translate.example.org")
    keys = [] if args.api_key_file is None else _read_keys(args.api_key_file)
    with named():
        from ..serve import server
        from ..serve.app import Access, Limits, build_app
        from ..serve.batching import Settings
        from ..text import Translator

    options = dict(
        normalise=not args.no_normalise,
        split=not args.no_split,
        note=lambda text: None,  # what somebody has asked is nobody else's
        **translator_options(args),
    )
    listening = server.bind(args.host, args.port)
    with contextlib.ExitStack() as stack:
        stack.callback(listening.close)
        with quiet():
            translators = [stack.enter_context(Translator(path, **options)) for path in args.models]
        app = build_app(
            translators,
            Limits(args.char_limit, args.waiting, args.timeout),
            Access(keys, [*args.allow_host, *_name(args.host)], origins),
            Settings(args.beam, args.lenpen),
            note=lambda text: print(f"ringformer serve: {text}", flush=True),
        )
        server.listen(listening)  # who reads the line below may ask
        pairs = ", ".join("{} to {}".format(*translator.languages) for translator in translators)
        if not keys and not server.is_loopback(listening):
            print(
                "ringformer serve: whoever reaches this machine may use it: --api-key-file asks for a key", flush=True
            )
        print(f"ringformer serve: {pairs} at {server.address(listening)} (Ctrl-C stops it)", flush=True)
        server.run(app, listening, args.timeout)
    return 0


def _read_keys(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig") as stream:  # some editors write a mark that is no part of a key
            keys = [line.strip() for line in stream if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--api-key-file {path}: {one_line(error)}") from None
    if not keys:
        raise UserError(f"--api-key-file {path} holds no key: write one in each line")
    return keys


def _origin(origin: str) -> str:
    origin = origin.lower()
    if origin not in ("*", "null") and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", origin):
        raise UserError(f"--allow-origin {origin}: write it as a browser does, as https://example.org, without a path")
    scheme, _, host = origin.partition("://")  # browsers leave out what goes without saying
    return f"{scheme}://{host.removesuffix(DEFAULT_PORTS.get(scheme, ''))}" if host else origin


def _name(host: str) -> list[str]:
    """`host` if it is a name, by which the service will then be asked."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return []
    return [host]
