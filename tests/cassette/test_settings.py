"""The `cassette:` block and `scrub:` of config.yaml: valid values, and the errors about invalid ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy import registry
from mitm_ai_proxy.cassette.settings import CassetteSettings, ScrubSettings
from mitm_ai_proxy.config.file import ConfigurationError
from mitm_ai_proxy.wire.targets import Origin

PROVIDER = "provider: {type: kling, apiTokens: [t0ken]}\n"
TAKEN: dict[str, dict[str, Any]] = {
    "": {},
    "cassette:": {},
    "cassette: {ignore: seed}": {"ignore": ("seed",)},
    "cassette: {ignore: [seed, 5], compare: [user], headers: [X-Team]}": {
        "ignore": ("seed", "5"),
        "compare": ("user",),
        "headers": ("X-Team",),
    },
    "cassette: {pace: real}": {"pace": 1.0},
    "cassette: {pace: instant}": {},
    "cassette: {pace: '0.1'}": {"pace": 0.1},
    "cassette: {publicUrl: 'http://proxy:8080'}": {"public_url": Origin("http", "proxy", 8080)},
}
REFUSED = {
    "cassette: [a]": "cassette: expected a mapping of keys to values",
    "cassette: {ignored: a}": "cassette.ignored: unknown key; did you mean ignore?",
    "cassette: {pace: 0}": "cassette.pace: expected instant, real, or a factor of the recorded time",
    "cassette: {pace: true}": "cassette.pace: expected instant, real, or a factor of the recorded time",
    "cassette: {pace: .nan}": "cassette.pace: expected instant, real, or a factor of the recorded time",
    "cassette: {ignore: [{a: b}]}": "cassette.ignore[0]: expected text",
    "cassette: {publicUrl: 'ftp://x'}": "cassette.publicUrl: unknown scheme 'ftp'",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The configuration file."""
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("text", TAKEN)
def test_a_setting_is_taken(text: str, path: Path) -> None:
    path.write_text(PROVIDER + text)

    configuration = registry.read(path, {})
    assert configuration.block(CassetteSettings) == CassetteSettings(**TAKEN[text])
    assert configuration.block(ScrubSettings).scrub == ()


@pytest.mark.parametrize("text", REFUSED)
def test_a_wrong_setting_is_named(text: str, path: Path) -> None:
    path.write_text(PROVIDER + text)
    with pytest.raises(ConfigurationError) as refused:
        registry.read(path, {})

    assert REFUSED[text] in str(refused.value)


def test_what_is_scrubbed_is_a_list_or_one(path: Path) -> None:
    path.write_text(PROVIDER + "scrub: [prompts, X-Team]")
    assert registry.read(path, {}).block(ScrubSettings).scrub == ("prompts", "X-Team")
    path.write_text(PROVIDER + "scrub: prompts")
    assert registry.read(path, {}).block(ScrubSettings).scrub == ("prompts",)
    path.write_text(PROVIDER + "scrub: {a: b}")
    with pytest.raises(ConfigurationError, match=r"scrub\[0\]: expected text"):
        registry.read(path, {})


PAIR = "provider: {type: kling, klingAccessKey: '${A}', klingSecretKey: '${S}', apiTokens: ['${T}']}"


def test_where_nothing_is_sent_nobody_needs_a_credential(path: Path) -> None:
    path.write_text(PAIR)
    with pytest.raises(ConfigurationError, match="A is not set"):
        registry.read(path, {})
    provider = registry.provider(registry.read(path, {}, offline=True))

    assert provider.secrets() == ()
    assert provider.token(()) is None


@pytest.mark.parametrize("offline", [False, True])
def test_what_is_no_credential_has_to_be_there(offline: bool, path: Path) -> None:
    path.write_text("provider: {type: kling, apiTokens: [t], providerDomain: '${HOST}'}")
    with pytest.raises(ConfigurationError, match=r"provider\.providerDomain: the environment variable HOST is not set"):
        registry.read(path, {}, offline=offline)


def test_a_provider_tells_its_secrets(path: Path) -> None:
    path.write_text("provider: {type: kling, klingAccessKey: acc, klingSecretKey: sec, apiTokens: [t1, t2]}")

    assert sorted(registry.provider(registry.read(path, {})).secrets()) == ["acc", "sec", "t1", "t2"]
