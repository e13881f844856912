"""The providers and the routes of a configuration: what may stand there, and how mistakes are reported."""

from __future__ import annotations

import pytest
import yaml

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.config.patterns import ANYTHING, Pattern, PatternError
from mitm_ai_proxy.registry import Configuration
from mitm_ai_proxy.simulator.settings import API_KEY
from tests.tables import table

PROVIDERS = """
providers:
  - {id: kling, type: kling, apiTokens: k}
  - {id: open, type: openai, apiTokens: o}
  - {id: bad, type: klong, x: y}
"""


def _read(text: str, **environment: str) -> Configuration:
    return registry.read(yaml.safe_load(PROVIDERS + text), environment)


def _problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        _read(text, **environment)
    return [str(problem) for problem in caught.value.problems]


@table(
    ("text", "used", "active"),
    [
        ("activeProviderId: open", ["open"], "open"),
        ("activeProviderId: open\nroutes: []", ["open"], "open"),
        ("activeProviderId: open\nroutes:", ["open"], "open"),
        ("routes: [{model: a, provider: kling}]", ["kling"], None),
        ("routes: [{model: a, provider: open}, {model: b, provider: kling}]", ["kling", "open"], None),
        ("activeProviderId: open\nroutes: [{model: a, provider: kling}]", ["kling", "open"], "open"),
        ("activeProviderId: kling\nroutes: [{model: a, provider: kling}]", ["kling"], "kling"),
    ],
)
def test_the_providers_in_use_are_those_that_are_named(text: str, used: list[str], active: str | None) -> None:
    configuration = _read(text)

    assert (list(configuration.providers), configuration.active) == (used, active)


def test_a_configuration_without_routes_has_one_provider_and_no_router() -> None:
    for text in ("provider: {type: openai, id: x}", f"{PROVIDERS}activeProviderId: open"):
        providers = registry.providers(registry.read(yaml.safe_load(text), {}))
        assert providers.only is providers.main is next(iter(providers))
        assert providers.router is None
    assert registry.providers(_read("routes: [{model: a, provider: open}]")).only is None


def test_what_no_route_takes_has_no_keys_without_an_active_provider() -> None:
    configuration = _read("routes: [{model: a, provider: open}]")

    with pytest.raises(LookupError):
        _ = configuration.provider
    assert _read("activeProviderId: open").provider.type == "openai"


KNOWN = "(known: kling, open, bad)"
TYPES = ", ".join(sorted(registry.TYPES))
UNKNOWN_TYPE = f"providers[2].type: unknown type 'klong'; did you mean kling? (known: {TYPES})"
NO_REGEX = "is not a regular expression"
OPEN = "missing ) at position 1"


@table(
    ("text", "expected"),
    [
        ("routes: 7\nactiveProviderId: open", ["routes: expected a list of routes"]),
        ("routes: {model: a, provider: open}", ["routes: expected a list of routes"]),
        ("routes: [7]", ["routes[0]: expected a mapping of conditions, with a provider"]),
        ("routes: []", [f"activeProviderId: is missing: name the provider to use {KNOWN}"]),
        ("routes: [{model: a}]", [f"routes[0].provider: is missing: name the provider of this route {KNOWN}"]),
        (
            "routes: [{model: a, provider: ''}]",
            [f"routes[0].provider: is missing: name the provider of this route {KNOWN}"],
        ),
        (
            "routes: [{model: a, provider: opem}]",
            [f"routes[0].provider: no provider has this id; did you mean open? {KNOWN}"],
        ),
        ("routes: [{model: a, provider: [[open]]}]", ["routes[0].provider[0]: expected text"]),
        ("routes: [{model: a, provider: [open, open]}]", ["routes[0].provider[1]: open stands here twice"]),
        (
            "routes: [{model: a, provider: [open, opem]}]",
            [f"routes[0].provider[1]: no provider has this id; did you mean open? {KNOWN}"],
        ),
        ("routes: [{provider: open}]", ["routes[0]: has no condition: give model, path, header or host"]),
        ("routes: [{model: , provider: open}]", ["routes[0]: has no condition: give model, path, header or host"]),
        ("routes: [{modle: a, provider: open}]", ["routes[0].modle: unknown condition; did you mean model?"]),
        ("routes: [{model: '~(', provider: open}]", [f"routes[0].model: '~(' {NO_REGEX} ({OPEN})"]),
        (
            "routes: [{model: [a, '~(', ''], provider: open}]",
            [f"routes[0].model[1]: '~(' {NO_REGEX} ({OPEN})", "routes[0].model[2]: is empty"],
        ),
        ("routes: [{path: [], provider: open}]", ["routes[0].path: holds no pattern"]),
        ("routes: [{path: {a: b}, provider: open}]", ["routes[0].path: expected text"]),
        ("routes: [{header: x, provider: open}]", ["routes[0].header: expected a mapping of header names to patterns"]),
        (
            "routes: [{header: {}, provider: open}]",
            ["routes[0].header: expected a mapping of header names to patterns"],
        ),
        (
            "routes: [{header: {X-A: '~['}, provider: open}]",
            [f"routes[0].header.X-A: '~[' {NO_REGEX} (unterminated character set at position 1)"],
        ),
        ("routes: [{header: {X-A: a, x-a: b}, provider: open}]", ["routes[0].header.x-a: stands here twice"]),
        ("routes: [{model: '${A}', provider: open}]", ["routes[0].model: the environment variable A is not set"]),
        (
            "routes: [{header: {a: '${A}'}, provider: open}]",
            ["routes[0].header.a: the environment variable A is not set"],
        ),
        ("routes: [{model: a, provider: bad}]", ["providers[2].x: unknown key", UNKNOWN_TYPE]),
        (
            "activeProviderId: opem\nroutes: [{model: a, provider: open}]",
            [f"activeProviderId: no provider has this id; did you mean open? {KNOWN}"],
        ),
        # All together.
        (
            "activeProviderId: bad\nroutes: [{modell: a}, {path: '~(', provider: klin}]",
            [
                "routes[0].modell: unknown condition; did you mean model?",
                f"routes[0].provider: is missing: name the provider of this route {KNOWN}",
                f"routes[1].path: '~(' {NO_REGEX} ({OPEN})",
                f"routes[1].provider: no provider has this id; did you mean kling? {KNOWN}",
                "providers[2].x: unknown key",
                UNKNOWN_TYPE,
            ],
        ),
    ],
)
def test_a_mistake_in_a_route_is_reported_with_its_key(text: str, expected: list[str]) -> None:
    assert sorted(_problems(text)) == sorted(expected)


def test_routes_choose_from_a_list_of_providers() -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read({"provider": {"type": "openai"}, "routes": [{"model": "a", "provider": "x"}]}, {})

    assert [str(problem) for problem in caught.value.problems] == [
        "routes: stands beside provider; routes choose from providers, a list of blocks with an id each"
    ]


def test_two_equal_ids_are_a_mistake_where_routes_name_them() -> None:
    text = (
        "providers: [{id: a, type: openai}, {type: openai}, {id: a, type: openai}, {id: b, type: openai}, {type: x}]\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        registry.read(f"{text}routes: [{{model: a, provider: b}}]", {})
    assert [str(problem) for problem in caught.value.problems] == ["providers[2].id: providers[0] has this id too"]

    assert registry.read(f"{text}activeProviderId: b", {}).active == "b"


def test_an_id_and_a_pattern_may_come_from_the_environment_which_no_message_shows() -> None:
    text = "providers: [{id: '${ID}', type: openai}]\nroutes: [{model: '${M}-*', provider: '${P}'}]"
    (route,) = registry.read(text, {"ID": "s3cret", "M": "gpt", "P": "s3cret"}).routes
    assert (route.model, route.provider) == ((Pattern("gpt-*"),), ("s3cret",))

    with pytest.raises(ConfigurationError) as caught:
        registry.read(text, {"ID": "s3cret", "M": "gpt", "P": "s3crets"})
    assert "s3cret" not in str(caught.value)


def test_the_simulators_key_is_not_sent_to_the_real_kling_by_any_provider() -> None:
    text = f"providers: [{{id: a, type: openai}}, {{id: b, type: kling, apiTokens: {API_KEY}}}]\n"
    routes = "routes: [{model: a, provider: a}, {model: b, provider: b}]"
    with pytest.raises(ConfigurationError) as caught:
        registry.read(text + routes, {"OPENAI_API_KEY": "k"})
    assert [problem.key for problem in caught.value.problems] == ["providers (b).providerDomain"]


# Patterns


@table(
    ("pattern", "text", "expected"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a", "ab", False),
        ("a*", "a", True),
        ("a*", "ab", True),
        ("a*", "ba", False),
        ("*", "", True),
        ("a*b", "a*b", True),
        ("a*b", "axb", False),
        ("~a", "xax", True),
        ("~^a$", "ab", False),
        ("~(?i)A", "xax", True),
    ],
)
def test_a_pattern_matches(pattern: str, text: str, expected: bool) -> None:
    assert Pattern(pattern).matches(text) is expected


def test_a_regex_has_a_limit_of_time_and_of_length() -> None:
    with pytest.raises(PatternError, match="takes too long to compare with"):
        Pattern("~(a|aa)+$").matches("a" * 100 + "!")
    with pytest.raises(PatternError, match="has more than 1000 characters"):
        Pattern("~a").matches("a" * 1001)
    assert Pattern("a*").matches("a" * 5000)


def test_a_pattern_covers_what_it_surely_matches() -> None:
    slow = Pattern("~(a|aa)+$")

    assert slow.covers(Pattern("~(a|aa)+$"))
    assert not slow.covers(Pattern("a" * 100 + "!"))
    assert ANYTHING.covers(slow)
    assert not slow.covers(ANYTHING)


ONCE, RETRY = "provider: {{type: openai, apiTokens: {}, {}}}", "retryOnFailure: {{enabled: true{}}}"
PAIR = "providers: [{{id: a, type: openai, apiTokens: {}, {}}}, {{id: b, type: openai, apiTokens: v}}]\nroutes: [{}]"
BOTH = "{path: /v1/*, provider: [a, b]}"
LIMITS = ("concurrency: 1", "rate: {requestsPerMinute: 1}", "tokenLimits: {rate: {tokensPerMinute: 1}}")
NO_EFFECT = "provider.retryOnFailure has no effect: there is one token, and one provider"
SAME = "provider.apiTokens[{}] is the same as apiTokens[{}]: they count as one token"


@table(
    ("text", "said"),
    [
        # The plugin's own defaults, though they are found in 204.
        (ONCE.format("[t, u]", RETRY.format(", retryOnStatus: ['4.*', '5.*']")), []),
        (PAIR.format("t", RETRY.format(", retryOnStatus: ['4.*', '5.*']"), BOTH), []),
        (ONCE.format("[t, u]", RETRY.format(", retryOnStatus: [4.., '(502|503)', '^429$']")), []),
        (
            ONCE.format("[t, u]", RETRY.format(", retryOnStatus: ['2.*', '5..']")),
            ["provider.retryOnFailure.retryOnStatus has '2.*': a success is never tried again, and is no failure"],
        ),
        (
            ONCE.format("[t, u]", "failover: {enabled: true, failoverOnStatus: ['(2|5)..', .*]}"),
            [
                "provider.failover.failoverOnStatus has '(2|5)..', '.*': a success is never tried again, and is no"
                " failure"
            ],
        ),
        (
            ONCE.format("[t, u]", RETRY.format(", retryOnStatus: [timeout, '^50$', '5..']")),
            ["provider.retryOnFailure.retryOnStatus has 'timeout', '^50$': no status has that"],
        ),
        (ONCE.format("t", RETRY.format("")), [NO_EFFECT]),
        (ONCE.format("[t, t]", RETRY.format("")), [SAME.format(1, 0), NO_EFFECT]),
        (ONCE.format("[t, u, t, t]", RETRY.format("")), [SAME.format(2, 0), SAME.format(3, 0)]),
        (ONCE.format("[t, t]", "timeout: 1"), [SAME.format(1, 0)]),
        (ONCE.format("t", "failover: {enabled: true}"), [NO_EFFECT.replace("retryOnFailure", "failover")]),
        (PAIR.format("t", "failover: {enabled: true}", BOTH), []),
        (
            ONCE.format("[t, u]", "retryOnFailure: {maxRetries: 2}, failover: {failureThreshold: 1}"),
            [f"provider.{block} has no effect: it has no `enabled: true`" for block in ("retryOnFailure", "failover")],
        ),
        (ONCE.format("[t, u]", "retryOnFailure: true, failover: false"), []),
        (
            ONCE.format("t", "queueTimeout: 9"),
            ["provider.queueTimeout has no effect: there is no concurrency, rate or tokenLimits"],
        ),
        *((ONCE.format("t", f"queueTimeout: 9, {limit}"), []) for limit in LIMITS),
        (
            PAIR.format("t", RETRY.format(""), "{path: /v1/*, provider: a}"),
            [NO_EFFECT.replace("provider.", "providers (a).")],
        ),
        (
            ONCE.format("[t, u]", RETRY.format(", maxRetries: 0, retryTimeout: 0")),
            [
                "provider.retryOnFailure.maxRetries is 0, which stands for 1",
                "provider.retryOnFailure.retryTimeout is 0, which stands for 60000",
            ],
        ),
        (
            ONCE.format("[t, u]", "failover: {enabled: true, failureThreshold: 0, successThreshold: 0}"),
            [
                "provider.failover.failureThreshold is 0, which stands for 3",
                "provider.failover.successThreshold is 0, which stands for 1",
            ],
        ),
    ],
)
def test_what_works_otherwise_than_it_is_written_is_said_at_the_start(text: str, said: list[str]) -> None:
    assert registry.warnings(registry.read(text, {})) == said


@table(
    ("text", "problem"),
    [
        (
            ONCE.format("t", "failover: {enabled: true, cooldownDuration: 0}"),
            "provider.failover.cooldownDuration: is 0, and there is no healthCheckModel: what is left out would never"
            " come back",
        ),
        (PAIR.format("t", "timeout: 1", "{path: /v1/*, provider: [a, b, a]}"), "routes[0].provider[2]: a stands here"),
        (
            ONCE.format("t", RETRY.format(", retryOnStatus: ['5..', '[']")),
            "provider.retryOnFailure.retryOnStatus[1]: '[' is not a regular expression",
        ),
        (ONCE.format("t", "failover: {failureThreshold: -1}"), "failureThreshold: expected a whole number from 0"),
        (ONCE.format("t", "connectTimeout: 5s"), "connectTimeout: expected a whole number of milliseconds from 0"),
        (ONCE.format("t", "timeout: 1e30"), "timeout: expected a whole number of milliseconds from 0"),
        (ONCE.format("t", "retryOnFailure: {enable: true}"), "enable: unknown key; did you mean enabled?"),
        (ONCE.format("t", "rate: {requestPerMinute: 3}"), "requestPerMinute: unknown key; did you mean requestsPer"),
        (ONCE.format("t", "tokenLimits: {concurrency: many}"), "tokenLimits.concurrency: expected a whole number"),
    ],
)
def test_a_key_of_tries_that_makes_no_sense_ends_the_start(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        registry.read(text, {})
    assert problem in str(caught.value)
