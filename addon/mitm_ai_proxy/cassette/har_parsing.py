"""Reads the JSON of a cassette, or of another tool's HAR file, and says where it is wrong."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET

from ..config import regular_files
from . import foreign, sound
from .bodies import BodyFiles, CassetteError
from .entry import Entry, Headers, Request, Response
from .har_objects import EPOCH, FORMAT, HARBody, HARDocument, HAREntry, HARField, HARLog, HARRequest

_T = TypeVar("_T")

FOREIGN: Final = "was not written by mitm-ai-proxy"
_LONGEST_NAME: Final = 60
_COMPLAINT = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)


class ForeignError(CassetteError):
    """A file of another tool stands where only our own can."""


class _Repeated:
    """Replaces a JSON object with duplicate keys, so that it is refused where an object is expected."""


def own_log(path: Path, log: HARLog) -> HARLog:
    """The log, if we have written it. Raises CassetteError."""
    if log.format is UNSET:
        problem = "it can be replayed, and nothing can be recorded into it"
        raise ForeignError(f"{path}: {FOREIGN} ({creator_of(log)}): {problem}")
    return log


def creator_of(log: HARLog) -> str:
    """Words for the tool that wrote a log which is not ours."""
    name = foreign.creator(log.creator)
    return f"by {name}" if name.isprintable() and 0 < len(name) <= _LONGEST_NAME else "log._format is missing"


def log_of(path: Path) -> HARLog:
    """The log of the file, whose entries are a list, not validated yet. Raises CassetteError."""
    parsed = parse(path, content_of(path))
    if not isinstance(parsed, (dict, _Repeated)):
        raise CassetteError(f"{path}: is not a JSON object")
    log = _checked(path, "", parsed, HARDocument).log
    if log.format is not UNSET and log.format > FORMAT:
        problem = f"was written by a newer mitm-ai-proxy (format {log.format}); this one reads {FORMAT}"
        raise CassetteError(f"{path}: {problem}")
    if log.format is not UNSET and log.format < 1:
        raise CassetteError(f"{path}: log._format: there is no format {log.format}")
    if not isinstance(log.entries, list):
        raise CassetteError(f"{path}: log.entries: is not an array")
    return log


def content_of(path: Path) -> bytes:
    """The bytes of the file. Raises CassetteError."""
    if path.is_dir():
        raise CassetteError(f"{path}: is a folder")
    try:
        return regular_files.content(path)
    except FileNotFoundError:
        raise CassetteError(f"{path}: there is no such cassette") from None
    except OSError as error:
        raise CassetteError(f"{path}: could not be read ({error.strerror})") from error


def parse(path: Path, content: bytes) -> Any:
    """What a JSON text says. Raises CassetteError, with the place."""
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise CassetteError(f"{path}: is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        cut = not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated")
        problem = f"is not valid JSON ({'it ends too early' if cut else error.msg})"
        raise CassetteError(f"{path}: line {error.lineno}, column {error.colno}: {problem}") from None
    except RecursionError:
        raise CassetteError(f"{path}: is nested too deeply") from None
    except ValueError:
        raise CassetteError(f"{path}: has a number that is none in JSON, or is far too long") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeated()


def _refuse_constant(word: str) -> None:
    raise ValueError(word)


def _checked(path: Path, entry: str, item: Any, kind: type[_T]) -> _T:
    """The object that a part of the file has to be. Raises CassetteError; its message has types and keys, no values."""
    try:
        return msgspec.convert(item, kind)
    except msgspec.ValidationError as error:
        found = _COMPLAINT.fullmatch(str(error))
        assert found
        place, problem = found[2], found[1][:1].lower() + found[1][1:]
        if _Repeated.__name__ in problem:
            problem = "has a key more than once"
    except UnicodeEncodeError:
        # msgspec looks into a text that stands where none belongs, and into names that it does not know.
        place, problem = None, "has half of a surrogate pair in a name, or where no text belongs"
    raise CassetteError(": ".join(filter(None, (str(path), entry, place, problem)))) from None


class EntryParser:
    """Makes one entry of a cassette from its JSON."""

    def __init__(self, path: Path, number: int, bodies: BodyFiles, *, is_foreign: bool = False) -> None:
        self._path = path
        self._place = f"entry {number}"
        self._bodies = bodies
        self._is_foreign = is_foreign

    def entry(self, item: Any) -> Entry:
        """The entry, with its bodies. Raises CassetteError."""
        found = self.checked(item)
        request = self._request(found.request)
        response = self._response(found)
        problem = sound.problem(request, response)
        if problem:
            raise self._error(*problem)
        return Entry(
            self._started(found),
            found.time,
            request,
            response and sound.sent(request, response),
            found.notes or (),
            None if found.units is UNSET else found.units,
            None if found.price is UNSET else found.price,
            repeats=found.repeats or 0,
            simulated=found.simulated is True,
        )

    def checked(self, item: Any) -> HAREntry:
        """The entry as it stands in the file, validated. Raises CassetteError."""
        return _checked(self._path, self._place, item, HAREntry)

    def _request(self, request: HARRequest) -> Request:
        return Request(
            request.method,
            request.url if request.exact_url is UNSET else request.exact_url,
            _decode_headers(request.headers),
            self._body(request.post_data, "request.postData") if request.post_data else b"",
        )

    def _response(self, found: HAREntry) -> Response | None:
        if found.answered is False:
            return None
        response = found.response
        body = self._body(response.content, "response.content")
        headers = _decode_headers(response.headers)
        return Response(response.status, response.status_text, headers, body, found.chunks or ())

    def _started(self, found: HAREntry) -> float:
        if found.started is not UNSET:
            return found.started
        try:
            return (datetime.fromisoformat(found.started_date_time) - EPOCH) / timedelta(seconds=1)
        except (ValueError, TypeError):
            raise self._error("startedDateTime", "is not a date and time with a zone, as ISO 8601 has it") from None

    def _body(self, body: HARBody, place: str) -> bytes:
        if body.encoding not in (UNSET, "", "base64"):
            raise self._error(
                f"{place}.encoding", "is not known: a body is plain text, base64, or a file named by _file"
            )
        if body.file is UNSET:
            return self._text(body, place)
        if body.text:
            raise self._error(place, "has both text and _file")
        load = self._bodies.load_beside if self._is_foreign else self._bodies.load
        return load(body.file, f"{self._place}: {place}._file")

    def _text(self, body: HARBody, place: str) -> bytes:
        try:
            return base64.b64decode(body.text, validate=True) if body.encoding else body.text.encode()
        except UnicodeEncodeError:
            raise self._error(f"{place}.text", "has half of a surrogate pair") from None
        except ValueError:
            raise self._error(f"{place}.text", "is not base64") from None

    def _error(self, place: str, problem: str) -> CassetteError:
        return CassetteError(f"{self._path}: {self._place}: {place}: {problem}")


def _decode_headers(fields: list[HARField]) -> Headers:
    return tuple(
        (
            field.name if field.exact_name is UNSET else field.exact_name,
            field.value if field.exact_value is UNSET else field.exact_value,
        )
        for field in fields
    )
