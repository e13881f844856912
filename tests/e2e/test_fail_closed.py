"""Errors in other addons and in our own code: no request is forwarded that is not rewritten completely."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import SCRIPT
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
