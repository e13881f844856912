"""Requests that a person edits while mitmproxy intercepts them, with a cassette that records."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.entry import Entry, header
from tests.e2e.conftest import StartProxy
from tests.e2e.upstream import Answer, Received, Upstream

EDITOR = Path(__file__).with_name("scripts") / "editing.py"
KEY = "0123456789abcdef0123456789abcdef"
JSON = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}", "X-Edited": "no"}
EDITED = "edited while it was intercepted: this is the request that went out"


def _body(prompt: str) -> bytes:
    return json.dumps({"model": "m", "prompt": prompt}).encode()


@pytest.fixture
def config(upstream: Upstream) -> str:
    """An OpenAI-compatible provider at the upstream, without a credential."""
    return f"provider: {{type: openai, providerDomain: 'http://{upstream.address}'}}\n"


def _recorded(config: str, start: StartProxy, path: Path, prompt: str, upstream: Upstream) -> tuple[Received, Entry]:
    proxy = start(config, "-s", str(EDITOR), "--set", f"ai_record={path}")
    proxy.request("POST", "/v1/embeddings?a=b", _body(prompt), JSON)
    proxy.close()
    (entry,) = har.read(path)
    return upstream.next(), entry


@pytest.mark.parametrize("what", ["body", "field", "path", "method", "all", "compressed"])
def test_what_went_out_is_recorded(
    what: str, config: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    upstream.respond = lambda request: Answer(401, json.dumps({"message": f"wrong key {KEY}"}).encode())
    sent, entry = _recorded(config, start_proxy, tmp_path / "a.har", what, upstream)

    body = gzip.decompress(sent.body) if sent.one("Content-Encoding") == "gzip" else sent.body
    request = entry.request
    assert (request.method, request.url, request.body) == (
        sent.method, f"http://{upstream.address}{sent.target}", body
    )  # fmt: skip
    assert header(request.headers, "x-edited") == sent.one("X-Edited")
    assert header(request.headers, "content-length") in ("", str(len(sent.body)))
    assert header(request.headers, "authorization") == "Bearer [scrubbed]"
    assert sent.one("Authorization") == f"Bearer {KEY}"
    assert (request.method, request.url, body, header(request.headers, "x-edited")) != (
        "POST", f"http://{upstream.address}/v1/embeddings?a=b", _body(what), "no"
    )  # fmt: skip
    assert EDITED in entry.notes
    assert KEY not in (tmp_path / "a.har").read_text()


def test_what_nobody_edited_is_recorded_as_it_was(
    config: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    sent, entry = _recorded(config, start_proxy, tmp_path / "a.har", "nothing", upstream)
    assert sent.body == entry.request.body == _body("nothing")
    assert EDITED not in entry.notes


def test_an_edited_create_whose_connection_broke_is_recorded_as_it_went_out(
    config: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    def hang_up(request: Received) -> Answer:
        upstream.received.put(request)
        raise ConnectionResetError

    upstream.respond = hang_up
    sent, entry = _recorded(config, start_proxy, tmp_path / "a.har", "body", upstream)
    assert entry.response is None
    assert entry.request.body == sent.body
    assert EDITED in entry.notes


def test_an_edited_create_of_kling_replays_as_it_went_out(
    kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    data: dict[str, Any] = {"task_id": "831234567890123456", "task_status": "submitted"}
    upstream.respond = lambda request: Answer(body=json.dumps({"code": 0, "message": "SUCCEED", "data": data}).encode())
    path = tmp_path / "a.har"
    recorder = start_proxy(kling, "-s", str(EDITOR), "--set", f"ai_record={path}")
    sdk = {**JSON, "User-Agent": "OpenAI/Python 2.0.0"}
    recorded = recorder.request("POST", "/v1/videos", _body("body"), sdk)
    recorder.close()
    assert json.loads(upstream.next().body)["prompt"] == "after the edit"

    proxy = start_proxy(kling, "--set", f"ai_replay={path}")
    assert proxy.request("POST", "/v1/videos", _body("body"), sdk).status == 400
    assert proxy.request("POST", "/v1/videos", _body("after the edit"), sdk).status == recorded.status == 200
