"""The configurations and the lines for a shell that the page about chats shows, as they stand, and simulated models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Proxies
from tests.sdk import cache, python_sdk
from tests.sdk.test_chat_types import LIMIT

PAGE = Path(__file__).parents[2] / "docs" / "chat.md"
# In place of the program of this name: like it, a client of Anthropic's SDK that is configured by the environment.
CLAUDE = """\
import anthropic

tools = [{"name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}]
messages = [{"role": "user", "content": "Bash command=date"}]
asked = {"model": "claude-haiku-4-5", "max_tokens": 2048, "thinking": {"type": "enabled", "budget_tokens": 1024}}
for _ in range(2):
    with anthropic.Anthropic().messages.stream(messages=messages, tools=tools, **asked) as events:
        said = events.get_final_message()
    calls = [block for block in said.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": call.input["command"]} for call in calls]
    messages += [{"role": "assistant", "content": said.content}, {"role": "user", "content": results}]
print(said.model, *(block.text for block in said.content if block.type == "text"))
"""


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Claude Code on another model", "kimi-k2-turbo-preview Bash says: date\n"),
        ("OpenAI code on Claude", "ChatCompletion("),
    ],
)
def test_what_the_page_shows_works_as_it_stands(
    title: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = PAGE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    (configuration,) = re.findall(r"^```yaml\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    start, lines = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert start == "./run.sh\n"
    assert "./run.sh --set ai_simulate=true`" in section
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")  # as the page says it for the simulator
    monkeypatch.delenv("MOONSHOT_API_KEY", raising=False)
    packages = python_sdk.folder()
    for name, arguments in {"python": '"$@"', "claude": f"'{tmp_path / 'claude.py'}'"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nPYTHONPATH='{packages}' exec '{sys.executable}' {arguments}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "claude.py").write_text(CLAUDE)
    started = Proxies(tmp_path)
    try:
        proxy = started.start(configuration, "--set", "ai_simulate=true")
        shell = subprocess.run(
            ["sh", "-e", "-c", lines.replace("127.0.0.1:8080", f"127.0.0.1:{proxy.port}")],
            env=cache.clean_environment() | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    finally:
        started.close()

    assert shell.returncode == 0, shell.stderr
    assert shell.stdout.startswith(said)
    assert "claude-sonnet-5" in shell.stdout or title.startswith("Claude")
