"""mitmproxy's commands ai.explain, ai.curl, ai.token, ai.tasks and ai.reload."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions, http
from mitmproxy.test import taddons, tflow

from mitm_ai_proxy.gateway import flows
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.commands import Commands
from tests.tables import table

KEY = "sk-of-the-provider-0123456789"
SECRET = "secret-key-0123456789abcdef"
CONFIG = f"""
providers:
  - {{id: kimi, type: moonshot, apiTokens: {KEY}, modelMapping: {{"gpt-*": kimi-k2}}}}
  - {{id: films, type: kling, klingAccessKey: access-key-0123456789, klingSecretKey: {SECRET}}}
  - {{id: google, type: vertex, apiTokens: {KEY}, vertexProjectId: p, vertexRegion: global}}
routes:
  - {{path: "/v1/videos*", provider: films}}
  - {{model: "gemini-*", provider: google}}
  - {{path: "/v1/*", provider: kimi}}
"""
CHAT = b'{"model":"gpt-4o","messages":[{"role":"user","content":"it\'s $HOME"}]}'


@pytest.fixture
def master(mitmproxy_context: taddons.context, tmp_path: Path) -> Any:
    """mitmproxy with the commands, and a gateway with CONFIG in tmp_path/config.yaml."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    gateway = Gateway()
    gateway._path = path
    gateway.reload()
    mitmproxy_context.master.addons.add(Commands(gateway))
    return mitmproxy_context.master


def _flow(is_hostile: bool = False) -> http.HTTPFlow:
    fields = (
        (b"Authorization", f"Bearer {KEY}".encode()),
        *(((b"a$(id)", b"`id`"),) if is_hostile else ()),
        (b"Content-Type", b"application/json"),
    )
    url = f"https://api.moonshot.cn/v1/chat/completions?key={KEY}&a=%20$x"
    flow = tflow.tflow(req=http.Request.make("POST", url, CHAT, http.Headers(fields)))
    seen = {"method": "POST", "path": "/v1/chat/completions", "type": "application/json", "body": None}
    flow.metadata[flows.MARK] = {"memo": {}, "client": seen}
    return flow


def _run(master: Any, name: str, *arguments: Any) -> str:
    lines = master.commands.call(name, *arguments)
    assert all(isinstance(line, str) for line in lines)
    text = "\n".join(lines)
    assert KEY not in text
    assert SECRET not in text
    return text


def test_a_request_is_explained_by_its_flow_and_by_what_is_typed(master: Any) -> None:
    by_flow = _run(master, "ai.explain", [_flow(), _flow(), tflow.ttcpflow()])
    typed = master.commands.call_strings("ai.explain.request", ["POST", "/v1/chat/completions", CHAT.decode()])

    for text in (by_flow, "\n".join(typed)):
        assert text.startswith("POST https://api.moonshot.cn/v1/chat/completions\n")
        assert '"model": "kimi-k2"' in text
    assert by_flow.count("POST https://") == 2


def test_a_body_that_was_not_kept_is_not_explained(master: Any) -> None:
    flow = _flow()
    flow.metadata[flows.MARK]["client"] |= {"body": b"", "model": "gpt-4o"}
    with pytest.raises(exceptions.CommandError, match="the body of POST /v1/chat/completions was too long to be kept"):
        master.commands.call("ai.explain", [flow])


def test_what_would_be_refused_is_said(master: Any) -> None:
    said = master.commands.call_strings("ai.explain.request", ["POST", "/nope"])

    assert said[0] == "nothing is sent; the answer is 404:"


def test_a_line_for_curl_is_quoted_and_has_a_variable_for_each_credential(master: Any) -> None:
    line = _run(master, "ai.curl", [_flow(is_hostile=True)])

    words = shlex.split(line)
    assert words[:3] == ["curl", "-X", "POST"]
    assert "Authorization: Bearer $CREDENTIAL" in words
    assert "a$(id): `id`" in words
    assert CHAT.decode() in words
    assert words[-1] == "https://api.moonshot.cn/v1/chat/completions?key=$CREDENTIAL&a=%20$x"
    # What the shell would expand stands in single quotes, but for the variable.
    assert line.count('"$CREDENTIAL"') == line.count("$CREDENTIAL") == 2


def test_the_credentials_of_providers_are_shown_masked(master: Any) -> None:
    text = _run(master, "ai.token")

    assert "kimi (moonshot) at https://api.moonshot.cn:\n  authorization: Bearer …6789\n" in text
    assert "  authorization: Bearer JWT, HS256 (valid for 29 min)\n    iss: …6789\n    exp: " in text
    assert _run(master, "ai.token", "kimi").count("\n") == 1
    with pytest.raises(exceptions.CommandError, match="'nobody' is none of all, kimi, films, google"):
        master.commands.call_strings("ai.token", ["nobody"])
    with pytest.raises(exceptions.CommandError, match="there is no provider nobody; there are all, kimi, films"):
        master.commands.call("ai.token", "nobody")


def _job(path: str, answer: Any, body: bytes = b"") -> http.HTTPFlow:
    text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    request = http.Request.make("POST" if body else "GET", f"http://proxy{path}", body)
    return tflow.tflow(req=request, resp=http.Response.make(200, text, {"content-type": "application/json"}))


def test_jobs_are_listed_with_their_state_and_units(master: Any) -> None:
    commands = master.addons.get("ai_proxy_commands")
    created = b'{"model_name": "kling-v3"}'
    commands.response(_job("/v1/videos/text2video", {"data": {"task_id": "7", "task_status": "submitted"}}, created))
    done = {"task_id": "7", "task_status": "succeed", "final_unit_deduction": "1.5", "created_at": 1000}
    commands.response(_job("/v1/videos/text2video/7", {"data": done}))
    commands.response(_job("/v1/videos", {"data": [{"id": "video_1\x1b", "status": "queued", "progress": 3}]}))

    assert _run(master, "ai.tasks") == ("7 · succeed · 0 s · kling-v3 · 1.5 units\nvideo_1\\x1b · queued · 3 % · 0 s")
    assert _run(master, "ai.tasks", "queued").startswith("video_1")
    assert master.commands.call("ai.tasks.states") == ["all", "succeed", "queued"]


@table(
    "answer",
    [b"{", b"[1]", b"[" * 100_000, b"\xff", {"data": 7}, {"data": [7, None]}, {"id": 7, "status": "x"}, {"id": "x"}],
)
def test_what_tells_of_no_job_is_no_obstacle(answer: Any, master: Any) -> None:
    master.addons.get("ai_proxy_commands").response(_job("/v1/videos/x", answer))

    assert _run(master, "ai.tasks") == "no job was seen"


def test_a_reload_says_what_has_changed_or_why_it_is_refused(master: Any, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    same = _run(master, "ai.reload")
    path.write_text(CONFIG.replace("kimi-k2", "kimi-k3").replace(KEY, f"{KEY}-2") + "simulator: {speed: instant}\n")
    changed = _run(master, "ai.reload")
    path.write_text("provider: {typ: kling}")
    with pytest.raises(exceptions.CommandError, match="did you mean type") as refused:
        master.commands.call("ai.reload")

    assert same == f"{path}: nothing has changed"
    lines = [line.removeprefix(f"{path}: ") for line in changed.splitlines()]
    assert lines == ["provider kimi: apiTokens", "provider kimi: modelMapping", "provider google: apiTokens", "speed"]
    assert "the old configuration stays" in str(refused.value)
    assert "kimi-k3" in _run(master, "ai.explain", [_flow()])


def test_each_command_completes_its_arguments(master: Any) -> None:
    completions = {
        name: [
            parameter.type.options_command
            for parameter in command.parameters
            if hasattr(parameter.type, "options_command")
        ]
        for name, command in master.commands.commands.items()
        if name.startswith("ai.")
    }

    assert completions["ai.explain.request"] == ["ai.explain.methods", "ai.explain.paths"]
    assert completions["ai.token"] == ["ai.token.providers"]
    assert completions["ai.tasks"] == ["ai.tasks.states"]
    for options in {one for found in completions.values() for one in found}:
        assert "" not in master.commands.call(options)
    assert master.commands.call("ai.token.providers") == ["all", "kimi", "films", "google"]


def test_without_a_configuration_the_commands_say_so(mitmproxy_context: taddons.context) -> None:
    mitmproxy_context.master.addons.add(Commands(Gateway()))
    call = mitmproxy_context.master.commands.call

    assert "no configuration" in call("ai.token")[0]
    assert "no configuration" in call("ai.explain", [_flow()])[0]
    with pytest.raises(exceptions.CommandError, match="no HTTP flow"):
        call("ai.curl", [])


@table(
    "command, arguments, error",
    [
        ("ai.tasks", ["x\x1b"], r"'x\\x1b' is none of all$"),
        ("ai.tasks", ["all", "more"], "argument"),
        ("ai.token", ["x" * 1000], f"'{'x' * 60}' is none of all, kimi"),
        ("ai.token", [""], "'' is none of all"),
        ("ai.explain.request", ["get", "/v1/models"], "'get' is none of GET, POST"),
        ("ai.explain.request", ["GET"], "argument"),
        ("ai.explain", [], "argument"),
        ("ai.explain", ["@all"], "command|flow"),
        ("ai.curl", ["~nothing("], "command|flow|filter"),
        ("ai.reload", ["now"], "argument"),
        ("ai.health", ["now"], "argument"),
    ],
)
def test_what_is_wrong_with_the_arguments_of_a_command_is_said(
    command: str, arguments: list[str], error: str, master: Any
) -> None:
    master.commands.add("ai.health", lambda: None)
    with pytest.raises(exceptions.CommandError, match=f"(?i){error}"):
        master.commands.call_strings(command, arguments)


def test_paths_are_completed_and_any_other_one_is_taken(master: Any) -> None:
    assert "/v1/chat/completions" in master.commands.call("ai.explain.paths")
    said = master.commands.call_strings("ai.explain.request", ["GET", "/v1/videos/7"])
    assert said[0].startswith("GET https://api-singapore.klingai.com/v1/videos/text2video/7")
