"""Static tokens, sent as Bearer. Which of several is used is chosen anew for each request."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .secret import Secret


class BearerTokens:
    """One of `apiTokens` per request, at random, as the Higress ai-proxy plugin does without failover."""

    def __init__(self, tokens: Sequence[Secret]) -> None:
        self._tokens = tokens

    def authorization(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {random.choice(self._tokens).reveal()}"  # noqa: S311 - spreads load, guards nothing
