"""Credentials that a client sends: what is found in its requests, and that it is written nowhere else."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mitm_ai_proxy.cassette import credentials, har
from mitm_ai_proxy.cassette.cassette import Cassette, Mode, Opening
from mitm_ai_proxy.cassette.credentials import MOST, SeenCredentials
from mitm_ai_proxy.cassette.entry import Entry, Headers, Request, Response
from mitm_ai_proxy.cassette.matching import MatchOptions
from mitm_ai_proxy.cassette.playing import Player
from mitm_ai_proxy.cassette.scrubbing import Scrubber, findings
from tests.tables import table

URL = "https://api.example/v1/chat/completions"
JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"
# No shape tells any of these.
HEX = "0123456789abcdef0123456789abcdef"
SLASHED = 'p/w+"%&=é_7'
OPAQUE = [HEX, "the-clients-own-key", "Zm9vYmFy/9a+b", SLASHED, "supersecretkey"]


def _request(headers: Headers = (), body: bytes = b"", kind: str = JSON, url: str = URL) -> Request:
    return Request("POST", url, (("Content-Type", kind), *headers), body)


def _basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def _json(value: Any) -> Request:
    return _request(body=json.dumps(value).encode())


def _part(name: str, value: str) -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--B--\r\n'.encode()


PLACES: dict[str, Callable[[str], Request]] = {
    "bearer": lambda key: _request((("Authorization", f"Bearer {key}"),)),
    "in lower case": lambda key: _request((("authorization", f"bearer   {key} "),)),
    "token": lambda key: _request((("Authorization", f"Token {key}"),)),
    "no scheme": lambda key: _request((("Authorization", key),)),
    "key and secret": lambda key: _request((("Authorization", f"Key 1f2e3d:{key}"),)),
    "key and secret without a scheme": lambda key: _request((("X-Api-Key", f"1f2e3d:{key}"),)),
    "password": lambda key: _request((("Authorization", _basic(f"user:{key}")),)),
    "user": lambda key: _request((("Authorization", _basic(f"{key}:")),)),
    "proxy": lambda key: _request((("Proxy-Authorization", _basic(f"user:{key}")),)),
    "api key": lambda key: _request((("x-api-key", key),)),
    "google": lambda key: _request((("X-Goog-Api-Key", key),)),
    "azure": lambda key: _request((("api-key", key),)),
    "own": lambda key: _request((("X-Company-Access-Token", key),)),
    "query": lambda key: _request(url=f"{URL}?a=1&api_key={quote(key, safe='')}"),
    "url": lambda key: _request(url=f"https://user:{quote(key, safe='')}@api.example/v1"),
    "member": lambda key: _json({"a": [{"apiKey": key}]}),
    "below a member": lambda key: _json({"credentials": {"a": [key]}}),
    "scheme in a member": lambda key: _json({"authorization": f"Bearer {key}"}),
    "form": lambda key: _request(body=f"a=1&password={quote(key, safe='')}".encode(), kind=FORM),
    "part": lambda key: _request(body=_part("access_token", key), kind=MULTIPART),
}
IN_ALL = [
    (place, key)
    for place in PLACES
    for key in OPAQUE
    if not (
        key.isalpha()
        and len(key) < 16
        and place in ("query", "member", "below a member", "scheme in a member", "form", "part")
    )
]
ECHOES: dict[str, Callable[[str], Response]] = {
    "json": lambda key: _answer({"error": {"message": f"Incorrect API key provided: {key}. See /keys/{key}/edit"}}),
    "link": lambda key: _answer({"a": f"https://example.com/keys/{quote(key, safe='')}/edit?x={quote(key)}"}),
    "json in json": lambda key: _answer({"a": json.dumps({"b": json.dumps([key])})}),
    "key": lambda key: _answer({"keys": {key: 1}}),
    "escaped": lambda key: Response(401, "", (), json.dumps(json.dumps(key))[1:-1].encode()),
    "text": lambda key: Response(401, "", (("Content-Type", "text/plain"),), f"{key} is wrong".encode()),
    "events": lambda key: Response(200, "", (("Content-Type", "text/event-stream"),), f"data: {key}\n\n".encode()),
    "field": lambda key: Response(401, "", (("X-Echo", f"a {quote(key, safe='')}"),)),
    "location": lambda key: Response(302, "", (("Location", f"https://b.example/{quote(key, safe='')}/c"),)),
    "base64": lambda key: _answer({"a": base64.b64encode(f"user:{key}!".encode()).decode()}),
    "binary": lambda key: Response(200, "", (), b"\xff\xfe" + key.encode()),
}


def _answer(value: Any, headers: Headers = ()) -> Response:
    return Response(401, "", (("Content-Type", JSON), *headers), json.dumps(value).encode())


def _entry(request: Request, response: Response | None) -> Entry:
    return Entry(1.0, 2.0, request, response)


def _spellings(key: str) -> list[str]:
    escaped = json.dumps(key)[1:-1]
    whole = base64.b64encode(f"user:{key}!".encode()).decode()
    return [key, escaped, json.dumps(escaped)[1:-1], quote(key), quote(key, safe=""), whole]


def _holds(entry: Entry, key: str) -> list[str]:
    """The spellings of a key that are in an exchange."""
    written = repr(entry) + "".join(
        message.body.decode("utf-8", "replace") for message in (entry.request, entry.response) if message
    )
    return [spelled for spelled in _spellings(key) if spelled in written]


@table(("place", "key"), IN_ALL)
def test_a_credential_is_found_wherever_requests_have_one(place: str, key: str) -> None:
    assert key in credentials.found(PLACES[place](key))


# Each place with each echo, each key with each echo, each place with each key.
ECHOED = [
    (place, key, echo)
    for place, key in IN_ALL
    for number, echo in enumerate(ECHOES)
    if ([*PLACES].index(place) + OPAQUE.index(key) + number) % len(OPAQUE) == 0
]


@table(("place", "key", "echo"), ECHOED)
def test_a_credential_of_a_request_is_written_nowhere_in_its_exchange(place: str, key: str, echo: str) -> None:
    entry = _entry(PLACES[place](key), ECHOES[echo](key))
    scrubbed = Scrubber().entry(entry)
    assert _holds(scrubbed, key) == []
    assert findings(entry) != []
    assert findings(scrubbed) == []
    assert Scrubber().entry(scrubbed) == scrubbed


@table("echo", ECHOES)
def test_a_credential_is_known_in_later_exchanges_of_the_run(echo: str) -> None:
    seen = SeenCredentials()
    Scrubber((), (), seen).entry(_entry(PLACES["bearer"](HEX), None))
    later = _entry(Request("GET", f"{URL}/{HEX}"), ECHOES[echo](HEX))
    # Also by the scrubber of the next cassette.
    assert _holds(Scrubber((), (), seen).entry(later), HEX) == []
    assert _holds(Scrubber().entry(later), HEX) != []


def test_a_cassette_knows_the_credentials_of_requests_that_are_not_answered_yet(tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    scrubber = Scrubber((), (), SeenCredentials())
    cassette = Cassette(Opening(path, Mode.ALL), scrubber, lambda: 0.0)
    assert cassette.answer(PLACES["bearer"](HEX)) is None
    cassette.record(_entry(Request("GET", URL), ECHOES["json"](HEX)))
    assert HEX not in path.read_text()
    (entry,) = har.read(path)
    assert entry.response is not None
    assert b"Incorrect API key provided: [scrubbed]. See" in entry.response.body


@table(
    "request",
    [
        _request((("Authorization", "Bearer short"),)),
        _request((("Authorization", "Bearer unused"),)),
        _request((("Authorization", "Bearer not-needed"),)),
        _request((("Authorization", "Bearer TEST_KEY"),)),
        _request((("Authorization", "Bearer xxxxxxxxxxxx"),)),
        _request((("Authorization", "Bearer 1234567890"),)),
        _request((("Authorization", f"Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhayJ9.{'x' * 20}"),)),
        _request((("Authorization", "Bearer [scrubbed]"),)),
        _request((("X-Api-Key", "[sent to the provider, not kept]"),)),
        _request((("Authorization", "Basic ????"), ("Cookie", ";;=;a"))),
        _request((("Cookie", "theme=midnight; lang=zh-Hans; seen=accepted; zoom=12345678"),)),
        _request((("Token-Type", HEX), ("X-Max-Tokens", HEX))),
        _request(url=f"{URL}?max_tokens={HEX}&key={HEX}"),
        _request(url="https://["),
        _json({"token_type": HEX, "credentials": "same"}),
        _json({"token": "accepted", "secret": 123456789012345}),
        _request(body=b"\xff"),
        _request(body=b'{"password":'),
    ],
    ids=range(18),
)
def test_ordinary_texts_are_no_credentials(request: Request) -> None:
    assert credentials.found(request) == ()


# What stands in a credential's place | whether it is one: in a header field, and in a member of a body
LENGTHS = [
    ("grenade", False, False),
    ("grenades", True, False),
    ("grenade-launch", True, False),
    ("supercalifragil", True, False),
    ("supercalifragili", True, True),
    ("12345678901", False, False),
    ("123456789012", True, True),
    ("aabbccaabbcc1", True, True),
    ("abcabcabc11b", True, True),
    ("1ab1ab1ab1ab", False, False),
    ("a-1" * 2730, False, False),
    ("a-b1" * 2048, True, True),
    ("a-b1" * 2048 + "c", False, False),
]


@table(("text", "in_field", "in_body"), LENGTHS)
def test_what_is_short_or_plain_is_no_credential(text: str, in_field: bool, in_body: bool) -> None:
    assert (text in credentials.found(_request((("X-Api-Key", text),)))) == in_field
    assert (text in credentials.found(_json({"api_key": text}))) == in_body


@table(
    "text",
    "anything dummy-key fake-key lm-studio my-api-key no-key-required none-needed not-needed not-used notneeded"
    " placeholder redacted sk-no-key-required test-key your-api-key undefined x-api-key your_api_key LM-Studio".split(),
)
def test_what_clients_send_for_any_key_is_no_credential(text: str) -> None:
    for key in (text, f"Bearer {text}"):
        assert credentials.found(_request((("Authorization", key),))) == ()


def test_the_parts_of_a_signature_are_found() -> None:
    signed = (
        "AWS4-HMAC-SHA256 Credential=keyid12345/20260101/us/s3/aws4_request, SignedHeaders=host, Signature=0a1b2c3d4e"
    )
    found = credentials.found(_request((("Authorization", signed),)))
    assert found == ("keyid12345/20260101/us/s3/aws4_request", "keyid12345", "0a1b2c3d4e")


def test_cookies_are_found() -> None:
    cookie = f'a={HEX}; b="se%20ssion-0123456789"; c=abcdef12'
    found = credentials.found(_request((("Cookie", cookie),)))
    assert found == (HEX, "se%20ssion-0123456789", "se ssion-0123456789", "abcdef12")


def test_the_latest_credentials_are_remembered() -> None:
    seen = SeenCredentials()
    for number in range(MOST + 1):
        assert f"key-{number}" in seen.add([f"key-{number}", "key-0" if number < MOST else "key-1"])
    kept = seen.add(())
    assert len(kept) == MOST
    assert {"key-0", "key-1", f"key-{MOST}"} <= set(kept)
    assert "key-2" not in kept


def _brotli(body: bytes) -> bytes:
    compressed: bytes = pytest.importorskip("brotli").compress(body)
    return compressed


def _zstd(body: bytes) -> bytes:
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            compressed: bytes = importlib.import_module(name).compress(body)
        except ImportError:
            continue
        return compressed
    pytest.skip("no zstd")


def _bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    " deflate ": _bare_deflate,
    "br": _brotli,
    "zstd": _zstd,
    "identity, gzip": gzip.compress,
    "gzip, br": lambda body: _brotli(gzip.compress(body)),
    "zstd, deflate": lambda body: zlib.compress(_zstd(body)),
}


@table("encoding", PACKED)
def test_a_body_with_a_content_encoding_is_looked_into(encoding: str) -> None:
    plain = json.dumps({"message": f"wrong key {HEX}", "pad": "x" * 3000}).encode()
    headers = (("Content-Type", JSON), ("content-encoding", encoding))
    packed = PACKED[encoding](plain)
    answer = Response(200, "", (*headers, ("Content-Length", str(len(packed)))), packed)
    request = _request((("X-Api-Key", HEX), ("Content-Encoding", encoding)), packed)

    entry = _entry(request, answer)
    scrubbed = Scrubber().entry(entry)
    assert scrubbed.response is not None
    expected = plain.replace(HEX.encode(), b"[scrubbed]")
    assert scrubbed.response.body == scrubbed.request.body == expected
    assert scrubbed.response.headers == (("Content-Type", JSON), ("Content-Length", str(len(expected))))
    assert any(place.startswith("entry.response.body") for place in findings(entry))
    # Without a secret it stays as it is.
    other = _entry(Request("GET", URL), answer)
    assert Scrubber().entry(other) == other


@table(("encoding", "body"), [("br", b"{}"), ("zstd", b"{}"), ("gzip", b"{}"), ("compress", b"{}"), ("gzip", b"")])
def test_a_body_that_is_not_what_its_content_encoding_says_is_scrubbed_as_it_is(encoding: str, body: bytes) -> None:
    body = body and json.dumps({"password": HEX}).encode()
    scrubbed = Scrubber().request(_request((("Content-Encoding", encoding),), body))
    assert scrubbed.body == body.replace(HEX.encode(), b"[scrubbed]")
    assert ("Content-Encoding", encoding) in scrubbed.headers


def test_a_recording_that_has_the_credential_of_its_client_in_a_body_still_replays() -> None:
    request = _request((("Authorization", f"Bearer {HEX}"),), json.dumps({"user_name": HEX, "n": 1}).encode())
    old = Request(request.method, request.url, (("Authorization", "Bearer [scrubbed]"),), request.body)
    new = Scrubber().request(request)
    for recorded in (old, new):
        player = Player([_entry(recorded, _answer({"a": 1}))], MatchOptions(), Scrubber(), lambda: 0.0)
        assert isinstance(player.answer(request), Entry)
        missed = player.answer(request)
        assert not isinstance(missed, Entry)
        assert HEX not in repr(missed.request)
    other = _request(
        (("Authorization", "Bearer other-key-1"),), json.dumps({"user_name": "other-key-1", "n": 1}).encode()
    )
    player = Player([_entry(new, _answer({"a": 1}))], MatchOptions(), Scrubber(), lambda: 0.0)
    assert isinstance(player.answer(other), Entry)
