"""The neutral model of a chat: a request of turns and typed blocks, and an answer as a stream of events.

No dialect owns it. The stream is the primary form: a whole answer is the same events at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

CacheMark: TypeAlias = Literal["5m", "1h"]
"""The prompt up to and with the marked block may be cached, for this long."""

Role: TypeAlias = Literal["system", "user", "assistant"]


class Seal(msgspec.Struct, frozen=True):
    """A vendor's signature of a block. It is given back to that vendor only, with that block only."""

    vendor: str
    value: str


class Text(msgspec.Struct, frozen=True):
    """Text. `is_refusal`: the model says why it does not answer."""

    text: str = ""
    cache: CacheMark | None = None
    seal: Seal | None = None
    is_refusal: bool = False


class Media(msgspec.Struct, frozen=True):
    """A picture, a document or sound: base64 `data`, plain `text`, a `url` or a `file_id`, of which one is not empty.

    `name` is a file's name or a document's title. `path` is where the client has it, for an error message.
    """

    kind: Literal["image", "document", "audio"]
    type: str = ""
    data: str = ""
    text: str = ""
    url: str = ""
    file_id: str = ""
    name: str = ""
    cache: CacheMark | None = None
    seal: Seal | None = None
    path: str = ""


class Thinking(msgspec.Struct, frozen=True):
    """What the model thought. `is_redacted`: only the seal says it. An empty one with a seal is data too."""

    text: str = ""
    seal: Seal | None = None
    is_redacted: bool = False


class Call(msgspec.Struct, frozen=True):
    """A call of a tool. `arguments` is the model's own text: a JSON object, if the model made no mistake."""

    id: str
    name: str
    arguments: str = ""
    cache: CacheMark | None = None
    seal: Seal | None = None


class Result(msgspec.Struct, frozen=True):
    """What a call gave: a block of a user turn."""

    call_id: str
    blocks: tuple[Text | Media | Foreign, ...] = ()
    is_failed: bool = False
    cache: CacheMark | None = None


class Foreign(msgspec.Struct, frozen=True):
    """A block that only its own dialect understands, as its JSON."""

    dialect: str
    type: str
    raw: bytes


Block: TypeAlias = Text | Media | Thinking | Call | Result | Foreign


class Turn(msgspec.Struct, frozen=True):
    """Blocks of one role. `path` is where the client has it, for an error message."""

    role: Role
    blocks: tuple[Block, ...]
    path: str = ""


class Tool(msgspec.Struct, frozen=True):
    """A function that the client runs. `schema` is the JSON Schema of its arguments, byte by byte; empty: no schema."""

    name: str
    description: str | None = None
    schema: bytes = b""
    is_strict: bool | None = None
    cache: CacheMark | None = None


class Choice(msgspec.Struct, frozen=True):
    """Whether tools are called. `names`: only these may be; with mode "call" and one name, that one is."""

    mode: Literal["auto", "call", "none"]
    names: tuple[str, ...] = ()


class Format(msgspec.Struct, frozen=True):
    """The form of the answer: any JSON object, or with a JSON Schema (byte by byte), one that fits it."""

    schema: bytes = b""
    name: str = ""
    description: str | None = None
    is_strict: bool | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """How much the model should think: whether (None: not said), how hard by a word, or by a number of tokens.

    `display`: Anthropic's word for how the thinking is shown.
    """

    is_on: bool | None = None
    effort: str | None = None
    budget: int | None = None
    display: str | None = None


class Chat(msgspec.Struct, frozen=True):
    """A request. System messages are turns. `options` are members by name, as JSON, that have no place of their own.

    The names of `options` are OpenAI's, if it has one; which of them a target can say is the writer's table.
    """

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    parallel_calls: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    wants_usage: bool = True
    user: str | None = None
    options: Mapping[str, bytes] = {}


# Events of an answer. Blocks come strictly one after another.


class Start(msgspec.Struct, frozen=True):
    """The answer begins. `created` is Unix time."""

    id: str = ""
    model: str = ""
    created: int | None = None


Said: TypeAlias = Text | Thinking | Call | Media
"""A block of an answer."""


class Open(msgspec.Struct, frozen=True):
    """A block begins: a Call with its id, name and seal, a redacted Thinking with its seal; Media is complete."""

    block: Said


class Delta(msgspec.Struct, frozen=True):
    """More of the open block: text, thinking, or arguments."""

    text: str


class Sealed(msgspec.Struct, frozen=True):
    """The seal of the open block, which is no Call."""

    seal: Seal


class Close(msgspec.Struct, frozen=True):
    """The open block is complete."""


Reason: TypeAlias = Literal["end", "sequence", "length", "context", "calls", "refused", "paused"]
"""Why an answer ended. "sequence": a stop sequence; "context": the context window is full; "paused": to be resumed."""


class Stop(msgspec.Struct, frozen=True):
    """The model has said all. `sequence` is the stop sequence that it met; `explanation` and `category`: of a refusal.

    Usage may follow.
    """

    reason: Reason
    sequence: str | None = None
    explanation: str | None = None
    category: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens so far. A later one replaces an earlier one. None: the vendor does not say.

    `input` is all that was read: also from the cache (`cached`), also what was written to it (`written`, of which
    `written_1h` for an hour). `output` is all that was written, `reasoning` the part of it that is thinking.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    written: int | None = None
    written_1h: int | None = None
    reasoning: int | None = None


class Fault(msgspec.Struct, frozen=True):
    """The answer failed. `status` is HTTP's, `code` the vendor's own word, `request_id` its name for the request."""

    status: int
    message: str
    code: str = ""
    request_id: str = ""


class Ping(msgspec.Struct, frozen=True):
    """A sign of life."""


class End(msgspec.Struct, frozen=True):
    """The answer is complete, by the vendor's own word. Nothing follows. After a Fault there is none."""


Event: TypeAlias = Start | Open | Delta | Sealed | Close | Stop | Usage | Fault | Ping | End

CLOSE: Final = Close()
PING: Final = Ping()
END: Final = End()
