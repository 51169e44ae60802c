"""A translator that needs no model, and a service in this process."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import uvicorn

from fairseq_ringformer.serve import server
from fairseq_ringformer.serve.app import build_app


class Shouting:
    """Translates into capitals, and remembers the batches. `gate` holds it, `broken` texts break it."""

    def __init__(self, source="de", target="en", broken=(), parallel=1):
        self.languages, self.broken, self.batches = (source, target), broken, []
        self.parallel = parallel
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False

    def translate(self, texts, *, beam, lenpen, nbest, alignment, scores):
        assert scores == alignment
        self.batches.append((list(texts), beam, nbest, alignment))
        assert self.gate.wait(10)
        if any(text in self.broken for text in texts):
            raise RuntimeError("broken")
        return [self._translation(text, nbest, alignment) for text in texts]

    def _translation(self, text, nbest, alignment):
        tokens = text.split()
        found = (
            SimpleNamespace(
                source=tokens,
                target=[token.upper() for token in tokens],
                weights=[[1 / len(tokens)] * len(tokens)] * len(tokens),
            )
            if alignment and tokens
            else None
        )
        hypotheses = [
            SimpleNamespace(text=text.upper() + "!" * rank, score=-float(rank), alignment=found)
            for rank in range(nbest)
        ]
        return SimpleNamespace(source=text, text=text.upper(), hypotheses=hypotheses, pieces=[(text, hypotheses[0])])

    def close(self):
        self.closed = True


class Client:
    """Asks a service; each request on a connection of its own."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, **headers):
        """Status, headers and decoded body of an answer; a dictionary is sent as JSON."""
        if isinstance(body, dict):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **headers}
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, answer.headers, json.loads(text) if is_json else text

    def translate(self, q="eins", source="de", target="en", **fields):
        """Status and body of an answer."""
        status, _, found = self.ask("POST", "/translate", {"q": q, "source": source, "target": target, **fields})
        return status, found


@contextlib.contextmanager
def served(*translators, **options) -> Iterator[Client]:
    """A service on a free port of this machine."""
    app = build_app(translators, **options)
    listening = server.bind("127.0.0.1", 0)
    service = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="error", ws="none"))
    thread = threading.Thread(target=service.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not service.started:
            time.sleep(0.005)
        yield Client(listening.getsockname()[1])
    finally:
        service.should_exit = True
        thread.join(20)
        listening.close()
