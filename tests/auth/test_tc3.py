"""Tencent Cloud's signature, against its documentation's example, and one computed by other means."""

from __future__ import annotations

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.auth.tc3 import Request, Tc3Keys, sign
from tests.tables import table

DOCUMENTED = Tc3Keys("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", Secret("Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"))
INSTANCES = Request(
    "cvm.tencentcloudapi.com",
    "application/json; charset=utf-8",
    rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}',
)
CHAT = Request(
    "hunyuan.tencentcloudapi.com",
    "application/json",
    b'{"Model":"hunyuan-lite","Messages":[{"Role":"user","Content":"hi"}]}',
    {"x-tc-action": "ChatCompletions"},
)
MADE_UP = Tc3Keys("A" * 36, Secret("B" * 32))


def _authorization(request: Request, keys: Tc3Keys, service: str, now: int) -> str:
    credential = sign(request, keys, service, now)
    assert ([*credential.fields], credential.query) == ([b"authorization"], "")
    return credential.fields[b"authorization"].decode()


def test_the_documented_request_has_the_documented_signature() -> None:
    assert _authorization(INSTANCES, DOCUMENTED, "cvm", 1551113065) == (
        "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request,"
        " SignedHeaders=content-type;host,"
        " Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
    )


def test_the_action_is_signed_in_small_letters() -> None:
    assert _authorization(CHAT, MADE_UP, "hunyuan", 1716359713) == (
        f"TC3-HMAC-SHA256 Credential={'A' * 36}/2024-05-22/hunyuan/tc3_request,"
        " SignedHeaders=content-type;host;x-tc-action,"
        " Signature=d82c71ff3b3e935222c79e9c15581a7b6dd1ddd5c63e5e1673970957244d09ef"
    )


@table(
    "other",
    [
        CHAT._replace(body=CHAT.body + b" "),
        CHAT._replace(authority="hunyuan.tencentcloudapi.com:8443"),
        CHAT._replace(content_type="application/json; charset=utf-8"),
        CHAT._replace(fields={"x-tc-action": "Other"}),
    ],
)
def test_whatever_changes_in_a_request_changes_its_signature(other: Request) -> None:
    first = _authorization(CHAT, MADE_UP, "hunyuan", 1716359713)

    assert _authorization(other, MADE_UP, "hunyuan", 1716359713) != first
    assert _authorization(CHAT, MADE_UP, "hunyuan", 1716359714) != first
    assert "B" * 32 not in first
