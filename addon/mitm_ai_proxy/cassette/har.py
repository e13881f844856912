"""Cassette files: HAR 1.2, which browsers and mitmproxy can read, with fields of our own for the rest of an entry."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import re
import string
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from ..config import regular_files
from . import foreign, sound
from .bodies import BodyFiles, CassetteError, file_name, replace
from .entry import MOST_REPEATS, Chunk, Entry, Headers, Request, Response, header

__all__ = ["FORMAT", "INLINE", "CassetteError", "ForeignError", "Writer", "read", "remove", "tidy", "write"]

_T = TypeVar("_T")

FORMAT: Final = 1
INLINE: Final = 64 * 1024
"""Bytes up to which a text body is in the cassette itself; longer ones are in files."""

_FOREIGN: Final = "was not written by mitm-ai-proxy"
_LONGEST_NAME: Final = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_HALF_PAIR = re.compile(r"[\ud800-\udfff]")
_COMPLAINT = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_CLOSE = b"\n    ]"
_MARGIN = b"\n      "


# The objects of HAR 1.2, in its order. Members with a default may be missing in a file.
class _Field(msgspec.Struct, kw_only=True):
    """A header, or a parameter of a query. A value that mitmproxy could not read is in our own members only."""

    name: str
    value: str
    exact_name: str | UnsetType = field(default=UNSET, name="_name")
    exact_value: str | UnsetType = field(default=UNSET, name="_value")


class _Body(msgspec.Struct, kw_only=True, rename="camel"):
    size: int | UnsetType = UNSET
    mime_type: str = ""
    text: str
    encoding: str | UnsetType = UNSET
    file: str | UnsetType = field(default=UNSET, name="_file")


class _Request(msgspec.Struct, kw_only=True, rename="camel"):
    method: str
    url: str
    exact_url: str | UnsetType = field(default=UNSET, name="_url")
    http_version: str = "HTTP/1.1"
    cookies: list[Any] = []
    headers: list[_Field]
    query_string: list[_Field] = []
    post_data: _Body | UnsetType = UNSET
    headers_size: int = -1
    body_size: int = -1


class _Response(msgspec.Struct, kw_only=True, rename="camel"):
    status: int
    status_text: str = ""
    http_version: str = "HTTP/1.1"
    cookies: list[Any] = []
    headers: list[_Field]
    content: _Body
    redirect_url: str = field(default="", name="redirectURL")
    headers_size: int = -1
    body_size: int = -1


class _Timings(msgspec.Struct):
    send: float = 0
    wait: float = 0
    receive: float = 0


class _Entry(msgspec.Struct, kw_only=True, rename="camel"):
    started_date_time: str
    started: float | UnsetType = field(default=UNSET, name="_started")
    time: float
    request: _Request
    answered: bool | UnsetType = field(default=UNSET, name="_answered")
    response: _Response
    cache: dict[str, Any] = {}
    timings: _Timings = field(default_factory=_Timings)
    notes: tuple[str, ...] | UnsetType = field(default=UNSET, name="_notes")
    units: float | UnsetType = field(default=UNSET, name="_units")
    price: float | UnsetType = field(default=UNSET, name="_price")
    repeats: Annotated[int, Meta(ge=0, le=MOST_REPEATS)] | UnsetType = field(default=UNSET, name="_repeats")
    simulated: bool | UnsetType = field(default=UNSET, name="_simulated")
    chunks: tuple[Chunk, ...] | UnsetType = field(default=UNSET, name="_chunks")


class ForeignError(CassetteError):
    """A file of another tool stands where only our own can."""


class _Log(msgspec.Struct):
    creator: Any = None
    format: int | UnsetType = field(default=UNSET, name="_format")
    entries: Any = UNSET


class _Document(msgspec.Struct):
    log: _Log


class _Repeated:
    """Replaces a JSON object with duplicate keys, so that it is refused where an object is expected."""


def read(path: Path, *, own: bool = False) -> list[Entry]:
    """The entries of a cassette, or if it need not be our `own`, of another tool's HAR file. Raises CassetteError."""
    log = _log(path)
    if log.format is UNSET and not own:
        return _foreign(path, log)
    _own(path, log)
    bodies = BodyFiles(path)
    return [_Reader(path, number, bodies).entry(item) for number, item in enumerate(log.entries, 1)]


def _foreign(path: Path, log: _Log) -> list[Entry]:
    """The entries that another tool saved, those of them that can be replayed. Raises CassetteError."""
    bodies = BodyFiles(path)
    items = [(number, foreign.entry(item)) for number, item in enumerate(log.entries, 1)]
    entries = [_Reader(path, number, bodies, is_foreign=True).entry(item) for number, item in items if item is not None]
    if log.entries and not entries:
        problem = "none of its entries has a whole answer; save it again, with the bodies (in browsers: with content)"
        raise CassetteError(f"{path}: {_FOREIGN} ({_named(log)}): {problem}")
    return entries


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write a new cassette, after the files of its bodies. Raises CassetteError."""
    Writer(path, entries).save()


def tidy(path: Path) -> list[Path]:
    """Remove the body files of a cassette that none of its entries uses; returns their paths. Raises CassetteError."""
    bodies = BodyFiles(path)
    items = _own(path, _log(path)).entries
    entries = [_Reader(path, number, bodies).checked(item) for number, item in enumerate(items, 1)]
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
        self._before, _, self._after = _frame().rpartition(b"[]")
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
        content = _content(self._path)
        known = b"".join((self._before, b"[", b",".join(self._texts)))
        end = _CLOSE + self._after
        if not (content.startswith(known) and content.endswith(end)):
            return False
        added = content[len(known) : -len(end)].removeprefix(b"," if self._texts else b"")
        try:
            items = _parse(self._path, b"[%b]" % added)
            for number, item in enumerate(items, self._count + 1):
                _Reader(self._path, number, self._bodies).checked(item)
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
            self._texts.append(_MARGIN + _encode(entry, self._bodies).replace(b"\n", _MARGIN))
        except (ValueError, OverflowError):
            place = f"entry {self._count + 1}"
            raise CassetteError(f"{self._path}: {place}: has a number that no cassette can hold") from None
        self._count += 1


def _frame() -> bytes:
    """The JSON of a cassette without entries."""
    try:
        version = importlib.metadata.version("mitm-ai-proxy")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    creator = {"name": "mitm-ai-proxy", "version": version}
    return _json({"log": {"version": "1.2", "creator": creator, "_format": FORMAT, "pages": [], "entries": []}}) + b"\n"


def _json(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    indented = msgspec.json.format(text.encode("utf-8", "surrogatepass"), indent=2)
    # JSON escapes half a surrogate pair as Python does.
    return indented.decode("utf-8", "surrogatepass").encode("utf-8", "backslashreplace")


def _encode(entry: Entry, bodies: BodyFiles) -> bytes:
    response = entry.response or Response(0)
    exact = round(entry.started * 1000)
    started = (_EPOCH + timedelta(milliseconds=exact)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    receive = min(response.chunks[-1].milliseconds, entry.milliseconds) if response.chunks else 0
    return _json(
        msgspec.to_builtins(
            _Entry(
                started_date_time=started,
                started=UNSET if exact / 1000 == entry.started else entry.started,
                time=entry.milliseconds,
                request=_encode_request(entry.request, bodies),
                answered=UNSET if entry.response else False,
                response=_encode_response(response, bodies),
                timings=_Timings(wait=entry.milliseconds - receive, receive=receive),
                notes=entry.notes or UNSET,
                units=UNSET if entry.units is None else entry.units,
                price=UNSET if entry.price is None else entry.price,
                repeats=entry.repeats or UNSET,
                simulated=entry.simulated or UNSET,
                chunks=response.chunks or UNSET,
            )
        )
    )


def _encode_request(request: Request, bodies: BodyFiles) -> _Request:
    query = request.url.partition("#")[0].partition("?")[2]
    # mitmproxy refuses a whole HAR file if one URL is not in ASCII.
    url = quote(_readable(request.url), safe=string.punctuation)
    return _Request(
        method=request.method,
        url=url,
        exact_url=_unless(request.url, url),
        headers=_encode_headers(request.headers),
        query_string=[
            _Field(name=_readable(name), value=_readable(value))
            for name, value in parse_qsl(query, keep_blank_values=True)
        ],
        post_data=_encode_body(request.headers, request.body, bodies) if request.body else UNSET,
        body_size=_sent_size(request.headers, request.body),
    )


def _encode_response(response: Response, bodies: BodyFiles) -> _Response:
    content = _encode_body(response.headers, response.body, bodies)
    content.size = len(response.body)
    return _Response(
        status=response.status,
        status_text=response.reason,
        headers=_encode_headers(response.headers),
        content=content,
        redirect_url=_readable(header(response.headers, "location")),
        body_size=_sent_size(response.headers, response.body),
    )


def _encode_headers(headers: Headers) -> list[_Field]:
    fields = []
    for exact_name, exact_value in headers:
        name, value = _readable(exact_name), _readable(exact_value)
        exact = {"exact_name": _unless(exact_name, name), "exact_value": _unless(exact_value, value)}
        fields.append(_Field(name=name, value=value, **exact))
    return fields


def _encode_body(headers: Headers, body: bytes, bodies: BodyFiles) -> _Body:
    kind = _readable(header(headers, "content-type"))
    text = _text(body)
    if text is None:
        return _Body(mime_type=kind, text="", file=bodies.add(body, kind))
    return _Body(mime_type=kind, text=text)


def _text(body: bytes) -> str | None:
    """The body as text, if it is text of at most INLINE bytes; else None."""
    if len(body) > INLINE:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _sent_size(headers: Headers, body: bytes) -> int:
    """HAR's bodySize, the bytes on the wire: -1 if it is not known, since the body was compressed."""
    return -1 if header(headers, "content-encoding") else len(body)


def _readable(text: str) -> str:
    """The text without half surrogate pairs: mitmproxy refuses a whole HAR file if one header has one."""
    return text if text.isascii() else _HALF_PAIR.sub("\ufffd", text)


def _unless(exact: str, shown: str) -> str | UnsetType:
    return UNSET if exact == shown else exact


def _own(path: Path, log: _Log) -> _Log:
    """The log, if we have written it. Raises CassetteError."""
    if log.format is UNSET:
        problem = "it can be replayed, and nothing can be recorded into it"
        raise ForeignError(f"{path}: {_FOREIGN} ({_named(log)}): {problem}")
    return log


def _named(log: _Log) -> str:
    name = foreign.creator(log.creator)
    return f"by {name}" if name.isprintable() and 0 < len(name) <= _LONGEST_NAME else "log._format is missing"


def _log(path: Path) -> _Log:
    """The log of the file, whose entries are a list, not validated yet. Raises CassetteError."""
    parsed = _parse(path, _content(path))
    if not isinstance(parsed, (dict, _Repeated)):
        raise CassetteError(f"{path}: is not a JSON object")
    log = _checked(path, "", parsed, _Document).log
    if log.format is not UNSET and log.format > FORMAT:
        problem = f"was written by a newer mitm-ai-proxy (format {log.format}); this one reads {FORMAT}"
        raise CassetteError(f"{path}: {problem}")
    if log.format is not UNSET and log.format < 1:
        raise CassetteError(f"{path}: log._format: there is no format {log.format}")
    if not isinstance(log.entries, list):
        raise CassetteError(f"{path}: log.entries: is not an array")
    return log


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise CassetteError(f"{path}: is a folder")
    try:
        return regular_files.content(path)
    except FileNotFoundError:
        raise CassetteError(f"{path}: there is no such cassette") from None
    except OSError as error:
        raise CassetteError(f"{path}: could not be read ({error.strerror})") from error


def _parse(path: Path, content: bytes) -> Any:
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


class _Reader:
    """Makes one entry of a cassette from its JSON."""

    def __init__(self, path: Path, number: int, bodies: BodyFiles, *, is_foreign: bool = False) -> None:
        self._path = path
        self._place = f"entry {number}"
        self._bodies = bodies
        self._is_foreign = is_foreign

    def entry(self, item: Any) -> Entry:
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

    def checked(self, item: Any) -> _Entry:
        return _checked(self._path, self._place, item, _Entry)

    def _request(self, request: _Request) -> Request:
        return Request(
            request.method,
            request.url if request.exact_url is UNSET else request.exact_url,
            _decode_headers(request.headers),
            self._body(request.post_data, "request.postData") if request.post_data else b"",
        )

    def _response(self, found: _Entry) -> Response | None:
        if found.answered is False:
            return None
        response = found.response
        body = self._body(response.content, "response.content")
        headers = _decode_headers(response.headers)
        return Response(response.status, response.status_text, headers, body, found.chunks or ())

    def _started(self, found: _Entry) -> float:
        if found.started is not UNSET:
            return found.started
        try:
            return (datetime.fromisoformat(found.started_date_time) - _EPOCH) / timedelta(seconds=1)
        except (ValueError, TypeError):
            raise self._error("startedDateTime", "is not a date and time with a zone, as ISO 8601 has it") from None

    def _body(self, body: _Body, place: str) -> bytes:
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

    def _text(self, body: _Body, place: str) -> bytes:
        try:
            return base64.b64decode(body.text, validate=True) if body.encoding else body.text.encode()
        except UnicodeEncodeError:
            raise self._error(f"{place}.text", "has half of a surrogate pair") from None
        except ValueError:
            raise self._error(f"{place}.text", "is not base64") from None

    def _error(self, place: str, problem: str) -> CassetteError:
        return CassetteError(f"{self._path}: {self._place}: {place}: {problem}")


def _decode_headers(fields: list[_Field]) -> Headers:
    return tuple(
        (
            field.name if field.exact_name is UNSET else field.exact_name,
            field.value if field.exact_value is UNSET else field.exact_value,
        )
        for field in fields
    )
