"""Errors in other addons and in our own code: no request is forwarded that is not rewritten completely."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e import moody
from tests.e2e.conftest import StartProxy
from tests.e2e.http2 import Http2Client
from tests.e2e.proxy import SCRIPT
from tests.e2e.raw import ask
from tests.e2e.upstream import Upstream

SECRET = "text-of-the-exception"

# By name: a function of ours that is made to raise, and a request that reaches it.
BROKEN = {
    "route": ("Kling.requestheaders", "GET", "/v1/videos/1", None),
    "route a native path": ("Kling.detect", "POST", "/v1/videos/text2video", b"{}"),
    "rewrite the request": ("Kling._create", "POST", "/v1/videos", b"{}"),
    "sign": ("Kling.credential", "POST", "/v1/videos", b"{}"),
    "sign without a body": ("Kling.credential", "GET", "/v1/videos/1", None),
}


def _script(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("case", BROKEN.values(), ids=[name.replace(" ", "-") for name in BROKEN])
def test_an_exception_on_the_way_to_the_provider_is_answered_with_500(
    case: tuple[str, str, str, bytes | None], kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    method_of_ours, method, path, body = case
    breaker = _script(
        tmp_path,
        "breaker",
        f"""
def running():
    from mitm_ai_proxy.kling.provider import Kling
    def broken(*arguments):
        raise ValueError("{SECRET}")
    {method_of_ours} = broken
""",
    )
    proxy = start_proxy(kling, "-s", str(breaker))

    reply = proxy.request(method, path, body, {"Authorization": "Bearer sk-client"})

    assert reply.status == 500
    assert json.loads(reply.body)["error"]["code"] == "proxy_error"
    upstream.assert_untouched()
    log = proxy.close()
    assert log.count("ValueError") == 1
    assert SECRET not in log
    assert "sk-client" not in log


@pytest.mark.parametrize(
    "method_of_ours",
    ["kling.provider.Kling.responseheaders", "kling.videos_answers.VideosAnswers._rewritten", "pipeline.response"],
)
def test_an_exception_on_the_way_back_is_answered_with_500(
    method_of_ours: str, kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    breaker = _script(
        tmp_path,
        "breaker",
        f"""
def running():
    import mitm_ai_proxy.kling.provider, mitm_ai_proxy.pipeline
    def broken(*arguments):
        raise ValueError("{SECRET}")
    mitm_ai_proxy.{method_of_ours} = broken
""",
    )
    proxy = start_proxy(kling, "-s", str(breaker))

    reply = proxy.request("POST", "/v1/videos", b"{}")

    assert reply.status == 500
    assert b"831234567890123456" not in reply.body
    assert upstream.next().target == "/v1/videos/text2video"
    assert SECRET not in proxy.close()


CHAT = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
EVENTS = (b"data: 1\n\n", b"data: 2\n\n")
# By name: what raises within mitmproxy's layers, what the provider does, and the answer: 500, or a part of a stream.
IN_THE_LAYERS = {
    "the credential is put in": ("gateway.sealed._unsealed", moody.OK, 500),
    "the connection is made": ("gateway.second_tries.Loop._make_server_connection", moody.OK, 500),
    "a head has come": ("gateway.second_tries.Loop._check_invalid", moody.OK, 500),
    "an answer has come": ("gateway.second_tries.Loop._watched", moody.OK, 500),
    "a stream is held": ("gateway.second_tries.Loop._hold", moody.stream(*EVENTS), 500),
    "an error is told": ("gateway.second_tries.Loop._handle_protocol_error", moody.CLOSE, 500),
    "an error is written": ("gateway.engine._status", moody.CLOSE, 500),
    "a stream breaks off": ("gateway.engine._status", moody.stream(*EVENTS, end="close"), 200),
}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_an_exception_in_the_layers_of_mitmproxy_ends_the_exchange(
    version: str, start_proxy: StartProxy, tmp_path: Path
) -> None:
    breaker = _script(
        tmp_path,
        "breaker",
        f"""
import importlib
def requestheaders(flow):
    what = flow.request.headers.pop("X-Break", "")
    if not what:
        return
    *way, name = what.split(".")
    place = importlib.import_module(".".join(["mitm_ai_proxy", *way[:2]]))
    place = getattr(place, way[2]) if way[2:] else place
    before = getattr(place, name)
    def broken(*arguments, **more):
        setattr(place, name, before)
        raise ValueError("{SECRET}")
    setattr(place, name, broken)
""",
    )
    provider = moody.Moody()
    config = f"""
provider:
  type: openai
  providerDomain: {provider.origin}
  apiTokens: [sk-provider-0123456789, sk-provider-0123456780]
  retryOnFailure: {{enabled: true}}
"""
    proxy = start_proxy(config, "-s", str(SCRIPT), script=breaker, tls=version == "HTTP/2")
    wrong = []
    for name, (what, mood, expected) in IN_THE_LAYERS.items():
        provider.mood = lambda request, mood=mood: mood  # type: ignore[misc]
        fields = {"Content-Type": "application/json", "Content-Length": str(len(CHAT)), "X-Break": what}
        if version == "HTTP/2":
            client = Http2Client(proxy.port)
            own = tuple((key.lower().encode(), value.encode()) for key, value in fields.items())
            status, body = client.ask(b"POST", b"/v1/chat/completions", own, CHAT), client.body
            client.close()
        else:
            lines = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
            answer = ask(proxy.port, f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + CHAT)
            status, body = int(answer[9:12] or 0), answer.partition(b"\r\n\r\n")[2]
        if expected == 500:
            is_good = status == 500 and json.loads(body)["error"]["code"] == "proxy_error"
        else:
            is_good = b"data: 1" in body and not body.endswith(b"0\r\n\r\n") and status in (0, 200)
        if not is_good:
            wrong.append((name, status, body))
    again = proxy.request("POST", "/v1/chat/completions", CHAT, {"Content-Type": "application/json"})
    log = proxy.close()
    provider.close()

    assert wrong == [], log
    assert again.status == 200
    assert log.count("ValueError in mitmproxy's layers") == len(IN_THE_LAYERS)
    assert SECRET not in log
    assert "crashed" not in log


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
@pytest.mark.parametrize("error", ["ValueError", "__import__('mitmproxy.exceptions').exceptions.AddonHalt"])
def test_a_script_that_raises_before_ours_stops_the_request(
    hook: str, error: str, kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    earlier = _script(tmp_path, "earlier", f"def {hook}(flow):\n    raise {error}()\n")
    proxy = start_proxy(kling, "-s", str(SCRIPT), script=earlier)

    reply = proxy.request("POST", "/v1/videos", b'{"model":"m"}', {"Authorization": "Bearer sk-client"})

    # AddonHalt skips the guard too; the request then has no valid upstream, for which mitmproxy answers 502.
    assert reply.status in (502, 503)
    upstream.assert_untouched()


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
def test_a_script_that_sends_a_request_elsewhere_after_ours_does_not_get_the_credential_out(
    hook: str, kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    elsewhere = Upstream()
    later = _script(tmp_path, "later", f"def {hook}(flow):\n    flow.request.port = {elsewhere.port}\n")
    proxy = start_proxy(kling, "-s", str(later))

    assert proxy.request("GET", "/v1/videos/1").status == 503
    upstream.assert_untouched()
    # A create gets its upstream in our request hook, after the other script's requestheaders.
    assert proxy.request("POST", "/v1/videos", b"{}").status == (503 if hook == "request" else 200)
    elsewhere.assert_untouched()
    elsewhere.close()


def test_a_script_that_answers_before_ours_is_left_alone(
    kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    answering = _script(
        tmp_path,
        "answering",
        "from mitmproxy import http\ndef requestheaders(flow):\n    flow.response = http.Response.make(204)\n",
    )
    proxy = start_proxy(kling, "-s", str(SCRIPT), script=answering)

    assert proxy.request("GET", "/v1/videos/1").status == 204
    upstream.assert_untouched()
