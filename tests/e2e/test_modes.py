"""Reverse, regular and upstream mode: connections, the hosts that are handled, and who gets no credential."""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path

import pytest

from tests.e2e import certificates
from tests.e2e.conftest import ACCESS_KEY, SECRET_KEY, StartProxy
from tests.e2e.proxy import DEADLINE, Proxy, Reply
from tests.e2e.upstream import Upstream, verified_claims

KLING = "api-singapore.klingai.com"


def _pin(folder: Path, port: int) -> Path:
    """A script that connects every host to a port of this machine; host names and TLS stay the same."""
    script = folder / "pin.py"
    script.write_text(f"def server_connect(data):\n    data.server.address = ('127.0.0.1', {port})\n")
    return script


@pytest.fixture
def tls_upstream(tmp_path: Path) -> tuple[Upstream, Path, list[str | None]]:
    """An upstream for Kling's and other hosts over TLS, the authority's certificate, and the requested server names."""
    authority, context = certificates.make(tmp_path, KLING, "api.openai.com", "foreign.test", "api-beijing.klingai.com")
    names: list[str | None] = []
    context.sni_callback = lambda connection, name, context: names.append(name)
    return Upstream(context), authority, names


def test_kling_over_tls_by_default(
    tls_upstream: tuple[Upstream, Path, list[str | None]], start_proxy: StartProxy, tmp_path: Path
) -> None:
    upstream, authority, names = tls_upstream
    proxy = start_proxy(
        f"provider: {{type: kling, klingAccessKey: {ACCESS_KEY}, klingSecretKey: {SECRET_KEY}}}",
        "-s", str(_pin(tmp_path, upstream.port)), "--set", f"ssl_verify_upstream_trusted_ca={authority}",
        tls=True,
    )  # fmt: skip

    assert proxy.request("POST", "/v1/videos", b'{"image":1}').status == 200

    received = upstream.next()
    assert (received.scheme, received.one("Host")) == ("https", KLING)
    assert received.target == "/v1/videos/image2video"
    assert names == [KLING]
    assert verified_claims(received.one("Authorization") or "", SECRET_KEY)["iss"] == ACCESS_KEY
    upstream.close()


@pytest.mark.parametrize(
    ("domain", "host"), [("api-beijing.klingai.com", "api-beijing.klingai.com"), (f"https://{KLING}:443", KLING)]
)
def test_a_provider_domain_without_a_port(
    domain: str,
    host: str,
    tls_upstream: tuple[Upstream, Path, list[str | None]],
    start_proxy: StartProxy,
    tmp_path: Path,
) -> None:
    upstream, authority, names = tls_upstream
    proxy = start_proxy(
        f"provider: {{type: kling, apiTokens: [t], providerDomain: '{domain}'}}",
        "-s", str(_pin(tmp_path, upstream.port)), "--set", f"ssl_verify_upstream_trusted_ca={authority}",
        tls=True,
    )  # fmt: skip

    assert proxy.request("GET", "/v1/videos/1").status == 200
    assert upstream.next().one("Host") == host
    assert names == [host]
    upstream.close()


def test_reverse_mode_connects_to_nobody_but_the_provider(
    kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    target = Upstream()
    proxy = start_proxy(
        kling, "--mode", f"reverse:http://{target.address}", "--set", "connection_strategy=eager", tls=True
    )

    assert proxy.request("POST", "/v1/videos", b"{}").status == 200
    assert proxy.request("GET", "/v1/videos/1").status == 200
    assert proxy.request("GET", "/v1/chat/completions").status == 404

    assert upstream.connections == 2
    log = proxy.close()
    assert target.connections == 0, log
    assert target.address not in log.partition("listening at")[2].replace(f"http://{target.address}/v1/chat", "")
    target.close()


def _absolute(proxy: Proxy, method: str, url: str, body: bytes | None, host: str) -> Reply:
    return proxy.request(method, url, body, {"Host": host, "Authorization": "Bearer sk-client"})


def test_regular_mode_takes_its_hosts_and_leaves_all_others_alone(
    kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    foreign = Upstream()
    proxy = start_proxy(kling, "--mode", "regular", tls=True)

    reply = _absolute(proxy, "POST", "http://api.openai.com/v1/videos", b'{"model":"m"}', "api.openai.com")
    assert reply.status == 200
    assert b"kling-t2v-" in reply.body
    received = upstream.next()
    assert (received.target, received.body) == ("/v1/videos/text2video", b'{"model_name":"m"}')
    assert received.one("Host") == upstream.address
    verified_claims(received.one("Authorization") or "", SECRET_KEY)

    assert _absolute(proxy, "GET", f"http://{upstream.address}/tasks", None, upstream.address).status == 200
    verified_claims(upstream.next().one("Authorization") or "", SECRET_KEY)

    body = b'{"model":"m", "image": not JSON'
    reply = _absolute(proxy, "POST", f"http://{foreign.address}/v1/videos?kling_task_type=x", body, foreign.address)
    assert reply.status == 200
    assert b'"831234567890123456"' in reply.body
    received = foreign.next()
    assert (received.target, received.body) == ("/v1/videos?kling_task_type=x", body)
    assert received.one("Authorization") == "Bearer sk-client"
    upstream.assert_untouched()
    foreign.close()


def test_regular_mode_takes_the_hosts_of_the_configuration_only(
    kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    foreign = Upstream()
    proxy = start_proxy(f"{kling}\nhosts: [videos.test, '127.0.0.1:{foreign.port}']", "--mode", "regular", tls=True)

    assert _absolute(proxy, "GET", "http://VIDEOS.test/v1/videos/1", None, "VIDEOS.test").status == 200
    assert upstream.next().target == "/v1/videos/text2video/1"
    assert _absolute(proxy, "GET", f"http://{foreign.address}/v1/videos/2", None, foreign.address).status == 200
    assert upstream.next().target == "/v1/videos/text2video/2"

    # The provider's own host is handled without being in the list.
    assert _absolute(proxy, "GET", f"http://{upstream.address}/v1/videos/3", None, upstream.address).status == 200
    received = upstream.next()
    assert received.target == "/v1/videos/3"
    assert received.one("Authorization") == "Bearer sk-client"
    foreign.assert_untouched()
    foreign.close()


def _tunnelled(proxy: Proxy, host: str, method: str, target: str, body: bytes | None = None) -> Reply:
    trusted = ssl.create_default_context(cafile=str(proxy.folder / "confdir" / "mitmproxy-ca-cert.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=DEADLINE, context=trusted)
    try:
        connection.set_tunnel(host, 443)
        connection.request(method, target, body, {"Authorization": "Bearer sk-client"})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


@pytest.mark.parametrize("strategy", ["lazy", "eager"])
def test_regular_mode_over_tls(
    strategy: str, tls_upstream: tuple[Upstream, Path, list[str | None]], start_proxy: StartProxy, tmp_path: Path
) -> None:
    upstream, authority, names = tls_upstream
    proxy = start_proxy(
        "provider: {type: kling, apiTokens: [t]}", "--mode", "regular", "-s", str(_pin(tmp_path, upstream.port)),
        "--set", f"ssl_verify_upstream_trusted_ca={authority}", "--set", f"connection_strategy={strategy}",
        tls=True,
    )  # fmt: skip

    assert b"kling-i2v-" in _tunnelled(proxy, "api.openai.com", "POST", "/v1/videos", b'{"image":"x"}').body
    received = upstream.next()
    assert (received.one("Host"), received.target) == (KLING, "/v1/videos/image2video")
    assert received.one("Authorization") == "Bearer t"
    assert names == ([KLING] if strategy == "lazy" else ["api.openai.com", KLING])

    names.clear()
    assert _tunnelled(proxy, KLING, "GET", "/v1/videos/effects").status == 200
    assert upstream.next().one("Authorization") == "Bearer t"

    assert b'"831234567890123456"' in _tunnelled(proxy, "foreign.test", "POST", "/v1/videos", b"{}").body
    received = upstream.next()
    assert (received.one("Host"), received.target) == ("foreign.test", "/v1/videos")
    assert received.one("Authorization") == "Bearer sk-client"
    upstream.close()


def test_upstream_mode_goes_through_the_next_proxy(kling: str, upstream: Upstream, start_proxy: StartProxy) -> None:
    next_proxy = Upstream()
    proxy = start_proxy(kling, "--mode", f"upstream:http://{next_proxy.address}", tls=True)

    reply = _absolute(proxy, "POST", "http://api.openai.com/v1/videos", b'{"model":"m"}', "api.openai.com")

    assert b"kling-t2v-" in reply.body
    received = next_proxy.next()
    assert received.target == f"http://{upstream.address}/v1/videos/text2video"
    assert received.one("Host") == upstream.address
    verified_claims(received.one("Authorization") or "", SECRET_KEY)
    upstream.assert_untouched()

    reply = _absolute(proxy, "GET", "http://foreign.test/x", None, "foreign.test")
    assert reply.status == 200
    received = next_proxy.next()
    assert received.target == "http://foreign.test/x"
    assert received.one("Authorization") == "Bearer sk-client"
    next_proxy.close()


def test_reverse_mode_over_tls_names_its_target_to_the_provider_and_not_what_the_client_asked_for(
    tls_upstream: tuple[Upstream, Path, list[str | None]], start_proxy: StartProxy, tmp_path: Path
) -> None:
    upstream, authority, names = tls_upstream
    proxy = start_proxy(
        "provider: {type: kling, apiTokens: [t]}", "--mode", f"reverse:https://{KLING}",
        "-s", str(_pin(tmp_path, upstream.port)), "--set", f"ssl_verify_upstream_trusted_ca={authority}",
        tls=True,
    )  # fmt: skip
    trusted = ssl.create_default_context(cafile=str(proxy.folder / "confdir" / "mitmproxy-ca-cert.pem"))
    connection = http.client.HTTPSConnection("localhost", proxy.port, timeout=DEADLINE, context=trusted)
    try:
        connection.request("GET", "/v1/videos/1")
        assert connection.getresponse().status == 200
    finally:
        connection.close()

    assert upstream.next().one("Host") == KLING
    assert names == [KLING]
    upstream.close()


RAW = {
    "HTTP behind an empty line": b"\r\nPOST /v1/videos/text2video HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "two bytes": b"\0\1",
    "a line": b"HELO there\n",
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "digits": b"12 34 HTTP/1.1\r\nAuthorization: Bearer KEY\r\n\r\n",
    "HTTP behind a line": b"x\n" + b"POST /v1/videos/text2video HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
}


def _tunnel(proxy: Proxy, mode: str, host: str, port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), DEADLINE)
    if mode == "regular":
        connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
        assert b" 200 " in connection.recv(65536)
    else:
        connection.sendall(b"\x05\x01\x00")
        assert connection.recv(2) == b"\x05\x00"
        connection.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big"))
        assert connection.recv(65536)[:2] == b"\x05\x00"
    return connection


def _rest(connection: socket.socket) -> bytes:
    """All that comes until the proxy ends the connection."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except (ConnectionError, ssl.SSLError):
        pass
    return received


@pytest.mark.parametrize("mode", ["regular", "socks5"])
@pytest.mark.parametrize("option", ["ai_config=config.yaml", "ai_simulate=true", "ai_replay=recorded.har"])
def test_what_is_no_http_does_not_reach_the_provider_and_ends(
    mode: str, option: str, kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    (tmp_path / "recorded.har").write_text('{"log": {"version": "1.2", "entries": []}}')
    arguments = ("--set", option.replace("=recorded", f"={tmp_path}/recorded"))
    proxy = start_proxy(kling, "--mode", mode, "--set", "connection_strategy=lazy", *arguments, tls=True)
    failed = []
    for name, data in RAW.items():
        for is_inside_tls in (False, True):
            with _tunnel(proxy, mode, "127.0.0.1", upstream.port) as plain:
                connection: socket.socket = plain
                if is_inside_tls:
                    connection = certificates.trusting().wrap_socket(plain, server_hostname="api.openai.com")
                connection.sendall(data)
                answer = _rest(connection)
                connection.close()
            if (answer and b" 400 " not in answer) or upstream.connections:
                failed.append((name, is_inside_tls, answer))
                upstream.reset()
    assert not failed
    assert "Traceback" not in proxy.close()


def test_what_is_no_http_still_reaches_hosts_that_are_not_the_gateways(kling: str, start_proxy: StartProxy) -> None:
    proxy = start_proxy(kling, "--mode", "regular", tls=True)
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        _tunnel(proxy, "regular", "127.0.0.1", other.getsockname()[1]) as connection,
    ):
        connection.sendall(RAW["two bytes"])
        accepted, _ = other.accept()
        with accepted:
            assert accepted.recv(65536) == RAW["two bytes"]
