"""Names all types of provider and all blocks of config.yaml, and reads a configuration with them."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import apis
from .auth.secret import Secret
from .cassette.settings import CassetteSettings, ScrubSettings
from .config import file, placeholders, reliability, values
from .config.file import ConfigurationError, ProviderType
from .config.keys import Problem, Reading, declared, key
from .config.keys import secrets as declared_secrets
from .config.reliability import Limits
from .config.values import HostPattern
from .errors import Refusal
from .exchange import Caller, Head
from .kling.provider import Kling
from .platform.settings import PlatformSettings
from .providers import higress_keys, higress_types, litellm
from .providers.base import Clock, Provider
from .providers.common_keys import CommonKeys, SimulatorAccount
from .providers.fetches import Fetch
from .providers.row import AddressKeys
from .providers.rows import COMPATIBLE
from .routing.health import Health
from .routing.limits import Lines, Quota
from .routing.providers import Providers
from .routing.rules import Router, hidden
from .simulator.links import FOLDER
from .simulator.parts import PARTS
from .simulator.settings import API_KEY, SECRET_KEY, SimulatorSettings
from .view.prices import PriceSettings
from .wire.targets import DEFAULT_PORTS, Origin

if TYPE_CHECKING:
    from .cassette.recorded_api import RecordedAPI


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The hosts whose requests are taken where clients choose their hosts; None: the provider's, and DEFAULT_HOSTS."""

    hosts: tuple[HostPattern, ...] | None = key(
        values.hosts, help="Hosts (`host` or `host:port`) that are rewritten in regular and upstream mode."
    )


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The web pages that may use the proxy, besides those of this machine."""

    allowed_origins: tuple[str, ...] = key(
        values.page_origins, (), help="Origins (`https://app.example`) of web pages that may use the proxy."
    )


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Who may use the proxy."""

    client_tokens: Mapping[str, tuple[Secret, ...]] = key(
        values.named_secrets,
        {},
        secret=True,
        mapping=True,
        help="Names of clients, each with its token (or a list of them): who sends none of these is refused. The token"
        " stands where SDKs send their key, and is not sent to a provider.",
    )


Configuration: TypeAlias = file.Configuration[CommonKeys]
"""A configuration with providers of TYPES, and with the blocks of BLOCKS."""

TYPES: Final[Mapping[str, type[Provider]]] = {Kling.type: Kling, **COMPATIBLE}
BLOCKS: Final[Mapping[str, type[Any]]] = {
    "simulator": SimulatorSettings,
    "cassette": CassetteSettings,
    "platform": PlatformSettings,
}
TOP_LEVEL: Final = (HostSettings, PageSettings, ClientSettings, PriceSettings, ScrubSettings)
"""Declare the keys that stand beside the blocks."""

DEFAULT_HOSTS: Final = (HostPattern("api.openai.com"),)
"""Hosts that are rewritten in regular mode besides the provider's own, where `hosts` is not set."""


@functools.cache
def public_hosts() -> frozenset[str]:
    """The hosts of the services that the types are for, as far as they are the same for all accounts."""
    homes = (getattr(provider, "home", None) for provider in TYPES.values())
    # What one runs oneself is spoken to without TLS, at an address of this machine.
    return frozenset(home.host for home in homes if home and home.scheme == "https")


@functools.lru_cache(maxsize=4)
def _declarations(types: tuple[tuple[str, type[Provider]], ...]) -> Mapping[str, ProviderType[CommonKeys]]:
    """The keys of a provider block, by the type of the provider."""
    keys = {name: declared(provider.Keys) for name, provider in types}
    # The plugin accepts these keys in a block of any type.
    known = higress_keys.ALL | {name for own in keys.values() for name, key in own.items() if not key.is_extension}
    found = {}
    for name, provider in types:
        not_implemented = provider.not_implemented - keys[name].keys()
        ignored = known - keys[name].keys() - not_implemented
        variable = "" if provider.is_key_optional else provider.variable
        instead = frozenset(provider.key_instead)
        aliases = {
            alias: next(iter(meant))
            for alias, names in higress_keys.ALIASES.items()
            if alias not in keys[name] and (meant := [one for one in names if one in keys[name]])
        }
        found[name] = ProviderType(
            provider.Keys, ignored - aliases.keys(), not_implemented, provider.problems, variable, instead, aliases
        )
    return found


_SIMULATORS: Final = (
    "is missing: the key is the simulator's, which Kling does not know; give the address that ai-proxy simulate prints,"
    " such as http://127.0.0.1:8090"
)
_UNKNOWN: Final = file.Unknown(higress_types.ANYTHING_ELSE, (higress_types.problem, litellm.problem))


def recorded_api(*types: str) -> RecordedAPI:
    """What cassettes are told of the APIs of these types: prices, error codes, where a task is read.

    Unless there is one type, of which something is known, it is what is known of all APIs together.
    """
    # Long tables, which only a recording needs.
    from .cassette.recorded_api import AllAPIs
    from .kling.recorded_api import RECORDED_API

    known: dict[str, RecordedAPI] = {Kling.type: RECORDED_API}
    return known[types[0]] if len(types) == 1 and types[0] in known else AllAPIs([*known.values()])


def read(
    source: Path | str | Mapping[Any, Any],
    environment: Mapping[str, str] = os.environ,
    *,
    name: str = "",
    offline: bool = False,
    simulated: bool = False,
) -> Configuration:
    """The configuration in a file (a Path), in a text of YAML, or in a document that is parsed already.

    `offline`: nothing will be sent, so that a credential may be missing, and a `${NAME}` in one may be unset.
    `simulated`: the same, but a `${NAME}` has to be set. `name` replaces the path in error messages.
    Raises ConfigurationError with all mistakes.
    """
    found = file.read(
        source,
        environment,
        _declarations(tuple(TYPES.items())),
        BLOCKS,
        TOP_LEVEL,
        name=name,
        offline=offline or simulated,
        unset_secrets=offline,
        unknown=_UNKNOWN,
    )
    if not (offline or simulated):
        names = [name for name, keys in found.providers.items() if _is_simulators(keys)]
        if names:
            blocks = [f"providers ({name})" if name else "provider" for name in names]
            raise ConfigurationError(
                found.source, [Problem(f"{block}.providerDomain", _SIMULATORS) for block in blocks]
            )
    return found


def _is_simulators(keys: CommonKeys) -> bool:
    """Whether a provider is the real Kling with one of the simulator's public credentials."""
    known = {SECRET_KEY, API_KEY}
    return keys.type == Kling.type and keys.provider_domain is None and not known.isdisjoint(declared_secrets(keys))


def fetched(configuration: Configuration, load: Callable[[Fetch], str]) -> Configuration:
    """The configuration with the texts that its providers need; the same one if they need none.

    `load` gets each of them, and raises a ValueError whose text continues a sentence. Raises ConfigurationError.
    """
    found = dict(configuration.providers)
    problems = []
    for name, keys in configuration.providers.items():
        for fetch in _made(configuration, keys, time.time, False).fetches():
            try:
                text = load(fetch)
            except ValueError as error:
                block = f"providers ({name})" if name else "provider"
                problems.append(Problem(f"{block}.{fetch.key}", f"{fetch.source} {error}"))
            else:
                value = getattr(found[name], fetch.field)._replace(text=text)
                found[name] = replace(found[name], **{fetch.field: value})
    if problems:
        raise ConfigurationError(configuration.source, problems)
    return configuration if found == configuration.providers else replace(configuration, providers=found)


def providers(configuration: Configuration, clock: Clock = time.time, *, simulated: bool = False) -> Providers:
    """The providers of a configuration; `simulated`: with the credentials of the simulator's account, where they can.

    `clock` gives Unix time in seconds. Raises ConfigurationError if none of them can be simulated.
    """
    if simulated and not simulated_parts(configuration):
        types = ", ".join(sorted({keys.type for keys in configuration.providers.values()}))
        message = f"the simulator does not know the types in use ({types})"
        raise ConfigurationError(configuration.source, [Problem("ai_simulate", message)])
    blocks = configuration.providers
    if len(blocks) > 1:
        blocks = {name: _among_others(keys) for name, keys in blocks.items()}
    made = {name: _made(configuration, keys, clock, simulated) for name, keys in blocks.items()}
    health = Health({name: keys.failover for name, keys in configuration.providers.items()}, time.monotonic)
    quotas = {
        name: Quota(Limits(keys.concurrency, keys.rate), keys.token_limits)
        for name, keys in configuration.providers.items()
    }
    lines = Lines(quotas, time.monotonic)
    # Of the configured ones: the simulator's account has one key for all.
    firsts = {
        name: found
        for name, keys in configuration.providers.items()
        if made[name].tokens and len(set(found := _firsts(keys))) < len(found)
    }
    if len(made) == 1 and not configuration.routes:
        return Providers(made, active=configuration.active, health=health, lines=lines, firsts=firsts)
    by_rank = sorted(made, key=lambda name: name != configuration.active)
    home = next((name for name in by_rank if (part := made[name].simulated_by) and PARTS[part].makes_files), None)
    links = {} if home is None else {f"/{FOLDER}/": home}
    router = Router(made, configuration.routes, configuration.active, links)
    return Providers(made, router, configuration.active, health, lines, firsts)


def _firsts(keys: CommonKeys) -> list[int]:
    """For each of `apiTokens` the index of the first that is the same."""
    texts = [token.reveal() for token in keys.api_tokens]
    return [texts.index(text) for text in texts]


def _among_others(keys: CommonKeys) -> CommonKeys:
    """The keys of one of several providers: a client's own key may be meant for another one."""
    if isinstance(keys, AddressKeys) and keys.send_client_key is None and TYPES[keys.type].is_key_optional:
        return replace(keys, send_client_key=False)
    return keys


def provider(configuration: Configuration, clock: Clock = time.time) -> Provider:
    """The provider for what no route takes. Raises LookupError if there is none."""
    return _made(configuration, configuration.provider, clock, False)


def _made(configuration: Configuration, keys: CommonKeys, clock: Clock, simulated: bool) -> Provider:
    kind = TYPES[keys.type]
    if not (simulated and kind.simulated_by):
        return kind(keys, clock)
    settings = configuration.block(SimulatorSettings)
    account = SimulatorAccount(settings.access_key, settings.secret_key, settings.api_key, settings.speed)
    return kind.simulated(keys, clock, account)


def simulated_parts(configuration: Configuration) -> set[str]:
    """The parts of the simulator that stand for providers in use."""
    return {part for keys in configuration.providers.values() if (part := TYPES[keys.type].simulated_by)}


def can_be_simulated(configuration: Configuration) -> bool:
    """Whether all providers can be simulated."""
    return all(TYPES[keys.type].simulated_by for keys in configuration.providers.values())


def is_simulated_without_key(configuration: Configuration) -> bool:
    """Whether all providers are simulated by themselves where a key is missing."""
    return all(TYPES[keys.type].is_simulated_without_key for keys in configuration.providers.values())


def lacks_credential(configuration: Configuration) -> bool:
    """Whether a provider has no credential to send requests with."""
    reading = Reading({}, offline=False)
    return any(True for keys in configuration.providers.values() for _ in TYPES[keys.type].problems(keys, reading))


def described(configuration: Configuration, providers: Providers, *, remarks: bool = False) -> list[str]:
    """Where requests are sent, in a line for each provider in use and for each route.

    `remarks`: with what a person should know about each provider, in further lines of its text.
    """
    texts = []
    for name, provider in providers.by_id.items():
        named = provider.type if providers.only else f"{name} ({provider.type})"
        rest = ", where no route matches" if configuration.routes and name == configuration.active else ""
        text = f"provider {named} at {provider.origin}{rest}"
        texts.append("\n  ".join([text, *provider.remarks]) if remarks else text)
    return [*texts, *(providers.router.described if providers.router else ())]


def warnings(configuration: Configuration) -> list[str]:
    """What is likely to be a mistake of whoever wrote the configuration, in a line each."""
    lines = [f"{path} {placeholders.MESSAGE}" for path in configuration.placeholders]
    lines += hidden(configuration.routes)
    together = {name for route in configuration.routes if len(route.provider) > 1 for name in route.provider}
    for name, keys in configuration.providers.items():
        where = f"providers ({name})" if name else "provider"
        made = TYPES[keys.type](keys, time.time)
        firsts = _firsts(keys) if made.tokens else []
        count = len(set(firsts))
        lines += [
            f"{where}.apiTokens[{index}] is the same as apiTokens[{first}]: they count as one token"
            for index, first in enumerate(firsts)
            if first < index
        ]
        if keys.failover.enabled and keys.failover.health_check_model and not _has_chats(made):
            lines.append(f"{where}.failover.healthCheckModel has no effect: type {keys.type} has no chats to ask by")
        own = (*made.warnings, *reliability.warnings(keys.retry_on_failure, keys.failover))
        lines += [f"{where}.{line}" for line in own]
        if count < 2 and name not in together:
            what = "one token" if count else "no token of apiTokens"
            blocks = {"retryOnFailure": keys.retry_on_failure.enabled, "failover": keys.failover.enabled}
            lines += [
                f"{where}.{block} has no effect: there is {what}, and one provider"
                for block, is_enabled in blocks.items()
                if is_enabled
            ]
        limits = Limits(keys.concurrency, keys.rate)
        if keys.queue_timeout != reliability.QUEUE_TIMEOUT and limits == keys.token_limits == Limits():
            lines.append(f"{where}.queueTimeout has no effect: there is no concurrency, rate or tokenLimits")
    return lines


def _has_chats(provider: Provider) -> bool:
    try:
        provider.requestheaders(Head("POST", apis.CHAT_PATH, Caller("application/json")))
    except Refusal:
        return False
    return True


def public_origins(configuration: Configuration) -> tuple[Origin, ...]:
    """The origins under which clients reach the proxy, as the blocks name them (`publicUrl`)."""
    found = (configuration.block(SimulatorSettings).public_url, configuration.block(CassetteSettings).public_url)
    return tuple(origin for origin in found if origin)


def hosts(configuration: Configuration, *providers: Provider) -> tuple[HostPattern, ...]:
    """The hosts whose requests are rewritten in modes where the client chooses the host (regular, transparent)."""
    configured = configuration.block(HostSettings).hosts
    if configured is not None:
        return configured
    own = (_own_host(origin) for provider in providers for origin in provider.origins)
    return tuple(dict.fromkeys((*DEFAULT_HOSTS, *own)))


def _own_host(origin: Origin) -> HostPattern:
    # Other ports of the same host may belong to other services, unless the port is the scheme's default.
    return HostPattern(origin.host, None if origin.port == DEFAULT_PORTS[origin.scheme] else origin.port)
