"""Signatures and event streams, against what the vendors' own SDKs make of the same request: botocore, Tencent's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from mitm_ai_proxy.auth import sigv4, tc3
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.wire.aws_event_stream import Message, written
from tests.sdk.sdk import Sdks

Ask = Callable[..., list[Any]]
LIMIT: Final = 60
"""Seconds for the first answers, for which the SDKs are imported."""
NOW: Final = 1773325782
TARGETS: Final = (
    "/",
    "/model/global.amazon.nova-2-lite-v1%3A0/converse-stream",
    "/model/global.amazon.nova-2-lite-v1:0/converse",
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fa.b/converse",
    "/outer/model/a%20b/invoke?b=2&a=1&a=0",
    "/anthropic/v1/messages?beta=true",
    "/a//b/./c/../d/",
    "/x?empty=&~tilde=-._~&slash=%2F",
)


@pytest.fixture(scope="module")
def ask(sdks: Sdks) -> Ask:
    """A function that takes questions, and gives the vendors' answers."""
    asked = sdks.newest.script("signers_worker", LIMIT)
    return lambda *questions: list(asked(questions))


def _signature(authorization: bytes) -> str:
    return authorization.decode().rpartition("Signature=")[2]


def test_amazons_own_signer_agrees_on_every_target(ask: Ask) -> None:
    keys = sigv4.AwsKeys("AKIDEXAMPLE", Secret("secret/+key"))
    requests = [
        sigv4.Request("POST", authority, target, '{"a":"é"}'.encode(), fields)
        for target in TARGETS
        for authority in ("bedrock-runtime.us-east-1.amazonaws.com", "vpce.test:8443")
        for fields in ({}, {"content-type": "application/json"}, {"x-amz-security-token": "session"})
    ]
    ours = [sigv4.sign(request, keys, sigv4.Scope("us-east-1", "bedrock"), NOW) for request in requests]
    theirs = ask(
        *(
            (
                "sigv4",
                {
                    **request._asdict(),
                    "body": request.body.decode(),
                    "access_key": keys.access_key,
                    "secret_key": keys.secret_key.reveal(),
                    "region": "us-east-1",
                    "service": "bedrock",
                    "date": credential.fields[b"x-amz-date"].decode(),
                },
            )
            for request, credential in zip(requests, ours, strict=True)
        )
    )

    assert [_signature(credential.fields[b"authorization"]) for credential in ours] == theirs


def test_tencents_own_client_agrees(ask: Ask) -> None:
    keys = tc3.Tc3Keys("id", Secret("secret"))
    requests = [
        tc3.Request("hunyuan.tencentcloudapi.com", "application/json", body.encode())
        for body in ("{}", '{"Model":"hunyuan-lite","Messages":[{"Role":"user","Content":"é 🙂"}]}')
    ]
    ours = [_signature(tc3.sign(request, keys, "hunyuan", NOW).fields[b"authorization"]) for request in requests]
    theirs = ask(
        *(
            (
                "tc3",
                {
                    "authority": request.authority,
                    "content_type": request.content_type,
                    "body": request.body.decode(),
                    "now": NOW,
                    "date": "2026-03-12",
                    "service": "hunyuan",
                    "secret_key": "secret",
                },
            )
            for request in requests
        )
    )

    assert ours == theirs


def test_amazons_own_reader_reads_what_is_written(ask: Ask) -> None:
    messages = [
        Message({":message-type": "event", ":event-type": "contentBlockDelta"}, '{"text":"é"}'.encode()),
        Message({":message-type": "exception", ":exception-type": "throttlingException"}, b""),
        Message({}, b"\0\xff"),
    ]
    (found,) = ask(("event_stream", {"data": b"".join(map(written, messages)).hex()}))

    assert [Message(one["headers"], bytes.fromhex(one["payload"])) for one in found] == messages
