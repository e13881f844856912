"""The inputs of a fuzzer: one source of random choices for each, which its number repeats; and what changes bytes."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from types import FrameType
from typing import Any, Final

HANGS: Final = 20.0
"""Seconds of CPU time after which an input is given up."""


class TooSlow(BaseException):
    """An input took more CPU time than it may. No Exception, which code under test may catch."""


class Inputs:
    """The inputs of one fuzzer.

    Without `seconds` they are those that a test asks for, from number `first` on, the same in every run. With `seconds`
    they go on for so long. `number` is that of the current input, `count` how many there were, `tally` how often
    something happened that is worth knowing: a fuzzer whose inputs are all refused tries little.
    """

    def __init__(self, seconds: float | None = None, first: int = 0, only_one: bool = False) -> None:
        self._seconds, self._first, self._only_one = seconds, first, only_one
        self.number = first
        self.count = 0
        self.tally: Counter[str] = Counter()

    def of(self, usual: int, *, limit: float = HANGS) -> Iterator[Random]:
        """A source for each input: `usual` of them unless the command line says otherwise.

        Raises TooSlow if one takes more than `limit` seconds of CPU time.
        """
        end = None if self._seconds is None else time.monotonic() + self._seconds
        before = signal.signal(signal.SIGVTALRM, _give_up)
        try:
            for number in itertools.count(self._first):
                self.number = number
                is_over = self.count >= usual if end is None else time.monotonic() >= end
                if is_over or (self._only_one and self.count):
                    return
                signal.setitimer(signal.ITIMER_VIRTUAL, limit)
                yield Random(self.number)
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                self.count += 1
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TooSlow("this input takes too much CPU time")


def words(text: str) -> list[bytes]:
    r"""The words of a text as bytes; `\r` and `\xff` are escapes, `\x20` is a blank, é is in UTF-8."""
    return [word.encode().decode("unicode_escape").encode("latin-1") for word in text.split()]


def mutated(random: Random, data: bytes, words: Sequence[bytes], most: int = 4) -> bytes:
    """The bytes with up to `most` changes: bits, pieces that are cut, doubled or moved, and words that are put in."""
    for _ in range(random.randint(0, most)):
        start, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
        if random.random() < 0.7:
            end = min(end, start + random.choice((0, 1, 1, 2, 8)))
        word = random.choice(words) if random.random() < 0.8 else bytes([random.randrange(256)])
        change = random.randrange(7)
        if change == 0:
            data = data[:start] + word + data[start:]
        elif change == 1:
            data = data[:start] + word + data[end:]
        elif change == 2:
            data = data[:start] + data[end:]
        elif change == 3:
            data = data[:end] + data[start:]
        elif change == 4 and start < len(data):
            data = data[:start] + bytes([data[start] ^ 1 << random.randrange(8)]) + data[start + 1 :]
        elif change == 5 and random.random() < 0.5:
            data = data[:end]
        else:
            place = random.randint(0, len(data))
            data = data[:place] + data[start:end] + data[place:]
    return data


def changed(random: Random, document: Any, values: Sequence[Any], names: Sequence[str], most: int = 3) -> Any:
    """A document of JSON or YAML with up to `most` values replaced, removed, renamed, doubled or swapped.

    The document itself is changed, and returned unless the change is to all of it.
    """
    for _ in range(random.randint(0, most)):
        found = list(places(document))
        if not found:
            return random.choice(values)
        holder, key = random.choice(found)
        change = random.randrange(6)
        if change <= 1:
            holder[key] = random.choice(values)
        elif change == 2:
            del holder[key]
        elif change == 3 and isinstance(holder, dict):
            holder[random.choice(names)] = holder.pop(key)
        elif change == 4:
            other, other_key = random.choice(found)
            holder[key] = other[other_key]
        elif isinstance(holder, list):
            holder.insert(key, random.choice(values) if random.random() < 0.5 else holder[key])
        else:
            holder[random.choice(names)] = random.choice(values)
    return document


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a document, with each of its keys or indexes."""
    waiting, seen = [document], set()
    while waiting:
        holder = waiting.pop()
        if not isinstance(holder, dict | list) or id(holder) in seen:
            continue
        seen.add(id(holder))
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            waiting.append(holder[key])
