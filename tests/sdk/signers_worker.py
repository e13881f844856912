"""Questions to the signers of Amazon and Tencent, in a process of tests/sdk/process.py."""

from __future__ import annotations

import importlib
from typing import Any


def sigv4(question: dict[str, Any]) -> str:
    """The Authorization that botocore's signer computes for a request that was signed at `date` already."""
    auth: Any = importlib.import_module("botocore.auth")
    request_type: Any = importlib.import_module("botocore.awsrequest").AWSRequest
    credentials: Any = importlib.import_module("botocore.credentials").Credentials
    keys = credentials(question["access_key"], question["secret_key"])
    signer = auth.SigV4Auth(keys, question["service"], question["region"])
    headers = {"host": question["authority"], "x-amz-date": question["date"], **question["fields"]}
    url = f"https://{question['authority']}{question['target']}"
    request = request_type(question["method"], url, headers, question["body"].encode())
    request.context["timestamp"] = question["date"]
    canonical = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, canonical), request))


def tc3(question: dict[str, Any]) -> str:
    """The signature that Tencent's client computes."""
    client_type: Any = importlib.import_module("tencentcloud.common.abstract_client").AbstractClient
    request_type: Any = importlib.import_module("tencentcloud.common.http.request").RequestInternal
    client = client_type.__new__(client_type)
    request = request_type(question["authority"], "POST", "/")
    request.data = question["body"]
    request.header.update(
        {
            "Content-Type": question["content_type"],
            "Host": question["authority"],
            "X-TC-Timestamp": str(question["now"]),
        }
    )
    found = client._get_tc3_signature({}, request, question["date"], question["service"], question["secret_key"])
    return str(found)


def event_stream(question: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that botocore reads in a stream."""
    buffer: Any = importlib.import_module("botocore.eventstream").EventStreamBuffer()
    buffer.add_data(bytes.fromhex(question["data"]))
    return [{"headers": message.headers, "payload": message.payload.hex()} for message in buffer]


_QUESTIONS: dict[str, Any] = {"sigv4": sigv4, "tc3": tc3, "event_stream": event_stream}


def answer(questions: list[tuple[str, Any]]) -> list[Any]:
    """What the function of each question returns."""
    return [_QUESTIONS[name](question) for name, question in questions]
