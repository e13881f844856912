"""`ai-proxy platform`: what it prints about jobs and keys, what it checks and compares, and how it refuses."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.commands.main import main
from mitm_ai_proxy.platform.client import Client
from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.replies import Verdict
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import again, claimed, moved, order
from tests.platform.proxy import Proxy
from tests.platform.servers import free_port
from tests.tables import table

TASK = "/v1/videos/text2video"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, beside a configuration without a credential, in an environment without URLs."""
    for name in ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "GATEWAY_URL", "PUBLIC_URL", "PLATFORM_DATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config.yaml").write_text("provider: {type: kling, apiTokens: ['${NO_KEY_HERE}']}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "platform-data"


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    """The store in the data folder."""
    data.mkdir()
    opened = Store(data / "jobs.db")
    yield opened
    opened.close()


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["platform", *words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_key_is_printed_once_and_opens_its_tenant(
    store: Store, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = _run(capsys, "key", "acme", "--daily-units", "2.5", "--note", "ci")
    key = store.keys.find(out.strip())

    assert status == 0
    assert key
    assert (key.tenant, key.daily, key.monthly, key.note) == ("acme", 2500, None, "ci")
    assert err == f"{key.id} of acme, shown this once:\n"
    listed = _run(capsys, "key", "acme", "--list")[1]
    assert key.id in listed
    assert out.strip() not in listed
    (data.parent / "config.yaml").write_text("platform: {tenants: {acme: {slots: 1}}}\n")
    assert _run(capsys, "key", "acmee")[2].splitlines()[1:] == [
        "ai-proxy: platform.tenants does not name acmee, which has no limits; did you mean acme?"
    ]
    assert _run(capsys, "key", "acme")[2].count("\n") == 1
    assert _run(capsys, "key", "other", "--revoke", key.id)[0] == 1
    assert _run(capsys, "key", "acme", "--revoke", key.id)[0] == 0
    assert store.keys.find(out.strip()) is None


def test_what_happened_to_a_job_is_told_line_by_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.accept(order(callback_url="https://a.example/hook"), [], time.time())
    job = claimed(store)
    assert job
    moved(store, job, Decision(State.FAILED, "not this", error="moderation", money=Money.RELEASED))

    status, out, _ = _run(capsys, "job", "j")

    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "j of default: failed (moderation: not this)"
    assert "  estimated 3 units, actual 0 units, released" in lines
    assert [line.split("  ", 1)[1] for line in lines[4:7]] == [
        "queued: accepted",
        "queued -> submitting: a slot of main  [w]",
        "submitting -> failed: not this  [w]",
    ]
    assert "to https://a.example/hook: waiting, 0 tries" in lines[7]


def test_a_failed_job_is_retried_and_all_jobs_are_exported(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.accept(order(metadata='{"a": 1}'), [], time.time())
    assert _run(capsys, "retry", "j")[::2] == (1, "ai-proxy: the job is queued: only one that has failed is retried\n")
    store.cancel("j", "default", time.time())

    status, out, _ = _run(capsys, "retry", "j")
    jobs = [json.loads(line) for line in _run(capsys, "export")[1].splitlines()]

    assert status == 0
    assert [(job["id"], job["state"], job["retry_of"]) for job in jobs] == [
        ("j", "cancelled", ""),
        (out.strip(), "queued", "j"),
    ]
    assert jobs[0]["metadata"] == {"a": 1}


@table("words", [("job", "nobody"), ("retry", "nobody")])
def test_a_job_that_is_not_there_is_said_so(words: tuple[str, ...], data: Path) -> None:
    assert main(["platform", *words]) == 1


@table(
    ("words", "message"),
    [
        (("everything",), "invalid choice"),
        (("all", "--port", "70000"), "expected a number from 0 to 65535"),
        (("worker", "--threads", "0"), "expected a number from 1 to 256"),
        (("worker", "--port", "1"), "unrecognized arguments"),
        (("job",), "required: ID"),
        (("key", "acme", "--daily-units", "-1"), "expected a number of units"),
        (("key", "a/b"), "expected a name of at most 64 letters, digits"),
        (("key", ""), "expected a name of at most 64 letters, digits"),
    ],
)
def test_wrong_usage_is_named(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["platform", *words])

    assert raised.value.code == 2
    assert message in capsys.readouterr().err


@table(
    ("block", "environment", "message"),
    [
        ("platform: {timing: {lok: 1}}", {}, "platform.timing.lok: unknown key; did you mean look?"),
        ("", {"REDIS_URL": "ftp://pa55"}, "REDIS_URL: expected a URL that begins with redis://"),
        ("", {"DATABASE_URL": "postgresql://u:pa55@127.0.0.1:1/d"}, "at 127.0.0.1:1 cannot be reached: nothing"),
        ("", {"PLATFORM_DATA": "/proc/no"}, "the folder /proc/no cannot be made"),
    ],
)
def test_a_mistake_of_the_deployment_is_named(
    block: str, environment: dict[str, str], message: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = data.parent / "config.yaml"
    config.write_text(f"provider: {{type: kling}}\n{block}\n")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        status, _, err = _run(capsys, "export")

    assert status == 1
    assert message in err
    assert "pa55" not in err


def test_without_its_libraries_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huey", None)
    for name in [name for name in sys.modules if name.startswith(("mitm_ai_proxy.platform", "mitm_ai_proxy.commands"))]:
        if name != "mitm_ai_proxy.commands.main":
            monkeypatch.delitem(sys.modules, name)
    # The name of the module that was imported before is kept by its package.
    monkeypatch.delattr(sys.modules["mitm_ai_proxy.commands.main"], "platform", raising=False)

    assert main(["platform", "export"]) == 1
    assert "the platform needs huey: pip install 'mitm-ai-proxy[platform]'" in capsys.readouterr().err


# With a gateway


@pytest.fixture
def gateway(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, data: Path) -> Client:
    """A client of the simulated gateway, which the environment names."""
    proxy.renew()
    monkeypatch.setenv("GATEWAY_URL", proxy.embedded.origin)
    return Client(proxy.embedded.origin, seconds=20)


def test_a_check_tries_every_part_and_leaves_nothing(
    gateway: Client, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = _run(capsys, "check")

    assert (status, [line.split(":")[0] for line in out.splitlines()]) == (
        0,
        ["ok   database", "ok   queue", "ok   storage", "ok   gateway of main", "ok   callbacks"],
    )
    assert not [path for path in (data / "results").rglob("*") if path.is_file()]


def test_a_check_names_what_is_away(
    gateway: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("REDIS_URL", f"redis://:pa55@127.0.0.1:{free_port()}/0")
    status, out, _ = _run(capsys, "check")

    assert status == 1
    assert "BAD  queue: ConnectionError: look at REDIS_URL, and whether Redis runs there" in out
    assert "no connection was made: refused" in out
    assert "pa55" not in out


def test_a_check_names_the_accounts_that_wait_for_a_person(
    gateway: Client, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.accept(order("j"), [], time.time())
    job = claimed(store, time.time())
    assert job
    moved(store, job, Decision(State.QUEUED, "no units", lesson=Verdict.UNPAID), time.time())
    store.accept(order("k", pinned_to="sold"), [], time.time())
    status, out, _ = _run(capsys, "check")

    assert status == 1
    assert "BAD  account main: paused (unpaid): The account has no units left: buy some at Kling." in out
    assert "BAD  account sold: platform.accounts does not name this account" in out


def _stored(store: Store, gateway: Client, job_id: str, **decided: Any) -> None:
    """A job whose task is done at Kling, and that has ended here."""
    now = time.time()
    store.accept(order(job_id), [], now)
    job = claimed(store, now)
    assert job
    task = gateway.create(TASK, store.body(job_id) or "", job_id).task
    assert task
    assert gateway.find(TASK, task.task_id).task
    job = moved(store, job, Decision(State.PROCESSING, "taken", task_id=task.task_id), now)
    job = moved(store, again(store, job, now), Decision(State.FETCHING, "done", **decided), now)
    moved(store, again(store, job, now), Decision(State.STORED, "stored"), now)


def test_the_books_are_compared_with_klings(gateway: Client, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    late, dear, lost = (f"job_{letter * 24}" for letter in "abc")
    _stored(store, gateway, late)
    _stored(store, gateway, dear, money=Money.SETTLED, units=9000)
    gateway.create(TASK, '{"model_name": "kling-v3", "prompt": "a cat", "duration": "5"}', lost)

    status, out, _ = _run(capsys, "reconcile")

    assert status == 0
    assert f"prices that were learned late: 1\n  {late}: 3 units\n" in out
    assert f"  {dear}: 9 units here, 3 in Kling's books\n" in out
    assert f"tasks that no job here has: 1\n  {lost} " in out
    job = store.job(late)
    assert job
    assert (job.actual, job.money) == (3000, "settled")
    assert [orphan.name for orphan in store.books.orphans()] == [lost]
    assert "prices that were learned late: 0" in _run(capsys, "reconcile")[1]


def test_what_is_done_hourly_is_done_by_one(store: Store) -> None:
    assert [store.books.is_due("reconciled", 3600, now) for now in (0.0, 3599.0, 3600.0, 3601.0)] == [
        True,
        False,
        True,
        False,
    ]
