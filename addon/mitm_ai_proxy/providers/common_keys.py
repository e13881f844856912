"""The keys that a block of every type of provider has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from .. import apis
from ..auth.secret import Secret
from ..config import reliability, values
from ..config.keys import Problem, Reading, key, nearest
from ..config.model_mapping import ModelMapping
from ..config.reliability import Failover, Limits, Rate, RetryOnFailure
from ..wire import targets
from ..wire.targets import Origin

PROTOCOLS: Final = ("openai", "original")
BASE_PATH_HANDLINGS: Final = ("removePrefix", "prepend")


class SimulatorAccount(NamedTuple):
    """The credentials that the simulator accepts, and how many times faster than Kling it is."""

    access_key: str
    secret_key: Secret
    api_key: Secret
    speed: float

    def keys_for(self, tokens: tuple[Secret, ...]) -> tuple[Secret, ...]:
        """The API key in the place of each token, so that a request has as many tries; once, where there is none."""
        return (self.api_key,) * max(1, len(tokens))


@dataclass(frozen=True, slots=True)
class CommonKeys:
    """The keys of a provider block that every type has. Types add their own in a subclass."""

    type: str = key(values.text, "", help="The type of the provider, such as `kling`. Required.")
    id: str = key(values.text, "", help="A name for `activeProviderId`.")
    protocol: str = key(
        values.one_of(*PROTOCOLS), "openai", help="`original`: change host, base path and credential only."
    )
    api_tokens: tuple[Secret, ...] = key(
        values.secrets,
        (),
        secret=True,
        help="Bearer tokens, one of them at random for each request; a single text will do.",
    )
    model_mapping: ModelMapping = key(
        values.model_mapping,
        ModelMapping({}),
        mapping=True,
        help="Model of the client to model of the provider: exact name, then `prefix*` and `~regex` in file order"
        ' (`$1`, `${name}` for groups), then `*`. A value of `""` keeps the model.',
    )
    capabilities: Mapping[str, str] = key(
        values.paths, {}, mapping=True, help="API name to path of the provider, which may have a query of its own."
    )
    base_path: str = key(values.path, "", help="Prefix of the client's path.")
    base_path_handling: str = key(
        values.one_of(*BASE_PATH_HANDLINGS),
        "removePrefix",
        help="What to do with `basePath`: remove it from the client's path, or `prepend` it to the provider's.",
    )
    provider_base_path: str = key(values.path, "", help="Put in front of the provider's path, unless it is there.")
    provider_domain: Origin | None = key(
        values.origin,
        help="Host, `host:port`, or origin with its scheme (`http://127.0.0.1:3000`); https without a scheme."
        " Default: the provider's own host.",
    )
    retry_on_failure: RetryOnFailure = key(
        reliability.retry_on_failure,
        reliability.NO_RETRY,
        mapping=True,
        help="When a request is tried again with another of `apiTokens`: see [Reliability](reliability.md).",
    )
    failover: Failover = key(
        reliability.failover,
        reliability.NO_FAILOVER,
        mapping=True,
        help="When tokens and providers that fail are left out: see [Reliability](reliability.md#what-is-left-out).",
    )
    timeout: int = key(
        reliability.milliseconds,
        0,
        help="Milliseconds until something of the answer is sent to the client, all tries and waits together; 0: no"
        " limit.",
    )
    first_byte_timeout: int = key(
        reliability.milliseconds,
        0,
        help="Milliseconds in which the answer to a request for a stream has to begin; 0: no limit.",
    )
    connect_timeout: int = key(
        reliability.milliseconds,
        0,
        help="Milliseconds in which the connection to the provider has to be made; 0: no limit.",
    )
    concurrency: int = key(
        values.whole(0, reliability.MOST_AT_ONCE), 0, help="Requests to the provider at one time; 0: no limit."
    )
    rate: Rate = key(
        reliability.rate,
        reliability.NO_RATE,
        mapping=True,
        help="How much is asked of the provider in any minute: see [Reliability](reliability.md#limits).",
    )
    token_limits: Limits = key(
        reliability.limits,
        reliability.NO_LIMITS,
        mapping=True,
        help="`concurrency` and `rate` of each of `apiTokens`.",
    )
    queue_timeout: int = key(
        reliability.milliseconds,
        reliability.QUEUE_TIMEOUT,
        help="Milliseconds that a request waits in line, where `concurrency`, `rate` or `tokenLimits` is reached.",
    )
    log_upstream_error_response_body: bool = key(
        values.flag, False, help="Log the bodies of the provider's errors, without its credential."
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """Mistakes between keys whose values are each valid."""
        yield from ()


def capability_problems(
    capabilities: Mapping[str, str], own: Mapping[str, str], in_paths: frozenset[str]
) -> Iterator[Problem]:
    """Mistakes in `capabilities`: what is no API, nor one of the type's own, and paths without a place for an id.

    `in_paths` are names that a path may have, and need not.
    """
    for name, path in capabilities.items():
        where = f"capabilities.{name}"
        known = {api.name: api.path for api in apis.APIS} | dict(own)
        if name not in known:
            yield Problem(where, f"unknown API{nearest(name, known)}")
            continue
        named, given = targets.placeholders(known[name]) - in_paths, targets.placeholders(path) - in_paths
        for missing in sorted(named - given):
            yield Problem(where, f"the path has no place for {{{missing}}}")
        for unknown in sorted(given - named):
            yield Problem(where, f"nothing is known to put into {{{unknown}}}{nearest(unknown, named | in_paths)}")


def failover_problems(failover: Failover) -> Iterator[Problem]:
    """A failover that never brings anything back."""
    if failover.enabled and not (failover.cooldown_duration or failover.health_check_model):
        message = "is 0, and there is no healthCheckModel: what is left out would never come back"
        yield Problem("failover.cooldownDuration", message, ("failover",))
