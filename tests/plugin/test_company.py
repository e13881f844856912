"""The plugin together with other plugins, and with OpenAI's SDK, installed into the cache of tests/sdk/cache.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.conftest import Project, Provider
from tests.sdk import cache, python_sdk

pytest_plugins = ["pytester"]

RECORDING, ASYNCIO, ANYIO = "0.14.1", "1.5.0", "4.16.0"
FOLDER = f"pytest-recording-{RECORDING}-asyncio-{ASYNCIO}-anyio-{ANYIO}"
# pytest itself is the one of this environment.
PACKAGES = (
    f"pytest-recording=={RECORDING}",
    "vcrpy==9.4.2",
    "wrapt",
    f"pytest-asyncio=={ASYNCIO}",
    f"anyio=={ANYIO}",
    "idna",
    "typing-extensions",
)


@pytest.fixture(scope="session")
def plugins() -> Path:
    """A folder with other plugins."""
    try:
        return cache.folder(FOLDER, cache.python("--no-deps", *PACKAGES))
    except AssertionError as error:
        pytest.skip(f"the other plugins cannot be installed here: {str(error).splitlines()[-1]}")


@pytest.fixture
def accompanied(project: Project, plugins: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with these plugins."""
    monkeypatch.setenv("PYTHONPATH", str(plugins))
    (project.path / "pytest.ini").write_text(
        "[pytest]\n"
        "addopts = -p client --strict-markers\n"
        "asyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error\n"
    )
    return project


def test_asynchronous_tests_fail_for_a_request_without_an_answer_too(accompanied: Project) -> None:
    accompanied.write(
        test_async="""
        import asyncio
        import pytest

        async def status(ai_proxy):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(ai_proxy.url.rpartition(":")[2]))
            writer.write(b"GET /v1/videos?limit=2 HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer.split()[1]

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.ai_simulate
        @pytest.mark.asyncio
        async def test_asyncio(ai_proxy):
            assert await status(ai_proxy) == b"200"

        @pytest.mark.ai_simulate
        @pytest.mark.anyio
        async def test_anyio(ai_proxy):
            assert await status(ai_proxy) == b"200"

        @pytest.mark.asyncio
        async def test_asyncio_gets_over_it(ai_proxy):
            assert await status(ai_proxy) == b"400"

        @pytest.mark.anyio
        async def test_anyio_gets_over_it(ai_proxy):
            assert await status(ai_proxy) == b"400"
        """
    )
    result = accompanied.run()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["There is no cassette cassettes/test_async/test_a*io_gets_over_it.har *"] * 2)


def test_pytest_recording_blocks_the_network_and_not_the_proxy_that_it_is_told_of(accompanied: Project) -> None:
    accompanied.write(
        test_blocked="""
        import socket
        import pytest

        # A socket that is blocked is left open.
        pytestmark = [pytest.mark.ai_simulate, pytest.mark.filterwarnings("ignore")]

        @pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
        def test_allowed(client, vcr):
            assert vcr is None
            assert client.video("a cat")[4:8] == b"ftyp"
            with pytest.raises(RuntimeError, match="Network is disabled"):
                socket.create_connection(("192.0.2.1", 80))

        @pytest.mark.block_network
        def test_blocked(client):
            with pytest.raises(RuntimeError, match="Network is disabled"):
                client.video("a cat")

        @pytest.mark.vcr
        def test_of_the_other_plugin(vcr):
            assert vcr.play_count == 0
        """
    )
    accompanied.run("--record-mode=none").assert_outcomes(passed=3)
    accompanied.run("--block-network", "--allowed-hosts=127.0.0.1", "-k", "allowed or other").assert_outcomes(passed=2)


def test_the_unmodified_sdk_of_openai_records_and_replays(recording: Project, provider: Provider) -> None:
    version = python_sdk.NEWEST
    folder = cache.folder(f"openai-{version}", cache.python(f"openai=={version}"))
    recording.write(
        test_sdk=f"""
        import subprocess
        import sys

        SCRIPT = '''
        import sys
        sys.path.append(sys.argv[1])
        from openai import OpenAI

        client = OpenAI(base_url=sys.argv[2], api_key="sk-of-the-client")
        video = client.videos.create_and_poll(model="sora-2", prompt="a paper boat in the rain", seconds="4")
        content = client.videos.download_content(video.id).read()
        print(video.status, content[4:8].decode())
        '''.replace("\\n        ", "\\n")

        def test_boat(ai_proxy):
            command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", SCRIPT, {str(folder)!r}, ai_proxy.base_url]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.stdout == "completed ftyp\\n", done
            assert ai_proxy.requests[0].json()["model_name"] == "kling-v3"
            assert "sk-of-the-client" not in str([request.headers for request in ai_proxy.requests])
        """
    )
    recording.run("--ai-record=once").assert_outcomes(passed=1)
    asked = len(provider.asked)
    recording.run("--ai-strict").assert_outcomes(passed=1)
    assert len(provider.asked) == asked > 0
