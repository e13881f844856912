"""`ai-proxy serve` when its own code fails, and with hostile input: an error of the client's API, or an abort."""

from __future__ import annotations

import hmac
import http.client
import json
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mitm_ai_proxy import pipeline
from mitm_ai_proxy.auth.header import CLIENT_FIELDS
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.edges.clients import Clients
from mitm_ai_proxy.edges.streaming import Translation
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.pipeline import Outgoing
from tests.e2e import moody
from tests.e2e.inside import Inside
from tests.e2e.moody import Moody
from tests.e2e.proxy import DEADLINE
from tests.e2e.raw import RawProvider, ask, message
from tests.hostile import traffic
from tests.hostile.traffic import Answered, Asked
from tests.tables import table

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
BODY = b'{"model": "gpt", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}'
JSON = {"Content-Type": "application/json"}
SECRET = "sk-of-the-provider-1"
CHUNK = b'data: {"choices": []}\n\n'


@pytest.fixture(scope="module")
def inside_and_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Inside, Moody]]:
    with closing(Moody()) as provider:
        config = f"provider: {{type: openai, apiTokens: {SECRET}, providerDomain: '{provider.origin}'}}\n"
        with closing(Inside(config, tmp_path_factory.mktemp("inside"))) as inside:
            yield inside, provider


@pytest.fixture
def inside(inside_and_provider: tuple[Inside, Moody]) -> Inside:
    return inside_and_provider[0]


@pytest.fixture
def provider(inside_and_provider: tuple[Inside, Moody]) -> Moody:
    inside_and_provider[1].reset()
    return inside_and_provider[1]


def _ask(port: int, path: str, body: bytes = BODY) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    with closing(connection):
        connection.request("POST", path, body, JSON)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _raising(*_: object, **__: object) -> Any:
    raise RuntimeError(f"what quotes {SECRET}")


def _with_a_line_too_many(*arguments: Any, **named: Any) -> Outgoing:
    made = _outgoing(*arguments, **named)
    return made._replace(fields=(*made.fields, (b"X-A", b"1\r\n\r\nGET /evil HTTP/1.1\r\nHost: x")))


def _with_a_blank(*arguments: Any, **named: Any) -> Outgoing:
    return _outgoing(*arguments, **named)._replace(target="/a b")


_outgoing = pipeline.outgoing


@pytest.mark.parametrize(
    ("place", "made", "sent"),
    [
        ("server.requests.check", _raising, 0),
        ("pipeline.requestheaders", _raising, 0),
        ("pipeline.outgoing", _raising, 0),
        ("pipeline.outgoing", _with_a_line_too_many, 0),
        ("pipeline.outgoing", _with_a_blank, 0),
        ("pipeline.responseheaders", _raising, 1),
    ],
)
def test_an_exception_is_an_error_of_the_clients_api_and_says_no_secret(
    place: str,
    made: Callable[..., Any],
    sent: int,
    inside: Inside,
    provider: Moody,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(f"mitm_ai_proxy.{place}", made)
    for path, members in ((CHAT, {"message", "type", "param", "code"}), (MESSAGES, {"message", "type"})):
        provider.received.clear()
        status, body = _ask(inside.port, path)
        assert status == 500
        assert json.loads(body)["error"].keys() == members
        assert SECRET.encode() not in body
        assert len(provider.received) == sent
    assert SECRET not in caplog.text
    assert "was stopped" in caplog.text
    assert "Traceback" not in caplog.text
    monkeypatch.undo()
    # It goes on, and has kept nothing of what failed.
    assert _ask(inside.port, CHAT)[0] == 200


def test_an_exception_behind_the_beginning_of_an_answer_aborts_it(
    inside: Inside, provider: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.mood = lambda request: moody.stream(CHUNK, CHUNK, CHUNK)
    known = Translation.__call__

    def fails_at_the_end(self: Translation, data: bytes) -> list[bytes]:
        if not data:
            raise RuntimeError
        return known(self, data)

    monkeypatch.setattr(Translation, "__call__", fails_at_the_end)
    with socket.create_connection(("127.0.0.1", inside.port), DEADLINE) as client:
        client.sendall(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (CHAT.encode(), len(BODY)) + BODY)
        received = message(client)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not received.endswith(b"0\r\n\r\n")


@table("shown", ["token-of-the-first-1", "token-of-the-last-1", "token-of-nobody-1"])
def test_a_clients_token_is_compared_with_all_in_constant_time(shown: str) -> None:
    known = {name: (Secret(f"token-of-the-{name}-1"),) for name in ("first", "middle", "last")}
    found = Clients(known)
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mitm_ai_proxy.edges.clients.hmac.compare_digest", counting)
        try:
            name = found.admit(((b"Authorization", f"Bearer {shown}".encode()),)).name
        except Refusal as refusal:
            name = refusal.code or ""
    assert name == {"token-of-nobody-1": "invalid_api_key"}.get(shown, shown.split("-")[3])
    assert len(compared) == len(known)
    assert {len(part) for pair in compared for part in pair} == {32}


def _raw(asked: Asked) -> bytes:
    body, names = asked.body, [name.lower() for name, _ in asked.fields]
    if b"transfer-encoding" in names:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    lines = [b" ".join((asked.method, asked.target, asked.version)), *(b": ".join(field) for field in asked.fields)]
    return b"\r\n".join([*lines, b"", b""]) + body


def _says(answered: Answered) -> bytes:
    body = b"".join(answered.pieces)
    kept = [field for field in answered.fields if field[0].lower() not in (b"content-length", b"transfer-encoding")]
    fields = (*kept, (b"Content-Length", b"%d" % len(body)))
    lines = [b"HTTP/1.1 %d %b" % (answered.status, answered.reason), *(b": ".join(field) for field in fields)]
    return b"\r\n".join([*lines, b"", b""]) + body


def test_hostile_requests_are_sent_whole_or_refused_and_no_credential_is_passed_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    families: Counter[int] = Counter()
    provider = RawProvider()
    config = f"provider: {{type: openai, apiTokens: {SECRET}, providerDomain: 'http://{provider.address}'}}\n"
    with closing(provider), closing(Inside(config, tmp_path)) as inside:
        for number in range(200):
            random = Random(number)
            asked, provider.says = traffic.request(random), _says(traffic.answer(random))
            # What its framing leaves without an end is given up.
            answer = ask(inside.port, _raw(asked), has_body=asked.method != b"HEAD", seconds=0.5)
            status = int(answer[9:12]) if answer else 0
            assert not answer or 200 <= status < 600, (number, answer)
            assert b"proxy_error" not in answer, (number, asked, answer)
            assert SECRET.encode() not in answer
            families[status // 100] += 1
    for text in ("was stopped", traffic.CLIENT_KEY, SECRET):
        assert text not in caplog.text
    for request in provider.received:
        lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        fields = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
        assert [value for name, value in fields if name == b"host"] == [provider.address.encode()]
        assert [value for name, value in fields if name == b"authorization"] == [b"Bearer " + SECRET.encode()]
        assert not any(traffic.CLIENT_KEY.encode() in value for name, value in fields if name in CLIENT_FIELDS)
    # Of use only where many were sent, and many refused.
    assert len(provider.received) > 50
    assert families[4] > 25
