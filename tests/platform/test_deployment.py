"""What a process is told: the block of the configuration, and the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.platform import deployment
from mitm_ai_proxy.platform.intake import allowance
from mitm_ai_proxy.platform.money import Allowance
from mitm_ai_proxy.platform.scheduling import Limits
from mitm_ai_proxy.platform.settings import NO_LIMITS, PlatformSettings
from mitm_ai_proxy.platform.timing import Timing
from tests.tables import table

SECRET = "whsec_c2VjcmV0"


def _read(block: Any = None, **environment: str) -> deployment.Deployment:
    return deployment.read({"platform": block}, environment)


def test_without_anything_it_is_one_account_sqlite_and_a_folder() -> None:
    found = _read()

    assert (found.data, found.public_url, found.storage) == (Path("platform-data"), "", "")
    assert (bool(found.database), bool(found.queue), found.kling_secrets) == (False, False, ())
    assert (found.limits, found.gateways) == (Limits({"main": 5}, {}), {"main": "http://127.0.0.1:8080"})
    assert found.platform.tenant("whoever") is NO_LIMITS
    assert found.platform.timing == Timing()


def test_a_whole_block_is_read() -> None:
    found = _read(
        {
            "concurrency": "free",
            "accounts": {"a": "standard", "b": {"concurrency": 12, "gateway": "http://gateway/b"}},
            "tenants": {"acme": {"slots": 2, "queue": 9, "dailyUnits": 1.5, "webhookSecret": "${SECRET}"}},
            "privateReceivers": True,
            "timing": {"typical": 0.5, "doubt": [0.1, 1], "again": 2, "raise": 3, "deliverTimeout": 4},
        },
        SECRET=SECRET,
    )

    assert found.limits == Limits({"a": 3, "b": 12}, {"acme": 2})
    assert found.gateways == {"a": "http://127.0.0.1:8080", "b": "http://gateway/b"}
    acme = found.platform.tenant("acme")
    assert (acme.queue, allowance(acme)) == (9, Allowance(1500, None))
    assert [secret.reveal() for secret in acme.webhook_secret] == [SECRET]
    timing = found.platform.timing
    assert (timing.typical, timing.doubt, timing.again, timing.raise_, timing.deliver_timeout) == (
        0.5,
        (0.1, 1),
        (2,),
        3,
        4,
    )


@table(
    ("block", "message"),
    [
        (5, "platform: expected a mapping of keys to values"),
        ({"concurency": 5}, "platform.concurency: unknown key; did you mean concurrency?"),
        ({"concurrency": "gold"}, "platform.concurrency: expected free, standard, pro, enterprise, or a whole number"),
        ({"concurrency": 0}, "platform.concurrency: expected free, standard, pro"),
        ({"accounts": {"a": {"gateway": "ftp://x"}}}, "platform.accounts.a.gateway: unknown scheme 'ftp'"),
        (
            {"accounts": {"a": 1, "b": 2}},
            "platform.accounts.b.gateway: is that of a, whose key it has: give each account a gateway",
        ),
        ({"tenants": {"../t": {}}}, "platform.tenants.../t: expected a name of at most 64 letters, digits"),
        ({"tenants": {"t": {"slots": 0}}}, "platform.tenants.t.slots: expected a whole number from 1"),
        ({"tenants": {"t": {"dailyUnits": -1}}}, "platform.tenants.t.dailyUnits: expected a number from 0"),
        ({"tenants": {"t": {"webhookSecret": "abc"}}}, "platform.tenants.t.webhookSecret[0]: expected whsec_"),
        ({"timing": {"look": 0}}, "platform.timing.look: expected a number from 0.01"),
        ({"timing": {"again": []}}, "platform.timing.again: expected at least one number"),
        ({"timing": {"doubt": [1, "x"]}}, "platform.timing.doubt[1]: expected a number"),
    ],
)
def test_a_mistake_in_the_block_is_named(block: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        _read(block)

    assert message in str(raised.value)
    assert "abc" not in str(raised.value)


@table(
    ("variable", "value", "message"),
    [
        ("DATABASE_URL", "mysql://user:pa55@h/d", "DATABASE_URL: expected a URL that begins with postgresql://"),
        ("REDIS_URL", "pa55", "REDIS_URL: expected a URL that begins with redis://, rediss://"),
        ("STORAGE_URL", "ftp://pa55@x", "STORAGE_URL: expected a URL that begins with file://, s3://, gs://, az://"),
        ("GATEWAY_URL", "gateway:8080", "GATEWAY_URL: expected a URL such as https://"),
        ("PUBLIC_URL", "https://a.example/?pa55", "PUBLIC_URL: expected a URL such as https://"),
        ("PUBLIC_URL", "https://user:pa55@a.example", "PUBLIC_URL: has a user name"),
        ("KLING_WEBHOOK_SECRET", "pa55", "KLING_WEBHOOK_SECRET[0]: expected whsec_"),
    ],
)
def test_a_mistake_in_the_environment_is_named_without_its_value(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        _read(**{variable: value})

    assert message in f"{raised.value}".replace("KLING_WEBHOOK_SECRET:", "KLING_WEBHOOK_SECRET[0]:")
    assert "pa55" not in str(raised.value)


def test_no_password_of_a_url_is_shown() -> None:
    found = _read(DATABASE_URL="postgresql://u:pa55@h/d", REDIS_URL="redis://:pa55@h/0", KLING_WEBHOOK_SECRET=SECRET)

    assert "pa55" not in repr(found)
    assert SECRET not in repr(found)
    assert found.database.reveal() == "postgresql://u:pa55@h/d"


def test_every_other_program_takes_the_block_and_complains_as_the_platform_does() -> None:
    document = {"provider": {"type": "kling", "apiTokens": "k"}, "platform": {"concurrency": 7}}

    assert registry.read(document).block(PlatformSettings).concurrency == 7
    with pytest.raises(ConfigurationError, match=r"platform\.timing\.lok: unknown key; did you mean look"):
        registry.read({**document, "platform": {"timing": {"lok": 1}}})
