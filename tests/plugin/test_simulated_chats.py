"""Chats of a provider that the simulator stands in for, in tests that use the plugin."""

from __future__ import annotations

from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]


def test_chats_are_simulated_and_recorded_without_a_key(project: Project) -> None:
    project.write(
        test_chat="""
        import json
        import urllib.error
        import urllib.request
        import pytest

        @pytest.fixture
        def ai_proxy_config():
            return {"provider": {"type": "deepseek"}}

        def _ask(ai_proxy, text, **more):
            body = {"model": "deepseek-chat", "messages": [{"role": "user", "content": text}], **more}
            request = urllib.request.Request(
                f"{ai_proxy.base_url}/chat/completions",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as response:
                return response.read().decode()

        @pytest.mark.ai_simulate
        def test_marked(ai_proxy):
            assert json.loads(_ask(ai_proxy, "hello"))["choices"][0]["message"]["content"] == "hello"
            assert _ask(ai_proxy, "hello", stream=True).endswith("data: [DONE]\\n\\n")
            assert ai_proxy.requests[0].url == "https://api.deepseek.com/v1/chat/completions"

        @pytest.mark.ai_simulate(fault="429")
        def test_fault(ai_proxy):
            with pytest.raises(urllib.error.HTTPError, match="429"):
                _ask(ai_proxy, "hello")

        def test_recorded(ai_proxy):
            assert "hello" in _ask(ai_proxy, "hello")
            assert _ask(ai_proxy, "hello", stream=True).endswith("data: [DONE]\\n\\n")
        """
    )
    project.run("--ai-record=once", "--ai-simulate", "-k", "recorded").assert_outcomes(passed=1)

    result = project.run()
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["ai-proxy: 2 replayed, 3 simulated*"])
