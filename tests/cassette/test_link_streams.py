"""Links in answers that arrive in pieces: the same bytes wherever they are cut, and text that is not kept back."""

from __future__ import annotations

import random

import pytest

from mitm_ai_proxy.cassette import link_streams
from mitm_ai_proxy.cassette.links_through_proxy import Address
from tests.tables import table

PROXY = "http://127.0.0.1:8080"
ADDRESS = Address(PROXY, "https://api.example.org")
LINK = b"https://cdn.example.org/a.png?sig=abcdef12345"
HERE = b"http://127.0.0.1:8080/linked/https/cdn.example.org/a.png?sig=abcdef12345"


def _streamed(pieces: list[bytes]) -> bytes:
    stream = ADDRESS.stream(lambda link: None)
    return b"".join([*map(stream.feed, pieces), stream.end()])


LED = {
    "an event": b'event: done\ndata: {"type": "image", "url": "LINK"}\n\ndata: [DONE]\n\n',
    "lines that end with CR LF": b'data: {"url": "LINK"}\r\n\r\ndata: {"url": "LINK"}\r\n\r\n',
    "lines that end with CR": b'event: a\rdata: {"url": "LINK"}\r\rdata:{"b":["LINK"]}\r\r',
    "no blank": b'data:{"result":"LINK"}\n\n',
    "a comment before": b': ping\n\nid: 1\ndata: {"result":"LINK"}\nid: 2\n\n',
    "an event over several lines": b'data: {\ndata:  "url": "LINK",\ndata:  "n": 1.50\ndata: }\n\n',
    "an event over several lines with others between": b'data: [\nid: 7\ndata:"LINK",\n: ping\ndata:"LINK"]\n\n',
    "an event over several lines without an end": b'data: {"a":\ndata: "LINK"}',
    "without empty lines": b'data: {"a": "LINK"}\ndata: {"a": "LINK"}\n',
    "without an end": b'data: {"a": "LINK"}',
    "a byte order mark": b'\xef\xbb\xbfdata: {"a": "LINK"}\n\n',
    "lines of JSON": b'{"a": "LINK"}\n{"b": "x"}\n\n["LINK"]\n',
    "a record separator": b'\x1e{"a": "LINK"}\n\x1e{"a": "LINK"}\n',
    "lines of JSON with CR LF": b'{"a": "LINK"}\r\n{"a": "LINK"}',
    "a document": b' \n{"a": [1, "LINK"]}',
    "a document over several lines": b'{\n  "a": "LINK",\n  "b": [\n    "LINK"\n  ]\n}\n',
    "a document with a mark": b'\xef\xbb\xbf{"a": "LINK"}',
    "a document that begins like lines": b'[{"a": "LINK"},\n{"a": "LINK"}]\n',
    "letters of several bytes": '{"ü": "€", "a": "LINK"}\n{"a": "LINK"}\n'.encode(),
    "JSON behind a line of text": b'started\n{"a": "LINK"}\n',
}


@table("name", LED)
def test_links_are_led_wherever_the_answer_is_cut(name: str) -> None:
    body = LED[name].replace(b"LINK", LINK)
    expected = LED[name].replace(b"LINK", HERE)

    assert ADDRESS.lead_here(body, lambda link: None) == expected
    assert _streamed([body]) == expected
    assert _streamed([body[index : index + 1] for index in range(len(body))]) == expected
    for cut in range(len(body)):
        assert _streamed([body[:cut], body[cut:]]) == expected, cut
    cuts = random.Random(7)
    for _ in range(50):
        first, second = sorted(cuts.choices(range(len(body)), k=2))
        assert _streamed([body[:first], body[first:second], body[second:]]) == expected


STAYS = {
    "text": b"see https://cdn.example.org/a.png\nand more",
    "a delta": b'data: {"choices":[{"delta":{"content":"LINK"}}]}\n\n',
    "other deltas": b'data: {"delta":"LINK"}\n\ndata: {"delta":{"partial_json":"LINK","text":"LINK"}}\n\n',
    "a page that is spoken of": b'data: {"annotations":[{"url":"LINK"}]}\n\n',
    "broken JSON": b'data: {"url": "LINK"\n\n{"url": "LINK"\n\n',
    "JSON and more": b'data: {"url": "LINK"} x\n\ndata: x {"url": "LINK"}\n\n',
    "broken JSON in a row": b'data: {\ndata: "url": "LINK"\nevent: a\n\n',
    "no UTF-8": b'{"a": "LINK", "b": "\xff"}\n',
    "bytes": bytes(range(256)) + b"LINK",
    "nothing": b"",
    "blanks": b" \r\n\r\n",
    "half a mark": b"\xef\xbb",
}


@table("name", STAYS)
def test_all_else_stays_to_the_byte(name: str) -> None:
    body = STAYS[name].replace(b"LINK", LINK)

    assert ADDRESS.lead_here(body, pytest.fail) == body
    for cut in range(len(body)):
        assert _streamed([body[:cut], body[cut:]]) == body, cut
    assert _streamed([body[index : index + 1] for index in range(len(body))]) == body


@table(
    "pieces",
    [
        [b"Hel", b"lo ", b"\nwor", b"ld"],
        [b"data: Hel", b"lo\n", b"\n"],
        [b"event: a\n", b": ping\n\n"],
        [b"\n", b"\n", b"\n"],
        [b'data: {"a":1}\n', b"\n", b'data: {"a":2}\n\n'],
        [b'{"a":1}\n', b'{"a":2}\n'],
        [b'data: {"a":1}\n', b"data: [DONE]\n"],
        [b"data: {hello}\n", b"\n"],
    ],
)
def test_what_cannot_hold_a_link_is_not_kept_back(pieces: list[bytes]) -> None:
    stream = ADDRESS.stream(lambda link: None)

    assert [stream.feed(piece) for piece in pieces] == pieces
    assert stream.end() == b""


def test_what_is_too_long_to_be_kept_back_passes_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_streams, "LONGEST", 100)
    long, short = b'{"p":"%s","a":"LINK"}' % (b"x" * 90), b'{"a":"LINK"}'
    document = b'{\n"p": "%s",\n"a": "LINK"\n}' % (b"x" * 90)
    cases = {
        b"data: %s\n\ndata: %s\n\n" % (long, short): 1,
        b"%s\n%s\n%s\n" % (short, long, short): 2,
        b"%s\n%s\n" % (long, short): 0,
        document: 0,
        b"data: {\ndata: %s\ndata: }\n\ndata: %s\n\n" % (long[1:-1], short): 1,
    }
    for body, count in cases.items():
        body = body.replace(b"LINK", LINK)
        for cut in range(len(body)):
            led = _streamed([body[:cut], body[cut:]])
            assert led.count(HERE) == count, (body, cut)
            assert led.replace(HERE, LINK) == body
