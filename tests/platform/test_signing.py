"""Signatures of Standard Webhooks: one made by others is taken, and whatever was changed is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform import signing
from tests.tables import table

KEY = b"twenty-four bytes of key"
SECRET = Secret(f"whsec_{base64.b64encode(KEY).decode()}")
OTHER = Secret(f"whsec_{base64.b64encode(b'another key of that size').decode()}")
NOW = 1_800_000_000.0
BODY = b'{"type":"video.completed"}'


def _fields(**changed: str) -> dict[str, str]:
    made = signing.fields([SECRET], "msg_1", NOW, BODY)
    return {**made, **{name.replace("_", "-"): value for name, value in changed.items()}}


def test_a_signature_is_that_of_the_specification() -> None:
    expected = hmac.new(KEY, b"msg_1.1800000000." + BODY, hashlib.sha256).digest()

    assert _fields() == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1800000000",
        "webhook-signature": f"v1,{base64.b64encode(expected).decode()}",
    }


def test_each_secret_signs_so_that_one_can_take_the_place_of_another() -> None:
    fields = signing.fields([OTHER, SECRET], "msg_1", NOW, BODY)

    assert len(fields["webhook-signature"].split(" ")) == 2
    assert signing.is_genuine([SECRET], fields, BODY, NOW)
    assert signing.is_genuine([OTHER], fields, BODY, NOW)


def test_without_a_secret_nothing_is_signed() -> None:
    assert "webhook-signature" not in signing.fields([], "msg_1", NOW, BODY)


@table(
    ("fields", "body", "now", "expected"),
    [
        (_fields(), BODY, NOW, True),
        (_fields(), BODY, NOW + 300, True),
        (_fields(), BODY, NOW + 301, False),
        (_fields(), BODY, NOW - 301, False),
        (_fields(), BODY + b" ", NOW, False),
        (_fields(webhook_id="msg_2"), BODY, NOW, False),
        (_fields(webhook_id=""), BODY, NOW, False),
        (_fields(webhook_timestamp="1800000001"), BODY, NOW, False),
        (_fields(webhook_timestamp="1e9"), BODY, NOW, False),
        (_fields(webhook_timestamp="-1800000000"), BODY, NOW, False),
        (_fields(webhook_timestamp="\u0661"), BODY, NOW, False),
        (_fields(webhook_signature=""), BODY, NOW, False),
        (_fields(webhook_signature="v1,"), BODY, NOW, False),
        (_fields(webhook_signature="v2," + _fields()["webhook-signature"][3:]), BODY, NOW, False),
        (_fields(webhook_signature="v1,AAAA " + _fields()["webhook-signature"]), BODY, NOW, True),
        (_fields(webhook_signature="v1,\u00e4"), BODY, NOW, False),
        ({}, BODY, NOW, False),
    ],
)
def test_only_what_was_signed_of_late_is_genuine(fields: Any, body: bytes, now: float, expected: bool) -> None:
    assert signing.is_genuine([OTHER, SECRET], fields, body, now) is expected
    assert not signing.is_genuine([OTHER], fields, body, now)
    assert not signing.is_genuine([], fields, body, now)
