"""Matching of scrubbed requests: their canonical form, their differences in words, and the nearest of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, NamedTuple

from ..auth.header import normal
from ..wire import json_text
from . import content, links
from .content import Field
from .entry import Request, header

VOLATILE: Final = frozenset(
    """
    external_task_id external_id callback_url seed request_id client_request_id idempotency_key timestamp timestamps
    nonce user
    """.split()
)
"""Names of ignored parameters and members, as auth.header.normal() spells them.

External ids, and the ports and hosts of callbacks, are often new in each run and do not change the result. Many clients
draw a seed: equal creates with different seeds are told apart by their order.
"""
CHOOSING: Final = frozenset("external_task_id external_id".split())
"""Names that are compared in a URL, where they tell which job is meant."""
CLOCKS: Final = frozenset("start_time end_time".split())
"""Names that are ignored if their value is a Unix time in seconds or milliseconds, as in /account/costs."""

_SHOWN: Final = 60
_CLOCK_DIGITS: Final = (10, 13)


@dataclass(frozen=True, slots=True)
class MatchOptions:
    """`ignore` are names of parameters, and of members at any depth; `also_headers` names of compared headers."""

    ignore: frozenset[str] = VOLATILE
    also_headers: frozenset[str] = frozenset()

    @classmethod
    def made(cls, ignore: Iterable[str] = (), compare: Iterable[str] = (), headers: Iterable[str] = ()) -> MatchOptions:
        """VOLATILE, with the names in `ignore` added and those in `compare` removed; `headers` are compared too."""
        ignored = (VOLATILE | set(map(normal, ignore))) - set(map(normal, compare))
        return cls(ignored, frozenset(name.lower() for name in headers))

    def counts(self, field: Field, in_url: bool) -> bool:
        """Whether a field is compared."""
        name = next((normal(step) for step in reversed(field.path) if isinstance(step, str)), "")
        digits = field.value.strip('"')
        is_clock = name in CLOCKS and digits.isdigit() and len(digits) in _CLOCK_DIGITS
        return (name not in self.ignore or (in_url and name in CHOOSING)) and not is_clock


class Key(NamedTuple):
    """The canonical form of a request: equal for requests that match."""

    method: str
    host: str
    path: str
    query: tuple[Field, ...]
    headers: tuple[Field, ...]
    body: tuple[Field, ...]


def canonical(request: Request, options: MatchOptions) -> Key:
    """The canonical form of a request."""
    place = links.place(request.url)
    query = [Field((name,), content.text(value)) for name, value in place.query]
    also = sorted(name.lower() for name in options.also_headers)
    headers = [Field((name,), content.text(header(request.headers, name))) for name in also]
    body = content.fields(request.body, header(request.headers, "content-type"))
    return Key(
        request.method.upper(),
        f"{place.scheme}://{place.host}",
        place.path,
        _counting(query, options, True),
        tuple(headers),
        _counting(body, options, False),
    )


def difference(wanted: Request, recorded: Request, options: MatchOptions) -> list[str]:
    """Lines that say how a request differs from a recorded one, field by field."""
    return key_difference(canonical(wanted, options), canonical(recorded, options))


def nearest(wanted: Request, candidates: Sequence[Request], options: MatchOptions) -> int | None:
    """The index of the candidate with the fewest differences, the first of several; None without candidates."""
    return nearest_key(canonical(wanted, options), [canonical(candidate, options) for candidate in candidates])


def key_difference(wanted: Key, recorded: Key) -> list[str]:
    """As difference(), of canonical forms."""
    lines = [
        f"{name}: recorded {_shown(old)}, came {_shown(new)}"
        for name, new, old in zip(Key._fields[:3], wanted[:3], recorded[:3], strict=True)
        if new != old
    ]
    for name, new_fields, old_fields in zip(Key._fields[3:], wanted[3:], recorded[3:], strict=True):
        lines += _field_differences(name, new_fields, old_fields)
    return lines


def nearest_key(wanted: Key, candidates: Sequence[Key]) -> int | None:
    """As nearest(), of canonical forms."""
    if not candidates:
        return None
    return min(range(len(candidates)), key=lambda index: _distance(wanted, candidates[index]))


def _counting(fields: Iterable[Field], options: MatchOptions, in_url: bool) -> tuple[Field, ...]:
    return tuple(sorted((field for field in fields if options.counts(field, in_url)), key=_order))


def _order(field: Field) -> tuple[list[tuple[bool, int, str]], str]:
    # int and str cannot be compared with each other.
    steps = [(False, step, "") if isinstance(step, int) else (True, 0, step) for step in field.path]
    return steps, field.value


def _distance(wanted: Key, recorded: Key) -> tuple[int, int, int]:
    segments = zip_longest(wanted.path.split("/"), recorded.path.split("/"))
    address = (wanted.method != recorded.method) + sum(new != old for new, old in segments)
    fields = 0
    for new, old in zip(wanted[3:], recorded[3:], strict=True):
        fields += (Counter(new) - Counter(old)).total() + (Counter(old) - Counter(new)).total()
    return address, int(wanted.host != recorded.host), fields


def _field_differences(name: str, wanted: Iterable[Field], recorded: Iterable[Field]) -> list[str]:
    new, old = Counter(wanted) - Counter(recorded), Counter(recorded) - Counter(wanted)
    lines = []
    for path in dict.fromkeys(field.path for field in sorted([*new, *old], key=_order)):
        came = sorted(field.value for field in new.elements() if field.path == path)
        was = sorted(field.value for field in old.elements() if field.path == path)
        place = _short(f"{name}{'.' if path and isinstance(path[0], str) else ''}{json_text.shown(path)}")
        lines += [f"{place}: recorded {_shown(a)}, came {_shown(b)}" for a, b in zip_longest(was, came)]
    return lines


def _shown(value: str | None) -> str:
    return "nothing" if value is None else _short(value)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
