"""Running the service on a socket, until it is told to stop."""

import ipaddress
import os
import signal
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from ..errors import UserError

# What may be asked just before a stop is waited for so much longer than any request may take.
SPARE_SECONDS = 5


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, which :func:`listen` makes ours.

    Args:
        port: 0 for a free one.

    Raises:
        UserError: if it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host} --port {port}: {getattr(error, 'strerror', None) or error}") from None
    return found


def listen(found: socket.socket) -> None:
    """Let requests come to `found`; they are answered when the service runs.

    Raises:
        UserError: if another process listens there by now.
    """
    try:
        found.listen()
    except OSError as error:
        raise UserError(f"{address(found)}: {error.strerror}") from None


def address(found: socket.socket) -> str:
    """Where a browser on this machine finds what listens on `found`."""
    host, port = found.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(found: socket.socket) -> bool:
    """Whether nobody on another machine can reach what listens on `found`."""
    return ipaddress.ip_address(found.getsockname()[0]).is_loopback


def run(app: Starlette, listening: socket.socket, seconds: float) -> None:
    """Answer until SIGINT or SIGTERM comes; then take no more, finish what has been asked, and return.

    A second SIGINT stops at once.

    Args:
        seconds: that a request may take.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=int(seconds) + SPARE_SECONDS,
    )
    # uvicorn sends itself the signal again when it has stopped: a stop that was asked for is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit and sig == signal.SIGINT:
            os._exit(128 + sig)  # a batch at work would be waited for
        super().handle_exit(sig, frame)
