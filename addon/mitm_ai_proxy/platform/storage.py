"""Where results are kept: a folder, S3, GCS or Azure, by obstore; and links to them that hold for a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import (
    BaseError,
    GenericError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store, from_url

_RETRIES: Final[obstore.store.RetryConfig] = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
"""A new try of a step is the job's."""
# Without TLS only where the endpoint that is configured says so.
_CLIENT: Final[obstore.store.ClientConfig] = {"connect_timeout": "10s", "timeout": "600s", "allow_http": True}
_CHUNK: Final = 8 << 20
_PARALLEL: Final = 2
"""Parts of a file that are under way at once; a worker holds as many of _CHUNK in memory."""

_KEYS: Final = "look at the key in the environment, and at what it may do there"
_WORDS: Final[Sequence[tuple[type[Exception], str]]] = (
    (
        FileNotFoundError,
        "it is not there: make the bucket, or look at STORAGE_URL and at the region in the environment",
    ),
    (PermissionDeniedError, f"it does not let us in: {_KEYS}"),
    (UnauthenticatedError, f"it does not know us: {_KEYS}"),
    (UnknownConfigurationKeyError, "STORAGE_URL has a query that nobody knows"),
    (GenericError, "it is not reached, or fails: look at the endpoint, the region and the key in the environment"),
)
"""What to do about an error of a cloud; its own text may hold a URL with a signature."""

PROBE: Final = ".probe"
"""An object that is no result."""


class StorageError(Exception):
    """A result cannot be stored or read now."""


class Storage:
    """Objects by name. A name never holds half an object: it appears when all of it is there."""

    def __init__(self, where: Path | str) -> None:
        """Below a folder, which is made, or at a URL of file, s3, gs or az. Raises StorageError.

        Credentials and endpoints of a cloud come from the environment, under the names that its own tools have
        (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_KEY`).
        """
        try:
            if isinstance(where, Path):
                self._store: obstore.store.ObjectStore = LocalStore(where, mkdir=True)
            elif where.startswith("file://"):
                self._store = from_url(where, mkdir=True)
            else:
                self._store = from_url(where, client_options=_CLIENT, retry_config=_RETRIES)
        except (BaseError, OSError, ValueError) as error:
            shown = where if isinstance(where, Path) else where.partition("?")[0]
            raise StorageError(f"{shown} cannot be used: {_words(error)}") from error

    def put(self, name: str, file: Path) -> None:
        """Store a file under a name, in the place of what was there. Raises StorageError."""
        size = file.stat().st_size
        try:
            obstore.put(
                self._store,
                name,
                file,
                attributes={} if isinstance(self._store, LocalStore) else {"Content-Type": "video/mp4"},
                chunk_size=_CHUNK,
                max_concurrency=_PARALLEL,
            )
            kept = obstore.head(self._store, name)["size"]
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} was not stored: {_words(error)}") from error
        if kept != size:
            raise StorageError(f"{name} was stored with {kept} bytes of {size}")

    def size(self, name: str) -> int | None:
        """How long an object is; None if there is none. Raises StorageError."""
        try:
            return int(obstore.head(self._store, name)["size"])
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} cannot be read: {_words(error)}") from error

    def read(self, name: str, start: int, length: int) -> bytes:
        """A part of an object. Raises StorageError."""
        try:
            return bytes(obstore.get_range(self._store, name, start=start, length=length))
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} cannot be read: {_words(error)}") from error

    def link(self, name: str, seconds: float) -> str | None:
        """A link to an object that holds for a time; None where the storage gives none, as a folder.

        Raises StorageError.
        """
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        try:
            return obstore.sign(self._store, "GET", name, timedelta(seconds=seconds))
        except (BaseError, OSError) as error:
            raise StorageError(f"no link to {name} can be made: {_words(error)}") from error

    def check(self) -> None:
        """Write something small. Raises StorageError where the folder or the bucket is not there, or is not ours."""
        try:
            obstore.put(self._store, PROBE, b"This is written to see whether anything can be.\n")
        except (BaseError, OSError) as error:
            raise StorageError(f"the storage cannot be used: {_words(error)}") from error

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none. Raises StorageError."""
        try:
            obstore.delete(self._store, name)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} cannot be removed: {_words(error)}") from error


def object_name(tenant: str, job_id: str, created_at: float) -> str:
    """The name of a job's result: the same for each try, so that a second one does no harm."""
    return f"{tenant}/{datetime.fromtimestamp(created_at, UTC):%Y/%m/%d}/{job_id}.mp4"


def _words(error: Exception) -> str:
    """What has gone wrong: the class of the error, and what to do."""
    name = type(error).__name__
    return next((f"{words} ({name})" for kind, words in _WORDS if isinstance(error, kind)), name)
