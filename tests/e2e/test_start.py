"""The start of mitmdump with a wrong configuration or option: it ends with one message that names the key.

For the message about each mistake see tests/config.
"""

from __future__ import annotations

import pytest

from tests.e2e.conftest import StartProxy

SECRET = "s3cr3t-value-that-must-not-be-shown"

WRONG = {
    "several problems at once": (
        f"""
provider:
  type: kling
  klingAccessKey: a
  klingSecretKey: "{SECRET}\\nb"
  klingTokenRefreshAhead: soon
  apiToken: [{SECRET}]
  protocol: orginal
  providerDomain: ftp://x
hots: [a]
""",
        [
            "provider.klingTokenRefreshAhead: expected a whole number of seconds",
            "provider.klingSecretKey: holds a line break",
            "provider.apiToken: unknown key; did you mean apiTokens?",
            "provider.protocol: unknown value 'orginal'; did you mean original?",
            "provider.providerDomain: unknown scheme 'ftp'",
            "hots: unknown key; did you mean hosts?",
        ],
    ),
    "no credential": (
        "provider: {type: kling, klingAccessKey: '${KLING_A:-}', klingSecretKey: '${KLING_S:-}'}",
        ["provider.klingAccessKey: no credential", "KLING_A and KLING_S"],
    ),
    "a type of nobody": ("provider: {type: klin}", ["provider.type: unknown type 'klin'; did you mean kling?"]),
    "a line break in a token": (
        f'provider: {{type: kling, apiTokens: ["{SECRET}\\n"]}}',
        ["provider.apiTokens[0]: holds a line break"],
    ),
    "YAML that is none": (
        f"provider:\n  a: [{SECRET}\n  b: c",
        ["line 3, column 4: a list that begins with [ goes on without a comma"],
    ),
}


@pytest.mark.parametrize(("config", "says"), WRONG.values(), ids=[name.replace(" ", "-") for name in WRONG])
def test_a_wrong_configuration_ends_the_start(config: str, says: list[str], start_proxy: StartProxy) -> None:
    proxy = start_proxy(config, wait=False)

    assert proxy.ended() != 0
    for text in says:
        assert text in proxy.log
    assert "Traceback" not in proxy.log
    assert SECRET not in proxy.log


def test_a_missing_configuration_ends_the_start(start_proxy: StartProxy) -> None:
    proxy = start_proxy(None, wait=False)

    assert proxy.ended() != 0
    assert "config.yaml: cannot be read: there is no such file (ai-proxy init writes a first one)" in proxy.log
    assert "Traceback" not in proxy.log


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("ai_confg=x", "unknown option ai_confg"),
        ("ai_records=x", "unknown option ai_records"),
        ("ai_record", "ai_record takes one value: --set ai_record="),
        ("ai_config", "ai_config takes one value: --set ai_config="),
        ("ai_simulate", "ai_simulate takes one value: --set ai_simulate="),
        ("ai_simulate=yes", "ai_simulate takes true or false"),
    ],
)
def test_an_option_that_mitmproxy_would_drop_in_silence_ends_the_start(
    option: str, says: str, kling: str, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(kling, "--set", option, wait=False)

    assert proxy.ended() != 0
    assert says in proxy.log


def test_an_option_given_twice_ends_the_start(kling: str, start_proxy: StartProxy) -> None:
    proxy = start_proxy(kling, "--set", "ai_config=a", "--set", "ai_config=b", wait=False)

    assert proxy.ended() != 0
    assert "ai_config takes one value" in proxy.log
