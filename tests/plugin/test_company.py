"""The plugin together with other plugins, and with OpenAI's SDK, installed into the cache of tests/sdk/cache.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.plugin.conftest import Project, Provider
from tests.sdk import cache, python_sdk

pytest_plugins = ["pytester"]


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

        runs = []

        @pytest.mark.ai_simulate
        @pytest.mark.flaky(reruns=1)
        def test_second_try(ai_proxy, client):
            runs.append(ai_proxy)
            assert client.create("a cat").status == 200
            assert len(ai_proxy.requests) == 1
            assert len(runs) == 2

        @pytest.mark.flaky(reruns=1)
        def test_both_tries_miss(ai_proxy, client):
            client.create("a cat")
        """
    )
    result = accompanied.run("-n2")
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines(["There is no cassette cassettes/test_async/test_a*io_gets_over_it.har *"] * 2)
    result.stdout.fnmatch_lines(["There is no cassette cassettes/test_async/test_both_tries_miss.har *"])
    result.stdout.fnmatch_lines(["4 simulated, 4 missed", "*: 2 missed"])


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

        @pytest.mark.block_network
        def test_blocked_and_fails(client):
            client.video("a cat")

        @pytest.mark.parametrize("proxies", [{}, {"NO_PROXY": "127.0.0.1"}])
        def test_environment(ai_proxy, monkeypatch, proxies):
            for name, value in {"HTTP_PROXY": "http://127.0.0.1:9", **proxies}.items():
                monkeypatch.setenv(name, value)
            import urllib.request
            urllib.request.urlopen(ai_proxy.base_url + "/videos?limit=2").close()

        @pytest.mark.vcr
        def test_of_the_other_plugin(vcr):
            assert vcr.play_count == 0
        """
    )
    result = accompanied.run("--record-mode=none", "-p", "no:randomly")
    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*_ test_blocked_and_fails _*",
            "No request came to the proxy at http://127.0.0.1:*",
            "pytest-recording blocks the network here; --allowed-hosts=127.0.0.1, or *",
            "*_ test_environment?proxies0? _*",
            "No request came to the proxy at http://127.0.0.1:*",
            "HTTP_PROXY is set, so that clients may ask that proxy for 127.0.0.1; set NO_PROXY=127.0.0.1.",
        ]
    )
    accompanied.run("--block-network", "--allowed-hosts=127.0.0.1", "-k", "allowed or other").assert_outcomes(passed=2)


def test_pytest_socket_lets_the_proxy_work_when_it_is_told_to_and_else_says_how(accompanied: Project) -> None:
    accompanied.write(
        test_sockets="""
        import socket
        import pytest

        pytestmark = [pytest.mark.ai_simulate, pytest.mark.filterwarnings("ignore")]

        def test_no_socket(client):
            client.video("a cat")

        @pytest.mark.allow_hosts(["127.0.0.1"])
        def test_allowed(client):
            assert client.video("a cat")[4:8] == b"ftyp"
            with pytest.raises(RuntimeError, match="192.0.2.1"):
                socket.create_connection(("192.0.2.1", 80))

        @pytest.mark.allow_hosts(["192.0.2.2"])
        def test_another_host(client):
            client.video("a cat")
        """
    )
    result = accompanied.run("--disable-socket", "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    text = "pytest-socket blocks sockets here; with --allow-hosts=127.0.0.1, or *allow_hosts(?'127.0.0.1'?), *"
    result.stdout.fnmatch_lines(["The proxy did not start: A test tried to use socket.socket.", text])
    result.stdout.fnmatch_lines(["No request came to the proxy at http://127.0.0.1:*", text])


OLD = """
import sys
import unittest
import pytest

def test_plain():
    assert not {"mitmproxy", "msgspec", "yaml", "flask"} & sys.modules.keys()

@pytest.mark.ai_cassette(mode="once")
def test_recorded(client):
    client.video("a cat")

def test_gets_over_it(client):
    assert client.create("a cat").status == 400

@pytest.fixture
def late(client):
    yield
    client.create("too late")

def test_asks_after_its_end(late):
    pass

class TestOfUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _client(self, client):
        self.client = client

    def test_gets_over_it(self):
        self.client.create("a dog")

def test_module(ai_proxy_module, ai_proxy_session):
    pass
"""


@pytest.mark.parametrize(
    ("packages", "is_used"), [(("pytest==7.0.1", "pluggy==1.0.0"), True), (("pytest==7.4.4", "pluggy==1.7.0"), False)]
)
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pytest 7 needs names that Python 3.14 has removed")
def test_pytest_7_runs_with_the_plugin(
    packages: tuple[str, ...], is_used: bool, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache.packages(*packages)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    project.is_forked = False
    # It warns of names that this Python will remove.
    (project.path / "pytest.ini").write_text("[pytest]\naddopts = -p client --strict-markers -p no:xdist\n")
    project.write(test_old=OLD)
    result = project.run(*(() if is_used else ("-k", "plain")), "--ai-simulate")
    result.stdout.fnmatch_lines([f"*{packages[0].replace('==', '-')}*"])
    if is_used:
        result.assert_outcomes(passed=4, failed=2, errors=1)
        result.stdout.fnmatch_lines(["*ERROR at teardown of test_asks_after_its_end*"])
        result.stdout.fnmatch_lines(["4 recorded, 3 missed; recording cost nothing"])
    else:
        assert result.ret == 0
        assert "ai-proxy" not in result.stdout.str().replace("mitm-ai-proxy-", "")


def test_the_unmodified_sdk_of_openai_records_and_replays(recording: Project, provider: Provider) -> None:
    folder = python_sdk.folder()
    recording.write(
        test_sdk=f"""
        import subprocess
        import sys
        import pytest

        SCRIPT = '''
        import sys
        sys.path.append(sys.argv[1])
        from openai import OpenAI

        for origin in sys.stdin:
            client = OpenAI(base_url=origin.strip(), api_key="sk-of-the-client")
            video = client.videos.create_and_poll(model="sora-2", prompt="a paper boat in the rain", seconds="4")
            content = client.videos.download_content(video.id).read()
            print(video.status, content[4:8].decode(), flush=True)
        '''.replace("\\n        ", "\\n")

        @pytest.fixture(scope="module")
        def application():
            command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", SCRIPT, {str(folder)!r}]
            pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            with subprocess.Popen(command, **pipes) as application:
                yield application

        @pytest.mark.parametrize(
            "mode", [pytest.param(mode, marks=pytest.mark.ai_cassette("boat", mode=mode)) for mode in ("once", "none")]
        )
        def test_boat(ai_proxy, application, mode):
            print(ai_proxy.base_url, file=application.stdin)
            assert application.stdout.readline() == "completed ftyp\\n"
            assert ai_proxy.requests[0].json()["model_name"] == "kling-v3"
            assert "sk-of-the-client" not in str([request.headers for request in ai_proxy.requests])
        """
    )
    result = recording.run("--ai-strict")
    result.assert_outcomes(passed=2)
    asked = len(provider.asked)
    result.stdout.fnmatch_lines([f"{asked} replayed, {asked} recorded; *"])
    assert asked > 0
