"""The requests of an agent, sorted by sessions: which turn a request is, what it added, what was spent so far.

A request follows the latest one whose messages all stand at its own beginning. Only digests of messages are kept, so
that the work grows with what is read, and the memory with the number of requests.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from ..cassette import sensitive
from . import answers, prices, requests, session_ids
from .answers import Spent
from .blocks import Entry, message
from .prices import PriceSettings
from .session_ids import NOWHERE, SessionId
from .subjects import subject

MARK: Final = "[a secret]"
"""What stands in excerpts for what has the shape of a credential."""
_SIZE: Final = 16
_EXCERPT: Final = 400
"""Characters of an entry that are kept of it."""
_NAME: Final = 100
"""Characters of the name of a model."""
_ENTRIES: Final = 12
"""Entries that are kept of what a turn added; the last ones of more."""
_COMMAS: Final = 1_000_000
"""While traffic passes, a body with more is left out: so many values may stand in it that it takes too long."""
_LONGEST: Final = 10_000
"""The same for the turns of a conversation."""
_DECODED: Final = 256 * 1024
"""Bytes of a message that is decoded for its excerpt."""
_REMEMBERED: Final = 50_000
"""Messages whose digests are remembered, so that they are not decoded again in the next request."""
_RESPONSE: Final = re.compile(rb'"id"\s*:\s*"(resp_[\w-]{1,200})"')
_LATEST: Final = 4e9
"""Unix time; what a file has beyond is no time."""
_THOUGHTS: Final = frozenset(("thinking", "redacted_thinking", "reasoning"))
_NOTHING: Final = Spent()
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class Asked(NamedTuple):
    """A request to a path. `name` names it to its reader; `fields` are names in lower case; `began` is Unix time."""

    name: str
    path: str
    fields: Mapping[str, str]
    body: bytes
    began: float = 0.0


class Told(NamedTuple):
    """The answer to a request, to the path that its client asked for. `status` is 0 if none came."""

    path: str
    status: int
    body: bytes


@dataclass(slots=True, eq=False)
class Turn:
    """A request of a session.

    number: its place in the session, from 1.
    follows: the earlier turn with whose messages it begins; None for the first one of a conversation.
    messages: how many it has, `added` of them behind those of the turn that it follows.
    is_again: it has the very messages of that turn.
    said, answer: excerpts of what was added and answered, if they are kept.
    dollars: what it cost; None if that is not known.
    """

    session: Session
    number: int
    name: str
    began: float
    model: str
    follows: Turn | None
    messages: int
    added: int
    is_again: bool
    said: list[Entry] = field(default_factory=list)
    answer: list[Entry] = field(default_factory=list)
    status: int | None = None
    end: str = ""
    spent: Spent = _NOTHING
    dollars: float | None = None

    @property
    def tokens_added(self) -> int | None:
        """Tokens that it read more than the turn that it follows."""
        read = self.spent.usage.input if self.spent.usage else None
        if read is None or self.follows is None:
            return read
        before = self.follows.spent.usage
        return None if before is None or before.input is None else read - before.input

    @property
    def cached(self) -> float | None:
        """The part of what it read that came from a cache, from 0 to 1."""
        usage = self.spent.usage
        if usage is None or not usage.input or usage.cached is None:
            return None
        return min(usage.cached / usage.input, 1.0)


class Total(NamedTuple):
    """Sums over turns: tokens, dollars, and the number of turns that have an answer whose cost is not known."""

    read: int = 0
    cached: int = 0
    written: int = 0
    dollars: float = 0.0
    unknown: int = 0

    def plus(self, more: Total) -> Total:
        """Both sums together."""
        return Total(
            self.read + more.read,
            self.cached + more.cached,
            self.written + more.written,
            self.dollars + more.dollars,
            self.unknown + more.unknown,
        )


@dataclass(slots=True, eq=False)
class Session:
    """A session: what names it, and its turns. `id` is empty if only the messages of its turns tell it."""

    number: int
    id: SessionId
    turns: list[Turn] = field(default_factory=list)

    @property
    def models(self) -> list[str]:
        """The models of its turns, in the order in which they came."""
        return list(dict.fromkeys(turn.spent.model or turn.model for turn in self.turns))

    def total(self, last: Turn | None = None) -> Total:
        """The sums over all its turns, or over those up to one."""
        return total(self.turns if last is None else self.turns[: last.number])


def total(turns: Iterable[Turn]) -> Total:
    """The sums over turns."""
    read = cached = written = unknown = 0
    dollars = 0.0
    for turn in turns:
        usage = turn.spent.usage
        if usage:
            read += usage.input or 0
            cached += usage.cached or 0
            written += usage.output or 0
        if turn.dollars is not None:
            dollars += turn.dollars
        elif turn.status is not None and 200 <= turn.status < 300:
            unknown += 1
    return Total(read, cached, written, dollars, unknown)


class Sessions:
    """Sorts requests by sessions, in the order in which they come.

    `most` turns are kept; beyond, the sessions that were not used for longest are forgotten. None: all are kept.
    """

    def __init__(
        self, settings: PriceSettings = prices.LIST_PRICES, most: int | None = None, has_texts: bool = True
    ) -> None:
        self.settings = settings
        self._most = most
        self._has_texts = has_texts
        self._all: OrderedDict[int, Session] = OrderedDict()
        self._named: dict[str, Session] = {}
        self._ends: dict[bytes, Turn] = {}
        self._responses: dict[str, Turn] = {}
        self._digests: OrderedDict[bytes, bytes] = OrderedDict()
        self._keys: dict[int, list[bytes | str]] = {}
        self._count = self._turns = 0

    def __iter__(self) -> Iterator[Session]:
        return iter(sorted(self._all.values(), key=lambda session: session.number))

    def ask(self, asked: Asked) -> Turn | None:
        """The turn that a request is; None for one that is no chat."""
        about = subject(asked.path)
        if about is None or about.kind != "chat":
            return None
        if not self._has_texts and asked.body.count(b",") > _COMMAS:
            return None
        found = requests.outline(asked.body, about.model)
        if found is None or not found.turns or (not self._has_texts and len(found.turns) > _LONGEST):
            return None
        id = session_ids.in_fields(asked.fields)
        id = found.session if id == NOWHERE else id
        id = id._replace(name=sensitive.shapeless(id.name, MARK))
        digests = self._chain(id, found.turns)
        follows = self._responses.get(found.previous) if found.previous else None
        known = next((end for digest in reversed(digests) if (end := self._ends.get(digest))), None)
        is_linked = follows is not None
        follows = follows or known
        session = self._session(id, follows)
        before = follows.messages if follows else 0
        count = before + len(found.turns) if is_linked else len(found.turns)
        turn = Turn(
            session,
            len(session.turns) + 1,
            asked.name,
            asked.began if 0 <= asked.began < _LATEST else 0.0,
            sensitive.shapeless(found.model[:_NAME], MARK),
            follows,
            count,
            count - before,
            follows is not None and count == before,
        )
        session.turns.append(turn)
        if self._has_texts and turn.added:
            turn.said = _said(found.turns[-turn.added :], bool(follows and follows.answer))
        self._keep(session, digests[-1])
        self._ends[digests[-1]] = turn
        self._turns += 1
        self._forget()
        return turn

    def answer(self, turn: Turn, told: Told) -> None:
        """Add the answer to a turn."""
        turn.status = told.status
        about = subject(told.path)
        if about is None or not told.body or not answers.reads(about.dialect):
            return
        found = answers.read(told.body, about.dialect, self._has_texts)
        model = sensitive.shapeless(found.spent.model[:_NAME], MARK)
        turn.spent, turn.end = found.spent._replace(model=model), sensitive.shapeless(found.end[:_EXCERPT], MARK)
        dollars = found.spent.dollars
        if dollars is None:
            dollars = prices.dollars(model or turn.model, found.spent.usage, self.settings, turn.began)
        turn.dollars = dollars
        if self._has_texts:
            turn.answer = [_excerpt(entry) for entry in found.entries[:_ENTRIES]]
        if response := _RESPONSE.search(told.body[:4096]):
            name = response[1].decode()
            self._keep(turn.session, name)
            self._responses[name] = turn

    def _session(self, id: SessionId, follows: Turn | None) -> Session:
        session = self._named.get(id.name) if id.name else follows.session if follows else None
        if session is None:
            self._count += 1
            session = Session(self._count, id)
            if id.name:
                self._named[id.name] = session
        self._all[session.number] = session
        self._all.move_to_end(session.number)
        return session

    def _keep(self, session: Session, key: bytes | str) -> None:
        self._keys.setdefault(session.number, []).append(key)

    def _forget(self) -> None:
        while self._most is not None and self._turns > self._most and len(self._all) > 1:
            number, session = self._all.popitem(last=False)
            self._turns -= len(session.turns)
            self._named.pop(session.id.name, None)
            for key in self._keys.pop(number, ()):
                if isinstance(key, str):
                    self._responses.pop(key, None)
                else:
                    self._ends.pop(key, None)

    # Digests

    def _chain(self, id: SessionId, turns: Iterable[msgspec.Raw]) -> list[bytes]:
        """A digest for each message, of it and of all before it."""
        last = _digest(id.name.encode("utf-8", "surrogatepass"))
        found = []
        for raw in turns:
            last = _digest(last + self._message(raw))
            found.append(last)
        return found

    def _message(self, raw: msgspec.Raw) -> bytes:
        """The digest of a message without what clients change of it from one request to the next."""
        key = _digest(raw)
        known = self._digests.get(key)
        if known is None:
            value = _bare(requests.turn(raw))
            try:
                known = _digest(_ENCODER.encode(value))
            except (RecursionError, ValueError):
                known = key
            self._digests[key] = known
            if len(self._digests) > _REMEMBERED:
                self._digests.popitem(last=False)
        return known


def _digest(data: Any) -> bytes:
    return blake2b(data, digest_size=_SIZE).digest()


def _bare(value: Any) -> Any:
    """A message without marks for the cache and thinking, and with a list of blocks for a text that stands alone."""
    if not isinstance(value, dict):
        return value
    bare = {name: member for name, member in value.items() if name not in ("cache_control", "reasoning_content")}
    content = bare.get("content")
    if isinstance(content, str):
        bare["content"] = [{"type": "text", "text": content}]
    elif isinstance(content, list):
        bare["content"] = [
            {name: member for name, member in block.items() if name != "cache_control"}
            if isinstance(block, dict)
            else block
            for block in content
            if not (isinstance(block, dict) and block.get("type") in _THOUGHTS)
        ]
    return bare


# Excerpts


def _said(turns: list[msgspec.Raw], is_answered: bool) -> list[Entry]:
    """Excerpts of messages; without those of the model, where its answer is an excerpt already."""
    found: list[Entry] = []
    for raw in turns[-_ENTRIES:]:
        if memoryview(raw).nbytes > _DECODED:
            found.append(Entry("a long message", [f"({memoryview(raw).nbytes:,} bytes)"]))
            continue
        value = requests.turn(raw)
        if not (is_answered and isinstance(value, dict) and value.get("role") in ("assistant", "model")):
            found += map(_excerpt, message(value))
    return found[-_ENTRIES:]


def _excerpt(entry: Entry) -> Entry:
    """The beginning of an entry in one line, without what looks like a credential."""
    text = sensitive.shapeless("\n".join(entry.lines)[: 4 * _EXCERPT], MARK)
    words = " ".join(text.split())
    short = words if len(words) <= _EXCERPT else f"{words[:_EXCERPT]}…"
    return Entry(sensitive.shapeless(entry.title, MARK), [short] if short else [])
