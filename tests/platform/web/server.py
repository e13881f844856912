"""The platform's application on a port of this machine, with a store in a folder, and a client that speaks HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple

import urllib3
import uvicorn

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform import deployment
from mitm_ai_proxy.platform.client import Client
from mitm_ai_proxy.platform.messages import Messages
from mitm_ai_proxy.platform.storage import Storage
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.web.app import Application
from mitm_ai_proxy.platform.web.services import Services
from tests.platform import fresh

KLING_SECRET: Final = Secret("whsec_a2xpbmcncyBvd24gc2VjcmV0")
SEEDS_BODY: Final = {"prompt": "a cat", "model": "kling-v3", "duration": 5, "mode": "standard"}


class Answer(NamedTuple):
    """An answer: its status, header fields and body."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, Any, Any]:
        """Status, code and param of an error."""
        found = self.json["error"]
        return self.status, found["code"], found["param"]


class _Hasty:
    """asyncio as uvicorn's server sees it. It sleeps a tenth of a second between its looks; here it sleeps less."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


vars(uvicorn.server)["asyncio"] = _Hasty()


class Server:
    """A running application. `clock` may be set; `block` is the `platform:` block of its configuration."""

    def __init__(
        self,
        folder: Path,
        block: Mapping[str, Any] | None = None,
        *,
        gateway: str = "http://127.0.0.1:9",
        only_callbacks: bool = False,
        environment: Mapping[str, str] | None = None,
        storage: Storage | None = None,
        store: Store | None = None,
        queue: Path | Secret | None = None,
        listen_every: float = 0.02,
    ) -> None:
        self._now: float | None = None
        settings = deployment.read({"platform": block or {}}, environment or {}, data=folder, gateway=gateway)
        self.store = store or fresh.store(folder / "jobs.db")
        self.storage = storage or Storage(folder / "results")
        self.messages = Messages(queue or folder / "queue.db")
        self.client = Client(gateway, seconds=10)
        clients = dict.fromkeys(settings.gateways, self.client)
        self.services = Services(self.store, self.storage, self.messages, settings, clients, self._clock)
        self.application = Application(self.services, only_callbacks=only_callbacks, listen_every=listen_every)
        config = uvicorn.Config(
            self.application, "127.0.0.1", 0, log_level="error", lifespan="on", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="platform-test-server")
        self._pool = urllib3.PoolManager(retries=False, maxsize=50)

    def __enter__(self) -> Server:
        self._thread.start()
        tick = threading.Event()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            tick.wait(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._pool.clear()
        self.client.close()
        self.messages.close()
        self.store.close()

    def set_clock(self, now: float | None) -> None:
        """Let it be this time from now on; None: what it really is."""
        self._now = now

    def _clock(self) -> float:
        return time.time() if self._now is None else self._now

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        fields: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        patience: float = 20,
    ) -> Answer:
        """Send a request, with JSON or with bytes; no redirect is followed. `patience`: how long nothing may come."""
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        found = self._pool.request(
            method, f"{self.url}{path}", body=sent, headers=dict(fields or {}), redirect=False, timeout=patience
        )
        return Answer(found.status, {name.lower(): value for name, value in found.headers.items()}, found.data)

    def made(self, **changed: Any) -> str:
        """The id of a job that was accepted."""
        answer = self.ask("POST", "/api/videos", {**SEEDS_BODY, **changed})
        assert answer.status == 202, answer.body
        return str(answer.json["job_id"])

    def counts(self) -> int:
        """How many jobs there are."""
        return sum(self.store.counts().values())
