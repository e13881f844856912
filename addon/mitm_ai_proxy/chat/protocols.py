"""The tables of the translators: how each dialect of clients is read and written, and each API of vendors.

A new vendor's API is a row of VENDORS: who writes its requests, and who reads its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from ..exchange import Memo
from ..wire import sse
from ..wire.header_fields import Fields
from . import (
    anthropic_answers,
    anthropic_requests,
    anthropic_upstream,
    anthropic_writer,
    cohere_answers,
    cohere_upstream,
    converse_answers,
    converse_requests,
    converse_upstream,
    coze_answers,
    coze_upstream,
    dashscope_answers,
    dashscope_upstream,
    deepl_answers,
    deepl_upstream,
    dify_answers,
    dify_upstream,
    gemini_answers,
    gemini_requests,
    gemini_upstream,
    hunyuan_answers,
    hunyuan_upstream,
    minimax_answers,
    minimax_upstream,
    openai_answers,
    openai_requests,
    openai_upstream,
    openai_writer,
    triton_answers,
    triton_upstream,
    vendor_errors,
)
from .aws_frames import Frames
from .converse_models import family
from .dialects import (
    ANTHROPIC,
    COHERE,
    CONVERSE,
    COZE,
    DASHSCOPE,
    DEEPL,
    DIFY,
    GEMINI,
    HUNYUAN,
    MINIMAX_PRO,
    OPENAI,
    TRITON,
)
from .model import Chat, Event, Fault
from .target import Target


class Reader(Protocol):
    """Reads a streamed answer. It never raises, and after a Fault or an End it gives nothing."""

    def read(self, data: bytes, type: bytes = b"") -> Iterable[Event]:
        """The events in the data of a server-sent event, or of what else the stream is made of."""

    def comment(self) -> Iterable[Event]:
        """The events that a comment is."""

    def end(self) -> Iterable[Event]:
        """The last events."""


class Framing(Protocol):
    """Finds the events of a stream in bytes cut anywhere. Raises sse.TooLong."""

    def feed(self, data: bytes) -> list[sse.Event]:
        """The events that these bytes complete."""

    def end(self) -> list[sse.Event]:
        """Those that the end completes."""


class Writer(Protocol):
    """Writes a streamed answer."""

    def write(self, event: Event) -> bytes:
        """The bytes that an event adds."""


def _read_error(body: bytes, status: int, _: Fields) -> Fault:
    return vendor_errors.read(body, status)


class Client(NamedTuple):
    """A dialect of clients."""

    read_request: Callable[[bytes], Chat]
    writer: Callable[[Memo], Writer]
    write_whole: Callable[[Iterable[Event], Memo], bytes]


class Vendor(NamedTuple):
    """An API of vendors.

    `read_error` takes the body, the status and the header fields of an answer that is no success. `framing` takes the
    bytes that an event may have, `stream_begins` are beginnings of streams; without `tells_end`, a stream that has
    broken off is like a complete one.
    """

    write_request: Callable[[Chat, str, Target, list[str]], bytes]
    reader: Callable[[Memo], Reader]
    read_whole: Callable[[bytes, Memo], list[Event]]
    read_error: Callable[[bytes, int, Fields], Fault] = _read_error
    framing: Callable[[int], Framing] = sse.Reader
    stream_begins: tuple[bytes, ...] = (b"data:", b"event", b":")
    tells_end: bool = True


def _openai_settings(memo: Memo) -> openai_writer.Settings:
    return openai_writer.Settings(memo["id"], memo["created"], memo["model"], memo["usage"])


CLIENTS: Final = {
    OPENAI: Client(
        openai_requests.read,
        lambda memo: openai_writer.Writer(_openai_settings(memo)),
        lambda events, memo: openai_writer.write_whole(events, _openai_settings(memo)),
    ),
    ANTHROPIC: Client(
        anthropic_requests.read,
        lambda memo: anthropic_writer.Writer(memo["id"], memo["model"]),
        lambda events, memo: anthropic_writer.write_whole(events, memo["id"], memo["model"]),
    ),
}

VENDORS: Final = {
    OPENAI: Vendor(
        openai_upstream.write,
        lambda memo: openai_answers.Reader(memo["id"]),
        lambda body, memo: openai_answers.read_whole(body, memo["id"]),
    ),
    ANTHROPIC: Vendor(
        anthropic_upstream.write,
        lambda memo: anthropic_answers.Reader(memo["vendor"]),
        lambda body, memo: anthropic_answers.read_whole(body, memo["vendor"]),
    ),
    CONVERSE: Vendor(
        converse_upstream.write,
        lambda memo: converse_answers.Reader(family(memo["model"]).vendor),
        lambda body, memo: converse_answers.read_whole(body, family(memo["model"]).vendor),
        read_error=converse_answers.read_error,
        framing=Frames,
        stream_begins=(b"\0",),
    ),
    COHERE: Vendor(
        cohere_upstream.write,
        lambda _: cohere_answers.Reader(),
        lambda body, _: cohere_answers.read_whole(body),
    ),
    DASHSCOPE: Vendor(
        dashscope_upstream.write,
        lambda memo: dashscope_answers.Reader(memo["id"]),
        lambda body, memo: dashscope_answers.read_whole(body, memo["id"]),
        stream_begins=(b"id:", b"event", b"data:", b":"),
    ),
    HUNYUAN: Vendor(
        hunyuan_upstream.write,
        lambda memo: hunyuan_answers.Reader(memo["id"]),
        lambda body, memo: hunyuan_answers.read_whole(body, memo["id"]),
        read_error=lambda body, status, _: hunyuan_answers.read_error(body, status),
    ),
    MINIMAX_PRO: Vendor(
        minimax_upstream.write,
        lambda memo: minimax_answers.Reader(memo["id"]),
        lambda body, memo: minimax_answers.read_whole(body, memo["id"]),
    ),
    GEMINI: Vendor(
        gemini_upstream.write,
        lambda memo: gemini_answers.Reader(memo["id"]),
        lambda body, memo: gemini_answers.read_whole(body, memo["id"]),
    ),
    COZE: Vendor(
        coze_upstream.write,
        lambda _: coze_answers.Reader(),
        lambda body, _: coze_answers.read_whole(body),
        read_error=lambda body, status, _: coze_answers.read_error(body, status),
    ),
    DEEPL: Vendor(
        deepl_upstream.write,
        lambda _: deepl_answers.Reader(),
        lambda body, _: deepl_answers.read_whole(body),
        read_error=lambda body, status, _: deepl_answers.read_error(body, status),
    ),
    DIFY: Vendor(dify_upstream.write, dify_answers.Reader, dify_answers.read_whole),
    TRITON: Vendor(
        triton_upstream.write,
        lambda _: triton_answers.Reader(),
        lambda body, _: triton_answers.read_whole(body),
        tells_end=False,
    ),
}

READERS: Final[Mapping[str, Callable[[bytes], Chat]]] = {
    **{name: client.read_request for name, client in CLIENTS.items()},
    CONVERSE: converse_requests.read,
    GEMINI: gemini_requests.read,
}
"""By dialect: who reads a request that was sent, to show it."""
