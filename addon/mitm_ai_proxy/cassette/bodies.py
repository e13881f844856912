"""The files beside a cassette that hold its long bodies, each named by its hash, and atomic replacement of a file."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from . import locking

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
# A file is named from the cassette's folder. Without a folder: as cassettes once had it. A cassette that got another
# name still has the old name of its folder.
_REFERENCE = re.compile(rf"(?:[^/\\]+\.bodies/)?({_NAME.pattern})")
_PLAYWRIGHT = re.compile(r"([0-9a-f]{40})(?:\.[A-Za-z0-9]{1,16})?")
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
        """Add a body for the next save(); returns the path of its file from the cassette's folder, with slashes."""
        digest = _digest(body)
        if digest not in self._names:
            kind = content_type.partition(";")[0].strip().lower()
            self._names[digest] = name = f"{digest}.{EXTENSIONS.get(kind, OTHER)}"
            self._waiting[name] = body
        return f"{self.folder.name}/{self._names[digest]}"

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

    def load(self, reference: str, place: str) -> bytes:
        """The body in a file, which is named at `place` of the cassette. Raises CassetteError."""
        name = file_name(reference)
        if name is None:
            raise self._error(place, f"is not the name of a file in {self.folder.name}")
        if name not in self._loaded:
            body = self._read(self.folder / name, f"{self.folder.name}/{name}", place)
            if _digest(body) != name.partition(".")[0]:
                problem = "was changed: its name is not the hash of its content"
                raise self._error(place, f"{self.folder.name}/{name} {problem}")
            self._loaded[name] = body
        return self._loaded[name]

    def load_beside(self, name: str, place: str) -> bytes:
        """The body in a file beside a HAR file of Playwright's, which is named by its SHA-1. Raises CassetteError."""
        found = _PLAYWRIGHT.fullmatch(name)
        if not found:
            raise self._error(place, "is not the name of a file beside it, as Playwright gives it")
        body = self._read(self._cassette.with_name(name), name, place)
        if hashlib.sha1(body, usedforsecurity=False).hexdigest() != found[1]:
            raise self._error(place, f"{name} was changed: its name is not the hash of its content")
        return body

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

    def _read(self, path: Path, shown: str, place: str) -> bytes:
        self._refuse_link(place)
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise self._error(place, f"{shown} is a link or no file")
            return path.read_bytes()
        except FileNotFoundError:
            raise self._error(place, f"{shown} is missing") from None
        except OSError as error:
            raise self._error(place, f"{shown} could not be read ({error.strerror})") from error

    def _refuse_link(self, place: str) -> None:
        if self.folder.is_symlink():
            raise self._error(place, f"the folder {self.folder.name} is a link")

    def _error(self, place: str, problem: str) -> CassetteError:
        return CassetteError(": ".join(filter(None, (str(self._cassette), place, problem))))


def file_name(reference: str) -> str | None:
    """The name of a body file in the folder of its cassette, from how the cassette names it; None if it names none."""
    found = _REFERENCE.fullmatch(reference)
    return found[1] if found else None


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


def unused_name(path: Path) -> Path:
    """The path of a new cassette beside one: NAME.new.har, or with a number."""
    stem = path.name.removesuffix(".har")
    names = (path.with_name(f"{stem}.new{number or ''}.har") for number in itertools.count())
    return next(name for name in names if not name.exists() and not BodyFiles(name).folder.exists())


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that all have who change a cassette, or another one of its folder. Raises CassetteError."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locking.locked(path.parent))
        except OSError as error:
            raise CassetteError(f"{path}: could not be locked ({error.strerror})") from error
        yield


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
