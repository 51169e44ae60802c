"""Texts that wait at the same time are translated at the same time."""

import asyncio
import collections
import concurrent.futures
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from ..text import Translator
from ..text.stream import Translation

# Of a batch that a translator gets at once: enough for its own batches, few enough that who comes next waits little.
MOST_TEXTS, MOST_CHARACTERS = 64, 8192


@dataclass(frozen=True)
class Settings:
    """How to search; texts of equal settings share a batch."""

    beam: int = 5
    lenpen: float = 1.0
    nbest: int = 1
    alignment: bool = False


class Busy(Exception):
    """As many requests wait as may."""


class Failed(Exception):
    """A text could not be translated; the cause says why."""


@dataclass(eq=False)
class _Request:
    texts: Sequence[str]
    settings: Settings
    done: asyncio.Future
    taken: int = 0  # texts that the translator has, or had
    missing: int = 0  # texts without a translation
    results: list[Translation | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.missing, self.results = len(self.texts), [None] * len(self.texts)


class Batcher:
    """Gathers the texts of requests for one translator. Use it within one event loop.

    What waits while the translator has no work it gets at once: a request that is alone waits for nobody. While it works on
    as many batches as it can side by side, requests gather, and the next batch takes a text of each in turn, so that a
    long list delays no single sentence.

    Args:
        translator: what translates; it is closed with this.
        most_waiting: requests that may wait.
    """

    def __init__(self, translator: Translator, most_waiting: int):
        self.translator, self.most_waiting = translator, most_waiting
        self._waiting: collections.deque[_Request] = collections.deque()
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task | None = None
        self._free = asyncio.Semaphore(translator.parallel)
        self._threads = concurrent.futures.ThreadPoolExecutor(translator.parallel, "translate")

    def start(self) -> None:
        self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Stop; the translator is closed as soon as it is idle."""
        if self._worker is not None:
            self._worker.cancel()
        await asyncio.to_thread(self._threads.shutdown)
        self.translator.close()

    async def translate(self, texts: Sequence[str], settings: Settings) -> list[Translation]:
        """The translations of `texts`, in their order. If it is cancelled, what the translator has not yet is left out.

        Raises:
            Busy: if too many requests wait.
            Failed: if one of the texts cannot be translated.
        """
        if not texts:
            return []
        if len(self._waiting) >= self.most_waiting:
            raise Busy
        request = _Request(texts, settings, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._arrived.set()
        try:
            return await request.done
        finally:
            if request in self._waiting:
                self._waiting.remove(request)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as running:
            while True:
                await self._arrived.wait()
                await self._free.acquire()
                if self._waiting:
                    task = running.create_task(self._run(self._take()))
                    task.add_done_callback(lambda task: self._free.release())
                else:
                    self._arrived.clear()
                    self._free.release()

    def _take(self) -> list[tuple[_Request, int]]:
        """The next batch: requests, and the index of one of their texts."""
        settings = self._waiting[0].settings
        turns = collections.deque(request for request in self._waiting if request.settings == settings)
        batch: list[tuple[_Request, int]] = []
        size = 0
        while turns and len(batch) < MOST_TEXTS and size < MOST_CHARACTERS:
            request = turns.popleft()
            batch.append((request, request.taken))
            size += len(request.texts[request.taken])
            request.taken += 1
            self._waiting.remove(request)
            if request.taken < len(request.texts):
                turns.append(request)
                self._waiting.append(request)  # behind those who have had no turn
        return batch

    async def _run(self, batch: list[tuple[_Request, int]]) -> None:
        texts = [request.texts[index] for request, index in batch]
        loop, settings = asyncio.get_running_loop(), batch[0][0].settings
        try:
            found = await loop.run_in_executor(self._threads, self._translate, texts, settings)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # Rust's panics are no Exception
            if len(batch) == 1:
                _fail(batch[0][0], error)
            else:  # one text is no reason to refuse the others
                for one in batch:
                    if not one[0].done.done():  # answered, or nobody waits for it any more
                        await self._run([one])
            return
        for (request, index), translation in zip(batch, found, strict=True):
            request.results[index] = translation
            request.missing -= 1
            if not request.missing and not request.done.done():
                request.done.set_result(request.results)

    def _translate(self, texts: list[str], settings: Settings) -> list[Translation]:
        # Scores cost time, and are answered beside an alignment alone.
        found = self.translator.translate(texts, **asdict(settings), scores=settings.alignment)
        if len(found) != len(texts):
            raise ValueError(f"{len(texts)} texts have become {len(found)} translations")
        return found


def _fail(request: _Request, cause: BaseException) -> None:
    if not request.done.done():
        error = Failed()
        error.__cause__ = cause
        request.done.set_exception(error)
