"""Jobs in a recording: their ids, the requests that name them, and the states that polls show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from ..wire import json_text
from ..wire.json_text import Path
from .entry import Entry, Request, Response

IDS: Final[tuple[tuple[Path, Path | None], ...]] = (
    (("data", "task_id"), None),
    (("data", "id"), ("data", "status")),
    (("task_id",), None),
    (("id",), ("status",)),
    (("request_id",), ("status_url",)),
)
"""Paths of a job's id in an answer, and members that must be beside it: Kling, OpenAI and others, fal."""
EXTERNAL: Final[tuple[Path, ...]] = (("external_task_id",), ("options", "external_task_id"))
"""Paths of the external id, the client's own name for a job, in a create."""
STATUSES: Final = frozenset("task_status status state".split())
"""Members that hold a job's status."""
PARAMETERS: Final = {"external_task_ids": "task_ids"}
"""Parameters that take external ids, and the ones that take the provider's ids instead."""
LISTS: Final = ("/tasks",)
"""Ends of paths at which a POST is a read."""

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


def external_id(request: Request) -> str:
    """The external id in a create; "" without any."""
    if request.method != "POST" or b"external_task_id" not in request.body:
        return ""
    values = scalars(request.body).values
    return next((values[path] for path in EXTERNAL if values.get(path)), "")


def names_in(request: Request) -> frozenset[str]:
    """All words of a request that could name jobs: in the URL of a GET or HEAD, in the body of a POST."""
    parts = _split(request.url)
    if request.method == "POST":
        is_read = parts is not None and parts.path.endswith(LISTS)
        return frozenset(json_text.strings(decoded(request.body))) if is_read else frozenset()
    if request.method not in ("GET", "HEAD") or parts is None:
        return frozenset()
    found = {unquote(segment) for segment in parts.path.split("/")}
    for _, value in parse_qsl(parts.query):
        found.update(value.split(","))
    return frozenset(found - {""})


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


def states(indexes: Iterable[int], entries: Sequence[Entry]) -> list[State]:
    """The recorded answers to equal reads as states: equal answers in a row are one state, and each error is one.

    An entry with `repeats` counts as so many further states.
    """
    found: list[State] = []
    before: object = None
    for index in indexes:
        entry = entries[index]
        is_error = _is_error(entry.response)
        says = _says(entry.response)
        if found and not is_error and not found[-1].is_error and says == before:
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
