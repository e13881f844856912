"""What a person has to know of an account: that it is paused and does not come back by itself, and that it is back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .lanes import ADVICE, NEW, Lane
from .replies import Verdict

NOT_CONFIGURED: Final = "not_configured"
"""Why jobs wait whose account the configuration does not name."""
UNKNOWN_ACCOUNT: Final = "platform.accounts does not name this account, and its jobs wait: name it with its gateway."

_ANSWERS: Final[Mapping[str, int]] = {
    Verdict.UNPAID: 1,
    Verdict.DENIED: 1,
    Verdict.FORBIDDEN: 1,
    Verdict.GONE: 1,
    # A new token may do.
    Verdict.CLOCK: 2,
    # A gateway that is started anew is away for a while: these are a minute of it.
    Verdict.UNSENT: 7,
    Verdict.DOUBT: 11,
}
"""By the reason of a pause, after how many answers in a row it is a person's."""


class Alarm(NamedTuple):
    """An account, or one of its models (else ""), that is paused for a reason; "" for one that is in order again."""

    account: str
    model: str
    reason: str

    def content(self) -> dict[str, Any]:
        """What webhooks, events and the API say of it."""
        return {
            "account": self.account,
            "model": self.model or None,
            "status": "paused" if self.reason else "resumed",
            "reason": self.reason or None,
            "advice": ADVICE.get(self.reason, ""),
        }

    def event(self) -> tuple[str, str]:
        """The type of a webhook, and its data as JSON."""
        content = self.content()
        return f"account.{content['status']}", json.dumps(content)


def reason(lane: Lane) -> str:
    """Why a person has to look at a lane; "" where nobody has to."""
    return lane.reason if lane.failures >= _ANSWERS.get(lane.reason, math.inf) else ""


def alarm(account: str, model: str, before: Lane, after: Lane) -> Alarm | None:
    """What has begun or ended with an answer."""
    was, now = reason(before), reason(after)
    return None if was == now else Alarm(account, model, now)


def paused(lanes: Mapping[tuple[str, str], Lane]) -> dict[tuple[str, str], Alarm]:
    """What is paused now, of the lanes by account and model."""
    found = {key: alarm(*key, NEW, lane) for key, lane in lanes.items()}
    return {key: alarm for key, alarm in found.items() if alarm}
