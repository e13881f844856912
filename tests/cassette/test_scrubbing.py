"""Scrubbing: secrets in every place of an exchange, values that must stay, and matching of scrubbed requests."""

from __future__ import annotations

import base64
import json
import random
from typing import Any
from urllib.parse import quote

from mitm_ai_proxy.cassette import sensitive
from mitm_ai_proxy.cassette.entry import Chunk, Entry, Headers, Request, Response, header
from mitm_ai_proxy.cassette.matching import MatchOptions, canonical
from mitm_ai_proxy.cassette.scrubbing import Scrubber, findings
from mitm_ai_proxy.wire import json_text
from tests.tables import table

URL = "https://api-singapore.klingai.com/v1/videos/text2video"
JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"
KNOWN = 'Kn0wn/secret+key="1"'
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhayJ9.c2lnbmF0dXJl-_x"
SHAPED = {
    "jwt": JWT,
    "sk": "sk-proj-abcdefgh12345678",
    "kling": "api-key-kling-0123456789abcdef",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "webhook": "whsec_dGVzdHNlY3JldA==",
    "known": KNOWN,
}
LETTERS = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
DIGITS = "0123456789abcdef" * 4
UUID = "01234567-89ab-cdef-0123-456789abcdef"
KEYS = [
    f"sk-proj-{LETTERS}",
    f"sk-svcacct-{LETTERS}",
    f"sk-admin-{LETTERS}",
    f"sk-ant-api03-{LETTERS}-_AA",
    f"sk-or-v1-{DIGITS}",
    f"sk_live_{LETTERS}",
    f"sk_test_{LETTERS}",
    f"rk_live_{LETTERS}",
    f"sk_{DIGITS[:48]}",
    f"AIzaSy{LETTERS[:33]}",
    f"AQ.Ab8R{LETTERS}-_",
    f"ya29.a0{LETTERS}-{LETTERS}",
    f"GOCSPX-{LETTERS[:28]}",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    f"ABSK{LETTERS * 2}+/==",
    f"bedrock-api-key-{LETTERS}==",
    f"LTAI5t{LETTERS[:18]}",
    f"AKID{LETTERS[:32]}",
    f"AKLT{LETTERS}",
    f"bce-v3/ALTAK-{LETTERS[:21]}/{DIGITS[:40]}",
    f"hf_{LETTERS[:34]}",
    f"api_org_{LETTERS[:34]}",
    f"r8_{LETTERS}1",
    f"xai-{LETTERS * 2}",
    f"gsk_{LETTERS}{LETTERS[:16]}",
    f"pplx-{LETTERS}",
    f"csk-{DIGITS[:48]}",
    f"nvapi-{LETTERS}-_",
    f"fw_{LETTERS[:24]}",
    f"tgp_v1_{LETTERS}-_",
    f"key_{DIGITS}{DIGITS}",
    f"luma-{UUID}-{UUID}",
    f"dapi{DIGITS[:32]}",
    f"dapi{DIGITS[:32]}-2",
    f"tvly-dev-{LETTERS[:32]}",
    f"jina_{DIGITS[:32]}{LETTERS}",
    f"lsv2_pt_{DIGITS[:32]}_{DIGITS[:10]}",
    f"pcsk_{LETTERS}_{LETTERS}",
    f"ghp_{LETTERS}",
    f"gho_{LETTERS}",
    f"ghu_{LETTERS}",
    f"ghs_{LETTERS}",
    f"ghr_{LETTERS}",
    f"github_pat_{LETTERS[:22]}_{LETTERS}",
    f"glpat-{LETTERS[:20]}",
    f"xoxb-123456789012-123456789012-{LETTERS[:24]}",
    f"xoxp-123456789012-{LETTERS}",
    f"xapp-1-A0123-{DIGITS}",
    f"hooks.slack.com/services/T0123/B0123/{LETTERS[:24]}",
    f"SG.{LETTERS[:22]}.{LETTERS}",
    f"npm_{LETTERS}",
    f"pypi-AgEIcHlwaS5vcmc{LETTERS}",
    f"dckr_pat_{LETTERS[:27]}",
    f"sbp_{DIGITS[:40]}",
    f"ntn_{LETTERS}",
    f"lin_api_{LETTERS}",
    f"{UUID}:{DIGITS[:32]}",
    f"{DIGITS[:32]}.{LETTERS[:16]}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{LETTERS}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\\n{LETTERS}",
]
DEEP = b'{"data":' + b"[" * 30_000
GARBAGE = [b"", b"null", b"5", b"[]", b'"x"', b"<html>", b"{", b"\xff", b'{"code":0,"message":"\xff"}', DEEP]
GARBAGE += [b"{" * 1000, b'{"a":' * 60 + b"1" + b"}" * 60, b'{"a":"\\ud800"}', b'{"token":"\\ud800"}', b"\0" * 100]
GARBAGE += [b"1" * 10_000, b'{"a":1e999999999999999999}', b"--B\r\n\r\n", b"--B--", b"a=%ff&b=%", b"&&==", b"=" * 999]
PLACES = (
    "header query path fragment key value nested form form_value part file plain link link_path list assigned".split()
)


def _request(body: bytes = b"", content_type: str = JSON, url: str = URL, headers: Headers = ()) -> Request:
    return Request("POST", url, (*headers, ("Content-Type", content_type)), body)


def _entry(request: Request, response: Response | None = None) -> Entry:
    return Entry(1.0, 2.0, request, response, ("note",), None)


def _json(value: Any, **more: Any) -> Request:
    return _request(json.dumps(value).encode(), **more)


def _form(name: str, data: bytes, head: bytes = b"") -> bytes:
    return b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n--B--\r\n' % (name.encode(), head, data)


def _placed(place: str, secret: str) -> Request:
    """A request with a secret that only its shape reveals, or that it is a known one."""
    text = f"before {secret} behind"
    coded = quote(secret, safe="")
    return {
        "header": lambda: _request(headers=(("X-Debug", text),)),
        "query": lambda: _request(url=f"{URL}?a={coded}&b=1"),
        "path": lambda: _request(url=f"{URL}/{coded}/x"),
        "fragment": lambda: _request(url=f"{URL}#access_token={coded}"),
        "key": lambda: _json({"a": [{secret: 1}]}),
        "value": lambda: _json({"a": [{"b": {"c": text}}]}),
        "nested": lambda: _json({"a": json.dumps({"b": json.dumps([text])})}),
        "form": lambda: _request(f"a={coded}&b=1".encode(), FORM),
        "form_value": lambda: _request(f"a={quote(json.dumps({'b': secret}))}".encode(), FORM),
        "part": lambda: _request(_form("a", text.encode()), MULTIPART),
        "file": lambda: _request(_form("a", text.encode(), b'; filename="a.txt"'), MULTIPART),
        "plain": lambda: _request(text.encode(), "text/plain"),
        "link": lambda: _json({"url": f"https://cdn.example/a.mp4?x={coded}"}),
        "link_path": lambda: _json({"url": f"see https://cdn.example/{coded}/a.mp4 there"}),
        "list": lambda: _json([[[secret]]]),
        "assigned": lambda: _request(f"a: {text}\nb".encode(), "text/plain"),
    }[place]()


def _written(entry: Entry) -> str:
    """The text of an entry in a file."""
    return repr(entry) + "".join(
        message.body.decode("utf-8", "replace") for message in (entry.request, entry.response) if message
    )


def _spellings(secret: str) -> list[str]:
    escaped = json.dumps(secret)[1:-1]
    return [
        secret,
        escaped,
        json.dumps(escaped)[1:-1],
        quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode(),
    ]


@table("name", SHAPED)
@table("place", PLACES)
def test_a_secret_is_found_wherever_it_stands_and_in_both_directions(place: str, name: str) -> None:
    secret = SHAPED[name]
    scrubber = Scrubber((), (KNOWN,))
    request = _placed(place, secret)
    headers = (*request.headers, ("Location", request.url))
    entry = _entry(request, Response(200, "OK", headers, request.body))
    scrubbed = scrubber.entry(entry)

    written = _written(scrubbed)
    assert [spelled for spelled in _spellings(secret) if spelled in written] == []
    assert scrubber.entry(scrubbed) == scrubbed
    assert findings(scrubbed, (KNOWN,)) == []
    found = findings(entry, (KNOWN,))
    assert any(line.startswith("entry.request") for line in found)
    assert any(line.startswith("entry.response") for line in found)
    assert not any(spelled in line for line in found for spelled in _spellings(secret))
    options = MatchOptions()
    assert canonical(scrubber.request(request), options) == canonical(scrubbed.request, options)


@table("key", KEYS)
def test_the_keys_of_many_vendors_are_told_by_their_shape(key: str) -> None:
    secret = key.rpartition("/services/")[2]
    coloured = (rf"\x07{key}", rf"\x1b[1;31m{key}\x1b[0m", rf"\U000e0001{key}")
    for text in (key, f"Incorrect key: {key}. See", f"a={key}&b", f"({key})", f"'{key}',", *coloured):
        request = _json({"a": [text]}, headers=(("X-Echo", text.replace("\n", " ")),))
        scrubbed = Scrubber().request(request)
        assert secret[8:] not in scrubbed.body.decode()
        assert secret[8:] not in header(scrubbed.headers, "x-echo")
        assert "[scrubbed]" in scrubbed.body.decode()
    behind = Scrubber().request(_request(f"before {key} behind".encode(), "text/plain")).body.decode()
    assert behind.startswith("before ")
    assert behind.endswith(" behind") or key.startswith("-----")


@table(
    "text",
    [
        f"AIza{LETTERS[:20]}",
        f"xAIzaSy{LETTERS}",
        f"x_hf_{LETTERS}",
        "hf_hub_download_with_a_long_name",
        "key_of_a_long_function_name_without_digits",
        "gsk_short",
        "xai-grok-2-vision-1212",
        "fw_some_long_function_name_of_a_firmware",
        "ghp_tables_and_all_their_names",
        "luma-dream-machine-ray-2-flash-modify-video",
        "dapi0123",
        f"{DIGITS[:32]}.mp4",
        f"{DIGITS[:32]}.{LETTERS[:17]}",
        f"{UUID}",
        f"urn:uuid:{UUID}",
        f"{UUID}:{DIGITS[:33]}",
        "hooks.slack.com",
        "SG.a.b",
        "npm_config_registry_of_a_project_with_a_name",
        "-----BEGIN CERTIFICATE-----",
        "LTAI5t",
        "AKIDS and AKLTS",
        "ya29.short",
    ],
)
def test_what_is_only_like_a_key_stays(text: str) -> None:
    request = _json({"a": [text, f"a {text}, b"]}, headers=(("X-A", text),))
    assert Scrubber().request(request) == request


@table(
    "spelled",
    [
        KNOWN,
        quote(KNOWN, safe=""),
        quote(KNOWN, safe="").lower().replace("kn0wn", "Kn0wn"),
        json.dumps(KNOWN)[1:-1],
        base64.b64encode(KNOWN.encode()).decode(),
        base64.b64encode(b"user:" + KNOWN.encode() + b"!").decode(),
        base64.urlsafe_b64encode(b"a:" + KNOWN.encode()).decode(),
    ],
)
def test_a_known_secret_is_found_in_each_encoding(spelled: str) -> None:
    body = f"it is ({spelled})".encode()
    (chunk,) = [Scrubber((), (KNOWN,)).request(_request(body, "text/plain")).body]

    assert sensitive.MARK.encode() in chunk
    assert spelled.encode() not in chunk


@table(
    "name",
    """
    api_key apikey apiKey API-Key x-api-key access_token refreshToken id_token client_secret secret secretKey password
    signature token X-Token kling_api_key SecretAccessKey AWSAccessKeyId private_key x-goog-api-key Cookie Set-Cookie
    Proxy-Authorization X-Authorization auth_key webhook-signature
    """.split(),
)
def test_a_name_of_a_credential_is_enough(name: str) -> None:
    value = "plain word"
    scrubber = Scrubber()
    for request in (
        _request(headers=((name, value),)),
        _request(url=f"{URL}?a=1&{name}=plain%20word&b"),
        _json({"a": [{name: value}]}),
        _json({name: {"deep": [value, 5, None, True]}}),
        _json({"a": json.dumps({name: value})}),
        _request(f"b=1&{name}=plain+word".encode(), FORM),
        _request(_form(name, value.encode()), MULTIPART),
        _request(f'data: {{"{name}": "{value}"}}\n\n'.encode(), "text/event-stream"),
        _request(f'{{"{name}": "{value}", broken'.encode()),
        _request(f"{name}=plain".encode(), "text/plain"),
    ):
        scrubbed = scrubber.request(request)
        assert "plain" not in _written(_entry(scrubbed)).replace("text/plain", ""), request
        assert scrubber.request(scrubbed) == scrubbed


def test_innocent_names_and_values_stay_to_the_byte() -> None:
    body = (
        b'{ "max_tokens" : 5, "completion_tokens":1.50, "token_type":"bearer", "task_id":"812345678901234567",'
        b'"external_task_id":"mine", "next_page_token":"abc", "tokens":["a"], "api_key_name":"n","is_secret":true,'
        b'"prompt":"the ring bearer, risk-averse, and a disk-shaped token: \\u00e9 \\/", "e":"1","expires":2,'
        b'"password":null,"secret":"" ,"sign":"s" , "url":"https://a.example/b?c=1&size=2#e" }'
    )
    headers = (("X-Request-Id", "1"), ("x-ratelimit-remaining-tokens", "5"), ("ETag", '"a"'))
    request = _request(body, url=f"{URL}?pageNum=1&pageSize=30&task_ids=1,2&next_page_token=a", headers=headers)

    entry = _entry(request, Response(200, "OK", headers, body))
    assert Scrubber().entry(entry) == entry
    assert findings(entry) == []


@table(
    ("before", "after"),
    [
        ("Bearer abcdefgh", "Bearer [scrubbed]"),
        ("bearer x", "bearer [scrubbed]"),
        ("Basic dXNlcjpwYXNz", "Basic [scrubbed]"),
        ("my own key", "[scrubbed]"),
        ("abcdefgh", "[scrubbed]"),
        ("", ""),
    ],
)
def test_the_scheme_of_authorization_stays(before: str, after: str) -> None:
    scrubbed = Scrubber().request(_request(headers=(("Authorization", before),)))
    assert header(scrubbed.headers, "authorization") == after


@table(
    ("before", "after"),
    [
        ("https://a.example/v.mp4?sign=a%2Fb&x=1", "https://a.example/v.mp4?sign=scrubbed&x=1"),
        (
            "https://a/v?X-Amz-Signature=1&X-Amz-Date=2&id=3",
            "https://a/v?X-Amz-Signature=scrubbed&X-Amz-Date=scrubbed&id=3",
        ),
        (
            "https://a/v?e=1&token=2&kpxid=3&hdnts=4",
            "https://a/v?e=scrubbed&token=scrubbed&kpxid=scrubbed&hdnts=scrubbed",
        ),
        ("https://user:pass@a/v", "https://scrubbed@a/v"),
        ("https://a/v?next=https%3A%2F%2Fb%2F%3Fsig%3D1", "https://a/v?next=https%3A%2F%2Fb%2F%3Fsig%3Dscrubbed"),
        (
            "https://a/v?Expires=1&Key-Pair-Id=2&Policy=3#a",
            "https://a/v?Expires=scrubbed&Key-Pair-Id=scrubbed&Policy=scrubbed#a",
        ),
    ],
)
def test_a_signed_link_loses_its_signature_only(before: str, after: str) -> None:
    scrubber = Scrubber()
    answer = b'{"url": "%s", "n" :1.0}'
    entry = _entry(Request("GET", before), Response(200, "", (), answer % before.encode()))
    scrubbed = scrubber.entry(entry)

    assert scrubbed.request.url == after
    assert scrubbed.response is not None
    assert scrubbed.response.body == answer % after.encode()
    assert scrubber.entry(scrubbed) == scrubbed


def test_links_with_escaped_slashes_are_scrubbed_too() -> None:
    for body in (b'{"url":"https:\\/\\/a.example\\/v?sign=abc"}', b'{"url":"https:\\/\\/a.example\\/v?sign=abc"'):
        assert b"abc" not in Scrubber().request(_request(body)).body


def test_the_user_s_names_and_the_two_words_scrub_more() -> None:
    body = {
        "prompt": "a cat",
        "multi_prompt": [{"index": 1, "prompt": "a dog", "duration": "5"}],
        "owned_by": "7",
        "user_id": 8123,
        "resource_pack_id": "r",
        "Studio": {"name": "x"},
        "model": "m",
    }
    request = _json(body, headers=(("x-studio", "y"), ("Studio", "z")))
    scrubbed = Scrubber(("prompts", "accounts", "studio")).request(request)

    assert json.loads(scrubbed.body) == {
        "prompt": "[scrubbed]",
        "multi_prompt": [{"index": 1, "prompt": "[scrubbed]", "duration": "5"}],
        "owned_by": "[scrubbed]",
        "user_id": 0,
        "resource_pack_id": "[scrubbed]",
        "Studio": {"name": "[scrubbed]"},
        "model": "m",
    }
    assert dict(scrubbed.headers)["Studio"] == "[scrubbed]"
    assert dict(scrubbed.headers)["x-studio"] == "y"
    assert Scrubber().request(request) == request


def test_binary_bodies_keep_their_length() -> None:
    picture = b"\x89PNG\r\n\x1a\n\xff" + KNOWN.encode() + b"\0" + JWT.encode()
    scrubbed = Scrubber((), (KNOWN,)).entry(_entry(_request(), Response(200, "", (), picture)))
    assert scrubbed.response is not None
    assert scrubbed.response.body == picture.replace(KNOWN.encode(), b"*" * len(KNOWN))


def test_content_length_follows_the_body() -> None:
    body = b'{"token":"abcdefghijklmnop"}'
    request = _request(body, headers=(("Content-Length", str(len(body))),))
    scrubbed = Scrubber().request(request)
    assert header(scrubbed.headers, "content-length") == str(len(scrubbed.body))


def test_the_pieces_of_a_stream_stay_at_the_ends_of_lines() -> None:
    lines = [b'data: {"a":1}\n\n', b'data: {"token":"abcdefghijklmnopqrstuvwxyz"}\n\n', b"data: [DONE]\n\n"]
    chunks = tuple(Chunk(float(index), len(line)) for index, line in enumerate(lines))
    body = b"".join(lines)
    entry = Scrubber().entry(_entry(_request(), Response(200, "", (), body, chunks)))

    assert entry.response is not None
    assert [chunk.length for chunk in entry.response.chunks] == [15, 30, 14]
    assert entry.response.body == b'data: {"a":1}\n\ndata: {"token":"[scrubbed]"}\n\ndata: [DONE]\n\n'
    cut = tuple(Chunk(0.0, 1) for _ in body)
    scrubbed = Scrubber().entry(_entry(_request(), Response(200, "", (), body, cut))).response
    assert scrubbed is not None
    assert sum(chunk.length for chunk in scrubbed.chunks) == len(scrubbed.body)
    assert min(chunk.length for chunk in scrubbed.chunks) >= 0


def test_places_are_named_and_values_are_not() -> None:
    body = {"data": {"items": [{"url": "https://a/v?sign=abc"}], "api_key": "abc"}}
    request = _json(body, url=f"{URL}?token=abc", headers=(("Authorization", "Bearer abc"),))
    found = findings(_entry(request, Response(200, "", (("Set-Cookie", "abc"),), b"password=abc")))

    assert "entry.request.headers.Authorization" in found
    assert "entry.request.url.query.token" in found
    assert "entry.request.body.data.api_key" in found
    assert any(place.startswith("entry.request.body.data.items[0].url") for place in found)
    assert "entry.response.headers.Set-Cookie" in found
    assert any(place.startswith("entry.response.body") for place in found)
    assert not any("abc" in place for place in found)


@table("content_type", [JSON, FORM, MULTIPART, "text/event-stream", "image/png", "", ";;boundary="])
@table("body", GARBAGE)
def test_hostile_bodies_become_the_same_whatever_they_are(body: bytes, content_type: str) -> None:
    scrubber = Scrubber(("prompts",), (KNOWN,))
    entry = _entry(_request(body, content_type), Response(200, "", (("Content-Type", content_type),), body))
    scrubbed = scrubber.entry(entry)
    assert scrubber.entry(scrubbed) == scrubbed
    findings(entry)


def test_a_secret_deep_in_json_is_found() -> None:
    body = b'{"a":' * 400 + b'{"token":"abc"}' + b"}" * 400
    assert Scrubber().request(_request(body)).body == body.replace(b"abc", sensitive.MARK.encode())


@table("url", ["", "x", "http://[", "http://a:b/", "https://a:99999999/?=&&=", "//", "?a", "http://\x00/"])
def test_hostile_urls_do_not_raise(url: str) -> None:
    request = Request("GET", url)
    assert Scrubber().request(request) == request


@table("seed", range(80))
def test_scrubbing_twice_is_scrubbing_once_for_random_texts(seed: int) -> None:
    source = random.Random(seed)
    words = [
        *SHAPED.values(),
        "Bearer ",
        "https://a/?",
        "sign=",
        "token=",
        "&",
        "x",
        " ",
        '"',
        "\\n",
        "{",
        "}",
        "=",
        "eyJ",
        ".",
    ]
    text = "".join(source.choices(words, k=12))
    scrubber = Scrubber((), (KNOWN,))
    for request in (
        _json({"a": text, text: [text]}),
        _request(text.encode(), "text/plain"),
        _request(text.encode(), FORM),
        _request(_form("a", text.encode()), MULTIPART),
        _request(url=f"{URL}?{text}", headers=(("X-A", text),)),
    ):
        scrubbed = scrubber.request(request)
        assert scrubber.request(scrubbed) == scrubbed
        assert KNOWN not in _written(_entry(scrubbed))
        if request.body.startswith(b"{") and json_text.is_container(request.body.decode()):
            json.loads(scrubbed.body)


def test_long_hostile_texts_take_little_time() -> None:
    for text in (
        "eyJ" * 80_000,
        "sk-" * 80_000,
        "a=" * 80_000,
        " " * 130_000,
        "http://" * 30_000,
        "Bearer " * 30_000,
    ):
        Scrubber((), (KNOWN,)).request(_json({"a": text}))
        Scrubber((), (KNOWN,)).request(_request(text.encode(), "text/plain"))


@table(
    ("group", "name"),
    [
        *(
            ("prompts", name)
            for name in "prompt negative_prompt text sound_effect_prompt bgm_prompt revised_prompt".split()
        ),
        *(
            ("accounts", name)
            for name in """
            user_id uid account_id account_name customer_id resource_pack_id resource_pack_name owned_by api_key_name
            organization organization_id org_id openai_organization openai_project project_id
            """.split()
        ),
    ],
)
def test_each_name_of_a_group_is_scrubbed_where_the_group_is_named(group: str, name: str) -> None:
    other = "accounts" if group == "prompts" else "prompts"
    for spelled in (name, name.replace("_", "-").title()):
        request = _json({"a": {spelled: "a cat"}}, headers=((spelled, "a cat"),))
        scrubbed = Scrubber([group]).request(request)
        assert (json.loads(scrubbed.body), header(scrubbed.headers, spelled)) == (
            {"a": {spelled: "[scrubbed]"}},
            "[scrubbed]",
        )
        assert Scrubber([other]).request(request) == Scrubber().request(request) == request


@table(
    ("known", "text", "scrubbed"),
    [
        ("abcdef", "x abcdef y", "x [scrubbed] y"),
        ("abcde", "x abcde y", "x abcde y"),
        (" abcdef ", "xabcdefy", "x[scrubbed]y"),
        ("scrubbed", "x scrubbed y", "x scrubbed y"),
        ("[scrub", "x [scrub y", "x [scrub y"),
        ("a/b c+d", "a%2Fb%20c%2Bd", "[scrubbed]"),
        ("a/b c+d", "a%2fb%20c%2bd", "[scrubbed]"),
        ("a/b c+d", "a/b%20c%2Bd", "[scrubbed]"),
        ("a/b c+d", "a%2Fb+c%2Bd", "[scrubbed]"),
        ("a/b c+d", "a\\/b c+d", "[scrubbed]"),
        ("é-key-1", "\\u00e9-key-1", "[scrubbed]"),
        ("abcdefghi", "YWJjZGVmZ2hp", "[scrubbed]"),
        ("abcdefghi", "MWFiY2RlZmdoaQ==", "MW[scrubbed]Q=="),
        ("abcdefghi", "MTJhYmNkZWZnaGk=", "MTJ[scrubbed]k="),
        ("?>?>?>?>?", "Pz4_Pj8-Pz4_", "[scrubbed]"),
    ],
    ids=range(15),
)
def test_a_known_secret_is_cut_out_of_a_text(known: str, text: str, scrubbed: str) -> None:
    assert Scrubber((), [known]).request(_request(text.encode(), "text/plain")).body.decode() == scrubbed


@table(
    ("text", "scrubbed"),
    [
        ("token=abc def", "token=[scrubbed] def"),
        ("token = 'abc def' x", "token = '[scrubbed]' x"),
        ('password: "abc def" x', 'password: "[scrubbed]" x'),
        ("Authorization: Bearer abc", "Authorization: Bearer [scrubbed]"),
        ("authorization: basic abc", "authorization: basic [scrubbed]"),
        ("Authorization: Digest abc", "Authorization: Digest [scrubbed]"),
        ("Authorization: Token abc", "Authorization: Token [scrubbed]"),
        ("api_key=a&b=c", "api_key=[scrubbed]&b=c"),
        ("api_key=''", "api_key=''"),
        ("api_key=scrubbed", "api_key=scrubbed"),
        ("max_tokens=abc", "max_tokens=abc"),
        ('data: {"token": "abc"}', 'data: {"token": "[scrubbed]"}'),
        ('data:  {"token": 7} ', 'data:  {"token": 0} '),
        ('x\n{"token": ""}', 'x\n{"token": ""}'),
    ],
    ids=range(14),
)
def test_what_is_assigned_to_a_name_of_a_credential_is_scrubbed_in_a_text(text: str, scrubbed: str) -> None:
    assert Scrubber().request(_request(text.encode(), "text/plain")).body.decode() == scrubbed


def test_the_parts_of_a_form_are_scrubbed_and_the_rest_stays() -> None:
    body = _form("token", b"abc") + b"epilogue"
    scrubbed = Scrubber().request(_request(body, MULTIPART)).body
    assert scrubbed == body.replace(b"abc", b"[scrubbed]")
    for same in (_form("token", b""), _form("token", b"abc", b'; filename="a"'), _form("a", b"abc")):
        assert Scrubber().request(_request(same, MULTIPART)).body == same
    head = b"; x=" + SHAPED["sk"].encode() + b"\xff"
    found = Scrubber().request(_request(_form("a", b"b", head), MULTIPART)).body
    assert found == _form("a", b"b", b"; x=[scrubbed]\xff")
    entry = _entry(_request(_form("a", b"b", head), MULTIPART))
    assert findings(entry) == ["entry.request.body.a.head"]


def test_a_length_that_is_not_of_the_body_stays() -> None:
    for length in ("5", "", "0"):
        request = _json({"token": "abc"}, headers=(("Content-Length", length),))
        assert header(Scrubber().request(request).headers, "content-length") == length
    other = _json({"token": "abc"}, headers=(("X-Length", str(len(b'{"token": "abc"}'))),))
    assert header(Scrubber().request(other).headers, "x-length") == "16"


def test_reasons_and_notes_are_scrubbed() -> None:
    key = SHAPED["sk"]
    entry = Entry(1.0, 2.0, _request(), Response(401, f"no {key}", (), b""), (f"with {key}",))
    scrubbed = Scrubber().entry(entry)
    assert scrubbed.response is not None
    assert (scrubbed.response.reason, scrubbed.notes) == ("no [scrubbed]", ("with [scrubbed]",))
    assert findings(entry) == ["entry.response.reason", "entry.notes[0]"]


@table("length", [999, 1000, 1001, 5000])
def test_a_long_file_in_base64_is_not_searched_for_shapes(length: int) -> None:
    text = ("+AKIAIOSFODNN7EXAMPLE+" + "a" * 5000)[:length]
    scrubbed = json.loads(Scrubber().request(_json([text, f"data:image/png;base64,{text}"])).body)
    assert (scrubbed[0] == text) is (length > 1000)
    known = Scrubber((), ["AKIAIOSFODNN7EXAMPLE"]).request(_json([text]))
    assert b"AKIA" not in known.body


def test_numbers_that_are_known_secrets_become_numbers() -> None:
    request = _json({"a": 12345678, "b": [1234567], "token": 5, "secret": None, "password": True})
    assert json.loads(Scrubber((), ["12345678"]).request(request).body) == {
        "a": 0,
        "b": [1234567],
        "token": 0,
        "secret": None,
        "password": True,
    }
