"""Replacing recorded ids, names and links in a request that is sent again by those of the new run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, urlencode

from ..auth.header import normal
from ..wire import json_text
from ..wire.json_text import Path
from . import forms, jobs, links, listing
from .entry import Request, Response, header
from .listing import Task
from .sensitive import MARKS

SHORTEST_ID: Final = 6
"""Characters from which an id other than a task's is replaced: a shorter one may be an ordinary value."""


class Replacements:
    """The ids, links and external ids of a recording, with those of the new run. `names` are the external ids."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._links: dict[str, str] = {}

    def learn(self, recorded: Response, new: Response, url: str = "") -> None:
        """Note the ids and links at the same paths of two answers; in tasks, of those known to be the same one.

        `url` is that of the recorded request, for a Location that is not absolute.
        """
        before, after = listing.tasks(recorded), {task.name: task for task in listing.tasks(new)}
        known = [(task, after[name]) for task in before if (name := self._names.get(task.name, task.name)) in after]
        for old, came in known:
            self._align(recorded.body[_bytes(recorded, old)], new.body[_bytes(new, came)], "")
        if not known and len(before) <= 1 and len(after) <= 1:
            self._align(recorded.body, new.body, jobs.task_id(recorded))
        locations = [header(answer.headers, "location") for answer in (recorded, new)]
        if all(locations):
            recorded_link, link = (links.encoded(links.resolved(location, url)) for location in locations)
            self._links[links.unsigned(recorded_link)] = link

    def link(self, link: str) -> str | None:
        """The new link for a recorded one, whatever its signature; None without any."""
        return self._links.get(links.unsigned(link))

    def request(self, request: Request) -> Request:
        """A recorded request with its ids and links replaced in path, query and body."""
        link = self.link(request.url)
        renamed = jobs.renamed(request, self._names, {})
        return replace(renamed, url=link or renamed.url, body=self._body(request))

    def _align(self, recorded: bytes, new: bytes, task_id: str) -> None:
        old, came = jobs.scalars(recorded).values, jobs.scalars(new).values
        for path, value in old.items():
            other = came.get(path, "")
            if links.is_link(value) and links.is_link(other):
                self._links[links.unsigned(value)] = other
            elif other and value != other and _is_id(path, value, task_id):
                self._names[value] = other

    def _body(self, request: Request) -> bytes:
        body, kind = request.body, header(request.headers, "content-type")
        found = forms.parts(body, kind)
        if found is not None:
            pieces: list[bytes] = []
            position = 0
            for part in found:
                value = body[part.start : part.end]
                pieces += (body[position : part.start], value if part.filename is not None else self._text(value))
                position = part.end
            return b"".join([*pieces, body[position:]])
        if forms.is_urlencoded(kind):
            pairs = parse_qsl(jobs.decoded(body), keep_blank_values=True)
            changed = [(name, self._value(value)) for name, value in pairs]
            return urlencode(changed).encode() if changed != pairs else body
        return self._text(body)

    def _text(self, body: bytes) -> bytes:
        """JSON, or a single value, with values replaced; all other bytes stay."""
        text = jobs.decoded(body)
        if not json_text.is_container(text):
            return self._value(text).encode() if text else body
        pieces: list[str] = []
        position = 0
        for part in json_text.parts(text):
            token = text[part.start : part.end]
            is_string = token[0] == '"'
            if part.is_key or token[0] in "{[":
                continue
            value = json_text.string(token) if is_string else token
            new = self._value(value)
            if new != value and (is_string or new.isdigit()):
                pieces += (text[position : part.start], json.dumps(new) if is_string else new)
                position = part.end
        return "".join([*pieces, text[position:]]).encode()

    def _value(self, value: str) -> str:
        if value in self._names:
            return self._names[value]
        return links.edit(value, lambda link: self.link(link) or link)


def _is_id(path: Path, value: str, task_id: str) -> bool:
    name = normal(str(path[-1])) if path else ""
    is_named = name == "id" or name.endswith("_id")
    return is_named and (value == task_id or len(value) >= SHORTEST_ID) and not any(mark in value for mark in MARKS)


def _bytes(response: Response, task: Task) -> slice:
    """The bytes of a task in the body of an answer."""
    text = jobs.decoded(response.body)
    start = len(text[: task.start].encode())
    return slice(start, start + len(text[task.start : task.end].encode()))
