"""A text of the configuration in a chat: where it is put, and that all else stays to the byte."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.chat import context
from mitm_ai_proxy.chat.dialects import ANTHROPIC, OPENAI
from mitm_ai_proxy.errors import Refusal
from tests.tables import table

TEXT = 'a "é"'
SAID = '"a \\"é\\""'.encode()
SYSTEM = b'{"role":"system","content":%b}' % SAID


@table(
    ("before", "after"),
    [
        (b'{"messages":[{"role":"user"}], "n":1e400}', b'{"messages":[%b,{"role":"user"}], "n":1e400}' % SYSTEM),
        (
            b'{"messages": [ {"role":"system"} , {"role":"developer"},{"role":"user"},{"role":"system"}]}',
            b'{"messages": [ {"role":"system"} , {"role":"developer"},%b,{"role":"user"},{"role":"system"}]}' % SYSTEM,
        ),
        (b'{"messages":[{"role":"system"} ]}', b'{"messages":[{"role":"system"},%b ]}' % SYSTEM),
        (b'{"messages":[ 7]}', b'{"messages":[ %b,7]}' % SYSTEM),
        (b'{"messages":[]}', b'{"messages":[%b]}' % SYSTEM),
        (b'{"messages":"x"}', b'{"messages":"x"}'),
        (b'{"prompt":"x"}', b'{"prompt":"x"}'),
    ],
)
def test_in_openai_s_dialect_it_is_a_system_message_behind_the_first_ones(before: bytes, after: bytes) -> None:
    assert context.added(before, OPENAI, TEXT)[0] == after


@table(
    ("before", "after"),
    [
        (b'{"model":"m", "n":1e400}', b'{"system":%b,"model":"m", "n":1e400}' % SAID),
        (b" {}", b' {"system":%b}' % SAID),
        (b'{"system":null}', b'{"system":%b}' % SAID),
        (b'{"system":""}', b'{"system":%b}' % SAID),
        (b'{"system": "\\u00e9" ,"a":1}', b'{"system": "\\u00e9\\n\\n' + SAID[1:] + b' ,"a":1}'),
        (b'{"system":[ ]}', b'{"system":[{"type":"text","text":%b} ]}' % SAID),
        (
            b'{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]}',
            b'{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}},{"type":"text","text":%b}]}'
            % SAID,
        ),
    ],
)
def test_in_anthropic_s_dialect_it_is_the_end_of_the_system_prompt(before: bytes, after: bytes) -> None:
    assert context.added(before, ANTHROPIC, TEXT)[0] == after


def test_without_a_text_nothing_is_read() -> None:
    body = b"{not JSON"

    assert context.added(body, OPENAI, "") == (body, ())
    with pytest.raises(Refusal):
        context.added(body, OPENAI, TEXT)


def test_it_is_noted_without_its_words() -> None:
    assert context.added(b"{}", ANTHROPIC, TEXT)[1] == ("context put behind the instructions: 5 characters",)
