"""The service: addresses, limits and errors."""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..errors import UserError, one_line
from ..text import Translator
from .batching import Batcher, Busy, Failed, Settings
from .guard import Guard
from .languages import name_of
from .messages import AUTO, Query, Refusal, answer, read_query
from .page import page

FIVE_BEAMS = Settings()
# Of LibreTranslate's addresses those that are not here.
ABSENT = {
    "/detect": "languages are not detected here: name the source",
    "/translate_file": "files are not translated here: send their text to /translate",
    "/suggest": "suggestions are not taken here",
}


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how many may wait.

    Attributes:
        characters: of all texts of a request.
        waiting: requests for a model that may wait for their turn.
        seconds: from a request's head to its answer.
    """

    characters: int = 10_000
    waiting: int = 256
    seconds: float = 30.0

    @property
    def body_bytes(self) -> int:
        """The longest body: JSON may write a character in 12 bytes; other fields take little."""
        return 12 * self.characters + (1 << 16)


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        keys: API keys, one of which a request to translate must bring; none are needed if there are none.
        hosts, origins: see :class:`.guard.Guard`.
    """

    keys: Collection[str] = ()
    hosts: Collection[str] = ()
    origins: Collection[str] = ()

    def admits(self, given: str) -> bool:
        """Whether `given` is one of the keys, in a time that does not tell how much of it is."""
        same = [hmac.compare_digest(given.encode(), key.encode()) for key in self.keys]
        return not same or any(same)


class Service:
    """Answers requests for some language pairs.

    Args:
        translators: by what they translate, each pair once.
        defaults: how to search where a request does not say.
        note: told, in a line, of what could not be translated.

    Raises:
        UserError: if two translators have the same pair.
    """

    def __init__(
        self,
        translators: Sequence[Translator],
        limits: Limits,
        access: Access,
        defaults: Settings,
        note: Callable[[str], None],
    ):
        self.limits, self.access, self.defaults, self.note = limits, access, defaults, note
        self.batchers: dict[tuple[str, str], Batcher] = {}
        for translator in translators:
            pair = translator.languages
            if pair in self.batchers:
                raise UserError(f"two models translate {pair[0]} to {pair[1]}: give one")
            self.batchers[pair] = Batcher(translator, limits.waiting)

    def targets(self) -> dict[str, list[str]]:
        """Every language, and into what it is translated."""
        found: dict[str, list[str]] = {}
        for source, target in self.batchers:
            found.setdefault(source, []).append(target)
        return found | {target: [] for _, target in self.batchers if target not in found}

    async def languages(self, request: Request) -> Response:
        found = self.targets().items()
        return JSONResponse([{"code": code, "name": name_of(code), "targets": targets} for code, targets in found])

    async def settings(self, request: Request) -> Response:
        source, target = ({"code": code, "name": name_of(code)} for code in next(iter(self.batchers)))
        fields: dict[str, Any] = {
            "apiKeys": bool(self.access.keys),
            "keyRequired": bool(self.access.keys),
            "charLimit": self.limits.characters,
            "frontendTimeout": 500,
            "language": {"source": source, "target": target},
            "suggestions": False,
            "filesTranslation": False,
            "supportedFilesFormat": [],
            "beam": self.defaults.beam,
        }
        return JSONResponse(fields)

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def translate(self, request: Request) -> Response:
        work = asyncio.create_task(self._translate(request))
        try:
            # Not wait_for: what a thread has begun cannot be taken back, and is not waited for.
            done, _ = await asyncio.wait({work}, timeout=self.limits.seconds)
            if not done:
                raise Refusal(504, f"not translated within {self.limits.seconds:g} seconds: send less at once")
            return work.result()
        finally:
            work.cancel()

    async def _translate(self, request: Request) -> Response:
        body = await self._body(request)
        query = read_query(request.headers.get("content-type", ""), body, self.defaults)
        source, batcher = self._admit(query)
        work = asyncio.create_task(batcher.translate(query.texts, query.settings))
        gone = asyncio.create_task(_gone(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return JSONResponse(answer(query, source, work.result()))
        except Busy:
            raise Refusal(503, "too many requests wait: try again", {"Retry-After": "1"}) from None
        except Failed as error:
            cause = error.__cause__
            why = one_line(cause) if isinstance(cause, Exception) else type(cause).__name__
            self.note(f"a text could not be translated: {type(cause).__name__}: {why}")
            raise Refusal(500, "this text could not be translated") from None
        finally:
            work.cancel()
            gone.cancel()

    async def _body(self, request: Request) -> bytes:
        most, chunks, size = self.limits.body_bytes, [], 0
        too_long = Refusal(413, f"the body is longer than {most} bytes: send less at once")
        if int(request.headers.get("content-length", 0)) > most:
            raise too_long
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                raise too_long
        return b"".join(chunks)

    def _admit(self, query: Query) -> tuple[str, Batcher]:
        """The language of `query`, and what translates it; Refusal if it may not be asked, or cannot."""
        if not self.access.admits(query.key):
            raise Refusal(403, "api_key is missing" if not query.key else "api_key is not one of this service")
        if query.characters > self.limits.characters:
            raise Refusal(400, f"q has {query.characters} characters, {self.limits.characters} are the limit")
        sources = [source for source, target in self.batchers if target == query.target]
        if query.source == AUTO and len(sources) == 1:
            return sources[0], self.batchers[sources[0], query.target]
        if query.source == AUTO and sources:
            raise Refusal(400, f"source: languages are not detected here, name one of {', '.join(sources)}")
        if (query.source, query.target) not in self.batchers:
            pairs = ", ".join(f"{source} to {target}" for source, target in self.batchers)
            raise Refusal(400, f"{query.source[:20]} to {query.target[:20]} is not translated here, but {pairs}")
        return query.source, self.batchers[query.source, query.target]

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        for batcher in self.batchers.values():
            batcher.start()
        yield
        for batcher in self.batchers.values():
            await batcher.close()


def build_app(
    translators: Sequence[Translator],
    limits: Limits = Limits(),
    access: Access = Access(),
    defaults: Settings = FIVE_BEAMS,
    note: Callable[[str], None] = print,
) -> Starlette:
    """The service as an ASGI application; see :class:`Service`."""
    service = Service(translators, limits, access, defaults, note)
    allowed = Middleware(
        CORSMiddleware,
        allow_origins=access.origins,
        allow_methods=("GET", "POST"),
        allow_headers=("Content-Type",),
        # Who may ask is the guard's decision; a public page may ask a private address if its origin was allowed.
        allow_private_network=True,
    )
    routes = [
        Route("/", page, methods=["GET"]),
        Route("/translate", service.translate, methods=["POST"]),
        Route("/languages", service.languages, methods=["GET"]),
        Route("/frontend/settings", service.settings, methods=["GET"]),
        Route("/health", service.health, methods=["GET"]),
        *(Route(path, _absent, methods=["GET", "POST", "PUT"]) for path in ABSENT),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access.hosts, access.origins), allowed],
        exception_handlers={HTTPException: _refuse, ClientDisconnect: _nobody, Exception: _break},
        lifespan=service.lifespan,
    )


async def _gone(request: Request) -> None:
    """Wait until nobody waits for the answer."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _absent(request: Request) -> Response:
    raise Refusal(404, ABSENT[request.url.path])


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _break(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "an error of this service"}, 500)  # and the server logs it


async def _nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nginx's, for who keeps a log
