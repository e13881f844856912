"""Who is let in: keys open for their tenant; without any key this machine is served, and no other site's page."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.platform.intake import Caller
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.web import access
from mitm_ai_proxy.platform.web.access import Call
from tests.platform.orders import NOW
from tests.tables import table

HOST = {"host": "127.0.0.1:8000"}


def _refused(call: Call, store: Store) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        access.caller(call, store.keys)
    return caught.value.status, caught.value.code


@table(
    ("peer", "fields"),
    [
        ("127.0.0.1", HOST),
        ("127.0.0.2", {"host": "localhost:8000"}),
        ("::1", {"host": "[::1]:8000"}),
        ("::1", {"host": "LOCALHOST"}),
        ("127.0.0.1", {**HOST, "authorization": "Bearer what an SDK needs"}),
        ("127.0.0.1", {**HOST, "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}),
        ("127.0.0.1", {**HOST, "sec-fetch-site": "none"}),
    ],
)
def test_without_keys_this_machine_is_the_default_tenant(peer: str, fields: Mapping[str, str], store: Store) -> None:
    assert access.caller(Call(peer, fields), store.keys) == Caller("default", None)


@table(
    ("peer", "fields", "expected"),
    [
        ("192.168.1.5", HOST, (401, "invalid_api_key")),
        ("", HOST, (401, "invalid_api_key")),
        ("somewhere", HOST, (401, "invalid_api_key")),
        ("127.0.0.1", {**HOST, "x-forwarded-for": "8.8.8.8"}, (401, "invalid_api_key")),
        ("127.0.0.1", {**HOST, "forwarded": "for=127.0.0.1"}, (401, "invalid_api_key")),
        ("127.0.0.1", {"host": "evil.example"}, (403, "wrong_host")),
        ("127.0.0.1", {"host": "127.0.0.1.evil.example:8000"}, (403, "wrong_host")),
        ("127.0.0.1", {"host": "evil.example:127.0.0.1"}, (403, "wrong_host")),
        ("127.0.0.1", {}, (403, "wrong_host")),
        ("127.0.0.1", {**HOST, "origin": "https://evil.example"}, (403, "cross_site")),
        ("127.0.0.1", {**HOST, "origin": "http://127.0.0.1:9000"}, (403, "cross_site")),
        ("127.0.0.1", {**HOST, "origin": "null"}, (403, "cross_site")),
        ("127.0.0.1", {**HOST, "origin": "file://127.0.0.1:8000"}, (403, "cross_site")),
        ("127.0.0.1", {**HOST, "sec-fetch-site": "cross-site"}, (403, "cross_site")),
        ("127.0.0.1", {**HOST, "sec-fetch-site": "same-site"}, (403, "cross_site")),
        ("127.0.0.1", {**HOST, "sec-fetch-site": "cross-site", "authorization": "Bearer x"}, (403, "cross_site")),
    ],
)
def test_without_keys_nobody_else_is_served(
    peer: str, fields: Mapping[str, str], expected: tuple[int, str], store: Store
) -> None:
    assert _refused(Call(peer, fields), store) == expected


def test_a_key_opens_for_its_tenant_from_anywhere(store: Store) -> None:
    key, text = store.keys.make("acme", NOW)
    fields = {"host": "videos.example", "authorization": f"bearer {text}"}

    assert access.caller(Call("8.8.8.8", fields), store.keys) == Caller("acme", key)


def test_where_there_are_keys_this_machine_needs_one_too(store: Store) -> None:
    store.keys.make("acme", NOW)

    assert _refused(Call("127.0.0.1", HOST), store) == (401, "invalid_api_key")


@table("field", ["Bearer vp_wrong", "Bearer ", "Basic dXNlcjp4", "", "Bearer \ud800"])
def test_a_wrong_key_is_refused(field: str, store: Store) -> None:
    store.keys.make("acme", NOW)

    assert _refused(Call("127.0.0.1", {**HOST, "authorization": field}), store) == (401, "invalid_api_key")


def test_a_revoked_key_is_refused(store: Store) -> None:
    store.keys.make("other", NOW)
    key, text = store.keys.make("acme", NOW)
    store.keys.revoke(key.id, NOW)

    assert _refused(Call("::1", {"authorization": f"Bearer {text}"}), store) == (401, "invalid_api_key")


def test_the_session_of_the_page_opens_for_the_page_only(store: Store) -> None:
    key, text = store.keys.make("acme", NOW)
    fields = {"host": "videos.example", "sec-fetch-site": "same-origin", "origin": "https://videos.example"}

    assert access.caller(Call("8.8.8.8", fields, text), store.keys) == Caller("acme", key)
    assert _refused(Call("8.8.8.8", {**fields, "origin": "https://evil.example"}, text), store)[1] == "cross_site"
    assert _refused(Call("8.8.8.8", {**fields, "sec-fetch-site": "cross-site"}, text), store)[1] == "cross_site"
    # A wrong key in the header is not made good by a cookie.
    assert _refused(Call("8.8.8.8", {**fields, "authorization": "Bearer x"}, text), store)[0] == 401
