"""`ai-proxy explain`: what would become of a request."""

from __future__ import annotations

import io
import json
import shlex
import sys
from pathlib import Path

import pytest

from mitm_ai_proxy.commands import main
from tests.auth import service_account

KEY = "sk-of-the-provider-0123456789"
CONFIG = f"""
providers:
  - {{id: kimi, type: moonshot, apiTokens: {KEY}, modelMapping: {{"gpt-*": kimi-k2}}}}
  - {{id: claude, type: claude, apiTokens: {KEY}}}
  - {{id: google, type: gemini, apiTokens: {KEY}}}
  - {{id: films, type: kling, klingAccessKey: access-key-0123, klingSecretKey: {KEY}}}
routes:
  - {{path: "/v1/videos*", provider: films}}
  - {{model: "claude-*", provider: [claude, kimi]}}
  - {{model: "gemini-*", provider: google}}
  - {{path: "/v1/*", provider: kimi}}
"""
CHAT = '{"model":"MODEL","messages":[{"role":"user","content":"it\'s"}]}'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def _run(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main.main(["explain", *words, "--config", str(config)])
    captured = capsys.readouterr()
    assert KEY not in captured.out + captured.err
    return status, captured.out + captured.err


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (
            ("/v1/chat/completions?a=b", "-d", CHAT.replace("MODEL", "gpt-4o")),
            0,
            ("POST https://api.moonshot.cn/v1/chat/completions?a=b\n", '"model": "kimi-k2"', "mapped to kimi-k2"),
        ),
        (
            ("/v1/chat/completions", "-d", CHAT.replace("MODEL", "claude-x")),
            0,
            ("POST https://api.anthropic.com/v1/messages\n", "x-api-key: [the credential]", "claude, then kimi"),
        ),
        (
            (
                "/v1/videos",
                "-d",
                '{"model": "sora-2", "prompt": "a cat", "seconds": "4"}',
                "-H",
                "User-Agent: OpenAI/Python 2",
            ),
            0,
            ("/v1/videos/text2video\n", "authorization: [the credential]", '"external_task_id"'),
        ),
        (("/v1/models",), 0, ("GET https://api.moonshot.cn/v1/models\n", "routes[3]")),
        (("/v1/files", "-X", "DELETE"), 0, ("DELETE https://api.moonshot.cn/v1/files\n",)),
        (
            ("/v1/messages", "-d", '{"model": 7}', "-H", "anthropic-version: 2023-06-01"),
            1,
            ("the answer is 400", '"type": "invalid_request_error"', "model"),
        ),
        (("/v1/a b",), 1, ("the answer is 400", "invalid_head")),
        (("/v1/chat/completions", "-d", ""), 0, ("POST https://api.moonshot.cn/v1/chat/completions\n",)),
        # A long reason is shown whole.
        (("/v1/videos/kling-t2v-1", "-X", "DELETE"), 1, ("the answer is 404", "unsupported_api", "It has: ", '.",\n')),
    ],
)
def test_it_says_what_is_sent_and_why_or_what_is_answered(
    words: tuple[str, ...], status: int, expected: tuple[str, ...], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, text = _run(config, capsys, *words)

    assert found == status, text
    for part in expected:
        assert part in text


def test_a_line_for_curl_has_a_variable_for_the_credential(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = _run(config, capsys, "/v1/chat/completions", "--curl", "-d", CHAT.replace("MODEL", "gpt-4o"))

    words = shlex.split(text)
    assert (status, words[:3], words[-1]) == (0, ["curl", "-X", "POST"], "https://api.moonshot.cn/v1/chat/completions")
    assert "Authorization: Bearer $CREDENTIAL" in words
    assert CHAT.replace("MODEL", "kimi-k2") in words
    assert not any(word.lower().startswith(("host:", "content-length:")) for word in words)


def test_a_body_comes_from_a_file_or_from_standard_input(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = CHAT.replace("MODEL", "gemini-3-pro")
    (tmp_path / "body.json").write_text(body)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body.encode())))

    from_file = _run(config, capsys, "/v1/chat/completions", "-d", f"@{tmp_path / 'body.json'}")
    from_input = _run(config, capsys, "/v1/chat/completions", "-d", "@-")

    assert from_file == from_input
    assert "/models/gemini-3-pro:generateContent\n" in from_file[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("/v1/x", "-H", "nothing"), "a header field is NAME: VALUE, not nothing"),
        (("/v1/x", "-d", "@no-such-file"), "no-such-file: cannot be read (No such file or directory)"),
        ((), "the following arguments are required: path"),
    ],
)
def test_a_slip_is_named(words: tuple[str, ...], says: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["explain", *words, "--config", str(config)])

    assert caught.value.code == 2
    assert says in capsys.readouterr().err


def test_a_configuration_without_credentials_will_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("provider: {type: kling}")

    status, text = _run(path, capsys, "/v1/videos/1")

    assert (status, text.startswith("GET https://")) == (0, True), text


def test_a_service_account_needs_no_token_of_the_moment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    key = json.dumps(service_account.key_file())
    path.write_text(f"provider: {{type: vertex, vertexRegion: us-central1, vertexAuthKey: {key}}}")

    status, text = _run(path, capsys, "/v1/chat/completions", "-d", CHAT.replace("MODEL", "gemini-9"))

    assert (status, text.startswith("POST https://us-central1-aiplatform.googleapis.com/v1/projects/")) == (0, True)
    assert "authorization: [the credential]" in text
    assert "access-token" not in text
