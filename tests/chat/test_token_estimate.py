"""An estimate of tokens: always a number, near what a vendor counts, and not fooled by base64."""

from __future__ import annotations

import json

from mitm_ai_proxy.chat import token_estimate
from tests.chat.exchanges import Json, anthropic_request, encoded, openai_request
from tests.tables import table


def _of(*content: Json) -> int:
    return token_estimate.estimate(encoded(anthropic_request({"role": "user", "content": list(content)})))


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


@table("body", [b"", b"null", b"[]", b"{", b"\xff", b'{"messages": 1}', b'{"messages": null}', b"[" * 100_000, b"{}"])
def test_any_body_has_a_number(body: bytes) -> None:
    found = json.loads(token_estimate.answer(body))

    assert set(found) == {"input_tokens"}
    assert isinstance(found["input_tokens"], int)
    assert found["input_tokens"] >= 1


@table(
    ("text", "least", "most"),
    [("word " * 1000, 1200, 1400), ("漢字" * 500, 600, 800), ("é" * 300, 180, 260), ("", 1, 30)],
)
def test_text_counts_by_its_script(text: str, least: int, most: int) -> None:
    assert least <= _of(_text(text)) <= most


def test_a_picture_and_a_document_do_not_count_as_their_base64() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}}
    document = {"type": "document", "source": {"type": "base64", "data": "A" * 100_000}}
    link = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}

    assert 1600 <= _of(picture) <= 1700
    assert 1600 <= _of(link) <= 1700
    assert 4500 <= _of(document) <= 4600


def test_system_and_tools_and_results_count() -> None:
    plain = token_estimate.estimate(encoded(anthropic_request()))
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {"a": {"description": "d" * 400}}}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [_text("r" * 400)]}

    assert token_estimate.estimate(encoded(anthropic_request(system="s" * 400))) >= plain + 100
    assert token_estimate.estimate(encoded(anthropic_request(tools=[tool]))) >= plain + 100
    assert _of(result) >= plain + 100
    assert token_estimate.estimate(encoded(openai_request())) == plain
