"""The links to the files of tasks' results, at the origin that the client knows."""

from __future__ import annotations

from typing import Final

from flask import request

from . import task_objects
from .links import Links
from .tasks import Store, Task

ORIGIN: Final = "simulator.origin"
"""WSGI environment key: the origin for links to results, if it is not that of the Host header."""


class ResultLinks:
    """Makes the links, and says which are valid."""

    def __init__(self, store: Store) -> None:
        self._store, self._signed = store, Links()

    def origin(self) -> str:
        """Where the client of the present request finds this simulator."""
        given = self._store.settings.public_url or request.environ.get(ORIGIN)
        return str(given) if given else f"{request.scheme}://{request.host}"

    def of(self, task: Task, origin: str = "") -> task_objects.Link:
        """Makes the link to a file of a task; without an `origin`, for the client of the present request."""
        origin = origin or self.origin()
        expires = task.ends + self._store.settings.link_lifetime
        return lambda name: self._signed.make(origin, name, expires)

    def refusal_reason(self, name: str, expires: str, sign: str, now: float) -> str:
        """As Links.refusal_reason()."""
        return self._signed.refusal_reason(name, expires, sign, now)
