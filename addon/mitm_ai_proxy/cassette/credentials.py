"""The credentials that requests hold under names that say so, which are then known secrets wherever else they stand."""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ..auth.header import CLIENT_FIELDS, REDACTED, is_credential
from ..wire import json_text
from . import forms
from .entry import Request, header
from .sensitive import MARKS, MIN_KNOWN

PLACEHOLDERS: Final = frozenset(
    """
    anything dummy-key fake-key lm-studio my-api-key no-key-required none-needed not-needed not-used notneeded
    placeholder redacted sk-no-key-required test-key your-api-key undefined x-api-key
    """.split()
)
"""Texts that clients send where a server wants any key, in lower case and with hyphens."""
MOST: Final = 100
"""Credentials that are remembered; the oldest are dropped."""
LONGEST: Final = 8192
"""Characters of a credential."""

_SHORTEST_WORD: Final = 8
_SHORTEST_NUMBER: Final = 12
_SHORTEST_ELSEWHERE: Final = 16
"""Characters from which a plain word is a credential: in header fields, and elsewhere, where names are less certain."""
_FEWEST_CHARACTERS: Final = 4

_SCHEME = re.compile(r"([A-Za-z][\w-]*)\s+(\S.*)", re.DOTALL)
_ASSIGNED = re.compile(r"([\w-]+)=(?:\"([^\"]*)\"|([^\s,;\"]+))")
_WORD = re.compile(r"[A-Za-z]+|[a-z]+(?:[ _-][a-z]+)?")
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
# A body without any of these has no member whose name says that it is a credential.
_HINT = re.compile(rb"(?i)key|token|secret|passw|pwd|passphrase|signature|credential|authorization|cookie|jwt|bearer|%")


class SeenCredentials:
    """The credentials that the requests of a run held, the latest MOST of them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, None] = OrderedDict()

    def add(self, found: Iterable[str]) -> tuple[str, ...]:
        """Remember these; returns all that are remembered."""
        with self._lock:
            for text in found:
                self._found[text] = None
                self._found.move_to_end(text)
            while len(self._found) > MOST:
                self._found.popitem(last=False)
            return tuple(sorted(self._found))


def found(request: Request) -> tuple[str, ...]:
    """The credentials in a request, and their parts that are secret: the token behind a scheme, user and password.

    Left out is what may be an ordinary text: a short one, a plain word, a number, and what clients send for any key.
    JWTs are too: they are told by their shape, in all encodings, and new ones may come with each request.
    """
    certain = [text for name, value in request.headers if _is_field(name) for text in _parts(value)]
    certain += _of_url(request.url)
    others = [text for name, value in request.headers if name.lower() == "cookie" for text in _of_cookie(value)]
    others += [text for value in _named(request) for text in _parts(value)]
    kept = [text for text in certain if _is_secret(text, _SHORTEST_WORD)]
    kept += [text for text in others if _is_secret(text, _SHORTEST_ELSEWHERE)]
    return tuple(dict.fromkeys(kept))


def _is_field(name: str) -> bool:
    lower = name.lower()
    return lower != "cookie" and (is_credential(lower) or lower.encode("utf-8", "replace") in CLIENT_FIELDS)


def _is_secret(text: str, shortest_word: int) -> bool:
    if not MIN_KNOWN <= len(text) <= LONGEST or any(mark in text for mark in (*MARKS, REDACTED)):
        return False
    if text.lower().replace("_", "-") in PLACEHOLDERS or len(set(text)) < _FEWEST_CHARACTERS or _JWT.fullmatch(text):
        return False
    if _WORD.fullmatch(text):
        return len(text) >= shortest_word
    return not text.isdigit() or len(text) >= _SHORTEST_NUMBER


def _parts(value: str) -> Iterator[str]:
    """The value of a credential field, without its scheme, and its parts."""
    text = value.strip()
    behind = _SCHEME.fullmatch(text)
    if not behind:
        yield text
        yield from _halves(text)
        return
    scheme, token = behind[1].lower(), behind[2].strip()
    assigned = [(match[1], match[2] or match[3]) for match in _ASSIGNED.finditer(token)]
    if assigned and ("," in token or " " in token):
        # As in `AWS4-HMAC-SHA256 Credential=AKIA.../20260101/..., Signature=...`
        for name, part in assigned:
            if is_credential(name):
                yield part
                yield part.partition("/")[0]
        return
    yield token
    yield from _halves(_decoded(token) if scheme == "basic" else token)


def _halves(text: str) -> Iterator[str]:
    """User and password, or the two parts of a key with a colon."""
    user, colon, password = text.partition(":")
    if colon:
        yield from (text, user, password)


def _decoded(token: str) -> str:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def _of_url(url: str) -> Iterator[str]:
    """User and password in a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    for text in (parts.username, parts.password):
        if text:
            yield unquote(text)


def _of_cookie(value: str) -> Iterator[str]:
    for pair in value.split(";"):
        text = pair.partition("=")[2].strip().strip('"')
        # Languages, themes and consents are cookies too.
        if len(text) >= _SHORTEST_ELSEWHERE or (len(text) >= _SHORTEST_WORD and text.isalnum() and not text.isalpha()):
            yield text
            yield unquote(text)


def _named(request: Request) -> Iterator[str]:
    """The values in query and body whose names say that they are credentials."""
    try:
        query = urlsplit(request.url).query
    except ValueError:
        query = ""
    yield from _of_pairs(query)
    kind = header(request.headers, "content-type")
    body = request.body
    if not _HINT.search(body):
        return
    parts = forms.parts(body, kind)
    if parts is not None:
        for part in parts:
            if part.filename is None and is_credential(part.name):
                yield body[part.start : part.end].decode("utf-8", "replace")
        return
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return
    if forms.is_urlencoded(kind):
        yield from _of_pairs(text)
    elif json_text.is_container(text):
        for leaf in json_text.parts(text):
            is_named = any(isinstance(step, str) and is_credential(step) for step in leaf.path)
            if is_named and not leaf.is_key and text[leaf.start] == '"':
                yield json_text.string(text[leaf.start : leaf.end])


def _of_pairs(query: str) -> Iterator[str]:
    try:
        pairs = parse_qsl(query, errors="surrogateescape")
    except ValueError:
        return
    for name, value in pairs:
        if is_credential(name):
            yield value
