"""Tries what a deployment needs, one part after the other: `ai-proxy platform check`."""

from __future__ import annotations

import http.client
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ..kling import error_codes
from . import alarms, backends
from .backends import NotInstalled
from .client import Client
from .database import StoreError
from .deployment import Deployment
from .reconciling import PATHS
from .replies import Verdict
from .storage import StorageError

_SECONDS: Final = 10.0
_GOOD: Final = frozenset({Verdict.TAKEN, Verdict.DOUBT})
"""A list is no task, so that what reads tasks is in doubt about it."""


class Result(NamedTuple):
    """A part, and what is wrong with it; "" for nothing. `said` is worth knowing in any case."""

    part: str
    problem: str = ""
    said: str = ""


def check(found: Deployment) -> Iterator[Result]:
    """Try all parts; nothing is bought, and nothing stays behind."""
    yield _tried("database", lambda: _database(found))
    yield _tried("queue", lambda: _queue(found))
    yield _tried("storage", lambda: _storage(found))
    for account, url in found.gateways.items():
        yield _gateway(account, url)
    yield from _paused(found)
    if found.public_url and not found.kling_secrets:
        yield Result("callbacks", said="KLING_WEBHOOK_SECRET is not set: Kling's signatures are not looked at")
    if not found.public_url:
        yield Result("callbacks", said="PUBLIC_URL is not set: Kling calls nobody, tasks are looked at")


def _tried(part: str, use: Callable[[], str]) -> Result:
    try:
        return Result(part, said=use())
    except (NotInstalled, StorageError, StoreError) as error:
        return Result(part, str(error))
    except Exception as error:
        # Of the queue's library, whose text may hold a URL with a password.
        return Result(part, type(error).__name__)


def _database(found: Deployment) -> str:
    with closing(backends.store(found)) as store:
        return f"{sum(store.counts().values())} jobs"


def _paused(found: Deployment) -> Iterator[Result]:
    """The accounts that wait for a person. A database that cannot be used was said before."""
    try:
        with closing(backends.store(found)) as store:
            lanes, used = store.lanes(), store.overview.accounts()
    except (NotInstalled, StoreError):
        return
    for paused in alarms.paused(lanes).values():
        part = f"account {paused.account}{f', {paused.model}' if paused.model else ''}"
        yield Result(part, f"paused ({paused.reason}): {paused.content()['advice']}")
    for name in sorted(used - found.gateways.keys()):
        yield Result(f"account {name}", alarms.UNKNOWN_ACCOUNT)


def _queue(found: Deployment) -> str:
    where = "REDIS_URL, and whether Redis runs there" if found.queue else "queue.db in the data folder"
    with closing(backends.messages(found)) as messages:
        try:
            return f"{messages.waiting()} messages"
        except Exception as error:
            # Its text may hold a URL with a password.
            raise StoreError(f"{type(error).__name__}: look at {where}") from None


def _storage(found: Deployment) -> str:
    storage, name = backends.storage(found), f"check/{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory(prefix="ai-proxy-check-") as folder:
        file = Path(folder) / "file"
        file.write_bytes(b"check")
        storage.put(name, file)
        kept = storage.read(name, 0, 5)
        storage.delete(name)
    if kept != b"check":
        raise StorageError("what was stored is not what is read")
    return "put, get, delete"


def _gateway(account: str, url: str) -> Result:
    part = f"gateway of {account}"
    with closing(Client(url, seconds=_SECONDS)) as client:
        reply, document = client.document("GET", f"{PATHS[0]}?pageNum=1&pageSize=1")
    is_list = isinstance(document, dict) and isinstance(document.get("data"), list)
    if reply.verdict not in _GOOD or not is_list:
        return Result(part, f"{url}: {reply.message or reply.verdict}")
    return Result(part, error_codes.clock_difference(_date(url), time.time()), url)


def _date(url: str) -> str:
    """The `Date` of Kling's answer, as the gateway passes it on; "" where it does not."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        with closing(kind(parts.hostname or "", parts.port, timeout=_SECONDS)) as connection:
            connection.request("GET", f"{parts.path}{PATHS[0]}?pageNum=1&pageSize=1")
            return connection.getresponse().getheader("date") or ""
    except (OSError, http.client.HTTPException):
        return ""
