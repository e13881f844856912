"""`ai-proxy serve` and its connections to providers: kept ones that have died, proxies, bodies that are sent on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.server import sending
from tests.e2e import certificates, moody
from tests.e2e.conftest import StartServe
from tests.e2e.inside import Inside
from tests.e2e.moody import Moody
from tests.e2e.proxy import DEADLINE
from tests.e2e.raw import message
from tests.tables import table

CHAT = "/v1/chat/completions"
BODY = b'{"model": "gpt", "messages": []}'
OPENAI = "provider: {{type: openai, apiTokens: token-one, providerDomain: '{origin}'}}\n"


@pytest.fixture
def provider() -> Iterator[Moody]:
    with closing(Moody()) as found:
        yield found


def _post(port: int, body: bytes = BODY, path: str = CHAT) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@table(
    ("method", "target", "body", "status", "times"),
    [
        ("GET", "/v1/models", None, 200, 3),
        ("DELETE", "/v1/files/a", None, 502, 2),
        ("POST", CHAT, BODY, 502, 2),
        ("POST", "/v1/videos", b'{"prompt": "a cat"}', 502, 2),
    ],
)
def test_only_what_buys_nothing_is_asked_again_where_a_kept_connection_has_died(
    method: str, target: str, body: bytes | None, status: int, times: int, start_serve: StartServe
) -> None:
    with closing(Moody()) as provider:
        served = start_serve(OPENAI.format(origin=provider.origin))
        assert served.request("GET", "/v1/models").status == 200
        # As a provider does that closes an idle connection just when a request is sent over it.
        provider.mood = lambda request: moody.CLOSE if len(provider.received) == 2 else moody.OK

        assert served.request(method, target, body, {"Content-Type": "application/json"}).status == status
        assert [request.method for request in provider.received] == ["GET", *[method] * (times - 1)]
        # A connection that was new when it died is not asked again, whatever the request is.
        provider.mood = lambda request: moody.CLOSE
        provider.hang_up()
        before = len(provider.received)
        assert served.request("GET", "/v1/models").status == 502
        assert len(provider.received) - before == 1


def test_a_kept_connection_that_has_ended_unseen_is_not_used(
    provider: Moody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sending.head

    def while_it_is_made(*arguments: Any) -> bytes:
        """The provider hangs up, which the event loop can only notice later."""
        provider.hang_up()
        while provider.open:
            time.sleep(0.01)
        return made(*arguments)

    with closing(Inside(OPENAI.format(origin=provider.origin), tmp_path)) as inside:
        assert inside.request("GET", "/v1/models").status == 200
        monkeypatch.setattr(sending, "head", while_it_is_made)
        assert inside.request("POST", CHAT, BODY).status == 200
    assert [request.method for request in provider.received] == ["GET", "POST"]
    assert provider.connections == 2


@table(
    ("variables", "is_used", "name"),
    [
        ({"HTTP_PROXY": "http://user:word@{proxy}"}, True, ("Basic dXNlcjp3b3Jk", "--environment-proxies")),
        ({"HTTP_PROXY": "http://{proxy}", "NO_PROXY": "127.0.0.1"}, False, ("", "--environment-proxies")),
        ({"HTTP_PROXY": "http://{proxy}"}, False, ("", "")),
    ],
)
def test_a_proxy_of_the_environment_is_used_when_told(
    variables: dict[str, str], is_used: bool, name: tuple[str, str], start_serve: StartServe
) -> None:
    with closing(Moody()) as provider, closing(Moody()) as proxy:
        environment = {key.lower(): value.format(proxy=proxy.address) for key, value in variables.items()}
        told, option = name
        served = start_serve(OPENAI.format(origin=provider.origin), *filter(None, [option]), environment=environment)

        assert served.request("GET", "/v1/models").status == 200
        [request] = [*proxy.received, *provider.received]
        assert len(proxy.received) == is_used
        assert request.path == (f"{provider.origin}/v1/models" if is_used else "/v1/models")
        assert request.fields.get(b"proxy-authorization", b"").decode() == told
        assert request.token == "token-one"


def test_a_provider_with_tls_is_reached_through_a_tunnel(tmp_path: Path, start_serve: StartServe) -> None:
    root, tls = certificates.make(tmp_path, "localhost")
    with closing(Moody(tls)) as provider, closing(Moody()) as proxy:
        served = start_serve(
            OPENAI.format(origin=provider.origin),
            "--environment-proxies",
            "--upstream-ca",
            str(root),
            environment={"https_proxy": f"http://{proxy.address}"},
        )
        assert served.request("GET", "/v1/models").status == 200
        assert (proxy.connections, [request.token for request in provider.received]) == (1, ["token-one"])
        proxy.close()
        served.request("POST", CHAT, BODY)
    assert "token-one" not in served.close()


def _until_end(connection: socket.socket) -> bytes:
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionError:
        pass
    return received


@pytest.mark.parametrize("how", ["a broken chunk", "a client that leaves"])
def test_half_a_body_is_no_request_at_the_provider(how: str, start_serve: StartServe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = start_serve(
            f"provider: {{type: generic, genericHost: 'http://127.0.0.1:{listener.getsockname()[1]}'}}"
        )
        with socket.create_connection(("127.0.0.1", served.port), DEADLINE) as client:
            client.sendall(b"POST /v1/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            upstream, _ = listener.accept()
            with upstream:
                upstream.settimeout(DEADLINE)
                received = b""
                while not received.endswith(b"3\r\nabc\r\n"):
                    received += upstream.recv(65536)
                if how == "a broken chunk":
                    client.sendall(b"zz\r\n")
                    assert message(client).startswith(b"HTTP/1.1 400 ")
                else:
                    client.close()
                assert _until_end(upstream) == b""
