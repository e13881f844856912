"""Every case of cases.yaml, over sockets, through both edges: a real mitmdump, and `ai-proxy serve`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import ACCESS_KEY, EDGES, SECRET_KEY, StartEdge
from tests.e2e.upstream import CREATED, Answer, Upstream, verified_claims

TABLE = yaml.load((Path(__file__).parent / "cases.yaml").read_text(), yaml.CSafeLoader)
# Who gets OpenAI's object can repeat a create: it has a name, which is another one each time.
NAME = re.compile(rb',"external_task_id":"ai-proxy-[a-z0-9-]+"(?=}$)')
KNOWN = set("name config request headers body sent reply reply_status answer answers video status says dialect".split())


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["name"].replace(" ", "-"))
def test_a_request_becomes_what_the_table_says(
    edge: str, case: dict[str, Any], upstream: Upstream, shared_edge: StartEdge
) -> None:
    assert case.keys() <= KNOWN
    block = TABLE["configs"][case["config"]].format(upstream=upstream.address)
    proxy = shared_edge(edge, "provider:\n" + "".join(f"  {line}\n" for line in block.splitlines()))
    status = case.get("status", 200)
    answered = case["reply"].encode() if "reply" in case else CREATED
    upstream.respond = lambda request: Answer(case.get("reply_status", status), answered)

    method, target = case["request"].split(" ", 1)
    body = case["body"].encode() if "body" in case else None
    reply = proxy.request(method, target, body, case.get("headers"))

    assert reply.status == status
    if "sent" not in case:
        upstream.assert_untouched()
        assert reply.headers["Content-Type"] == "application/json"
        error = json.loads(reply.body)["error"]
        assert case["says"] in error["message"]
        openai = {"message", "type", "param", "code"}
        assert error.keys() == ({"message", "type"} if case.get("dialect") == "anthropic" else openai)
        return
    if "answers" in case:
        assert case["answers"] in json.loads(reply.body)["error"]["message"]
    elif "video" in case:
        video = json.loads(reply.body)
        assert (video["id"], video["object"]) == (case["video"], "video")
        assert {"code", "message", "request_id", "data"} <= video.keys()
    else:
        assert reply.body == case.get("answer", answered.decode()).encode()
    received, sent = upstream.next(), case["sent"]
    assert (received.method, received.target) == (method, sent["target"])
    assert received.one("Host") == upstream.address
    left = NAME.sub(b"", received.body) if "video" in case else received.body
    assert left == (sent["body"].encode() if "body" in sent else body or b"")
    _check_authorization(received.one("Authorization"), sent.get("authorization"))
    for name, value in sent.get("headers", {}).items():
        assert received.one(name) == value
    if "sk-client" not in sent.get("authorization", ""):
        assert not any("sk-client" in value for _, value in received.headers)
    upstream.assert_untouched()


def _check_authorization(value: str | None, expected: str | None) -> None:
    if expected == "jwt":
        assert value is not None
        assert verified_claims(value, SECRET_KEY)["iss"] == ACCESS_KEY
    elif expected is not None:
        assert value == expected
