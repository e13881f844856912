"""The keys of a provider that say when a request is tried again, what is left out, and what may take how long.

Names, defaults and meaning of retryOnFailure and failover are the Higress ai-proxy plugin's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from . import values
from .blocks import nested
from .keys import key
from .values import WrongParts

LONGEST: Final = 86_400_000
"""Milliseconds that anything may be told to take: a day."""
MOST: Final = 100_000_000
"""Requests or tokens in a minute."""
MOST_AT_ONCE: Final = 100_000
QUEUE_TIMEOUT: Final = 30_000
"""Milliseconds in line."""

milliseconds: Final = values.whole(0, LONGEST, "milliseconds")


@dataclass(frozen=True, slots=True)
class Statuses:
    """Patterns of statuses: regular expressions that are looked for anywhere in the three digits."""

    texts: tuple[str, ...]
    _found: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_found", tuple(re.compile(text) for text in self.texts))

    def have(self, status: int) -> bool:
        """Whether a status is meant. One below 300 never is, though `4.*` is found in 204."""
        return status >= 300 and any(pattern.search(str(status)) for pattern in self._found)

    @property
    def successes(self) -> tuple[str, ...]:
        """Those of the patterns that describe a success from its first digit on."""
        pairs = zip(self.texts, self._found, strict=True)
        return tuple(text for text, one in pairs if any(one.match(str(status)) for status in range(200, 300)))

    @property
    def nothings(self) -> tuple[str, ...]:
        """Those of the patterns that are found in no status."""
        pairs = zip(self.texts, self._found, strict=True)
        return tuple(text for text, one in pairs if not any(one.search(str(status)) for status in range(100, 600)))


ERRORS: Final = Statuses(("4.*", "5.*"))


def statuses(value: Any) -> Statuses:
    """A list of patterns of statuses, or one. Raises WrongParts."""
    wrong = []
    texts = values.texts(value)
    for index, text in enumerate(texts):
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            wrong.append((f"[{index}]", f"{text[:40]!r} is not a regular expression ({error})"))
    if wrong:
        raise WrongParts(*wrong)
    return Statuses(texts)


@dataclass(frozen=True, slots=True)
class RetryOnFailure:
    """When a request is tried again with another token. 0 stands for the default."""

    enabled: bool = key(values.flag, False, help="Whether further tokens of `apiTokens` are tried.")
    max_retries: int = key(values.whole(0, 100), 1, help="Tries with this provider after the first.")
    retry_timeout: int = key(milliseconds, 60_000, help="Milliseconds until the answer of a further try has begun.")
    retry_on_status: Statuses = key(
        statuses, ERRORS, help="Regular expressions, looked for anywhere in the status; a success never counts."
    )


@dataclass(frozen=True, slots=True)
class Failover:
    """When tokens are left out for a while. 0 stands for the default, but for the cooldown."""

    enabled: bool = key(values.flag, False, help="Whether tokens and providers that fail are left out for a while.")
    failure_threshold: int = key(values.whole(0, 1_000), 3, help="Failures, one after the other, until it is left out.")
    success_threshold: int = key(values.whole(0, 1_000), 1, help="Successes on trial until it is in use again.")
    health_check_model: str = key(
        values.text, "", help="The model of timed probes, which cost money. Without it there are none."
    )
    health_check_interval: int = key(milliseconds, 5_000, help="Milliseconds between two probes.")
    health_check_timeout: int = key(milliseconds, 5_000, help="Milliseconds until the answer to a probe.")
    cooldown_duration: int = key(
        milliseconds,
        60_000,
        help="Milliseconds after which the next request tries it again; 0: only a probe brings it back.",
    )
    failover_on_status: Statuses = key(statuses, ERRORS, help="As `retryOnStatus`: the statuses that are failures.")


@dataclass(frozen=True, slots=True)
class Rate:
    """How much may be asked in any minute; 0: no limit."""

    requests_per_minute: int = key(values.whole(0, MOST), 0, help="Requests.")
    tokens_per_minute: int = key(
        values.whole(0, MOST), 0, help="Tokens of models: those of a request are estimated by its length."
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be asked at one time and in any minute; 0: no limit."""

    concurrency: int = key(values.whole(0, MOST_AT_ONCE), 0, help="Requests at one time.")
    rate: Rate = key(nested(Rate), Rate(), mapping=True, help="Requests and tokens in any minute.")


def warnings(retry: RetryOnFailure, failover: Failover) -> list[str]:
    """What works otherwise than it is written, in a line each that begins with the key."""
    blocks = (("retryOnFailure", retry, NO_RETRY), ("failover", failover, NO_FAILOVER))
    lines = [
        f"{name} has no effect: it has no `enabled: true`"
        for name, block, nothing in blocks
        if block != nothing and not block.enabled
    ]
    lists = {
        "retryOnFailure.retryOnStatus": retry.retry_on_status,
        "failover.failoverOnStatus": failover.failover_on_status,
    }
    for name, found in lists.items():
        texts = ", ".join(map(repr, found.successes))
        if texts:
            lines.append(f"{name} has {texts}: a success is never tried again, and is no failure")
        texts = ", ".join(map(repr, found.nothings))
        if texts:
            lines.append(f"{name} has {texts}: no status has that")
    numbers = {
        "retryOnFailure.maxRetries": (retry.max_retries, NO_RETRY.max_retries),
        "retryOnFailure.retryTimeout": (retry.retry_timeout, NO_RETRY.retry_timeout),
        "failover.failureThreshold": (failover.failure_threshold, NO_FAILOVER.failure_threshold),
        "failover.successThreshold": (failover.success_threshold, NO_FAILOVER.success_threshold),
    }
    lines += [f"{name} is 0, which stands for {usual}" for name, (value, usual) in numbers.items() if not value]
    return lines


NO_RETRY: Final = RetryOnFailure()
NO_FAILOVER: Final = Failover()
NO_RATE: Final = Rate()
NO_LIMITS: Final = Limits()

retry_on_failure: Final = nested(RetryOnFailure)
failover: Final = nested(Failover)
rate: Final = nested(Rate)
limits: Final = nested(Limits)
