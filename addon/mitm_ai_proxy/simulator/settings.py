"""The `simulator:` block of config.yaml."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from ..auth.secret import Secret
from ..config import values
from ..config.keys import key
from ..config.values import HostPattern
from ..wire.targets import Origin
from . import faults

ACCESS_KEY: Final = "simulated-access-key"
SECRET_KEY: Final = "simulated-secret-key-0123456789ab"  # noqa: S105 - opens nothing but the simulator
API_KEY: Final = "api-key-kling-simulated"


def _fault(value: Any) -> str:
    text = values.text(value)
    if text:
        faults.parse(text)
    return text


def _access_key(value: Any) -> str | None:
    # An empty one is replaced by the default: without one, no request could be authenticated.
    return values.credential(value) or None


_speed = values.number_or_word(
    values.number(0.01, 1e6),
    {"instant": math.inf, "real": 1.0},
    "instant, real, or how many times faster (0.01 to 1000000)",
)


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """The keys of the block. `speed` is infinite for `instant`."""

    speed: float = key(
        _speed,
        20.0,
        help="How many times faster than Kling a task is, and a chat than 50 tokens a second; `real`; `instant`: done"
        " when it is first asked for.",
    )
    concurrency: int = key(
        values.whole(1, 10_000), 5, help="Tasks of one model that may run at once (pictures count each)."
    )
    units: float = key(
        values.number(0, 1e9),
        1000.0,
        help="Units that the pack for videos holds; a task is paid when it is done, a failed one is not.",
    )
    image_units: float = key(values.number(0, 1e9), 10_000.0, help="Units that the pack for pictures holds.")
    max_tasks: int = key(
        values.whole(1, 100_000),
        1000,
        help="Tasks that are kept; beyond, the one that finished first is forgotten, with its name.",
    )
    clock_skew: float = key(values.number(-86400, 86400), 0.0, help="Seconds by which Kling's clock is ahead of yours.")
    link_lifetime: float = key(values.number(0, 1e9), 30 * 86400.0, help="Seconds that a link to a result holds.")
    serve_retired: bool = key(
        values.flag,
        False,
        help="Serve models that Kling switched off (`kling-v1` to `kling-v2-1-master`), which answer 404/1203.",
    )
    chat_models: tuple[str, ...] = key(
        values.texts, (), help="The models that chats may name; others answer 404. Without it, every name is taken."
    )
    fault: str = key(_fault, "", help="A fault for all creates and all chats.")
    access_key: str = key(_access_key, ACCESS_KEY, secret=True, help="The access key of the pair that it takes.")
    secret_key: Secret = key(
        values.secret, Secret(SECRET_KEY), secret=True, help="The secret key of the pair that it takes."
    )
    api_key: Secret = key(values.secret, Secret(API_KEY), secret=True, help="The single key that it takes.")
    webhook_secret: Secret = key(
        values.webhook_secret, Secret(""), secret=True, help="`whsec_…`: callbacks are signed with it."
    )
    callback_hosts: tuple[HostPattern, ...] = key(
        values.hosts, (), help="Hosts besides loopback that callbacks may go to."
    )
    public_url: Origin | None = key(
        values.origin,
        help="Origin of the links, where clients do not reach the proxy under the address it has itself (containers).",
    )
