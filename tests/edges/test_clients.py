"""Clients that are let in by tokens of their own."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.edges.clients import Clients
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire.header_fields import Fields
from tests.tables import table

CLIENTS = Clients({"page": (Secret("token-of-the-page"),)})
PROTOCOL = b"Sec-WebSocket-Protocol"


@table(
    "fields, kept",
    [
        (((b"X-Api-Key", b"token-of-the-page"), (b"A", b"b")), ((b"A", b"b"),)),
        (
            ((PROTOCOL, b"realtime, openai-insecure-api-key.token-of-the-page"), (b"A", b"b")),
            ((PROTOCOL, b"realtime"), (b"A", b"b")),
        ),
        (((b"sec-websocket-protocol", b"openai-insecure-api-key.token-of-the-page"),), ()),
    ],
)
def test_a_token_is_found_where_clients_send_it_and_is_not_sent_on(fields: Fields, kept: Fields) -> None:
    assert CLIENTS.admit(fields) == ("page", kept)


@table(
    "field",
    [
        (PROTOCOL, b"realtime"), (PROTOCOL, b"token-of-the-page"), (PROTOCOL, b"openai-insecure-api-key.other"),
        (PROTOCOL, b"openai-insecure-api-key."), (b"X-Other", b"openai-insecure-api-key.token-of-the-page"),
    ],
)  # fmt: skip
def test_who_has_none_is_not_let_in(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(Refusal):
        CLIENTS.admit((field,))
