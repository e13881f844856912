"""What the writers of both dialects do with events that no reader gives yet: seals of text, pictures in answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mitm_ai_proxy.chat import sealed_ids
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.chat.model import (
    CLOSE,
    END,
    Call,
    Delta,
    Event,
    Media,
    Open,
    Seal,
    Sealed,
    Start,
    Stop,
    Text,
    Thinking,
    Turn,
)
from mitm_ai_proxy.chat.protocols import CLIENTS
from mitm_ai_proxy.chat.target import CLAUDE
from tests.chat.exchanges import (
    HELLO,
    OF_ANTHROPIC,
    OF_ANTHROPIC_STREAM,
    OF_OPENAI,
    OF_OPENAI_STREAM,
    OTHER,
    Json,
    anthropic_request,
    chunk,
    completion,
    encoded,
    openai_request,
    openai_stream,
    parsed,
    rewritten,
    streamed,
    whole_document,
)
from tests.chat.test_streams import check_anthropic_grammar
from tests.tables import table

SEAL, OTHER_SEAL = Seal("google", "G1"), Seal("google", "G2")
PICTURE = Media("image", "image/png", "AAAA")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def _said(*blocks: tuple[Any, str, Seal | None]) -> list[Event]:
    """The events of an answer of blocks, each with its text and its seal."""

    def events() -> Iterator[Event]:
        yield Start("i", "m")
        for block, text, seal in blocks:
            yield Open(block)
            if text:
                yield Delta(text)
            if seal:
                yield Sealed(seal)
            yield CLOSE
        yield Stop("end")
        yield END

    return list(events())


SIGNED = _said((Text(), "a", SEAL), (Call("c", "f", seal=OTHER_SEAL), "{}", None), (Call("d", "g"), "{}", None))
BLOCKS = (Text("a"), Text(seal=SEAL), Call("c", "f", "{}", seal=OTHER_SEAL), Call("d", "g", "{}"))


def _whole(events: list[Event], memo: Any) -> Json:
    document: Json = json.loads(CLIENTS[memo["client"]].write_whole(events, memo))
    return document


def _collected(events: list[Event], memo: Any) -> list[Any]:
    writer = CLIENTS[memo["client"]].writer(memo)
    return parsed(b"".join(map(writer.write, events)))


def test_the_seal_of_a_text_comes_back_behind_it_and_that_of_a_call_with_it() -> None:
    made = _whole(SIGNED, OF_OPENAI)["choices"][0]["message"]
    turns = CLIENTS[OPENAI].read_request(encoded(openai_request(*HELLO, made))).turns
    assert turns[1] == Turn("assistant", BLOCKS, "messages[1]")

    content = _whole(SIGNED, OF_ANTHROPIC)["content"]
    turns = (
        CLIENTS[ANTHROPIC]
        .read_request(encoded(anthropic_request(*HELLO, {"role": "assistant", "content": content})))
        .turns
    )
    assert turns[1] == Turn("assistant", BLOCKS, "messages[1]")


def test_a_stream_has_the_ids_of_a_whole_answer() -> None:
    calls = _whole(SIGNED, OF_OPENAI)["choices"][0]["message"]["tool_calls"]
    deltas = [body["choices"][0]["delta"] for body in _collected(SIGNED, OF_OPENAI_STREAM)[:-1]]
    ids = [call["id"] for delta in deltas for call in delta.get("tool_calls", ()) if "id" in call]
    assert ids == [call["id"] for call in calls]

    content = _whole(SIGNED, OF_ANTHROPIC)["content"]
    events = _collected(SIGNED, OF_ANTHROPIC_STREAM)
    check_anthropic_grammar(events)
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert [block.get("id") for block in blocks] == [block.get("id") for block in content]


def test_a_text_that_is_only_a_seal_is_sent_to_nobody_else() -> None:
    made = _whole(SIGNED, OF_OPENAI)["choices"][0]["message"]
    assert json.loads(rewritten(OPENAI, openai_request(*HELLO, made), CLAUDE).body)["messages"][1]["content"][0] == {
        "type": "text",
        "text": "a",
    }
    content = _whole(SIGNED, OF_ANTHROPIC)["content"]
    request = anthropic_request(*HELLO, {"role": "assistant", "content": content})
    assert json.loads(rewritten(ANTHROPIC, request, OTHER).body)["messages"][1]["content"] == "a"


def test_an_empty_text_is_no_block_of_a_whole_message_and_its_seal_goes_with_the_next_call() -> None:
    (call,) = _whole(_said((Text(), "", SEAL), (Call("c", "f"), "{}", None)), OF_ANTHROPIC)["content"]

    assert call["type"] == "tool_use"
    assert sealed_ids.opened(call["id"]) == ("c", (Text(seal=SEAL),), None)


def test_the_seal_of_a_text_is_not_that_of_the_text_before_it() -> None:
    texts = ((Text(), "a", None), (Text(), "b", SEAL), (Call("c", "f"), "{}", None))
    (call,) = _whole(_said(*texts), OF_OPENAI)["choices"][0]["message"]["tool_calls"]

    assert sealed_ids.opened(call["id"]).before == (1, 1, Text(seal=SEAL))


def test_a_signature_of_thinking_of_another_vendor_comes_back_to_it() -> None:
    events = _said((Thinking(), "hm", SEAL))
    content = _whole(events, OF_ANTHROPIC)["content"]
    signed = [event for event in _collected(events, OF_ANTHROPIC_STREAM) if event["type"] == "content_block_delta"]
    request = anthropic_request(*HELLO, {"role": "assistant", "content": content})

    assert signed[1]["delta"]["signature"] == content[0]["signature"]
    assert CLIENTS[ANTHROPIC].read_request(encoded(request)).turns[1].blocks == (Thinking("hm", SEAL),)


def test_a_picture_in_an_answer_is_shown_where_a_dialect_has_a_place_for_it() -> None:
    events = _said((Text(), "a", None), (PICTURE, "", None))

    assert _whole(events, OF_OPENAI)["choices"][0]["message"]["images"] == [IMAGE]
    assert {"images": [IMAGE]} in [body["choices"][0]["delta"] for body in _collected(events, OF_OPENAI_STREAM)[:-1]]
    told = _collected(events, OF_ANTHROPIC_STREAM)
    check_anthropic_grammar(told)
    (_, instead) = _whole(events, OF_ANTHROPIC)["content"]
    assert "picture" in instead["text"]
    assert told[-4]["delta"]["text"] == instead["text"]


@table("link", ["data:image/png;base64,AAAA", "https://a.test/b"])
def test_a_picture_in_a_vendor_s_answer_is_read(link: str) -> None:
    image = {"type": "image_url", "image_url": {"url": link}}
    document = whole_document(OF_ANTHROPIC, completion("a", images=[image]))
    assert [block["type"] for block in document["content"]] == ["text", "text"]

    events = parsed(
        streamed(OF_ANTHROPIC_STREAM, openai_stream(chunk(content="a"), chunk(images=[image]), chunk("stop")))
    )
    check_anthropic_grammar(events)
    assert len(events) == 9
