"""The parts that a process of the platform works with, opened together and closed together."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from . import backends, callbacks
from .client import Client, Downloader
from .deployment import Deployment
from .messages import Messages
from .steps import Steps
from .storage import Storage
from .store import Store
from .worker import Worker

THREADS: Final = 8
"""Threads of a worker: each makes one call, or one download, at a time."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process works with. `clients` are by account."""

    deployment: Deployment
    store: Store
    messages: Messages
    storage: Storage
    clients: dict[str, Client]
    closing: ExitStack

    @classmethod
    def open(cls, deployment: Deployment) -> Parts:
        """Open them. Raises StoreError, StorageError or NotInstalled."""
        with ExitStack() as stack:
            store = backends.store(deployment)
            stack.callback(store.close)
            messages = backends.messages(deployment)
            stack.callback(messages.close)
            storage = backends.storage(deployment)
            clients = {
                account: Client(url, seconds=deployment.platform.timing.request)
                for account, url in deployment.gateways.items()
            }
            for client in clients.values():
                stack.callback(client.close)
            return cls(deployment, store, messages, storage, clients, stack.pop_all())

    def close(self) -> None:
        """Close them."""
        self.closing.close()

    def worker(self, threads: int = THREADS) -> Worker:
        """A worker on them, which is not started."""
        downloader = Downloader()
        self.closing.callback(downloader.close)
        timing = self.deployment.platform.timing
        steps = Steps(
            self.store,
            self.clients,
            downloader,
            self.storage,
            self.deployment.limits,
            timing,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            callback=self._callback(),
        )
        return Worker(self.store, steps, self.messages, timing, threads=threads)

    def _callback(self) -> Callable[[str], str] | None:
        public = self.deployment.public_url
        if not public:
            return None
        key = self.store.keys.signing_key()
        return lambda job_id: callbacks.address(public, key, job_id)
