"""The parts that a process of the platform works with, opened together and closed together."""

from __future__ import annotations

import logging
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
from .reconciling import Reconciler, Report
from .steps import Steps
from .storage import Storage
from .store import Store
from .webhooks import Webhooks
from .worker import Worker

logger = logging.getLogger(__name__)

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
        reconciler = Reconciler(self.store.books, self.clients)
        return Worker(
            self.store,
            steps,
            self.messages,
            timing,
            threads=threads,
            hourly=lambda: _tell(reconciler.run()),
            webhooks=Webhooks(self.store, self.deployment.platform),
        )

    def _callback(self) -> Callable[[str], str] | None:
        public = self.deployment.public_url
        if not public:
            return None
        key = self.store.keys.signing_key()
        return lambda job_id: callbacks.address(public, key, job_id)


def _tell(report: Report) -> None:
    """Write what the comparison with Kling's books has found into the log."""
    for line in report.settled:
        logger.info("platform: a price was learned late: %s", line)
    for line in report.differing:
        logger.warning("platform: a price differs from Kling's books: %s", line)
    for orphan in report.orphans:
        logger.warning("platform: %s is a task of %s that no job here has", orphan.name, orphan.account)
    for line in report.problems:
        logger.warning("platform: %s", line)
