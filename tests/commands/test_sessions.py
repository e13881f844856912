"""`ai-proxy sessions`: the turns in saved flows, cassettes and HAR files, and files that are neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mitmproxy import http
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.entry import Entry, Request, Response
from mitm_ai_proxy.commands import main
from tests.tables import table

URL = "https://api.openai.com/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
ASSISTANT = {"role": "assistant", "content": "1"}
MESSAGES = [[{"role": "user", "content": "a"}], [{"role": "user", "content": "a"}, ASSISTANT, ASSISTANT]]
BODIES = [json.dumps({"model": "gpt-4o", "messages": messages}).encode() for messages in MESSAGES]
ANSWER = json.dumps(
    {
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": ASSISTANT, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}},
    }
).encode()
CONFIG = "provider: {type: openai, apiTokens: sk-a}\nprices: {gpt-4o: {input: 1000, output: 0}}\n"


def _saved(path: Path) -> Path:
    with path.open("wb") as file:
        writer = FlowWriter(file)
        writer.add(tflow.ttcpflow())
        for body in BODIES:
            request, answer = (
                http.Request.make("POST", URL, body, http.Headers(content_type="application/json")),
                http.Response.make(200, ANSWER, JSON),
            )
            answer.encode("gzip")
            writer.add(tflow.tflow(req=request, resp=answer))
        writer.add(tflow.tflow(req=http.Request.make("GET", "https://a.test/"), err=True))
    return path


def _recorded(path: Path) -> Path:
    fields = (("Content-Type", "application/json"),)
    har.write(
        path,
        [
            Entry(1.79e9, 1.0, Request("POST", URL, fields, body), Response(200, "OK", fields, ANSWER))
            for body in BODIES
        ],
    )
    return path


def _foreign(path: Path) -> Path:
    document = json.loads(_recorded(path).read_text())
    del document["log"]["_format"]
    path.write_text(json.dumps(document))
    return path


def _run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main.main(["sessions", *map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("save", [_saved, _recorded, _foreign])
def test_each_kind_of_file_shows_its_sessions(save: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(save)
    file = save(tmp_path / "file")

    status, text, _ = _run(capsys, file)
    document = json.loads(_run(capsys, file, "--json")[1])
    page = _run(capsys, file, "--html")[1]

    assert status == 0
    assert "2 requests in 1 session" in text.splitlines()[0]
    assert "2,000 tokens in (40 % from a cache), 200 out · $0.006" in text.splitlines()[0]
    [session] = document["sessions"]
    assert [(turn["added"], turn["follows"], turn["tokens"]["added"]) for turn in session["turns"]] == [
        (1, None, 1000),
        (2, 1, 0),
    ]
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


def test_the_prices_of_a_configuration_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)

    assert "$2.00" in _run(capsys, _recorded(tmp_path / "a.har"), "--config", config)[1]


def test_of_half_a_file_the_first_half_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _saved(tmp_path / "flows")
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"gpt-4o")])

    status, text, error = _run(capsys, file)

    assert status == 1
    assert "1 request in 1 session" in text
    assert "what stands behind flow 2, from byte" in error
    assert json.loads(_run(capsys, file, "--json")[1])["complete"] is False


@table(
    ("content", "complaint"),
    [
        (b"", "neither flows of mitmproxy nor a HAR file"),
        (b"hello", "neither flows of mitmproxy nor a HAR file"),
        (b"\0\xff" * 99, "neither flows of mitmproxy nor a HAR file"),
        (b'{"log": {}}', "log.entries: is not an array"),
        (b'{"log"', "it ends too early"),
        (b"5:hello,", "what stands in it is no flow, or is cut off"),
        (b"99999999999:{", "what stands in it is no flow, or is cut off"),
        (b"8:2:{}3:{}}}", "what stands in it is no flow, or is cut off"),
        (b"0:}", "what stands in it is no flow, or is cut off"),
    ],
)
def test_what_is_no_such_file_is_said(
    content: bytes, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)

    status, text, error = _run(capsys, file)

    assert (status, text) == (1, "")
    assert complaint in error
    assert len(error) < 300


def test_what_is_no_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a folder" in _run(capsys, tmp_path)[2]
    assert "No such file" in _run(capsys, tmp_path / "none")[2]
    with pytest.raises(SystemExit):
        _run(capsys, tmp_path, "--json", "--html")
