"""Access tokens that an account is given by its vendor for a while: the value of the moment, and when to ask again.

Nothing is sent here: gateway/ fetches them ahead, off the event loop, and puts them in.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Final, NamedTuple

from ..wire.targets import Url
from .secret import Secret

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0
"""Seconds before a failed request for a token is made again: the first time, and at most."""


class TokenRequest(NamedTuple):
    """A POST that asks for a token. `fields` and `body` hold a credential."""

    url: Url
    fields: dict[str, str]
    body: bytes


class AccessToken(NamedTuple):
    """A token, and the Unix time of its end."""

    value: Secret
    expires: float


class AccessTokens(ABC):
    """The token of one account. `ahead`: seconds before the end of a token from which a new one is asked for."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead
        self._next = 0.0
        self._delay = FIRST_DELAY
        self._problem = "it has not been fetched yet"
        self.latest: AccessToken | None = None
        self.is_offline = False
        """Whether nothing is sent, so that no token is needed."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The account, for a person."""

    @property
    @abstractmethod
    def identity(self) -> object:
        """What makes two accounts the same, so that a token of one serves the other."""

    @abstractmethod
    def request(self, now: float) -> TokenRequest:
        """The request for a token. `now` is Unix time."""

    @abstractmethod
    def read(self, status: int, body: bytes, now: float) -> AccessToken:
        """The token in an answer. Raises ValueError, whose message holds no secret."""

    def rest(self) -> None:
        """Nothing is sent: no token is needed."""
        self.is_offline, self._next = True, math.inf

    def put(self, token: AccessToken, now: float) -> None:
        """A new token."""
        self.latest, self._problem, self._delay = token, "", FIRST_DELAY
        # One that lives shorter than that is used for half of its time.
        self._next = token.expires - min(self._ahead, (token.expires - now) / 2)

    def fail(self, reason: str, now: float) -> float:
        """There is no new token; gives the seconds until it is asked for again."""
        delay, self._delay = self._delay, min(self._delay * 2, LONGEST_DELAY)
        self._problem, self._next = reason, now + delay
        return delay

    def next_request(self) -> float:
        """The Unix time at which a token is to be asked for."""
        return self._next

    def current(self, now: float) -> Secret | None:
        """The token; None if there is none."""
        return self.latest.value if self.latest is not None and now < self.latest.expires else None

    @property
    def problem(self) -> str:
        """Why there is none."""
        return self._problem or "the last one has ended"
