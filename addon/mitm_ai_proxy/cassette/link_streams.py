"""Links in an answer that arrives in pieces: events (SSE), lines of JSON, or a document under another content type."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ..wire import json_text

LONGEST: Final = 1024 * 1024
"""Bytes of the longest line, event or document that is kept back; a longer one passes as it is."""

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r(?!\Z))")
_MARKS: Final = b"\xef\xbb\xbf \t\r\n\x1e"
_DATA = re.compile(rb"(data:[ ]?)(.*)", re.DOTALL)
_NAME: Final = b"data:"


class LedStream:
    """A transducer (see exchange.py). `lead` rewrites one JSON object or array, wherever the pieces are cut.

    Only what may be JSON is kept back, until its end has come: what it is, is told by how it begins. Text passes as it
    arrives.
    """

    def __init__(self, lead: Callable[[bytes], bytes]) -> None:
        self._lead = lead
        self._rest = b""
        self._is_document: bool | None = None
        self._is_passing = False
        """Whether the rest of this line, or of the document, passes as it is."""
        self._event: list[tuple[bytes, bytes]] = []
        """Lines of an event, with their ends, whose JSON goes on in the next line."""

    def feed(self, data: bytes) -> bytes:
        """The bytes that are certain after the next ones."""
        self._rest += data
        begun = self._begin() if self._is_document is None else b""
        return begun if self._is_document is None else begun + self._go_on()

    def end(self) -> bytes:
        """The rest."""
        rest, self._rest = self._rest, b""
        if self._is_document is not False:
            return rest if self._is_passing or len(rest) > LONGEST else self._lead(rest)
        return self._line(rest, b"") + self._raw_event()

    def _begin(self) -> bytes:
        """Find out by its first line whether the answer is one document; the blanks before it pass."""
        bare = self._rest.lstrip(_MARKS)
        if not bare:
            passed, self._rest = (b"", self._rest) if b"\xef" in self._rest else (self._rest, b"")
            return passed
        passed, self._rest = self._rest[: len(self._rest) - len(bare)], bare
        line = _LINE.match(bare)
        if bare[:1] not in (b"{", b"["):
            self._is_document = False
        elif line or len(bare) > LONGEST:
            self._is_document = not (line and len(line[1]) <= LONGEST and _is_container(line[1]))
        return passed

    def _go_on(self) -> bytes:
        if self._is_document:
            self._is_passing = self._is_passing or len(self._rest) > LONGEST
            passed, self._rest = (self._rest, b"") if self._is_passing else (b"", self._rest)
            return passed
        result = []
        position = 0
        for match in _LINE.finditer(self._rest):
            result.append(self._line(match[1], match[2]))
            position = match.end()
        self._rest = self._rest[position:]
        if self._is_passing or len(self._rest) > LONGEST or not (self._event or _may_be_json(self._rest)):
            self._is_passing = self._is_passing or bool(self._rest)
            # Where the next byte is none of a line end's, this one ends the line.
            bare = self._rest.removesuffix(b"\r")
            result += (self._raw_event(), bare)
            self._rest = self._rest[len(bare) :]
        return b"".join(result)

    def _line(self, line: bytes, end: bytes) -> bytes:
        """The bytes that are certain after a line, which may be the end of one."""
        if self._is_passing or len(line) > LONGEST:
            self._is_passing = not end
            return self._raw_event() + line + end
        found = _DATA.fullmatch(line)
        if not found:
            if not line:
                return self._raw_event() + end
            return self._raw_event() + self._lead_line(line) + end
        if not self._event and (_is_container(found[2]) or found[2][:1] not in (b"{", b"[")):
            return found[1] + self._lead(found[2]) + end
        self._event.append((line, end))
        lines = [_DATA.fullmatch(held) for held, _ in self._event]
        texts = [match[2] for match in lines if match]
        if sum(map(len, texts)) > LONGEST:
            return self._raw_event()
        document = b"\n".join(texts)
        if not document.endswith((b"}", b"]")) or not _is_container(document):
            return b""
        led = self._lead(document).split(b"\n")
        ends, self._event = [held[1] for held in self._event], []
        return b"".join(
            match[1] + text + ending for match, text, ending in zip(filter(None, lines), led, ends, strict=True)
        )

    def _lead_line(self, line: bytes) -> bytes:
        bare = line.lstrip(_MARKS)
        return line[: len(line) - len(bare)] + self._lead(bare)

    def _raw_event(self) -> bytes:
        """The lines that are kept back, unchanged."""
        lines, self._event = self._event, []
        return b"".join(line + end for line, end in lines)


def _may_be_json(line: bytes) -> bool:
    """Whether a line that has begun may hold JSON."""
    bare = line.lstrip(_MARKS)
    found = _DATA.fullmatch(bare)
    return (found[2] if found else bare)[:1] in (b"", b"{", b"[") or _NAME.startswith(bare)


def _is_container(document: bytes) -> bool:
    try:
        return json_text.is_container(document.decode())
    except UnicodeDecodeError:
        return False
