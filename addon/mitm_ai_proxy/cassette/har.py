"""Cassette files: HAR 1.2, which browsers and mitmproxy can read, with fields of our own for the rest of an entry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET

from . import foreign, sound
from .bodies import BodyFiles, CassetteError, file_name, replace
from .entry import Entry
from .har_encoding import encode, frame
from .har_objects import HARLog
from .har_parsing import FOREIGN, EntryParser, content_of, creator_of, log_of, own_log, parse

_CLOSE = b"\n    ]"
_MARGIN = b"\n      "


def read(path: Path, *, own: bool = False) -> list[Entry]:
    """The entries of a cassette, or if it need not be our `own`, of another tool's HAR file. Raises CassetteError."""
    log = log_of(path)
    if log.format is UNSET and not own:
        return _foreign(path, log)
    own_log(path, log)
    bodies = BodyFiles(path)
    return [EntryParser(path, number, bodies).entry(item) for number, item in enumerate(log.entries, 1)]


def _foreign(path: Path, log: HARLog) -> list[Entry]:
    """The entries that another tool saved, those of them that can be replayed. Raises CassetteError."""
    bodies = BodyFiles(path)
    items = [(number, foreign.entry(item)) for number, item in enumerate(log.entries, 1)]
    entries = [
        EntryParser(path, number, bodies, is_foreign=True).entry(item) for number, item in items if item is not None
    ]
    if log.entries and not entries:
        problem = "none of its entries has a whole answer; save it again, with the bodies (in browsers: with content)"
        raise CassetteError(f"{path}: {FOREIGN} ({creator_of(log)}): {problem}")
    return entries


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write a new cassette, after the files of its bodies. Raises CassetteError."""
    Writer(path, entries).save()


def tidy(path: Path) -> list[Path]:
    """Remove the body files of a cassette that none of its entries uses; returns their paths. Raises CassetteError."""
    bodies = BodyFiles(path)
    items = own_log(path, log_of(path)).entries
    entries = [EntryParser(path, number, bodies).checked(item) for number, item in enumerate(items, 1)]
    held = [body for entry in entries for body in (entry.request.post_data, entry.response.content)]
    return bodies.remove_all_but({name for body in held if body and body.file and (name := file_name(body.file))})


def remove(path: Path) -> None:
    """Delete a cassette and its body files. Raises CassetteError."""
    try:
        path.unlink()
    except OSError as error:
        raise CassetteError(f"{path}: could not be deleted ({error.strerror})") from error
    BodyFiles(path).remove_all_but(set())


class Writer:
    """Writes a growing cassette. Each entry is encoded once; if a write fails, the next one writes its entry too."""

    def __init__(self, path: Path, entries: Sequence[Entry] = ()) -> None:
        self._path = path
        self._bodies = BodyFiles(path)
        self._before, _, self._after = frame().rpartition(b"[]")
        self._texts: list[bytes] = []
        self._count = 0
        for entry in entries:
            self._append(entry)

    def add(self, entry: Entry) -> None:
        """Write the cassette with one more entry. Raises CassetteError."""
        self._append(entry)
        self.save()

    def save(self) -> None:
        """Write the cassette with all entries so far, even if there are none. Raises CassetteError."""
        self._bodies.save()
        texts = b",".join(self._texts)
        replace(self._path, (self._before, b"[", texts, _CLOSE if texts else b"]", self._after))

    def follow(self) -> bool:
        """Take over the entries that others have added to the file; False if they have changed anything else of it.

        It looks at the new entries only, and not at their bodies. Raises CassetteError.
        """
        content = content_of(self._path)
        known = b"".join((self._before, b"[", b",".join(self._texts)))
        end = _CLOSE + self._after
        if not (content.startswith(known) and content.endswith(end)):
            return False
        added = content[len(known) : -len(end)].removeprefix(b"," if self._texts else b"")
        try:
            items = parse(self._path, b"[%b]" % added)
            for number, item in enumerate(items, self._count + 1):
                EntryParser(self._path, number, self._bodies).checked(item)
        except CassetteError:
            return False
        if items:
            self._texts.append(added)
            self._count += len(items)
        return True

    def _append(self, entry: Entry) -> None:
        problem = sound.problem(entry.request, entry.response)
        if problem:
            # It could not be read again.
            raise CassetteError(f"{self._path}: entry {self._count + 1}: {': '.join(problem)}")
        try:
            self._texts.append(_MARGIN + encode(entry, self._bodies).replace(b"\n", _MARGIN))
        except (ValueError, OverflowError):
            place = f"entry {self._count + 1}"
            raise CassetteError(f"{self._path}: {place}: has a number that no cassette can hold") from None
        self._count += 1
