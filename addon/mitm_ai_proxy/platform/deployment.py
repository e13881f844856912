"""What a process of the platform is told: a block of config.yaml, and by its environment where the parts are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from ..auth.secret import Secret
from ..config import file, values
from ..config.file import ConfigurationError
from ..config.keys import Problem
from ..wire.targets import Url
from .scheduling import Limits
from .settings import PlatformSettings, tenant_name

DATA: Final = Path("platform-data")
GATEWAY: Final = "http://127.0.0.1:8080"
"""Where `ai-proxy start` listens."""
DATABASES: Final = ("postgresql", "postgres", "sqlite")
QUEUES: Final = ("redis", "rediss")
STORAGES: Final = ("file", "s3", "gs", "az")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the parts are. An empty URL: SQLite, Huey on SQLite, or a folder, in `data`.

    `gateways`: the URL of the gateway of each account. `public_url`: under which Kling and customers reach the API, ""
    where they do not. `kling_secrets`: what Kling signs callbacks with.
    """

    platform: PlatformSettings
    data: Path
    database: Secret
    queue: Secret
    storage: str
    gateways: Mapping[str, str]
    public_url: str
    kling_secrets: tuple[Secret, ...]

    @property
    def limits(self) -> Limits:
        """How many tasks accounts and tenants may have at once."""
        tenants = self.platform.tenants.items()
        slots = {name: tenant.slots for name, tenant in tenants if tenant.slots is not None}
        return Limits(self.platform.concurrencies, slots)


def read(
    source: Path | str | Mapping[Any, Any],
    environment: Mapping[str, str],
    *,
    data: Path | None = None,
    name: str = "",
    gateway: str = "",
) -> Deployment:
    """Read the block of a configuration, and the environment. `data` and `gateway` go before what that says.

    Raises ConfigurationError with all mistakes of either.
    """
    platform = file.read_block(source, environment, "platform", PlatformSettings, name=name)
    problems: list[Problem] = []

    def take(variable: str, convert: Callable[[str], _T], default: _T) -> _T:
        given = environment.get(variable, "").strip()
        try:
            return convert(given) if given else default
        except ValueError as error:
            problems.append(Problem(variable, str(error)))
            return default

    for tenant in platform.tenants:
        try:
            tenant_name(tenant)
        except ValueError as error:
            problems.append(Problem(f"platform.tenants.{tenant}", str(error)))
    home = gateway or take("GATEWAY_URL", _http, GATEWAY)
    found = Deployment(
        platform,
        data or take("PLATFORM_DATA", Path, DATA),
        take("DATABASE_URL", _one_of(DATABASES), Secret("")),
        take("REDIS_URL", _one_of(QUEUES), Secret("")),
        take("STORAGE_URL", lambda text: _one_of(STORAGES)(text).reveal(), ""),
        _gateways(platform, home, problems),
        take("PUBLIC_URL", _http, ""),
        take("KLING_WEBHOOK_SECRET", lambda text: values.webhook_secrets(text.split()), ()),
    )
    if problems:
        raise ConfigurationError("environment", problems)
    return found


def _gateways(platform: PlatformSettings, home: str, problems: list[Problem]) -> dict[str, str]:
    """The gateway of each account. With one gateway, two accounts would be one, counted twice."""
    found: dict[str, str] = {}
    for name in platform.concurrencies:
        account = platform.accounts.get(name)
        url = str(account.gateway) if account and account.gateway else home
        if url in found.values():
            other = next(known for known, taken in found.items() if taken == url)
            problems.append(
                Problem(
                    f"platform.accounts.{name}.gateway",
                    f"is that of {other}, whose key it has: give each account a gateway, or a basePath of one",
                )
            )
        found[name] = url
    return found


def _http(text: str) -> str:
    url = Url.parse(text)
    if "://" not in text or url.query:
        raise ValueError("expected a URL such as https://videos.example, without a query")
    return str(url)


def _one_of(schemes: tuple[str, ...]) -> Callable[[str], Secret]:
    """A URL with one of these schemes; it may hold a password."""

    def convert(text: str) -> Secret:
        scheme, separator, _ = text.partition("://")
        if not separator or scheme not in schemes:
            raise ValueError(f"expected a URL that begins with {', '.join(f'{known}://' for known in schemes)}")
        return Secret(text)

    return convert
