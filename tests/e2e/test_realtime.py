"""A WebSocket to the realtime API: the upgrade is rewritten as any request, and then every frame passes."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

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
    """A server for one WebSocket, which answers one frame with its text in capitals. `head` is what it was asked."""

    def __init__(self) -> None:
        self.head = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(DEADLINE)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(DEADLINE)
            self.head = _read(connection, lambda data: data.endswith(b"\r\n\r\n"))
            key = next(
                line.split(b": ")[1]
                for line in self.head.split(b"\r\n")
                if line.lower().startswith(b"sec-websocket-key")
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


@pytest.mark.parametrize("keys", ["", "protocol: original, "])
def test_a_websocket_passes(start_proxy: StartProxy, keys: str, tmp_path: Path) -> None:
    api = RealtimeApi()
    base = f"baseUrl: 'http://127.0.0.1:{api.port}/v1'"
    saved = tmp_path / "flows"
    proxy = start_proxy(
        f"provider: {{type: openai, apiTokens: sk-ours, {keys}{base}, modelMapping: {{gpt-rt: gpt-new}}}}",
        "-w", str(saved), "--set", "flow_detail=4",
    )  # fmt: skip
    with socket.create_connection(("127.0.0.1", proxy.port), DEADLINE) as client:
        fields = [b"Host: proxy", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"]
        fields += [b"Sec-WebSocket-Key: " + KEY, b"Authorization: Bearer sk-of-the-client", b"OpenAI-Beta: realtime=v1"]
        fields += [b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-of-the-client, x"]
        client.sendall(b"GET /v1/realtime?model=gpt-rt&&x HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n")
        head = _read(client, lambda data: data.endswith(b"\r\n\r\n"))
        text = b"h\xc3\xa9llo"
        masked = bytes(byte ^ MASK[place % 4] for place, byte in enumerate(text))
        client.sendall(bytes([0x81, 0x80 | len(text)]) + MASK + masked)
        answer = _read(client, lambda data: len(data) >= 2 and len(data) >= 2 + data[1])
    api.close()

    assert head.startswith(b"HTTP/1.1 101 ")
    # The end of the connection may come with it.
    assert answer[: 2 + len(text)] == bytes([0x81, len(text)]) + text.upper()
    model = b"gpt-rt" if keys else b"gpt-new"
    assert api.head.startswith(b"GET /v1/realtime?model=" + model + b"&&x HTTP/1.1\r\n")
    assert b"Authorization: Bearer sk-ours\r\n" in api.head
    assert b"OpenAI-Beta: realtime=v1\r\n" in api.head
    assert b"Sec-WebSocket-Protocol: realtime, x\r\n" in api.head
    assert b"of-the-client" not in api.head
    assert b"of-the-client" not in proxy.close().encode() + saved.read_bytes()


def test_a_websocket_that_is_only_looked_at_passes_to_the_byte_and_is_listed_by_message(
    start_proxy: StartProxy,
) -> None:
    api = RealtimeApi()
    window = Window(start_proxy, None, "--set", "ai_inspect=true", "--mode", f"reverse:http://127.0.0.1:{api.port}")
    protocol = b"Sec-WebSocket-Protocol: realtime,openai-insecure-api-key.sk-of-the-client"
    with socket.create_connection(("127.0.0.1", window.proxy.port), DEADLINE) as client:
        fields = [b"Host: proxy", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", protocol]
        client.sendall(
            b"GET /v1/realtime HTTP/1.1\r\n" + b"\r\n".join([*fields, b"Sec-WebSocket-Key: " + KEY]) + b"\r\n\r\n"
        )
        _read(client, lambda data: data.endswith(b"\r\n\r\n"))
        text = b'{"type":"response.create"}'
        client.sendall(bytes([0x81, 0x80 | len(text)]) + MASK + bytes(b ^ MASK[i % 4] for i, b in enumerate(text)))
        _read(client, lambda data: len(data) >= 2 and len(data) >= 2 + data[1])
    api.close()

    assert protocol + b"\r\n" in api.head
    flow = window.wait(lambda one: one.get("websocket", {}).get("messages_meta", {}).get("count") == 2, "complete")
    shown = window.call("GET", f"/flows/{flow['id']}/messages/content/ai.json").decode()
    assert "client: response.create" in shown
    assert "provider: (no event)" in shown
    curl = window.run("ai.curl", "~all")
    everywhere = window.proxy.close() + shown + json.dumps(flow) + json.dumps(curl)
    assert "openai-insecure-api-key.redacted" in everywhere
    assert "of-the-client" not in everywhere
