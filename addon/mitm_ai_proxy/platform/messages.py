"""Messages that wake workers: JSON on Huey's queue, in a file of SQLite or on Redis.

A message says which job may have a step to do, and nothing else: a lost, doubled or old one does no harm.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from huey import SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

logger = logging.getLogger(__name__)

STEP: Final = "step"
THE_QUEUE: Final = ""
"""Instead of a job's id: the next job of the queue, whichever that is."""


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

    def __init__(self, path: Path) -> None:
        """In a file of SQLite, which is made."""
        self.huey: Any = SqliteHuey(
            "platform",
            filename=str(path),
            # The database of the jobs is the truth; this file may be lost.
            fsync=False,
            results=False,
            utc=True,
            serializer=_Json(),
        )
        self._work: Callable[[str], None] | None = None
        self._step: Any = self.huey.task(name=STEP)(self._taken)

    def work_with(self, work: Callable[[str], None]) -> None:
        """What is done with messages that this process takes."""
        self._work = work

    def wake(self, job_id: str, delay: float = 0.0) -> None:
        """Have a worker look at a job, or at THE_QUEUE, after so many seconds."""
        try:
            if delay > 0:
                self._step.schedule((job_id,), delay=delay)
            else:
                self._step(job_id)
        except Exception as error:
            logger.warning("platform: no message for %s: %s", job_id or "the queue", type(error).__name__)

    def waiting(self) -> int:
        """How many messages no worker has taken yet."""
        return int(self.huey.pending_count())

    def close(self) -> None:
        """Close this thread's connection."""
        self.huey.storage.close()

    def _taken(self, job_id: str) -> None:
        assert self._work, "only a worker takes messages"
        self._work(job_id)
