"""Who may ask: not every page that a browser on this machine happens to show.

A service on the loopback interface is within reach of each web page that its user visits. Browsers keep such a page from
reading answers, but not from asking (a form can be sent anywhere), and not at all if the page's own name is suddenly
resolved to this machine (DNS rebinding). So a request must name this machine as its host, and if it comes from a page,
that page must be ours or one that was allowed.
"""

import ipaddress
import socket
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ANY = "*"


class Guard:
    """Refuses requests under foreign names and from foreign pages.

    Args:
        app: what answers the others.
        hosts: names under which the service may be asked, beside addresses, ``localhost`` and this machine's name.
        origins: pages that may ask, such as ``https://example.org``, beside the service's own; ``*`` is all.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = (), origins: Collection[str] = ()):
        self.app, self.origins = app, set(origins)
        self.hosts = {"localhost", socket.gethostname().lower(), *map(_name, hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self._problem(Headers(scope=scope))):
            await JSONResponse({"error": problem}, 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _problem(self, headers: Headers) -> str | None:
        hosts = headers.getlist("host")
        name = _name(hosts[0]) if len(hosts) == 1 else ""
        if name not in self.hosts and not _is_address(name):
            return f"this service is not called {name or 'so'}: start it with --allow-host to allow that name"
        origin = headers.get("origin")
        if origin is None or self.origins & {ANY, origin}:
            return None
        if origin.lower() in (f"http://{hosts[0].lower()}", f"https://{hosts[0].lower()}"):
            return None
        return f"pages of {origin} may not use this service: start it with --allow-origin to allow them"


def _name(host: str) -> str:
    """A host's name or address without its port."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower().rstrip(".")


def _is_address(name: str) -> bool:
    """Whether `name` is an IP address, which no name server can redirect."""
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
