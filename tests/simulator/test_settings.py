"""The `simulator:` block: the values of each key, and that each mistake names its key."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mitm_ai_proxy.config.file import ConfigurationError, read_block
from mitm_ai_proxy.config.keys import declared
from mitm_ai_proxy.config.values import HostPattern
from mitm_ai_proxy.simulator.settings import SimulatorSettings
from mitm_ai_proxy.wire.targets import Origin
from tests.tables import table


def _load(block: str, **environment: str) -> SimulatorSettings:
    return read_block(f"provider: {{type: kling}}\n{block}", environment, "simulator", SimulatorSettings)


@table("block", ["", "simulator:", "simulator: {}", "simulator: {speed: }"])
def test_without_a_block_everything_has_its_default(block: str) -> None:
    loaded = _load(block)

    assert (loaded.speed, loaded.concurrency, loaded.max_tasks, loaded.serve_retired) == (20.0, 5, 1000, False)
    assert (loaded.access_key, loaded.link_lifetime) == ("simulated-access-key", 30 * 86400.0)


@table(
    ("key", "value", "field", "expected"),
    [
        ("speed", "instant", "speed", math.inf),
        ("speed", "real", "speed", 1.0),
        ("speed", "60", "speed", 60.0),
        ("speed", "'0.5'", "speed", 0.5),
        ("concurrency", "20", "concurrency", 20),
        ("units", "100.5", "units", 100.5),
        ("units", "0", "units", 0.0),
        ("imageUnits", "8", "image_units", 8.0),
        ("maxTasks", "1", "max_tasks", 1),
        ("clockSkew", "-30", "clock_skew", -30.0),
        ("linkLifetime", "0", "link_lifetime", 0.0),
        ("serveRetired", "true", "serve_retired", True),
        ("serveRetired", "'False'", "serve_retired", False),
        ("chatModels", "[small, 'large']", "chat_models", ("small", "large")),
        ("chatModels", "small", "chat_models", ("small",)),
        ("fault", "1303*2", "fault", "1303*2"),
        ("fault", "529", "fault", "529"),
        ("fault", "5000", "fault", "5000"),
        ("accessKey", "'${A}'", "access_key", "from-environment"),
        (
            "callbackHosts",
            "[A.test, 'b.test:81']",
            "callback_hosts",
            (HostPattern("a.test"), HostPattern("b.test", 81)),
        ),
        ("publicUrl", "http://a.test:8080", "public_url", Origin("http", "a.test", 8080)),
    ],
)
def test_a_key_takes_what_it_is_for(key: str, value: str, field: str, expected: Any) -> None:
    loaded = _load(f"simulator: {{{key}: {value}}}", A="from-environment")

    assert getattr(loaded, field) == expected


@table("key", ["secretKey", "apiKey", "webhookSecret"])
def test_a_secret_is_kept_and_not_shown(key: str) -> None:
    loaded = _load(f"simulator: {{{key}: whsec_c2VjcmV0}}")

    assert "whsec" not in repr(loaded)
    assert "whsec_c2VjcmV0" in {
        secret.reveal() for secret in (loaded.secret_key, loaded.api_key, loaded.webhook_secret)
    }


BAD = {
    "speed": ["0", "-1", "fast", ".nan", ".inf", "[]", "true", "1e9"],
    "concurrency": ["0", "-1", "1.5", "many", "[]", "99999", "true", "٣"],
    "units": ["-1", "x", ".nan", ".inf", "true", "[]"],
    "imageUnits": ["-1"],
    "maxTasks": ["0", "100001"],
    "clockSkew": ["x", "1e9"],
    "linkLifetime": ["-1"],
    "serveRetired": ["maybe", "1", "[]"],
    "chatModels": ["true", "[[a]]"],
    "fault": ["odd", "9999", "failed*0", "slow=x", "accepted=1", "[]"],
    "accessKey": ["'a b'", "1", '"a\\nb"'],
    "secretKey": ["'a b'"],
    "apiKey": ["[]"],
    "webhookSecret": ["abc", "whsec_", "whsec_*"],
    "callbackHosts": ["['a b']", "'http://a'"],
    "publicUrl": ["'http://a/b'", "'ftp://a'"],
}


@table(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_a_wrong_value_is_refused_by_its_key(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        _load(f"simulator: {{{key}: {value}}}")

    (problem,) = refused.value.problems
    assert problem.key.partition("[")[0] == f"simulator.{key}"
    assert problem.message


def test_every_key_is_tried_with_wrong_values() -> None:
    assert set(BAD) == set(declared(SimulatorSettings))


@table("key", ["accessKey", "secretKey", "apiKey"])
def test_an_empty_credential_is_the_default(key: str) -> None:
    loaded, default = _load(f"simulator: {{{key}: '${{NOBODY:-}}'}}"), SimulatorSettings()

    assert loaded.access_key == default.access_key
    assert loaded.secret_key.reveal() == default.secret_key.reveal()
    assert loaded.api_key.reveal() == default.api_key.reveal()


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"simulator\.sped: unknown key; did you mean speed\?"):
        _load("simulator: {sped: 1}")
    with pytest.raises(ConfigurationError, match="simulator: expected a mapping"):
        _load("simulator: fast")
