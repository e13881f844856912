"""Changes of the configuration and of the script while the proxy runs."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE, SCRIPT, Proxy
from tests.e2e.upstream import CREATED, Answer, Received, Upstream
from tests.e2e.window import Asking, Window


def _config(upstream: Upstream, token: str) -> str:
    return f"provider: {{type: kling, apiTokens: [{token}], providerDomain: 'http://{upstream.address}'}}"


def test_a_good_configuration_takes_effect_without_touching_flows_under_way(
    upstream: Upstream, start_proxy: StartProxy
) -> None:
    arrived, released = threading.Event(), threading.Event()

    def respond(request: Received) -> Answer:
        if b"slow" in request.body:
            arrived.set()
            assert released.wait(10)
        return Answer()

    upstream.respond = respond
    proxy = start_proxy(_config(upstream, "first"))
    replies = []
    slow = threading.Thread(
        target=lambda: replies.append(proxy.request("POST", "/v1/videos", b'{"image":"slow"}')), daemon=True
    )
    slow.start()
    assert arrived.wait(10)

    (proxy.folder / "config.yaml").write_text(_config(upstream, "second"))
    proxy.wait_for(r"config\.yaml: provider kling")
    proxy.request("GET", "/v1/videos/1")
    assert upstream.next().one("Authorization") == "Bearer second"

    released.set()
    slow.join(10)
    assert b"kling-i2v-" in replies[0].body
    assert upstream.next().one("Authorization") == "Bearer first"


def test_a_bad_configuration_is_reported_and_the_old_one_stays(upstream: Upstream, start_proxy: StartProxy) -> None:
    proxy = start_proxy(_config(upstream, "first"))

    (proxy.folder / "config.yaml").write_text("provider: {type: klong}")
    proxy.wait_for("unknown type 'klong'")
    proxy.wait_for("the old configuration stays")
    assert proxy.request("GET", "/v1/videos/1").status == 200
    assert upstream.next().one("Authorization") == "Bearer first"

    (proxy.folder / "config.yaml").unlink()
    proxy.wait_for("cannot be read")
    assert proxy.request("GET", "/v1/videos/1").status == 200

    # As an editor does: a new file replaces the old one.
    (proxy.folder / "new.yaml").write_text(_config(upstream, "third"))
    (proxy.folder / "new.yaml").replace(proxy.folder / "config.yaml")
    proxy.wait_for(r"config\.yaml: provider kling")
    upstream.reset()
    proxy.request("GET", "/v1/videos/1")
    assert upstream.next().one("Authorization") == "Bearer third"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the script and the package that a test may break."""
    # With what is compiled: the times of the files are copied, too.
    shutil.copytree(SCRIPT.parent, tmp_path / "addon")
    return tmp_path / "addon" / "ai_proxy.py"


def test_a_script_saved_again_goes_on_working_and_ends_what_is_under_way(
    copied: Path, kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    arrived, released = threading.Event(), threading.Event()

    def respond(request: Received) -> Answer:
        if b"slow" in request.body:
            arrived.set()
            assert released.wait(DEADLINE)
        return Answer()

    upstream.respond = respond
    window = Window(start_proxy, kling, script=copied)

    def ask(prompt: str) -> Asking:
        body = json.dumps({"model": "m", "prompt": prompt}).encode()
        return Asking(window.proxy, "POST", "/v1/videos", body, {"Content-Type": "application/json"})

    # One that waits for its answer, and two that a person has stopped: behind the rewriting, and before it.
    asked = [ask("slow")]
    assert arrived.wait(DEADLINE)
    for place in ("upstream", "client"):
        window.set(intercept="~b stopped", ai_intercept=place)
        asked.append(ask(f"stopped {place}"))
        window.stopped(place)
    _save(copied, copied.read_text() + "\n")
    window.proxy.wait_for(r"config\.yaml: provider kling")
    released.set()
    for flow in window.flows:
        if flow["intercepted"]:
            window.edit(flow, content=window.content(flow).decode().replace("stopped", "edited"))
            window.resume(flow)

    created = (200, CREATED.replace(b'"831', b'"kling-t2v-831'))
    assert [one.end() for one in asked] == [created] * 3
    prompts = {json.loads(upstream.next().body)["prompt"] for _ in asked}
    assert prompts == {"slow", "edited client", "edited upstream"}
    for _ in range(2):
        assert ask("new").end() == created
        assert upstream.next().body == b'{"model_name": "m", "prompt": "new"}'


@pytest.mark.parametrize("broken", ["def (", "raise ValueError", "addons = []"])
def test_a_script_that_breaks_lets_nothing_through(
    broken: str, copied: Path, kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(kling, script=copied)
    assert proxy.request("GET", "/v1/videos/1").status == 200
    upstream.reset()

    _save(copied, broken)
    proxy.wait_for("Loading script")
    _assert_refused_soon(proxy)
    upstream.assert_untouched()


def test_a_script_that_is_deleted_lets_nothing_through(
    copied: Path, kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(kling, script=copied)
    copied.unlink()
    proxy.wait_for("Removing script")
    _assert_refused_soon(proxy)
    upstream.assert_untouched()


def test_a_script_that_loads_again_with_a_bad_configuration_lets_nothing_through(
    copied: Path, kling: str, upstream: Upstream, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(kling, script=copied)
    (proxy.folder / "config.yaml").write_text("provider: {type: klong}")
    proxy.wait_for("the old configuration stays")
    _save(copied, copied.read_text() + "\n")
    proxy.wait_for("unknown type 'klong'")
    _assert_refused_soon(proxy)
    upstream.assert_untouched()

    (proxy.folder / "config.yaml").write_text(kling)
    proxy.wait_for(r"config\.yaml: provider kling")
    assert proxy.request("GET", "/v1/videos/1").status == 200


def _save(script: Path, text: str) -> None:
    """Write a file with a modification time that mitmproxy notices, even in a fast test."""
    import os

    before = script.stat().st_mtime
    script.write_text(text)
    os.utime(script, (before + 2, before + 2))


def _assert_refused_soon(proxy: Proxy) -> None:
    for path in ("/v1/videos/1", "/some/where"):
        assert proxy.request("GET", path).status == 503
    assert proxy.request("POST", "/v1/videos", b"{}").status == 503
