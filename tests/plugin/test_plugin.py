"""The plugin, in a separate run of pytest: marks, modes, misses, budgets, variations, simulation, and its report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mitm_ai_proxy.cassette.cassette import Mode
from mitm_ai_proxy.testing.arguments import MODES
from tests.plugin.conftest import Project, Provider

pytest_plugins = ["pytester"]

HOST = "https://api-singapore.klingai.com"


def test_a_first_run_without_cassettes_sends_nothing_and_fails_each_test_that_asks(project: Project) -> None:
    project.write(
        test_first="""
        import pytest

        def test_gets_over_it(client):
            for _ in range(3):
                assert client.create("a cat").status == 400
            client.ask("GET", "/v1/videos/kling-t2v-1")

        def test_fails_because_of_it(client):
            assert client.create("a cat").status == 200

        @pytest.fixture
        def video(client):
            return client.create("a cat").json()["id"]

        def test_has_a_fixture_that_asks(video):
            pass

        @pytest.mark.xfail
        def test_is_known_to_fail(client):
            client.create("a cat")

        def test_asks_for_nothing(ai_proxy):
            assert ai_proxy.requests == []

        @pytest.fixture
        def late(client):
            yield
            client.create("too late")

        def test_asks_after_its_end(late):
            pass

        class TestOfUnittest(__import__("unittest").TestCase):
            @pytest.fixture(autouse=True)
            def _client(self, client):
                self.client = client

            def test_gets_over_it(self):
                self.client.create("a dog")
        """
    )
    result = project.run("-rA")

    result.assert_outcomes(passed=2, failed=3, errors=2, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_has_a_fixture_that_asks*",
            "*KeyError: 'id'*",
            "*- ai-proxy -*",
            "There is no cassette cassettes/test_first/test_has_a_fixture_that_asks.har (mode none), *",
            "*ERROR at teardown of test_asks_after_its_end*",
            "There is no cassette cassettes/test_first/test_asks_after_its_end.har (mode none), so this was not sent:",
            "*_ test_gets_over_it _*",
            "There is no cassette cassettes/test_first/test_gets_over_it.har (mode none), so this was not sent:",
            f"  POST {HOST}/v1/videos/text2video (3 times)",
            f"  GET {HOST}/v1/videos/text2video/1",
            "--ai-record=once records it.",
            "*_ test_fails_because_of_it _*",
            "*assert 400 == 200*",
            "*- ai-proxy -*",
            "There is no cassette cassettes/test_first/test_fails_because_of_it.har (mode none), *",
            "*_ TestOfUnittest.test_gets_over_it _*",
            "There is no cassette cassettes/test_first/TestOfUnittest.test_gets_over_it.har (mode none), *",
            "*= ai-proxy =*",
            "9 missed",
            "cassettes/test_first/TestOfUnittest.test_gets_over_it.har: 1 missed",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert project.cassettes() == set()


RECORDED = """
import pytest

pytestmark = pytest.mark.ai_cassette(allow_unused=True)

def test_video(client, ai_proxy):
    assert client.video("a cat")[4:8] == b"ftyp"
    first = ai_proxy.requests[0]
    assert (first.method, first.path, first.query) == ("POST", "/v1/videos/text2video", {})
    assert first.json()["prompt"] == "a cat"
    assert first.headers["content-TYPE"] == "application/json"
    assert "Bearer" not in str(first.headers)
    assert ai_proxy.base_url == ai_proxy.url + "/v1"
    assert len(ai_proxy.requests) == 4

class TestClips:
    class TestShort:
        @pytest.mark.parametrize("prompt", ["a-b", "a/b", "a:b", "火" * 100])
        def test_clip(self, client, prompt):
            client.video(prompt)

@pytest.mark.ai_cassette("shared/clip.v1")
def test_shared(client):
    client.video("a dog")

@pytest.mark.ai_cassette(name="other.har")
def test_fails(client):
    client.create("paid for")
    raise AssertionError("of its own")

def test_asks_for_nothing(ai_proxy):
    pass

class TestElsewhere:
    @pytest.fixture
    def ai_cassette_dir(self):
        return "tapes"

    def test_create(self, client):
        client.create("elsewhere")
"""


def test_what_is_recorded_once_is_replayed_without_the_provider(recording: Project, provider: Provider) -> None:
    recording.write(test_clips=RECORDED)
    recorded = recording.run("--ai-record=once")

    recorded.assert_outcomes(passed=8, failed=1)
    folder = "cassettes/test_clips"
    long = next(name for name in recording.cassettes() if "-u706b" in name)
    assert recording.cassettes() == {
        f"{folder}/test_video.har",
        f"{folder}/TestClips.TestShort.test_clip[a-b].har",
        f"{folder}/TestClips.TestShort.test_clip[a-b]-457c4a41.har",
        f"{folder}/TestClips.TestShort.test_clip[a-b]-a793786e.har",
        long,
        f"{folder}/shared/clip.v1.har",
        f"{folder}/other.har",
        "tapes/TestElsewhere.test_create.har",
    }
    assert len(Path(long).name) < 210
    # What a failed test paid for is recorded too.
    (entry,) = json.loads((recording.path / folder / "other.har").read_text())["log"]["entries"]
    assert entry["response"]["status"] == 200
    recorded.stdout.fnmatch_lines(["*= ai-proxy =*", "26 recorded; recording cost 24 units, about $3.36 (6 units *"])
    assert len(provider.asked) == 26

    provider.close()
    replayed = recording.run()
    replayed.assert_outcomes(passed=8, failed=1)
    replayed.stdout.fnmatch_lines(["ai-proxy: 26 replayed; replaying saved 24 units, about $3.36"])
    replayed.stdout.no_fnmatch_line("*= ai-proxy =*")


def test_the_flag_decides_the_mode_before_the_mark_and_the_mark_before_the_fixture(recording: Project) -> None:
    recording.write(
        test_modes="""
        import pytest

        @pytest.fixture
        def ai_record_mode():
            return "new_episodes"

        def tell(request, ai_proxy):
            print(f"\\n{request.node.name}: {ai_proxy.cassette.mode.value}")

        def test_fixture(request, ai_proxy):
            tell(request, ai_proxy)

        @pytest.mark.ai_cassette(mode="all")
        class TestMarked:
            def test_far(self, request, ai_proxy):
                tell(request, ai_proxy)

            @pytest.mark.ai_cassette(mode="none")
            def test_close(self, request, ai_proxy):
                tell(request, ai_proxy)

            @pytest.mark.ai_cassette(mode=None)
            def test_reset(self, request, ai_proxy):
                tell(request, ai_proxy)

        @pytest.mark.ai_cassette(slow=3)
        def test_varied(request, ai_proxy):
            tell(request, ai_proxy)
        """
    )
    names = ["test_fixture", "test_far", "test_close", "test_reset", "test_varied"]

    marked = recording.run("-s")
    modes = ["new_episodes", "all", "none", "new_episodes", "once"]
    marked.stdout.fnmatch_lines([f"{name}: {mode}" for name, mode in zip(names, modes, strict=True)])
    marked.assert_outcomes(passed=5)

    flagged = recording.run("-s", "--ai-record=rewrite")
    modes = ["rewrite", "rewrite", "rewrite", "rewrite", "once"]
    flagged.stdout.fnmatch_lines([f"{name}: {mode}" for name, mode in zip(names, modes, strict=True)])


MODES_OF_OLD = """
import os
import pytest

NEW = os.environ.get("NEW", "a cat")

class Both:
    def test_one(self, client):
        assert client.create(self.prompt).status == 200

    def test_other(self, client):
        assert client.create("an elk").status == 200

@pytest.mark.ai_cassette("none", mode="none")
class TestNone(Both):
    prompt = NEW

@pytest.mark.ai_cassette("new_episodes", mode="new_episodes")
class TestNewEpisodes(Both):
    prompt = NEW

@pytest.mark.ai_cassette("once", mode="once")
class TestOnce(Both):
    prompt = "a cat"

@pytest.mark.ai_cassette("all", mode="all")
class TestAll(Both):
    prompt = NEW

@pytest.mark.ai_cassette("rewrite", mode="rewrite")
class TestRewrite(Both):
    prompt = NEW
"""


def test_a_miss_says_how_the_request_differs_and_each_mode_records_what_it_promises(
    recording: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording.write(test_prompts=MODES_OF_OLD)

    def prompts(mode: str) -> list[str]:
        document = json.loads((recording.path / f"cassettes/test_prompts/{mode}.har").read_text())
        return [json.loads(entry["request"]["postData"]["text"])["prompt"] for entry in document["log"]["entries"]]

    modes = ("none", "new_episodes", "once", "all", "rewrite")
    recording.run("--ai-record=rewrite").assert_outcomes(passed=10)
    assert [prompts(mode) for mode in modes] == [["a cat", "an elk"]] * 5
    assert len(provider.asked) == 10

    monkeypatch.setenv("NEW", "a dog")
    missed = recording.run("--tb=short")
    missed.assert_outcomes(passed=9, failed=1)
    missed.stdout.fnmatch_lines(
        [
            "This is not in cassettes/test_prompts/none.har (mode none), so it was not sent:",
            f"  POST {provider.origin}/v1/videos/text2video",
            f"    the nearest is entry 1, POST {provider.origin}/v1/videos/text2video",
            "      body.prompt: recorded ?a cat?, came ?a dog?",
            "--ai-record=new_episodes records what is missing, --ai-record=rewrite all of it anew.",
            "4 replayed, 5 recorded, 1 missed, 2 unused; *",
            "cassettes/test_prompts/none.har: 1 missed, 1 unused",
        ]
    )
    assert {mode: prompts(mode) for mode in modes} == {
        "none": ["a cat", "an elk"],
        "new_episodes": ["a cat", "an elk", "a dog"],
        "once": ["a cat", "an elk"],
        "all": ["a cat", "a dog", "an elk"],
        "rewrite": ["a dog", "an elk"],
    }
    assert len(provider.asked) == 15


def test_a_strict_run_fails_what_leaves_recordings_unused(recording: Project) -> None:
    recording.write(
        test_strict="""
        import os
        import pytest

        IS_RECORDED = "--ai-record=once" in os.environ["ARGUMENTS"]

        @pytest.fixture
        def twice(client):
            yield
            client.create("deleted at the end")

        def test_leaves_one(client):
            client.create("a cat")
            if IS_RECORDED:
                client.create("a dog")

        @pytest.mark.ai_cassette(allow_unused=True)
        def test_may_leave_one(client):
            if IS_RECORDED:
                client.create("a cat")

        def test_asks_in_a_fixture(client, twice):
            client.create("a cat")

        def test_fails_itself(client):
            if IS_RECORDED:
                client.create("a cat")
            assert IS_RECORDED
        """,
        conftest=(recording.path / "conftest.py").read_text()
        + """
import os

def pytest_configure(config):
    os.environ["ARGUMENTS"] = " ".join(config.invocation_params.args)
""",
    )
    recording.run("--ai-record=once").assert_outcomes(passed=4)
    result = recording.run("--ai-strict")

    result.assert_outcomes(passed=3, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaves_one*",
            "Not asked for, of the recordings in cassettes/test_strict/test_leaves_one.har:",
            "  POST */v1/videos/text2video",
            "allow_unused=True lets a test leave some.",
            "*FAILURES*",
            "3 replayed, 1 unused; *",
            "cassettes/test_strict/test_leaves_one.har: 1 unused",
        ]
    )


def test_a_budget_is_one_for_the_whole_run_and_a_refusal_fails_the_test(recording: Project, provider: Provider) -> None:
    recording.write(
        test_budget="""
        import pytest

        @pytest.mark.parametrize("prompt", ["a cat", "a dog", "an elk"])
        def test_create(client, prompt):
            client.create(prompt)
        """
    )
    refused = recording.run("--ai-record=once", "--ai-budget=5", "-p", "no:xdist")
    refused.assert_outcomes(passed=1, failed=2)
    refused.stdout.fnmatch_lines(
        [
            "*_ test_create?a dog? _*",
            f"POST {provider.origin}/v1/videos/text2video",
            "  The request was not sent: it can cost 3 units, about $0.42. The budget is 5 units; *",
            "1 recorded, 2 refused; recording cost 3 units, about $0.42 *",
        ]
    )
    assert len(provider.asked) == 1

    shared = recording.run("--ai-record=once", "--ai-budget=5", "-n2")
    shared.assert_outcomes(passed=1, failed=2)
    shared.stdout.fnmatch_lines(
        [
            "  The request was not sent: *2.5 units* (Each of the 2 workers has an equal share of --ai-budget=5.)",
            "1 replayed, 2 refused; *",
        ]
    )
    assert len(provider.asked) == 1


VARIED = """
import pytest

pytestmark = pytest.mark.ai_cassette("clip")

def test_succeeds(client):
    client.video("a cat")

def finish(client, polls=2):
    path = "/v1/videos/" + client.create("a cat").json()["id"]
    return [client.ask("GET", path).json() for _ in range(polls)][-1]

@pytest.mark.ai_cassette(failed="too dark")
def test_fails(client):
    video = finish(client)
    assert (video["status"], video["error"]["message"]) == ("failed", "too dark")

@pytest.mark.ai_cassette(error=1303)
class TestRefused:
    def test_is_refused(self, client):
        assert client.create("a cat").status == 429

    @pytest.mark.ai_cassette(slow=2)
    def test_is_slow_instead(self, client):
        assert finish(client)["status"] == "in_progress"
        assert client.ask("GET", "/v1/videos/nothing").status == 400
"""


def test_a_recorded_success_is_played_as_a_failure_that_nobody_pays_for(recording: Project, provider: Provider) -> None:
    recording.write(test_varied=VARIED)
    first = recording.run("--ai-record=once", "-k", "test_fails")
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(["*clip.har was recorded as it went; failed='too dark' counts from the next run on."])
    provider.forget()
    recording.run("--ai-record=rewrite", "-k", "succeeds").assert_outcomes(passed=1)
    asked = len(provider.asked)
    for mode in ("none", "rewrite"):
        result = recording.run(f"--ai-record={mode}", "-k", "not succeeds")
        result.assert_outcomes(passed=2, failed=1)
        result.stdout.fnmatch_lines(
            ["With slow=2, a cassette that is there is only played; without it, --ai-record=new_episodes records *"]
        )
    assert len(provider.asked) == asked


def test_what_cannot_be_used_fails_the_test_with_one_sentence(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.path / "cassettes" / "test_wrong"
    folder.mkdir(parents=True)
    empty = {"version": "1.2", "creator": {"name": "mitm-ai-proxy", "version": "9"}, "entries": []}
    (folder / "test_damaged.har").write_text("{")
    (folder / "test_foreign.har").write_text(json.dumps({"log": {**empty, "entries": [{}]}}))
    (folder / "test_newer.har").write_text(json.dumps({"log": {**empty, "_format": 99}}))
    (folder / "test_variation.har").write_text(json.dumps({"log": {**empty, "_format": 1}}))
    project.write(
        test_wrong="""
        import pathlib
        import pytest

        def test_damaged(ai_proxy): pass
        def test_foreign(ai_proxy): pass
        def test_newer(ai_proxy): pass

        @pytest.mark.ai_cassette(mode="once")
        def test_credential(ai_proxy): pass

        @pytest.mark.ai_cassette(pace="quick")
        def test_pace(ai_proxy): pass

        @pytest.mark.ai_cassette(error=17)
        def test_variation(ai_proxy): pass

        @pytest.mark.ai_simulate(fault="none")
        def test_fault(ai_proxy): pass

        class TestConfiguration:
            @pytest.fixture
            def ai_proxy_config(self):
                return {"provider": {"type": "klnig"}}

            def test_type(self, ai_proxy): pass

        class TestUnwritable:
            @pytest.fixture
            def ai_proxy_config(self):
                return {"provider": {"type": pathlib.Path("kling")}}

            def test_object(self, ai_proxy): pass

        class TestMode:
            @pytest.fixture
            def ai_record_mode(self):
                return "always"

            def test_mode(self, ai_proxy): pass

        def test_goes_on(ai_proxy): pass
        """
    )
    result = project.run()

    result.assert_outcomes(passed=1, errors=10)
    sentences = [
        "*/cassettes/test_wrong/test_damaged.har: *",
        "*/cassettes/test_wrong/test_foreign.har: entry 1: *",
        "*/cassettes/test_wrong/test_newer.har: *",
        "ai_proxy_config: provider.klingAccessKey: no credential: *KLING_ACCESS_KEY and *, or KLING_API*",
        "Without one, --ai-record=once --ai-simulate records from the simulator, which costs nothing.",
        "ai_proxy_config: cassette.pace: expected instant, real, or *",
        "ai_cassette: Kling has no error code 17; *",
        "ai_proxy_config: simulator.fault: *",
        "ai_proxy_config: provider.type: unknown type 'klnig'; did you mean kling? *",
        "ai_proxy_config: cannot be written down: *PosixPath*",
        "ai_record_mode: there is no mode 'always'; there are none, once, *",
    ]
    result.stdout.fnmatch_lines(sentences)
    assert "Traceback" not in result.stdout.str()
    assert "site-packages" not in result.stdout.str()
    assert "another exception" not in result.stdout.str()


def test_the_simulator_stands_in_for_the_provider_without_a_credential(project: Project) -> None:
    project.write(
        test_simulated="""
        import pathlib
        import pytest

        @pytest.mark.ai_simulate
        def test_at_once(client, ai_proxy):
            assert client.video("a cat")[4:8] == b"ftyp"
            assert ai_proxy.requests[0].url == "https://api-singapore.klingai.com/v1/videos/text2video"
            assert ai_proxy.cassette.path is None

        @pytest.mark.ai_simulate(units=3)
        class TestAccount:
            @pytest.mark.parametrize("attempt", [1, 2])
            def test_begins_anew(self, client, attempt):
                assert [client.create("a cat").status for _ in range(2)] == [200, 429]

            @pytest.mark.ai_simulate(fault="1303", units=6)
            def test_has_other_settings(self, client):
                assert client.create("a cat").status == 429

        class TestConfigured:
            @pytest.fixture
            def ai_proxy_config(self, ai_proxy_config):
                return {**ai_proxy_config, "simulator": {"speed": 0.01}}

            @pytest.mark.ai_simulate
            def test_takes_its_time(self, client):
                path = "/v1/videos/" + client.create("a cat").json()["id"]
                assert client.ask("GET", path).json()["status"] != "completed"

        @pytest.mark.ai_simulate
        @pytest.mark.ai_cassette("clip")
        def test_recorded(client):
            client.video("a cat")

        def test_recorded_by_the_flag(client):
            client.video("a dog")

        def test_not_simulated(client):
            assert client.create("a cat").status == 400

        @pytest.mark.ai_simulate
        def test_simulated_again(client):
            assert client.create("a cat").status == 200
        """
    )
    recorded = project.run("--ai-record=once", "--ai-simulate", "--ai-budget=0", "-k", "recorded")
    recorded.assert_outcomes(passed=2)
    recorded.stdout.fnmatch_lines(["8 recorded; recording cost nothing"])
    folder = "cassettes/test_simulated"
    assert project.cassettes() == {f"{folder}/clip.har", f"{folder}/test_recorded_by_the_flag.har"}
    entries = json.loads((project.path / folder / "test_recorded_by_the_flag.har").read_text())["log"]["entries"]
    assert [entry["_simulated"] for entry in entries] == [True] * 4
    # A recording that does not say so, as before there was a word for it.
    path = project.path / folder / "clip.har"
    path.write_text(path.read_text().replace('"_simulated": true', '"_other": 1'))

    result = project.run("--ai-simulate")
    result.assert_outcomes(passed=8, failed=1)
    result.stdout.fnmatch_lines(
        ["8 replayed, 12 simulated, 1 missed; replaying saved 3 units, about $0.42 (simulated)"]
    )


def test_a_create_under_way_at_the_end_of_a_test_is_waited_for_and_recorded(recording: Project) -> None:
    recording.write(
        test_early="""
        import threading
        import pytest
        from client import Client
        from mitm_ai_proxy.simulator.app import Simulator
        from mitm_ai_proxy.simulator.server import make
        from mitm_ai_proxy.simulator.settings import SimulatorSettings
        from mitm_ai_proxy.testing.session import Session

        class Patient(Simulator):
            has_come, may_go = threading.Event(), threading.Event()

            def __call__(self, environ, start_response):
                self.has_come.set()
                assert self.may_go.wait(20)
                return super().__call__(environ, start_response)

        @pytest.fixture(scope="module")
        def patient():
            simulator = Patient(SimulatorSettings())
            server = make(simulator, "127.0.0.1", 0)
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            simulator.origin = f"http://127.0.0.1:{server.port}"
            yield simulator
            server.shutdown()
            thread.join()
            server.server_close()

        @pytest.fixture(scope="module")
        def ai_proxy_config(patient, ai_proxy_config):
            return {"provider": {**ai_proxy_config["provider"], "providerDomain": patient.origin}}

        @pytest.fixture
        def answers_when_the_plugin_waits(patient, monkeypatch):
            end = Session.end

            def release_and_end(*arguments):
                patient.may_go.set()
                return end(*arguments)

            monkeypatch.setattr(Session, "end", release_and_end)

        @pytest.fixture
        def threads():
            threads = []
            yield threads
            for thread in threads:
                thread.join(20)

        def create(origin):
            client = Client(origin)
            client.create("a cat")
            client.close()

        def test_early(threads, answers_when_the_plugin_waits, patient, ai_proxy):
            threads.append(threading.Thread(target=create, args=(ai_proxy.url,)))
            threads[0].start()
            assert patient.has_come.wait(20)
        """
    )
    result = recording.run("--ai-record=once")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 recorded; recording cost 3 units, *"])
    (entry,) = json.loads((recording.path / "cassettes/test_early/test_early.har").read_text())["log"]["entries"]
    assert entry["response"]["status"] == 200


def test_a_cassette_that_cannot_be_written_fails_the_test_that_paid(recording: Project) -> None:
    recording.write(
        test_full="""
        def test_create(client, ai_proxy):
            ai_proxy.cassette.path.parent.parent.write_text("no folder any more")
            assert client.create("a cat").status == 200
        """
    )
    result = recording.run("--ai-record=once")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*_ test_create _*", "ai-proxy: not recorded yet: *test_create.har*"])


def test_the_configuration_is_written_into_no_file(
    recording: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    recording.write(
        test_config="""
        import pathlib
        import tempfile
        import pytest

        @pytest.fixture(scope="class")
        def ai_proxy_config(ai_proxy_config):
            return {"provider": {**ai_proxy_config["provider"], "klingSecretKey": "of-a-class-0123456789abcdefghijk"}}

        class TestOfClass:
            def test_files(self, client):
                assert client.create("a cat").status == 401
                files = [path for path in pathlib.Path(tempfile.gettempdir()).rglob("*") if path.is_file()]
                assert [path for path in files if b"of-a-class" in path.read_bytes()] == []
        """
    )
    result = recording.run("--ai-record=once")
    result.assert_outcomes(passed=1)
    assert list(tmp_path.glob("ai-proxy-*")) == []
    assert "of-a-class" not in (recording.path / "cassettes/test_config/TestOfClass.test_files.har").read_text()


CLIENTS = """
import asyncio
import subprocess
import sys
import threading
import pytest
from client import Client

def test_thread(ai_proxy):
    replies = []

    def create(prompt):
        client = Client(ai_proxy.url)
        replies.append(client.create(prompt).status)
        client.close()

    threads = [threading.Thread(target=create, args=(f"cat {number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [200] * 3

def test_asyncio(ai_proxy):
    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/videos?limit=2 HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def ask_all():
        return await asyncio.gather(*(ask(int(ai_proxy.url.rpartition(":")[2])) for _ in range(3)))

    for answer in asyncio.run(ask_all()):
        assert answer.startswith(b"HTTP/1.1 200 ")

def test_other_process(ai_proxy):
    code = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"
    command = [sys.executable, "-I", "-S", "-c", code, ai_proxy.base_url + "/videos?limit=3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "200\\n", done

@pytest.fixture
def afterwards():
    urls = []
    yield urls
    client = Client(urls[0])
    reply = client.create("too late")
    client.close()
    assert (reply.status, reply.json()["error"]["code"]) == (400, "no_cassette")

def test_between_tests_nothing_is_sent(afterwards, ai_proxy):
    afterwards.append(ai_proxy.url)

def test_the_proxy_is_quiet(client, caplog):
    caplog.set_level("DEBUG")
    client.create("logged")
    assert not {"mitmproxy", "mitm_ai_proxy"} & {record.name.partition(".")[0] for record in caplog.records}

seen = set()

def test_one_proxy_serves_all_tests(ai_proxy):
    assert ai_proxy.requests == []
    seen.add(ai_proxy.url)

def test_one_proxy_serves_all_tests_again(ai_proxy):
    assert seen == {ai_proxy.url}
"""


def test_clients_of_all_kinds_are_recorded_and_replayed(recording: Project, provider: Provider) -> None:
    recording.write(test_clients=CLIENTS)
    recording.run("--ai-record=once").assert_outcomes(passed=7)
    asked = len(provider.asked)
    recording.run("--ai-strict").assert_outcomes(passed=7)
    assert len(provider.asked) == asked


def test_workers_of_xdist_are_summed_up(recording: Project, provider: Provider) -> None:
    recording.write(
        test_many="""
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_create(client, number):
            assert client.create(f"cat {number}").status == 200

        @pytest.mark.ai_cassette("test_create[0]")
        @pytest.mark.parametrize("number", range(2))
        def test_shared(ai_proxy, number):
            pass
        """
    )
    recording.run("--ai-record=once", "-k", "create").assert_outcomes(passed=4)
    assert len(recording.cassettes()) == len(provider.asked) == 4

    result = recording.run("-n2")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["ai-proxy: 4 replayed; replaying saved 12 units, about $1.68"])


@pytest.mark.parametrize("arguments", [("-p", "no:ai_proxy"), ()], ids=["by name", "no autoload"])
def test_tests_can_be_collected_without_the_plugin(
    arguments: tuple[str, ...], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not arguments:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (project.path / "pytest.ini").unlink()
    project.write(test_clips=RECORDED)
    result = project.run("--collect-only", "-q", *arguments)
    result.stdout.fnmatch_lines(["9 tests collected*"])


def test_importing_the_plugin_is_cheap() -> None:
    code = (
        "import sys, pytest, argparse, difflib; before = set(sys.modules)\n"
        "import mitm_ai_proxy.testing.pytest_plugin\n"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    files = ["mitm_ai_proxy.testing.arguments", "mitm_ai_proxy.testing.pytest_plugin"]
    assert done.stdout.strip() == str(["mitm_ai_proxy", "mitm_ai_proxy.testing", *files])


WRONG_MARKS = [
    ("ai_cassette(mdoe='all')", "ai_cassette has no argument mdoe; did you mean mode?"),
    ("ai_cassette(x=1)", "ai_cassette has no argument x; it has name, mode, pace, *"),
    ("ai_cassette('a', 'b')", "ai_cassette takes one name"),
    ("ai_cassette('a', name='b')", "ai_cassette takes one name"),
    ("ai_cassette('')", "ai_cassette takes a name that is not empty"),
    ("ai_cassette(1)", "ai_cassette takes a text as name"),
    ("ai_cassette(mode='append')", "ai_cassette takes one of none, once, new_episodes, all, rewrite as mode"),
    ("ai_cassette(slow=True)", "ai_cassette takes a number of polls as slow"),
    ("ai_cassette(slow=1, failed='x')", "ai_cassette takes one of failed and slow"),
    ("ai_simulate('instant')", "ai_simulate takes arguments by name only"),
    ("ai_simulate(sped=1)", "ai_simulate has no argument sped; did you mean speed?"),
]


def test_marks_that_are_wrong_end_the_run_before_any_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        **{
            f"test_{number}": f"import pytest\n@pytest.mark.{mark}\ndef test_marked(): pass"
            for number, (mark, _) in enumerate(WRONG_MARKS)
        },
        test_good="def test_good(): raise AssertionError('it ran')",
    )
    result = pytester.runpytest_inprocess("-p", "no:asyncio", "-p", "no:recording")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=len(WRONG_MARKS))
    for number, (_, complaint) in enumerate(WRONG_MARKS):
        result.stdout.fnmatch_lines([f"test_{number}.py::test_marked: @pytest.mark.{complaint}"])


def test_a_mark_that_is_wrong_is_told_by_workers_too(project: Project) -> None:
    project.write(
        test_marks="""
        import pytest

        @pytest.mark.ai_cassette(mdoe="all")
        class TestMarked:
            def test_one(self): pass
            def test_other(self): pass

        def test_good(): pass
        """
    )
    result = project.run("-n1")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR collecting*", "test_marks.py::TestMarked::test_one: @pytest.mark.ai_cassette *"]
    )


@pytest.mark.parametrize("units", ["-1", "much", "nan"])
def test_a_budget_is_a_number(units: str, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(f"--ai-budget={units}", "-p", "no:asyncio")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--ai-budget: expected a number of units, from 0 on"])


def test_the_modes_are_those_of_a_cassette() -> None:
    assert {*MODES, Mode.APPEND.value} == {mode.value for mode in Mode}
