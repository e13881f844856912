"""A script for mitmproxy: the gateway with a provider type that is not ours, whose answers are translated as they come.

Its stream has a word on each line; a client of OpenAI's gets an event for each. The word `raise` cannot be translated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from mitm_ai_proxy import registry
from mitm_ai_proxy.exchange import Handling, Pieces, Upstream
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.recorded import Recorded
from mitm_ai_proxy.providers.base import Provider
from mitm_ai_proxy.wire.header_fields import Fields
from mitm_ai_proxy.wire.targets import Origin


class Words:
    """From lines to server-sent events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return b"".join(map(self._event, lines))

    def end(self) -> bytes:
        return (self._event(self._rest) if self._rest else b"") + b"data: [DONE]\n\n"

    def _event(self, line: bytes) -> bytes:
        if line == b"raise":
            raise ValueError("secret-of-the-body")
        return b"data: " + json.dumps({"word": line.decode()}).encode() + b"\n\n"


class Lines(Provider):
    """A provider that answers in lines."""

    type = "lines"
    home = Origin("https", "lines.test", 443)
    default_capabilities: ClassVar[Mapping[str, str]] = {
        "openai/v1/chatcompletions": "/talk",
        "anthropic/v1/messages": "/talk",
    }

    def responseheaders(self, sent: Upstream, status: int, fields: Fields) -> Handling:
        if status != 200:
            return super().responseheaders(sent, status, fields)
        return Pieces(Words(), {b"content-type": b"text/event-stream"})


registry.TYPES[Lines.type] = Lines  # type: ignore[index]  # a table of constants for all but this

addons = [Gateway([Recorded()])]
