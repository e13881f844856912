"""Opens what a process of the platform works on: the database, the queue of messages and the storage, by their URLs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from .database import StoreError
from .deployment import Deployment
from .messages import Messages
from .schema import MIGRATIONS
from .storage import Storage
from .store import Store


class NotInstalled(Exception):
    """A library that is needed for a URL is missing; the text says how to install it."""


def store(deployment: Deployment) -> Store:
    """The database of the jobs. Raises StoreError or NotInstalled."""
    url, receiver = deployment.database, deployment.platform.alarms.url
    alarms_to = str(receiver) if receiver else ""
    if not url:
        return Store(_home(deployment) / "jobs.db", alarms_to=alarms_to)
    parts = urlsplit(url.reveal())
    if parts.scheme == "sqlite":
        path = Path(unquote(parts.path))
        _make(path.parent)
        return Store(path, alarms_to=alarms_to)
    try:
        from .postgres import PostgresDatabase
    except ImportError:
        raise _missing("DATABASE_URL", "postgres") from None
    return Store(PostgresDatabase(url, MIGRATIONS), alarms_to=alarms_to)


def messages(deployment: Deployment) -> Messages:
    """The queue. Raises StoreError or NotInstalled."""
    if not deployment.queue:
        return Messages(_home(deployment) / "queue.db")
    try:
        return Messages(deployment.queue)
    except ImportError:
        raise _missing("REDIS_URL", "redis") from None


def storage(deployment: Deployment) -> Storage:
    """Where results are kept. Raises StorageError."""
    return Storage(deployment.storage or deployment.data / "results")


def _home(deployment: Deployment) -> Path:
    _make(deployment.data)
    return deployment.data


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {folder} cannot be made: {error.strerror}") from None


def _missing(variable: str, extra: str) -> NotInstalled:
    return NotInstalled(f"{variable} needs a library that is not installed: pip install 'mitm-ai-proxy[{extra}]'")
