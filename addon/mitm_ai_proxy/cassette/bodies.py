"""The files beside a cassette that hold its long bodies, each named by its hash, and atomic replacement of a file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

EXTENSIONS: Final = {
    "application/json": "json",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "text/event-stream": "txt",
    "text/html": "html",
    "text/plain": "txt",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
}
OTHER: Final = "bin"
DIGITS: Final = 32
"""The number of hexadecimal digits of the SHA-256 in a file name."""

_NAME = re.compile(rf"([0-9a-f]{{{DIGITS}}})\.[a-z0-9]{{1,8}}")
_TEMPORARY = re.compile(r"\.\d+-[0-9a-f]{8}\.tmp")


class CassetteError(Exception):
    """A cassette cannot be read or written. The message names the file and the place, and quotes no body or header."""


class BodyFiles:
    """The body files of one cassette: those in its folder, and those to be written by save()."""

    def __init__(self, cassette: Path) -> None:
        self.folder: Final = cassette.with_name(f"{cassette.name.removesuffix('.har')}.bodies")
        self._cassette = cassette
        self._names: dict[str, str] = {}
        self._waiting: dict[str, bytes] = {}
        self._loaded: dict[str, bytes] = {}

    def add(self, body: bytes, content_type: str) -> str:
        """Add a body for the next save(); returns the name of its file."""
        digest = _digest(body)
        if digest not in self._names:
            kind = content_type.partition(";")[0].strip().lower()
            self._names[digest] = name = f"{digest}.{EXTENSIONS.get(kind, OTHER)}"
            self._waiting[name] = body
        return self._names[digest]

    def save(self) -> None:
        """Write the added bodies, except those whose files have the right content. Raises CassetteError."""
        if not self._waiting:
            return
        self._refuse_link("")
        for name, body in list(self._waiting.items()):
            path = self.folder / name
            if not _holds(path, body):
                replace(path, (body,))
            del self._waiting[name]

    def load(self, name: str, place: str) -> bytes:
        """The body in a file, which is named at `place` of the cassette. Raises CassetteError."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name, place)
        return self._loaded[name]

    def remove_all_but(self, names: set[str]) -> list[Path]:
        """Delete the body files with other names, and temporary files of a crash; other files stay."""
        self._refuse_link("")
        try:
            paths = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
            unnamed = [path for path in paths if path.name not in names and _is_ours(path.name)]
            for path in unnamed:
                path.unlink()
            if paths and len(paths) == len(unnamed):
                self.folder.rmdir()
        except OSError as error:
            raise CassetteError(f"{self.folder}: could not be tidied ({error.strerror})") from error
        return unnamed

    def _load(self, name: str, place: str) -> bytes:
        found = _NAME.fullmatch(name)
        if not found:
            raise self._error(place, f"is not the name of a file in {self.folder.name}")
        self._refuse_link(place)
        path = self.folder / name
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise self._error(place, f"{self.folder.name}/{name} is a link or no file")
            body = path.read_bytes()
        except FileNotFoundError:
            raise self._error(place, f"{self.folder.name}/{name} is missing") from None
        except OSError as error:
            raise self._error(place, f"{self.folder.name}/{name} could not be read ({error.strerror})") from error
        if _digest(body) != found[1]:
            raise self._error(place, f"{self.folder.name}/{name} was changed: its name is not the hash of its content")
        return body

    def _refuse_link(self, place: str) -> None:
        if self.folder.is_symlink():
            raise self._error(place, f"the folder {self.folder.name} is a link")

    def _error(self, place: str, problem: str) -> CassetteError:
        return CassetteError(": ".join(filter(None, (str(self._cassette), place, problem))))


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Replace a file atomically: a reader gets the old content or the new one, even after a crash."""
    # Does not contain the file's name, which may have the greatest length that is allowed.
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise CassetteError(f"{path}: could not be written ({error.strerror})") from error
        raise


def check_writable(path: Path) -> None:
    """Check that a file could be written, and its folders made. Raises CassetteError."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
        raise CassetteError(f"{path}: is a folder")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise CassetteError(f"{path}: could not be written (no file can be made in {folder})")


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:DIGITS]


def _holds(path: Path, body: bytes) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == len(body) and path.read_bytes() == body
    except OSError:
        return False


def _is_ours(name: str) -> bool:
    return bool(_NAME.fullmatch(name) or _TEMPORARY.fullmatch(name))
