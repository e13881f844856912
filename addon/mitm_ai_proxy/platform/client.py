"""Speaks HTTP: to the gateway on Kling's own paths, without a key, and to where Kling's results lie.

What it returns says whether a request that failed had left; only a connection that was never made is certain.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    SSLError,
    TimeoutError,
)

from ..kling.document import Document
from ..wire import json_edit
from . import replies
from .replies import Reply

CONNECT_SECONDS: Final = 10.0
LARGEST_ANSWER: Final = 4 << 20
LARGEST_FILE: Final = 512 << 20
_CHUNK: Final = 256 << 10
_CONNECTIONS: Final = 16
"""Idle ones that are kept for one host."""
_REDIRECTS: Final = 3
_DEAD: Final = frozenset({403, 404, 410})
"""Statuses of a link that does not hold any more."""
_AWAY: Final = frozenset({408, 425, 429})
"""Statuses below 500 of a server that may have the file, and does not give it now."""
_TYPE_AT: Final = 4
_MP4: Final = b"ftyp"


_WORDS: Final[Sequence[tuple[type[Exception], str]]] = (
    (NewConnectionError, "no connection was made: refused, or not to be reached"),
    (ConnectTimeoutError, "no connection was made in time"),
    (TimeoutError, "nothing came in time"),
    (SSLError, "TLS failed"),
    (ProtocolError, "the connection broke off"),
)
"""What went wrong, by the first class that fits."""


class _Unusable(HTTPError):
    """An answer that is not read to its end; the text says why."""


class DownloadFailed(Exception):
    """A result was not fetched whole. `is_link_dead`: the link leads to no file; `is_away`: nobody said anything."""

    def __init__(self, problem: str, *, is_link_dead: bool = False, is_away: bool = False) -> None:
        self.is_link_dead, self.is_away = is_link_dead, is_away
        super().__init__(problem)


class Client:
    """A client of one gateway, which holds the key of one account. May be used by many threads."""

    def __init__(self, url: str, *, seconds: float) -> None:
        """`url` is the gateway's, with its base path if it has one; `seconds` is how long an answer may take."""
        self._url, self._seconds = url.rstrip("/"), seconds
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, block=False, retries=False)

    def close(self) -> None:
        """Close its connections."""
        self._pool.clear()

    def create(self, path: str, body: str, name: str = "", callback: str = "") -> Reply:
        """Send a create of Kling's, with `external_task_id` and `callback_url` where they are given."""
        sent = body.encode()
        added = {"external_task_id": name, "callback_url": callback}
        if any(added.values()):
            document = Document.from_json(sent, json_edit.members(sent))
            for field, value in added.items():
                if value:
                    document.set(field, value)
            sent = document.body()
        return self._ask("POST", path, sent)

    def find(self, path: str, name: str) -> Reply:
        """Ask for a task by Kling's id or by our name; `path` is that of its create."""
        return self._ask("GET", f"{path}/{quote(name, safe='~')}")

    def document(self, method: str, target: str, body: bytes | None = None) -> tuple[Reply, Any]:
        """Ask for something that is no task, such as a list: what the answer means, and its JSON."""
        received: list[bytes] = []
        reply = self._ask(method, target, body, received.append)
        try:
            return reply, json.loads(received[0]) if received else None
        except (ValueError, RecursionError):
            return reply, None

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        keep: Callable[[bytes], None] = lambda _: None,
    ) -> Reply:
        url = f"{self._url}{path}"
        headers = {"accept": "application/json"} | ({} if body is None else {"content-type": "application/json"})
        ends_at = time.monotonic() + self._seconds
        timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, self._seconds), read=self._seconds)
        try:
            answer = self._pool.request(
                method, url, body=body, headers=headers, timeout=timeout, redirect=False, preload_content=False
            )
        except ConnectTimeoutError as error:
            return replies.unsent(_words(error))
        except (HTTPError, OSError) as error:
            return replies.unanswered(_words(error))
        try:
            received = _limited(answer, ends_at)
        except (HTTPError, OSError) as error:
            answer.close()
            return replies.unanswered(_words(error))
        answer.release_conn()
        keep(received)
        return replies.read(answer.status, received, url)


class Downloader:
    """Fetches results. May be used by many threads."""

    def __init__(self, *, seconds: float = 30.0, largest: int = LARGEST_FILE) -> None:
        """`seconds` is how long nothing may come, `largest` how many bytes a result may have."""
        self._largest = largest
        self._timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds)
        # A new try is the job's, which counts them; only a redirect is followed.
        retries = urllib3.Retry(
            None, connect=0, read=0, status=0, other=0, redirect=_REDIRECTS, raise_on_redirect=False
        )
        self._pool = urllib3.PoolManager(retries=retries, maxsize=_CONNECTIONS)

    def close(self) -> None:
        """Close its connections."""
        self._pool.clear()

    def fetch(self, url: str, into: BinaryIO, alive: Callable[[], bool]) -> tuple[str, int]:
        """Write the file at a link; its SHA-256 and length. `alive` is called as bytes come; False ends it.

        Raises DownloadFailed for what is not a whole MP4.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise DownloadFailed("the link is no http or https URL")
        try:
            answer = self._pool.request("GET", url, timeout=self._timeout, preload_content=False, decode_content=False)
        except (HTTPError, OSError) as error:
            raise DownloadFailed(_words(error), is_away=True) from None
        try:
            return self._fetch(answer, into, alive)
        except (HTTPError, OSError) as error:
            # What breaks off may be all that there is.
            raise DownloadFailed(_words(error), is_away=isinstance(error, TimeoutError)) from None

    def _fetch(self, answer: urllib3.BaseHTTPResponse, into: BinaryIO, alive: Callable[[], bool]) -> tuple[str, int]:
        status = answer.status
        try:
            if status != 200:
                is_away = status >= 500 or status in _AWAY
                raise DownloadFailed(f"status {status}", is_link_dead=status in _DEAD, is_away=is_away)
            digest, size = hashlib.sha256(), 0
            for chunk in answer.stream(_CHUNK):
                if not size and chunk[_TYPE_AT : _TYPE_AT + len(_MP4)] != _MP4:
                    raise DownloadFailed("what came is no MP4")
                size += len(chunk)
                if size > self._largest:
                    raise DownloadFailed(f"it is larger than {self._largest} bytes")
                digest.update(chunk)
                into.write(chunk)
                if not alive():
                    raise DownloadFailed("somebody else fetches it")
            if not size:
                raise DownloadFailed("nothing came")
            return digest.hexdigest(), size
        finally:
            # Closed, not given back: what is left of it is not wanted.
            answer.close()


def _limited(answer: urllib3.BaseHTTPResponse, ends_at: float) -> bytes:
    """The body of an answer. Raises _Unusable for one that is too long, or comes too slowly."""
    received = bytearray()
    for chunk in answer.stream(_CHUNK):
        received += chunk
        if len(received) > LARGEST_ANSWER:
            raise _Unusable(f"the answer is longer than {LARGEST_ANSWER} bytes")
        if time.monotonic() > ends_at:
            raise _Unusable("the answer took too long")
    return bytes(received)


def _words(error: Exception) -> str:
    """What went wrong, without addresses: links are signed. Retries of urllib3 wrap what it was."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        error = reason
    if isinstance(error, _Unusable):
        return str(error)
    return next((words for kind, words in _WORDS if isinstance(error, kind)), type(error).__name__)
