"""Where results are kept: a folder, by obstore, which also speaks to S3, GCS and Azure."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore


class StorageError(Exception):
    """A result cannot be stored or read now."""


class Storage:
    """Objects by name. A name never holds half an object: it appears when all of it is there."""

    def __init__(self, folder: Path) -> None:
        """Keep them below a folder, which is made. Raises StorageError."""
        try:
            self._store = LocalStore(folder, mkdir=True)
        except (BaseError, OSError) as error:
            raise StorageError(f"the folder {folder} cannot be used: {type(error).__name__}") from error

    def put(self, name: str, file: Path) -> None:
        """Store a file under a name, in the place of what was there. Raises StorageError."""
        size = file.stat().st_size
        try:
            obstore.put(self._store, name, file)
            kept = obstore.head(self._store, name)["size"]
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} was not stored: {type(error).__name__}") from error
        if kept != size:
            raise StorageError(f"{name} was stored with {kept} bytes of {size}")

    def size(self, name: str) -> int | None:
        """How long an object is; None if there is none. Raises StorageError."""
        try:
            return int(obstore.head(self._store, name)["size"])
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} cannot be read: {type(error).__name__}") from error

    def read(self, name: str, start: int, length: int) -> bytes:
        """A part of an object. Raises StorageError."""
        try:
            return bytes(obstore.get_range(self._store, name, start=start, length=length))
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} cannot be read: {type(error).__name__}") from error

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none. Raises StorageError."""
        try:
            obstore.delete(self._store, name)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise StorageError(f"{name} cannot be removed: {type(error).__name__}") from error


def object_name(tenant: str, job_id: str, created_at: float) -> str:
    """The name of a job's result: the same for each try, so that a second one does no harm."""
    return f"{tenant}/{datetime.fromtimestamp(created_at, UTC):%Y/%m/%d}/{job_id}.mp4"
