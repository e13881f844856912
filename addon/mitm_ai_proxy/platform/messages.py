"""Messages that wake workers: JSON on Huey's queue, in a file of SQLite or on Redis.

A message says which job may have a step to do, and nothing else: a lost, doubled or old one does no harm.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from huey import RedisHuey, SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

from ..auth.secret import Secret

logger = logging.getLogger(__name__)

NAME: Final = "platform"
STEP: Final = "step"
THE_QUEUE: Final = ""
"""Instead of a job's id: the next job of the queue, whichever that is."""
_AWAY_SECONDS: Final = 2.0
"""How long a queue that could not be reached is left alone, so that nobody waits for it."""


class _Json(Serializer):  # type: ignore[misc]
    """Huey's messages as JSON: with pickle, whoever can write to the queue could run code in the workers."""

    def _serialize(self, data: Any) -> bytes:
        if not isinstance(data, Message):
            return json.dumps({"value": data}).encode()
        members = data._asdict()
        for name in ("eta", "expires_resolved"):
            if isinstance(members[name], datetime):
                members[name] = members[name].isoformat()
        return json.dumps({"message": members}).encode()

    def _deserialize(self, data: bytes) -> Any:
        document = json.loads(data)
        if "message" not in document:
            return document["value"]
        members = document["message"]
        for name in ("eta", "expires_resolved"):
            if members[name] is not None:
                members[name] = datetime.fromisoformat(members[name])
        return Message(**members)


class Messages:
    """The queue of messages. What cannot be sent is not: a worker's sweep finds the job in the database."""

    def __init__(self, where: Path | Secret) -> None:
        """In a file of SQLite, which is made, or on the Redis at a URL."""
        given: dict[str, Any] = {"results": False, "utc": True, "serializer": _Json()}
        self.huey: Any
        if isinstance(where, Path):
            # The database of the jobs is the truth; this file may be lost.
            self.huey = SqliteHuey(NAME, filename=str(where), fsync=False, **given)
        else:
            self.huey = RedisHuey(NAME, connection_pool=_redis(where), **given)
        self._work: Callable[[str], None] | None = None
        self._step: Any = self.huey.task(name=STEP)(self._taken)
        self._lock = threading.Lock()
        self._away_until = 0.0

    def work_with(self, work: Callable[[str], None]) -> None:
        """What is done with messages that this process takes."""
        self._work = work

    def wake(self, job_id: str, delay: float = 0.0) -> None:
        """Have a worker look at a job, or at THE_QUEUE, after so many seconds."""
        now = time.monotonic()
        with self._lock:
            if now < self._away_until:
                return
        try:
            if delay > 0:
                self._step.schedule((job_id,), delay=delay)
            else:
                self._step(job_id)
        except Exception as error:
            logger.warning("platform: no message for %s: %s", job_id or "the queue", type(error).__name__)
            with self._lock:
                self._away_until = now + _AWAY_SECONDS

    def waiting(self) -> int:
        """How many messages no worker has taken yet. Raises what the queue's library does where it is away."""
        return int(self.huey.pending_count())

    def close(self) -> None:
        """Close this thread's connection."""
        self.huey.storage.close()

    def _taken(self, job_id: str) -> None:
        assert self._work, "only a worker takes messages"
        self._work(job_id)


def _redis(url: Secret) -> Any:
    """Connections to Redis that notice when it is away, and do not wait for it."""
    # Imported when needed: an extra.
    from redis import ConnectionPool
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return ConnectionPool.from_url(
        url.reveal(),
        socket_connect_timeout=2.0,
        # Longer than a worker waits for a message.
        socket_timeout=10.0,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )
