"""A WebSocket to the realtime API: the upgrade is rewritten as any request, and then every frame passes."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE
from tests.e2e.window import Window

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = base64.b64encode(b"0123456789abcdef")
MASK = b"\1\2\3\4"


def _read(connection: socket.socket, is_whole: Callable[[bytes], bool]) -> bytes:
    data = b""
    while not is_whole(data):
        piece = connection.recv(4096)
        assert piece, f"the connection ended after {data!r}"
        data += piece
    return data


def _text(frame: bytes) -> bytes:
    """The text of a short frame, which a client masks (RFC 6455)."""
    length, is_masked = frame[1] & 0x7F, frame[1] & 0x80
    if not is_masked:
        return frame[2 : 2 + length]
    return bytes(byte ^ frame[2 + place % 4] for place, byte in enumerate(frame[6 : 6 + length]))


class RealtimeApi:
    """A server for WebSockets, one after another: each answers one frame with its text in capitals.

    `heads` are what they were asked with.
    """

    def __init__(self, times: int = 1) -> None:
        self.heads: list[bytes] = []
        self._times = times
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(DEADLINE)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for _ in range(self._times):
            self._answer(self._socket.accept()[0])

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(DEADLINE)
            head = _read(connection, lambda data: data.endswith(b"\r\n\r\n"))
            self.heads.append(head)
            key = next(
                line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
            )
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n\r\n")
            text = _text(_read(connection, lambda data: len(data) >= 6 and len(data) >= 6 + (data[1] & 0x7F))).upper()
            connection.sendall(bytes([0x81, len(text)]) + text)

    def close(self) -> None:
        """Wait for its end."""
        self._thread.join(DEADLINE)
        self._socket.close()


def _ask(port: int, target: bytes, text: bytes, *more: bytes) -> tuple[bytes, bytes]:
    """Send a frame on a new WebSocket, with more header fields; returns the head and the frame of the answer."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        fields = [b"Host: proxy", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"]
        fields += [b"Sec-WebSocket-Key: " + KEY, *more]
        client.sendall(b"GET " + target + b" HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n")
        head = _read(client, lambda data: data.endswith(b"\r\n\r\n"))
        masked = bytes(byte ^ MASK[place % 4] for place, byte in enumerate(text))
        client.sendall(bytes([0x81, 0x80 | len(text)]) + MASK + masked)
        # The end of the connection may come with it.
        return head, _read(client, lambda data: len(data) >= 2 and len(data) >= 2 + data[1])[: 2 + len(text)]


@pytest.mark.parametrize("keys", ["", "protocol: original, "])
def test_a_websocket_passes(start_proxy: StartProxy, keys: str, tmp_path: Path) -> None:
    api = RealtimeApi()
    base = f"baseUrl: 'http://127.0.0.1:{api.port}/v1'"
    saved = tmp_path / "flows"
    proxy = start_proxy(
        f"provider: {{type: openai, apiTokens: sk-ours, {keys}{base}, modelMapping: {{gpt-rt: gpt-new}}}}",
        "-w", str(saved), "--set", "flow_detail=4",
    )  # fmt: skip
    text = b"h\xc3\xa9llo"
    fields = [b"Authorization: Bearer sk-of-the-client", b"OpenAI-Beta: realtime=v1"]
    fields += [b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-of-the-client, x"]
    head, answer = _ask(proxy.port, b"/v1/realtime?model=gpt-rt&&x", text, *fields)
    api.close()

    assert head.startswith(b"HTTP/1.1 101 ")
    assert answer == bytes([0x81, len(text)]) + text.upper()
    model = b"gpt-rt" if keys else b"gpt-new"
    assert api.heads[0].startswith(b"GET /v1/realtime?model=" + model + b"&&x HTTP/1.1\r\n")
    assert b"Authorization: Bearer sk-ours\r\n" in api.heads[0]
    assert b"OpenAI-Beta: realtime=v1\r\n" in api.heads[0]
    assert b"Sec-WebSocket-Protocol: realtime, x\r\n" in api.heads[0]
    assert b"of-the-client" not in api.heads[0]
    assert b"of-the-client" not in proxy.close().encode() + saved.read_bytes()


def _is_listed(path: str, flow: Any) -> bool:
    meta = (flow.get("websocket") or {}).get("messages_meta", {})
    return bool(flow["request"]["path"].partition("?")[0] == path and meta.get("count") == 2)


def test_a_websocket_that_is_only_looked_at_passes_to_the_byte_and_is_listed_by_message(
    start_proxy: StartProxy,
) -> None:
    api = RealtimeApi(times=3)
    window = Window(start_proxy, None, "--set", "ai_inspect=true", "--mode", f"reverse:http://127.0.0.1:{api.port}")
    protocol = b"Sec-WebSocket-Protocol: realtime,openai-insecure-api-key.sk-of-the-client"
    gemini = b"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    token = b"Constrained?access_token=auth_tokens/of-the-client"
    setup = b'{"setup":{"model":"models/live"}}'
    shown = ""
    for target, text, fields, told in (
        (b"/v1/realtime", b'{"type":"response.create"}', [protocol], "client: response.create"),
        (gemini + b"?key=of-the-client&a=1", setup, [], "client: setup · models/live"),
        (gemini + token, setup, [b"Authorization: Bearer of-the-client"], "client: setup · models/live"),
    ):
        _ask(window.proxy.port, target, text, *fields)
        assert api.heads[-1].startswith(b"GET " + target + b" HTTP/1.1\r\n")
        assert all(field + b"\r\n" in api.heads[-1] for field in fields)
        flow = window.wait(functools.partial(_is_listed, target.partition(b"?")[0].decode()), "complete")
        messages = json.loads(window.call("GET", f"/flows/{flow['id']}/messages/content/ai.json"))
        # mitmproxy 11 has lines of styled parts, 12 a text.
        listed = json.dumps(messages, ensure_ascii=False)
        assert told in listed
        assert "provider: (no event)" in listed
        shown += listed
    api.close()

    curl = window.run("ai.curl", "~all")
    everywhere = json.dumps([window.flows, curl]) + window.proxy.close() + shown
    for masked in (
        "openai-insecure-api-key.redacted",
        "BidiGenerateContent?key=redacted&a=1",
        "?access_token=redacted",
    ):
        assert masked in everywhere
    assert "of-the-client" not in everywhere
