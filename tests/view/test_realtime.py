"""Messages of a WebSocket to the Realtime API, as the content view shows each of them."""

from __future__ import annotations

import json
from typing import Any

from mitm_ai_proxy.view import realtime
from tests.tables import table

AUDIO = "AAAA" * 1024
DONE = {
    "type": "response.done",
    "response": {
        "status": "completed",
        "usage": {"input_tokens": 1200, "output_tokens": 34, "input_token_details": {"cached_tokens": 1000}},
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "audio", "transcript": "Hello"}]}],
    },
}


@table(
    "event, is_clients, first",
    [
        (
            {"type": "input_audio_buffer.append", "audio": AUDIO},
            True,
            "client: input_audio_buffer.append · audio 3.0 KB",
        ),
        (
            {"type": "response.output_audio.delta", "delta": AUDIO},
            False,
            "provider: response.output_audio.delta · audio 3.0 KB",
        ),
        ({"type": "response.text.delta", "delta": "Hi"}, False, "provider: response.text.delta · text 2 characters"),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi!"}]},
            },
            True,
            "client: conversation.item.create · user · message · text 3 characters",
        ),
        (
            DONE,
            False,
            "provider: response.done · completed · text 5 characters · 1,200 tokens in (1,000 cached), 34 out",
        ),
        ({"type": "error", "error": {"type": "x", "message": "bad\x1b"}}, False, "provider: error · x · bad\\x1b"),
        ({"setup": {"model": "models/gemini-live", "tools": []}}, True, "client: setup · models/gemini-live"),
        (
            {"realtime_input": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": AUDIO}}},
            True,
            "client: realtimeInput · audio 3.0 KB",
        ),
        (
            {"realtimeInput": {"video": {"mime_type": "image/jpeg", "data": AUDIO}}},
            True,
            "client: realtimeInput · media 3.0 KB",
        ),
        (
            {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hi!"}]}], "turn_complete": True}},
            True,
            "client: clientContent · turnComplete · text 3 characters",
        ),
        (
            {"toolResponse": {"functionResponses": [{"id": "1", "name": "get_weather", "response": {"a": 1}}, 7]}},
            True,
            "client: toolResponse · get_weather",
        ),
        ({"setupComplete": {}}, False, "provider: setupComplete"),
        (
            {
                "serverContent": {
                    "modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": AUDIO}}]},
                    "outputTranscription": {"text": "Hello"},
                    "interrupted": True,
                },
                "usageMetadata": {
                    "promptTokenCount": 1200,
                    "cachedContentTokenCount": 1000,
                    "responseTokenCount": 30,
                    "thoughtsTokenCount": 4,
                },
            },
            False,
            "provider: serverContent, usageMetadata · interrupted · text 5 characters · audio 3.0 KB"
            " · 1,200 tokens in (1,000 cached), 34 out (4 reasoning)",
        ),
        ({"toolCall": {"functionCalls": [{"name": "f\x1b", "args": {}}]}}, False, "provider: toolCall · f\\x1b"),
        ({"goAway": {"timeLeft": "9s"}}, False, "provider: goAway"),
        (
            {"serverContent": [7], "usageMetadata": {"promptTokenCount": True}},
            False,
            "provider: serverContent, usageMetadata",
        ),
        ({"setup": None, "toolCall": {"functionCalls": 7}}, True, "client: setup, toolCall"),
        ({"type": 7}, False, "provider: (no event)"),
        ([1], True, "client: (no event)"),
        (b"\xff\x00", True, "client: (no JSON, 2 bytes)"),
        (b"", False, "provider: (no JSON, 0 bytes)"),
        (b"[" * 100_000, False, "provider: (no JSON, 97.7 KB)"),
        (b'{"type":"a","b":[' + b"1," * 20_001 + b"1]}", False, "provider: (39.1 KB: too long to be laid out here)"),
        (b"x" * (4 * 1024 * 1024 + 1), False, "provider: (4.0 MB: too long to be laid out here)"),
        (
            {"type": "a", "response": {"usage": {"input_tokens": True}}, "delta": 7, "item": [None]},
            False,
            "provider: a",
        ),
    ],
)
def test_the_first_line_says_what_a_message_is(event: Any, is_clients: bool, first: str) -> None:
    data = event if isinstance(event, bytes) else json.dumps(event).encode()

    text = realtime.text(data, is_clients)

    assert text.splitlines()[0].rstrip(" ·") == first
    assert AUDIO not in text
    assert "\x1b" not in text
