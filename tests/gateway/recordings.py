"""A stage that records or replays, and what is read of the result, for tests on flows without sockets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.gateway.recorded import Recorded
from tests.gateway.literal import JSON, Got

PROVIDER = "http://provider.test:81"
CDN = "https://cdn.test/a.mp4?sign=s"
TEXT = {"Content-Type": "text/plain"}


class Upper:
    """A transducer to upper case, with "." at the end."""

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def end(self) -> bytes:
        return b"."


def record_into(stage: Recorded, path: Path | None, **more: Any) -> Recorded:
    stage.insert(Opening(path, Mode.APPEND, **more))
    return stage


def replay_from(stage: Recorded, path: Path, *entries: Entry) -> Recorded:
    har.write(path, entries)
    stage.insert(Opening(path, Mode.NONE))
    return stage


def entry_of(response: Response | None, request: str = "GET /a", body: bytes = b"") -> Entry:
    method, _, target = request.partition(" ")
    return Entry(1.0, 2.0, Request(method, f"{PROVIDER}{target}", tuple(JSON.items()) if body else (), body), response)


def error_of(got: Got) -> dict[str, Any]:
    error = json.loads(got.body)["error"]
    assert isinstance(error, dict)
    return error


def only_entry(path: Path) -> Entry:
    (entry,) = har.read(path)
    return entry
