"""Jobs in a recording: their ids, the requests that name them, and the states that polls show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from ..auth.header import normal
from ..wire import json_text
from ..wire.json_text import Path
from .entry import Entry, Request, Response, header

IDS: Final[tuple[tuple[Path, Path | None], ...]] = (
    (("data", "task_id"), None),
    (("data", "id"), ("data", "status")),
    (("task_id",), None),
    (("id",), ("status",)),
    (("request_id",), ("status_url",)),
    (("output", "task_id"), None),
    (("id",), ("state",)),
)
"""Paths of a job's id in an answer, and members that must be beside it: Kling, OpenAI and others, fal, DashScope, Luma.

Other jobs are known by a later request that names them (see created()).
"""
EXTERNAL: Final[tuple[Path, ...]] = (("external_task_id",), ("options", "external_task_id"))
"""Paths of the external id, the client's own name for a job, in a create."""
STATUSES: Final = frozenset("task_status status state".split())
"""Members that hold a job's status."""
PARAMETERS: Final = {"external_task_ids": "task_ids"}
"""Parameters that take external ids, and the ones that take the provider's ids instead."""
READS: Final = frozenset("get fetch query describe retrieve poll check list".split())
"""First or last words of a call by which a POST is a read, such as `:fetchPredictOperation` or `Action=QueryJob`."""
READ: Final = frozenset("tasks status state result results history info".split())
"""Last words of such a call."""
OPERATIONS: Final = "operations/"
"""In the name of a long-running operation. Source: Google AIP-151."""
LOCATIONS: Final = ("location", "operation-location", "azure-asyncoperation", "content-location")
"""Header fields with the address of what a request has created."""
_ID_ENDS: Final = ("id", "ids", "name", "uuid", "guid", "key", "task", "job", "operation")
_SHORTEST_ID: Final = 6

_ID = re.compile(r"(?=.*\d)[\w.:~-]+")

# Members that may differ between two answers with the same state.
_IGNORED = re.compile(r"request_id|.*time.*|.*_at|progress", re.IGNORECASE)


class Scalars(NamedTuple):
    """The scalars of a JSON body by their paths, and those of them that are statuses; empty for any other body."""

    values: dict[Path, str]
    statuses: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True)
class State:
    """A state of a job: the entries that show it, and the time of the first one."""

    since: float
    entries: tuple[int, ...]
    is_error: bool


def scalars(body: bytes) -> Scalars:
    """The scalars of a body."""
    text = decoded(body)
    if not json_text.is_container(text):
        return Scalars({}, ())
    values: dict[Path, str] = {}
    for part in json_text.parts(text):
        if not part.is_key:
            token = text[part.start : part.end]
            values[part.path] = json_text.string(token) if token[0] == '"' else token
    statuses = tuple((path, value) for path, value in values.items() if path and path[-1] in STATUSES)
    return Scalars(values, statuses)


def task_id(response: Response | None) -> str:
    """The id of the job in an answer; "" without any."""
    if response is None or not 200 <= response.status < 300:
        return ""
    values = scalars(response.body).values
    for path, beside in IDS:
        if values.get(path) and (beside is None or beside in values):
            return values[path]
    return ""


def has_status(response: Response | None) -> bool:
    """Whether an answer has a status."""
    return response is not None and bool(scalars(response.body).statuses)


def external_id(request: Request) -> str:
    """The external id in a create; "" without any."""
    if request.method != "POST" or b"external_task_id" not in request.body:
        return ""
    values = scalars(request.body).values
    return next((values[path] for path in EXTERNAL if values.get(path)), "")


class Created(NamedTuple):
    """What a request created: names by which later requests ask for it, the provider's id first.

    `is_polled`: it is certainly a job, which has states; else it may be anything that has an id.
    """

    names: tuple[str, ...] = ()
    is_polled: bool = False


NOTHING: Final = Created()


def created(requests: Sequence[Request], responses: Sequence[Response | None]) -> list[Created]:
    """What each request of a recording created, by the shape of its answer, or since a later read names it.

    The name is any value in the answer that looks like an id, that no earlier request had, and that stands in the path
    or query of a later GET, or in a later POST that reads.
    """
    words = [names_in(request) for request in requests]
    last = {word: index for index, found in enumerate(words) for word in found}
    before: set[str] = set()
    known: set[str] = set()
    made: list[Created] = []
    for index, (request, response) in enumerate(zip(requests, responses, strict=True)):
        made.append(NOTHING)
        if request.method in ("POST", "PUT") and known.isdisjoint(words[index]):
            name = task_id(response) if request.method == "POST" else ""
            own = {name} - {"", *known}
            found = _candidates(response)
            if any(last.get(word, -1) > index for word, _ in found):
                own |= {word for word, _ in found if last.get(word, -1) > index} - before - _values(request) - known
            if own:
                is_polled = name in own or any(certain for word, certain in found if word in own)
                names = sorted(own, key=lambda word: (word != name, word))
                made[-1] = Created(tuple(names), is_polled)
                known |= own
        before |= words[index]
    return made


def _candidates(response: Response | None) -> list[tuple[str, bool]]:
    """All values in an answer that may be ids, and whether they are certainly those of jobs."""
    if response is None or not 200 <= response.status < 300:
        return []
    body = scalars(response.body)
    found: list[tuple[str, bool]] = []
    for path, value in body.values.items():
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        last = normal(name)
        if not value or value in ("true", "false", "null") or last in STATUSES or _IGNORED.fullmatch(last):
            continue
        is_operation = OPERATIONS in value
        ends = [value, *_in_address(value)]
        if last.endswith(_ID_ENDS):
            ends.append(value.rpartition("/")[2])
        else:
            ends = [word for word in ends if len(word) >= _SHORTEST_ID and _ID.fullmatch(word)]
        found += [(word, bool(body.statuses) or is_operation) for word in ends if word]
    for name, value in response.headers:
        if name.lower() in LOCATIONS:
            found += [(word, True) for word in _in_address(value)]
    return found


def _in_address(value: str) -> list[str]:
    """The parts of an address that look like ids: the last one of the path, and values in the query."""
    parts = _split(value) if "/" in value else None
    if parts is None:
        return []
    found = [unquote(parts.path.rstrip("/").rpartition("/")[2]), *(value for _, value in parse_qsl(parts.query))]
    return [word for word in found if len(word) >= _SHORTEST_ID and _ID.fullmatch(word)]


def _values(request: Request) -> set[str]:
    """All words of a request, whatever its method."""
    parts = _split(request.url)
    return {*scalars(request.body).values.values(), *(_words(parts) if parts else ())}


def names_in(request: Request) -> frozenset[str]:
    """All words of a request that could name jobs: in the URL of a GET or HEAD, in all of a POST that reads."""
    parts = _split(request.url)
    if parts is None:
        return frozenset()
    if request.method == "POST" and _reads(request, parts):
        return frozenset({*_words(parts), *scalars(request.body).values.values()} - {""})
    return frozenset(_words(parts)) if request.method in ("GET", "HEAD") else frozenset()


def _words(parts: SplitResult) -> set[str]:
    found = {unquote(segment) for segment in parts.path.split("/")}
    for _, value in parse_qsl(parts.query):
        found.update(value.split(","))
    return found - {""}


def _reads(request: Request, parts: SplitResult) -> bool:
    """Whether a POST is a read, by the end of its path, or the action that it names."""
    query = {key.lower(): value for key, value in parse_qsl(parts.query)}
    targets = [header(request.headers, name) for name in ("x-tc-action", "x-amz-target")]
    last = unquote(parts.path.rstrip("/").rpartition("/")[2])
    for call in (last, query.get("action", ""), *targets):
        words = normal(re.split(r"[:.]", call)[-1]).split("_")
        if words[0] in READS or words[-1] in READS | READ:
            return True
    return False


def renamed(request: Request, names: dict[str, str], parameters: dict[str, str]) -> Request:
    """The request with the names of jobs in its URL replaced, and the parameters that hold them renamed."""
    parts = _split(request.url)
    if parts is None or not names:
        return request
    segments = [
        quote(names[name], safe="") if (name := unquote(word)) in names else word for word in parts.path.split("/")
    ]
    query = parts.query
    if not names.keys().isdisjoint(names_in(request)):
        pairs = [
            (parameters.get(key, key), ",".join(names.get(name, name) for name in value.split(",")))
            for key, value in parse_qsl(query, keep_blank_values=True)
        ]
        query = urlencode(pairs)
    url = urlunsplit((parts.scheme, parts.netloc, "/".join(segments), query, ""))
    return Request(request.method, url, request.headers, request.body)


def states(indexes: Iterable[int], entries: Sequence[Entry], is_polled: bool = True) -> list[State]:
    """The recorded answers to equal reads as states: equal answers in a row are one state, and each error is one.

    Unless it is a job that `is_polled`, each answer is a state.

    An entry with `repeats` counts as so many further states.
    """
    found: list[State] = []
    before: object = None
    for index in indexes:
        entry = entries[index]
        is_error = _is_error(entry.response)
        says = _says(entry.response)
        if is_polled and found and not is_error and not found[-1].is_error and says == before:
            found[-1] = State(found[-1].since, (*found[-1].entries, index), False)
        else:
            found.append(State(entry.started, (index,), is_error))
        found += [found[-1]] * entry.repeats
        before = says
    return found


def _is_error(response: Response | None) -> bool:
    return response is None or response.status == 429 or response.status >= 500


def _says(response: Response | None) -> object:
    """A value that is equal for answers with the same state."""
    if response is None:
        return None
    found = scalars(response.body)
    if found.statuses:
        return response.status, found.statuses
    if found.values:
        kept = tuple(item for item in found.values.items() if not (item[0] and _IGNORED.fullmatch(str(item[0][-1]))))
        return response.status, kept
    return response.status, response.body


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def decoded(body: bytes) -> str:
    """A body as text; "" if it is not UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return ""
