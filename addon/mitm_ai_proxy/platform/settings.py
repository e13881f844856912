"""The `platform:` block of config.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..auth.secret import Secret
from ..config import values
from ..config.keys import block, blocks, key
from ..wire.targets import Url
from .timing import Timing

TIERS: Final[Mapping[str, int]] = {"free": 1, "standard": 3, "pro": 5, "enterprise": 10}
"""Tasks that an account may have at once, by the name of its plan."""
MAIN: Final = "main"
"""The account where none is named."""
DEFAULT_TENANT: Final = "default"
"""The tenant of a caller on this machine, where no key is needed."""

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""Names of tenants are folders in the storage."""

_number_or_plan = values.number_or_word(
    values.whole(1, 100_000), TIERS, f"{', '.join(TIERS)}, or a whole number from 1 to 100000"
)


def tenant_name(name: str) -> str:
    """A name that a tenant may have. Raises ValueError for another one."""
    if not _TENANT.fullmatch(name):
        raise ValueError("expected a name of at most 64 letters, digits and . _ @ -, the first of them no sign")
    return name


def _concurrency(value: Any) -> int:
    return int(_number_or_plan(value))


_units = values.number(0, 1e9)


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """An account at Kling. Which one it is, is decided by the key of its gateway."""

    concurrency: int = key(
        _concurrency, TIERS["pro"], help="Tasks of one model that the account may have at once: a number, or its plan."
    )
    gateway: Url | None = key(
        values.url, help="The URL of the gateway that holds the account's key, with its `basePath` if it has one."
    )


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """A tenant: whoever has keys of its own, sees its own jobs, and has a budget. Without a value there is no limit."""

    slots: int | None = key(values.whole(1, 100_000), help="Tasks that the tenant may have at once.")
    queue: int | None = key(values.whole(0, 10_000_000), help="Jobs that may wait; beyond, a create is answered 429.")
    daily_units: float | None = key(_units, help="Units that the tenant may spend in a day, by UTC.")
    monthly_units: float | None = key(_units, help="Units that it may spend in a month.")
    unknown_price: float | None = key(
        _units,
        help="Units that are reserved for a create whose price is not known. Without it, such creates are refused.",
    )
    webhook_secret: tuple[Secret, ...] = key(
        values.webhook_secrets,
        (),
        secret=True,
        help="`whsec_…`: what webhooks to the tenant are signed with; two while one replaces the other.",
    )


@dataclass(frozen=True, slots=True)
class AlarmSettings:
    """Who is told when an account is paused. It is named by whoever runs the platform: its address may be private."""

    url: Url | None = key(
        values.url, help="Gets a webhook when an account is paused, and one when it is in order again."
    )
    webhook_secret: tuple[Secret, ...] = key(
        values.webhook_secrets, (), secret=True, help="`whsec_…`: what they are signed with; one, or two."
    )


@dataclass(frozen=True, slots=True)
class PlatformSettings:
    """The keys of the block."""

    concurrency: int = key(
        _concurrency,
        TIERS["pro"],
        help="Tasks of one model that the account may have at once: a number, or `free` (1), `standard` (3), `pro` (5),"
        " `enterprise` (10).",
    )
    accounts: Mapping[str, AccountSettings] = blocks(
        AccountSettings,
        short="concurrency",
        help="Several accounts in the place of one, by a name for each: `concurrency` and the `gateway` with its key.",
    )
    tenants: Mapping[str, TenantSettings] = blocks(
        TenantSettings,
        help="By name: `slots`, `queue`, `dailyUnits`, `monthlyUnits`, `unknownPrice`, `webhookSecret`.",
    )
    alarms: AlarmSettings = block(AlarmSettings, help="Who is told when an account is paused: `url`, `webhookSecret`.")
    private_receivers: bool = key(
        values.flag, False, help="Send webhooks to addresses of private networks and of this machine, too."
    )
    timing: Timing = block(Timing, help="Waits in seconds, see below.")

    def tenant(self, name: str) -> TenantSettings:
        """What a tenant may; one that is not configured has no limit."""
        return self.tenants.get(name, NO_LIMITS)

    @property
    def concurrencies(self) -> Mapping[str, int]:
        """Tasks at once by account; the account is MAIN where none is named."""
        if not self.accounts:
            return {MAIN: self.concurrency}
        return {name: account.concurrency for name, account in self.accounts.items()}


NO_LIMITS: Final = TenantSettings()
