"""Paths that are nearly right and OpenAI's pictures, through the hooks: what the client and the flow get."""

from __future__ import annotations

import json

import pytest

from tests.gateway.literal import JSON, Proxy, Said, make, run
from tests.tables import table

KLING = {"type": "kling", "providerDomain": "http://provider.test:81", "apiTokens": ["key-of-the-gateway"]}
SDK = {**JSON, "User-Agent": "OpenAI/Python 3.0", "Authorization": "Bearer key-of-the-client"}
PICTURES = "POST /v1/images/generations"


@table(("tls_at", "scheme"), [(None, "http"), (1.0, "https")])
@table("mode", ["reverse:http://x.test", "regular"])
def test_the_base_url_has_the_scheme_and_the_host_of_the_client(mode: str, tls_at: float | None, scheme: str) -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("POST /v2/videos", SDK | {"Host": "api.openai.com"}, mode=mode)
        flow.client_conn.timestamp_tls_setup = tls_at
        flow.client_conn.tls = tls_at is not None
        got = await proxy.ask(flow)
        error = json.loads(got.body)["error"]
        assert (got.status, error["type"], error["code"]) == (404, "invalid_request_error", "wrong_base_url")
        assert error["message"].endswith(f"base_url has to be {scheme}://api.openai.com/v1.")
        assert "key-of" not in str(flow.get_state())

    run(work, provider=KLING, hosts=["api.openai.com"])


@table("target", ["/v1/videos", "/v1/videos/kling-t2v-7", "/v1/videos/kling-t2v-7/content"])
def test_a_head_has_no_body_and_the_methods_that_there_are(target: str) -> None:
    async def work(proxy: Proxy) -> None:
        got = await proxy.ask(make(f"HEAD {target}", SDK))
        assert (got.status, got.body) == (405, b"")
        assert "GET" in got.headers["Allow"].split(", ")
        got = await proxy.ask(make(f"PATCH {target}", SDK))
        assert json.loads(got.body)["error"]["code"] == "wrong_method"
        assert "x-should-retry" not in got.headers

    run(work, provider=KLING)


def test_openais_pictures_are_refused_before_anything_is_bought() -> None:
    async def work(proxy: Proxy) -> None:
        body = b'{"model": "kling-v2-1", "prompt": "a boat", "size": "1024x1024"}'
        length = {"Content-Length": str(len(body))}
        for fields in (SDK, JSON | length, SDK | length):
            flow = make(PICTURES, fields)
            got = await proxy.ask(flow, body=body)
            assert (got.status, json.loads(got.body)["error"]["code"]) == (404, "unsupported_api")
            assert "key-of" not in str(flow.get_state())

    run(work, provider=KLING)


@pytest.mark.parametrize("body", [b"{}", b'{"prompt": "%s"}' % (b"x" * 300_000)], ids=len)
def test_klings_pictures_go_up_as_they_are(body: bytes) -> None:
    async def work(proxy: Proxy) -> None:
        fields = JSON | {"Content-Length": str(len(body)), "Authorization": "Bearer client", "X-A": "1"}
        flow = make(PICTURES, fields)
        sent = await proxy.send(flow, body)
        assert sent is not None
        assert (sent.method, sent.url) == ("POST", "http://provider.test:81/v1/images/generations")
        assert sent.body == body
        assert sent.values("Authorization") == ["Bearer key-of-the-gateway"]
        expected = [name for name in fields if name != "Authorization"]
        assert [value for name in expected for value in sent.values(name)] == [fields[name] for name in expected]
        got = await proxy.answer(flow, Said([b'{"code":0,"data":{"task_id":"7"}}']))
        assert got.body == b'{"code":0,"data":{"task_id":"7"}}'

    run(work, provider=KLING)
