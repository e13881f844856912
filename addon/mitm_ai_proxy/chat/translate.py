"""What stands between two dialects: a request is rewritten, and its answer, whole, streamed or failed, is too.

A provider that lacks the client's API calls rewrite() for the request, and handling() for the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, Final, NamedTuple

from ..errors import bad_body
from ..exchange import Answer, Handling, Memo, Pieces, Whole
from ..wire import header_fields, sse
from ..wire.header_fields import Changes, Fields
from . import json_values, vendor_errors
from .dialects import ANTHROPIC, OPENAI
from .model import Chat, End, Event, Fault
from .protocols import CLIENTS, VENDORS, Framing, Reader
from .target import Target

_EVENT_STREAM: Final = "text/event-stream; charset=utf-8"


CHAT_APIS: Final = {"openai/v1/chatcompletions": OPENAI, "anthropic/v1/messages": ANTHROPIC}
"""The APIs, by name, between which requests are translated, and their dialects."""

# Header fields that only one dialect has.
_OWN_FIELDS: Final = {
    OPENAI: (b"openai-organization", b"openai-project", b"openai-beta"),
    ANTHROPIC: (b"anthropic-version", b"anthropic-beta", b"anthropic-dangerous-direct-browser-access"),
}


class Rewritten(NamedTuple):
    """A request in the provider's dialect.

    `memo`: what its answer needs. `notes`: a line for each thing that is not said. `fields`: changes to the client's
    header fields. `model` and `is_stream`: for a provider that has them in the path.
    """

    body: bytes
    memo: Memo
    notes: tuple[str, ...]
    fields: Changes
    model: str
    is_stream: bool


def substitute(api: str, provided: Container[str]) -> str | None:
    """The chat API to which a request for `api` is translated, of those that are provided by name.

    None if `api` itself is provided, is no chat API, or if there is no other.
    """
    if api in provided or api not in CHAT_APIS:
        return None
    return next((other for other in CHAT_APIS if other in provided), None)


def rewrite(body: bytes, client: str, target: Target, now: float, new_id: str) -> Rewritten:
    """A chat request of the client's dialect in that of the target.

    `now` is Unix time, and `new_id` a random text of letters and digits, for what the vendor does not tell. The model
    in the body is the provider's. Raises Refusal (400), which names the member that cannot be sent on.
    """
    notes = [f"translated from {client} to {target.dialect}"]
    chat = CLIENTS[client].read_request(body)
    _check_choice(chat)
    written = VENDORS[target.dialect].write_request(chat, client, target, notes)
    memo: dict[str, Any] = {
        "client": client,
        "provider": target.dialect,
        "vendor": target.vendor,
        "stream": chat.stream,
        "usage": chat.wants_usage,
        "model": chat.model,
        "created": int(now),
        "id": new_id,
        **target.answers,
    }
    fields: dict[bytes, bytes | None] = dict.fromkeys(_OWN_FIELDS[client])
    fields[b"content-type"] = b"application/json"
    if target.dialect == ANTHROPIC:
        fields[b"anthropic-version"] = target.version.encode()
    return Rewritten(written, memo, tuple(notes), fields, chat.model, chat.stream)


def _check_choice(chat: Chat) -> None:
    """Raise Refusal (400) for a call that is asked for of tools that are not there: vendors say it in odd ways."""
    names = chat.choice.names if chat.choice and chat.choice.mode == "call" else ()
    if names and chat.tools and not {tool.name for tool in chat.tools} & {*names}:
        raise bad_body(f"tool_choice is the tool {names[0][:64]}, which is not in tools.", param="tool_choice")


def own_memo(body: bytes, target: Target, now: float, new_id: str) -> Memo:
    """The memo of a request of OpenAI's dialect that is sent as it is, whose answer is read and written anew."""
    root = json_values.request_object(body)
    options = root.object("stream_options")
    return {
        "client": OPENAI,
        "provider": OPENAI,
        "vendor": target.vendor,
        "stream": root.flag("stream") or False,
        "usage": (options is not None and options.flag("include_usage")) or False,
        "model": root.text("model") or "",
        "created": int(now),
        "id": new_id,
    }


def handling(memo: Memo, status: int, fields: Fields) -> Handling:
    """What is done with the answer to a rewritten request, by its status and header fields."""
    kind = header_fields.value(fields, b"content-type").lower()
    ids = vendor_errors.id_headers(fields, memo["client"])
    if not 200 <= status < 300:
        read_error = VENDORS[memo["provider"]].read_error
        return Whole(lambda answer: _refused(answer.body, read_error(answer.body, status, fields), memo, ids))
    if memo["stream"] and "json" not in kind and "html" not in kind:
        changes: dict[bytes, bytes | None] = {b"content-type": _EVENT_STREAM.encode()}
        changes |= {name.encode(): value.encode("utf-8", "surrogateescape") for name, value in ids.items()}
        tells_end = VENDORS[memo["provider"]].tells_end
        return Pieces(Translated(memo), changes, tells_end=tells_end, makes_end=not tells_end)
    return Whole(lambda answer: _whole(answer, memo, ids))


def _whole(answer: Answer, memo: Memo, ids: dict[str, str]) -> Answer:
    """A whole answer, in the form that the client asked for, whatever form the vendor has chosen."""
    client = CLIENTS[memo["client"]]
    events = answer_events(answer.body, memo["provider"], memo)
    if fault := next((event for event in events if isinstance(event, Fault)), None):
        return vendor_errors.answer(fault, memo["client"], ids)
    if not memo["stream"]:
        return Answer(answer.status, client.write_whole(events, memo), {"content-type": "application/json", **ids})
    writer = client.writer(memo)
    return Answer(answer.status, b"".join(map(writer.write, events)), {"content-type": _EVENT_STREAM, **ids})


def answer_events(body: bytes, dialect: str, memo: Memo) -> list[Event]:
    """What an answer in a dialect says, whole or a stream. `memo` has its `id` and `vendor` (see rewrite())."""
    vendor = VENDORS[dialect]
    if body.lstrip()[:5].startswith(vendor.stream_begins):
        return _read_stream(body, vendor.framing(len(body)), vendor.reader(memo))
    return vendor.read_whole(body, memo)


def _read_stream(body: bytes, framing: Framing, reader: Reader) -> list[Event]:
    events: list[Event] = []
    for found in (*framing.feed(body), *framing.end()):
        events += reader.read(found.data, found.type)
    return [*events, *reader.end()]


def _refused(body: bytes, fault: Fault, memo: Memo, ids: dict[str, str]) -> Answer:
    return vendor_errors.answer(fault, memo["client"], {**ids, **vendor_errors.retry_headers(body)})


class Translated:
    """The transducer of a streamed answer. What cannot be read becomes an error event, which is the last."""

    def __init__(self, memo: Memo) -> None:
        self._client = memo["client"]
        vendor = VENDORS[memo["provider"]]
        self._framing = vendor.framing(sse.MAX_EVENT)
        self._reader = vendor.reader(memo)
        self._writer = CLIENTS[self._client].writer(memo)
        self._is_over = False

    def feed(self, data: bytes) -> bytes:
        """The bytes for the client after the next bytes from the provider; b"" if there are none yet."""
        return self._written(lambda: self._framing.feed(data), ())

    def end(self) -> bytes:
        """The last bytes for the client."""
        events = self._framing.end()
        if not self._is_over and any(map(_breaks_off, events)):
            return self._failed("ended before it was complete")
        return self._written(lambda: events, (None,))

    def _written(self, frames: Callable[[], list[sse.Event]], last: Iterable[None]) -> bytes:
        if self._is_over:
            return b""
        written: list[bytes] = []
        try:
            for event in self._events(frames(), last):
                written.append(self._writer.write(event))
                if isinstance(event, Fault | End):
                    self._is_over = True
                    break
        except sse.TooLong as error:
            written.append(self._failed(str(error)))
        return b"".join(written)

    def _events(self, frames: list[sse.Event], last: Iterable[None]) -> Iterator[Event]:
        for frame in frames:
            if frame.data:
                yield from self._reader.read(frame.data, frame.type)
            else:
                yield from self._reader.comment()
        for _ in last:
            yield from self._reader.end()

    def _failed(self, why: str) -> bytes:
        self._is_over = True
        return vendor_errors.event(vendor_errors.broken(why), self._client)


def _breaks_off(event: sse.Event) -> bool:
    """Whether an event, behind which nothing came, is half of one."""
    if event.data[:1] != b"{":
        return False
    try:
        json_values.decode(event.data)
    except ValueError:
        return True
    return False
