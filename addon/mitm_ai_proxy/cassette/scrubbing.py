"""Scrubbing: replaces secrets in an exchange before it is written, and finds them in a written one."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import AnyStr, Final
from urllib.parse import quote_plus, unquote_plus

from ..auth.header import is_credential, normal
from ..wire import content_encoding, json_text
from . import credentials, forms, links, sensitive
from .credentials import SeenCredentials
from .entry import Chunk, Entry, Headers, Request, Response, header
from .sensitive import LINK_MARK, MARK, MARKS

MAX_NESTED: Final = 6
"""Levels of nested texts, such as JSON in a string of JSON, or a link in a parameter of a link."""
LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a body with a Content-Encoding that is decoded to look into it."""
_MAX_ROUNDS: Final = 8
_SHOWN: Final = 60
_LONG: Final = 1000

_BASE64 = re.compile(r"(?:data:[^,\s]{0,200};base64,)?[A-Za-z0-9+/\s]*+=*")
# `name=value` and, outside of JSON, `"name": "value"`; quotes may be escaped.
_VALUE = r"""((?:(?:basic|bearer|digest|token)\s+)?)("[^"\n]*+"?|'[^'\n]*+'?|[^\s"'&,;<>]+)"""
_EQUALS = re.compile(rf"(?i)((?<![\w.-])(?:(?<=\\)[nrt])?([\w.-]++)\s*=\s*\\*){_VALUE}")
_ASSIGNED = re.compile(rf"(?i)((?<![\w.-])(?:(?<=\\)[nrt])?([\w.-]++)\\*[\"']?\s*[=:]\s*\\*){_VALUE}")


@dataclass(frozen=True, slots=True)
class _Rules:
    """Names to scrub, as auth.header.normal() spells them, and known secrets in all their encodings."""

    names: frozenset[str] = frozenset()
    known: tuple[str, ...] = ()
    known_bytes: tuple[bytes, ...] = ()

    def covers(self, name: str) -> bool:
        return is_credential(name) or normal(name) in self.names


class Scrubber:
    """Scrubs exchanges. Equal exchanges get equal results, and a scrubbed one does not change. Other bytes stay.

    `extra` are names of headers, parameters and members, or the words of sensitive.GROUPS; `known` are secrets
    themselves, of which those shorter than sensitive.MIN_KNOWN are ignored. The credentials in a request (see
    credentials.py) are known secrets in its exchange, and with `seen` in all exchanges behind it.
    """

    def __init__(
        self, extra: Sequence[str] = (), known: Sequence[str] = (), seen: SeenCredentials | None = None
    ) -> None:
        names: set[str] = set()
        for word in extra:
            names |= sensitive.GROUPS.get(word, {normal(word)})
        self._names, self._known, self._seen = frozenset(names), tuple(known), seen
        self._rules = _rules(self._names, self._known)

    def learn(self, request: Request) -> tuple[str, ...]:
        """Remember the credentials in a request; returns all that are known for its exchange."""
        found = credentials.found(request)
        return found if self._seen is None else self._seen.add(found)

    def entry(self, entry: Entry) -> Entry:
        """The exchange without secrets."""
        return _Pass(self._with(entry.request)).entry(entry)

    def findings(self, entry: Entry) -> list[str]:
        """The places of values that look like secrets, such as `entry.request.headers.Authorization`."""
        looked = _Pass(self._with(entry.request))
        looked.entry(entry)
        return list(dict.fromkeys(looked.places))

    def request(self, request: Request) -> Request:
        """The request without secrets, for matching."""
        return _Pass(self._with(request)).request(request, "entry.request")

    def request_as_before(self, request: Request) -> Request:
        """The request as recordings have it that were made before credentials were remembered."""
        return _Pass(self._rules).request(request, "entry.request")

    def _with(self, request: Request) -> _Rules:
        learned = self.learn(request)
        return _rules(self._names, (*self._known, *learned)) if learned else self._rules


@functools.lru_cache(64)
def _rules(names: frozenset[str], known: tuple[str, ...]) -> _Rules:
    spelled = sensitive.spellings(known)
    return _Rules(names, spelled, tuple(text.encode("utf-8", "surrogatepass") for text in spelled))


def findings(entry: Entry, known: Sequence[str] = ()) -> list[str]:
    """The places of values that look like secrets in an exchange, as in Scrubber."""
    return Scrubber((), known).findings(entry)


@dataclass(slots=True)
class _Pass:
    """The scrubbing of one exchange; `places` are those where a value was replaced."""

    rules: _Rules
    places: list[str] = field(default_factory=list)

    def entry(self, entry: Entry) -> Entry:
        request = self.request(entry.request, "entry.request")
        response = entry.response and self._response(entry.response)
        notes = tuple(self._text(f"entry.notes[{index}]", note) for index, note in enumerate(entry.notes))
        return replace(entry, request=request, response=response, notes=notes)

    def request(self, request: Request, place: str) -> Request:
        headers, body = self._message(request.headers, request.body, place)
        method = self._text(f"{place}.method", request.method)
        return Request(method, self._link(f"{place}.url", request.url), headers, body)

    def _response(self, response: Response) -> Response:
        headers, body = self._message(response.headers, response.body, "entry.response")
        reason = self._text("entry.response.reason", response.reason)
        chunks = _moved(response.chunks, response.body, body) if body != response.body else response.chunks
        return Response(response.status, reason, headers, body, chunks)

    def _message(self, headers: Headers, body: bytes, place: str) -> tuple[Headers, bytes]:
        headers, scrubbed = self._unpacked(f"{place}.body", headers, body)
        changed = []
        for name, value in headers:
            if name.lower() == "content-length" and value.strip() == str(len(body)):
                changed.append((name, str(len(scrubbed)) if len(scrubbed) != len(body) else value))
            else:
                changed.append((name, self._header(f"{place}.headers.{name[:_SHOWN]}", name, value)))
        return tuple(changed), scrubbed

    def _unpacked(self, place: str, headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        """The body, scrubbed. One with a Content-Encoding stays as it is, or loses that if there is a secret in it."""
        kind = header(headers, "content-type")
        encoding = header(headers, "content-encoding")
        plain = content_encoding.unpacked(body, encoding, LARGEST) if encoding and body else None
        if plain is None:
            return headers, self._body(place, body, kind)
        scrubbed = self._body(place, plain, kind)
        if scrubbed == plain:
            return headers, body
        return tuple(field for field in headers if field[0].lower() != "content-encoding"), scrubbed

    def _header(self, place: str, name: str, value: str) -> str:
        if value and self.rules.covers(name):
            return self._note(place, value, sensitive.authorization(value))
        return self._text(place, value)

    def _body(self, place: str, body: bytes, content_type: str) -> bytes:
        if not body:
            return body
        if forms.is_multipart(content_type):
            found = forms.parts(body, content_type)
            if found is not None:
                return self._multipart(place, body, found)
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return self._binary(place, body)
        if forms.is_urlencoded(content_type):
            return self._form(place, text).encode()
        # Cannot fail: decoded text has no half surrogate pairs, and those in JSON stay escaped.
        return self._document(place, text).encode()

    def _binary(self, place: str, body: bytes) -> bytes:
        """The bytes without known secrets, of the same length, so that the file can still be read."""
        scrubbed = body
        for secret in self.rules.known_bytes:
            if secret in scrubbed:
                scrubbed = scrubbed.replace(secret, b"*" * len(secret))
        return self._note(place, body, scrubbed)

    def _multipart(self, place: str, body: bytes, found: list[forms.Part]) -> bytes:
        pieces: list[bytes] = []
        position = 0
        for part in found:
            inside = f"{place}.{self._plain(part.name)[:_SHOWN]}"
            head, data = body[part.head : part.start], body[part.start : part.end]
            text = self._text(f"{inside}.head", head.decode("utf-8", "surrogateescape"))
            pieces += (body[position : part.head], text.encode("utf-8", "surrogateescape"))
            if data and part.filename is None and self.rules.covers(part.name):
                pieces.append(self._note(inside, data, MARK.encode()))
            else:
                pieces.append(self._body(inside, data, ""))
            position = part.end
        pieces.append(body[position:])
        return b"".join(pieces)

    def _form(self, place: str, text: str) -> str:
        def pairs(text: str) -> str:
            return "&".join(map(pair, text.split("&")))

        def pair(text: str) -> str:
            name, equals, value = text.partition("=")
            inside = f"{place}.{self._plain(name)[:_SHOWN]}"
            return f"{name}{equals}{self._parameter(inside, name, value, 0, self.rules.covers)}"

        return self._encoded(place, text, pairs)

    def _document(self, place: str, text: str) -> str:
        """A whole text body: JSON, or lines of which some have JSON, as in a stream of events."""
        if json_text.is_container(text):
            return self._json(place, text, 0)
        lines = []
        for number, line in enumerate(text.split("\n")):
            value = line.strip().removeprefix("data:").strip()
            inside = f"{place}:{number + 1}"
            if json_text.is_container(value):
                start, _, end = line.partition(value)
                lines.append(f"{start}{self._json(inside, value, 0)}{end}")
            else:
                lines.append(self._text(inside, line, 0, _ASSIGNED))
        return "\n".join(lines)

    def _json(self, place: str, text: str, depth: int) -> str:
        pieces: list[str] = []
        position = 0
        for part in json_text.parts(text):
            token = text[part.start : part.end]
            changed = self._json_token(place, part, token, depth)
            if changed != token:
                pieces += (text[position : part.start], changed)
                position = part.end
        pieces.append(text[position:])
        return "".join(pieces)

    def _json_token(self, place: str, part: json_text.Part, token: str, depth: int) -> str:
        is_string = token[0] == '"'
        if not is_string and token[0] not in "-0123456789":
            return token
        inside = place
        # The place is built only if something was replaced, which is rare.
        before = len(self.places)
        value = json_text.string(token) if is_string else token
        names = part.path[:-1] if part.is_key else part.path
        if any(isinstance(name, str) and self.rules.covers(name) for name in names) and not part.is_key and value:
            # A number is replaced by a number, the type that clients expect.
            changed = self._note(inside, value, MARK if is_string else "0")
        elif is_string:
            changed = self._text(inside, value, depth)
        else:
            changed = self._note(inside, token, token if self._known(token, "") == token else "0")
        if changed == value:
            return token
        suffix = self._plain(json_text.shown(part.path))[-_LONG:]
        self.places[before:] = [f"{inside}.{suffix}{found.removeprefix(inside)}" for found in self.places[before:]]
        return json.dumps(changed, ensure_ascii=value.isascii() or _is_halved(changed)) if is_string else changed

    def _text(self, place: str, text: str, depth: int = 0, assigned: re.Pattern[str] = _EQUALS) -> str:
        """Any text, such as the value of a header, a string of JSON, or a line."""
        if depth < MAX_NESTED and json_text.is_container(text):
            return self._json(place, text, depth + 1)
        is_base64 = len(text) > _LONG and _BASE64.fullmatch(text) is not None
        scrubbed = text
        for _ in range(_MAX_ROUNDS):
            before = scrubbed
            # Links first, so that a secret in one gets the same mark as in the URL of a request that follows it.
            if not is_base64:
                scrubbed = links.edit(scrubbed, lambda url: self._known(url, LINK_MARK))
            scrubbed = self._known(scrubbed, MARK)
            if not is_base64:
                scrubbed = links.edit(scrubbed, lambda url: self._link(place, url, depth + 1))
                scrubbed = self._assignments(sensitive.shapeless(scrubbed, MARK), assigned)
            if scrubbed == before:
                break
        return self._note(place, text, scrubbed)

    def _link(self, place: str, url: str, depth: int = 0) -> str:
        """A URL: its user and password, the values of parameters, and secrets in the rest."""

        def change(name: str, value: str) -> str:
            inside = f"{place}.query.{self._plain(name)[:_SHOWN]}"
            return self._parameter(inside, name, value, depth, lambda key: links.signs(key) or self.rules.covers(key))

        return self._encoded(place, url, lambda text: links.edit_parameters(links.edit_user(text, LINK_MARK), change))

    def _encoded(self, place: str, text: str, parameters: Callable[[str], str]) -> str:
        """A URL or a form; `parameters` scrubs its named parameters."""
        scrubbed = text
        for _ in range(_MAX_ROUNDS):
            before = scrubbed
            scrubbed = sensitive.shapeless(parameters(self._known(scrubbed, LINK_MARK)), LINK_MARK)
            if scrubbed == before:
                break
        return self._note(place, text, scrubbed)

    def _parameter(self, place: str, name: str, value: str, depth: int, covers: Callable[[str], bool]) -> str:
        """The value of a parameter; name and value are percent-encoded."""
        if covers(unquote_plus(name)):
            return self._note(place, value, LINK_MARK) if value else value
        decoded = unquote_plus(value, errors="surrogateescape")
        changed = self._text(place, decoded, depth + 1) if depth < MAX_NESTED else decoded
        return value if changed == decoded else quote_plus(changed, errors="surrogateescape")

    def _assignments(self, text: str, pattern: re.Pattern[str]) -> str:
        def change(match: re.Match[str]) -> str:
            start, name, scheme, value = match.groups()
            quotes = value[0] if value[0] in "\"'" else ""
            if not self.rules.covers(name) or value.strip("\"'\\") in ("", *MARKS):
                return match[0]
            return f"{start}{scheme}{quotes}{MARK}{quotes}"

        return pattern.sub(change, text) if "=" in text or ":" in text else text

    def _known(self, text: str, mark: str) -> str:
        for secret in self.rules.known:
            if secret in text:
                text = text.replace(secret, mark)
        return text

    def _plain(self, name: str) -> str:
        """A name for a place, scrubbed, since it may be a secret itself."""
        return sensitive.shapeless(self._known(name, MARK), MARK)

    def _note(self, place: str, before: AnyStr, after: AnyStr) -> AnyStr:
        if before != after:
            self.places.append(place)
        return after


def _is_halved(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _moved(chunks: tuple[Chunk, ...], before: bytes, after: bytes) -> tuple[Chunk, ...]:
    """The pieces of a stream whose lines were edited; each line ends in the same piece as before."""
    old, new = before.split(b"\n"), after.split(b"\n")
    if len(old) != len(new):
        old, new = [before], [after]
    moved = []
    end = line = start = new_start = written = 0
    for chunk in chunks:
        end += chunk.length
        while line + 1 < len(old) and start + len(old[line]) + 1 <= end:
            start += len(old[line]) + 1
            new_start += len(new[line]) + 1
            line += 1
        place = len(after) if end >= len(before) else new_start + min(end - start, len(new[line]))
        moved.append(Chunk(chunk.milliseconds, place - written))
        written = place
    return tuple(moved)
