"""What machines ask: probes, metrics, and the calls of Kling."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from mitm_ai_proxy.platform import callbacks, signing
from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.replies import Verdict
from mitm_ai_proxy.platform.states import State
from tests.platform.orders import MANY, TIMING, moved, order, stored
from tests.platform.web.server import KLING_SECRET, Server
from tests.tables import table

NOW = 2e9
FAR = 4e9


def _claimed(server: Server) -> Any:
    return server.store.claim_next(MANY, TIMING, FAR, claim="c", lease=60, worker="w")


# Probes


def test_a_platform_is_ready_although_the_gateway_is_away(server: Server) -> None:
    answer = server.ask("GET", "/readyz")

    assert answer.status == 200
    assert answer.json["checks"] == {
        "database": "ok",
        "storage": "ok",
        "queue": "ok",
        "gateway main": "ConnectionRefusedError",
    }


def test_a_gateway_that_listens_is_reached(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        port = gateway.getsockname()[1]
        with Server(tmp_path, gateway=f"http://127.0.0.1:{port}") as server:
            assert server.ask("GET", "/readyz").json["checks"]["gateway main"] == "ok"


def test_a_missing_storage_is_503(server: Server, tmp_path: Path) -> None:
    (tmp_path / "results").rmdir()
    (tmp_path / "results").write_bytes(b"no folder any more")
    answer = server.ask("GET", "/readyz")

    assert (answer.status, answer.json["checks"]["storage"]) == (503, "StorageError")
    assert server.ask("GET", "/healthz").json == {"status": "ok"}


def test_the_age_of_the_oldest_due_job_is_said(server: Server) -> None:
    server.set_clock(FAR)
    server.made()
    assert server.ask("GET", "/readyz").json["oldest_due_seconds"] == 0
    moved(server.store, _claimed(server), Decision(State.PROCESSING, "taken", task_id="t", after=10), FAR)
    server.set_clock(FAR + 40)

    assert server.ask("GET", "/readyz").json["oldest_due_seconds"] == 30


def test_probes_are_answered_to_anybody_and_hold_no_secret(tmp_path: Path) -> None:
    with Server(tmp_path, environment={"DATABASE_URL": "postgresql://user:word@db/x"}) as server:
        server.store.keys.make("acme", 0)
        fields = {"host": "10.0.0.7:8000"}

        assert server.ask("GET", "/healthz", fields=fields).status == 200
        assert b"word" not in server.ask("GET", "/readyz", fields=fields).body
        assert server.ask("GET", "/metrics", fields=fields).status == 401


# Metrics


def _metrics(server: Server) -> dict[tuple[str, tuple[str, ...]], float]:
    text = server.ask("GET", "/metrics").body.decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_say_how_many_jobs_slots_and_units_there_are(server: Server) -> None:
    server.made()
    stored(server.store, _claimed(server))
    server.made()
    moved(server.store, _claimed(server), Decision(State.PROCESSING, "taken", task_id="t"))
    server.made()
    found = _metrics(server)

    assert found["platform_jobs", ("queued",)] == found["platform_jobs", ("stored",)] == 1
    assert found["platform_slots_held", ("main", "kling-v3")] == 1
    assert found["platform_slots_limit", ("main", "kling-v3")] == 5
    assert (found["platform_units_today", ("spent",)], found["platform_units_today", ("reserved",)]) == (3, 6)
    assert found["platform_messages_waiting", ()] == 3
    assert found["platform_oldest_waiting_seconds", ()] >= 0


def test_metrics_name_what_is_paused(server: Server) -> None:
    server.made()
    paused = Decision(State.QUEUED, "no units", lesson=Verdict.UNPAID)
    server.store.commit(_claimed(server), paused, time.time(), TIMING)

    assert _metrics(server)["platform_lane_paused", ("main", "", "unpaid")] == 1
    pause = server.ask("GET", "/api/accounts").json["data"][0]["pauses"][0]
    assert (pause["reason"], pause["model"]) == ("unpaid", None)
    assert "buy some" in pause["advice"]


def test_a_paused_account_is_said_to_probes_and_listeners_and_takes_nothing_out_of_service(server: Server) -> None:
    server.made()
    paused = Decision(State.QUEUED, "no units", lesson=Verdict.UNPAID)
    server.store.commit(_claimed(server), paused, time.time(), TIMING)

    ready = server.ask("GET", "/readyz")
    assert (ready.status, ready.json["paused"]) == (200, [{"account": "main", "model": None, "reason": "unpaid"}])
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("GET", "/api/events")
        answer = connection.getresponse()
        assert [answer.readline() for _ in range(3)][2] == b"event: account\n"
        assert json.loads(answer.readline().removeprefix(b"data: "))["status"] == "paused"
        back = Decision(State.PROCESSING, "taken", task_id="t", lesson=Verdict.TAKEN)
        moved(server.store, _claimed(server), back)
        while (line := answer.readline()) != b"event: account\n":
            assert line
        assert json.loads(answer.readline().removeprefix(b"data: "))["status"] == "resumed"
    assert server.ask("GET", "/readyz").json["paused"] == []


def test_an_account_that_jobs_need_and_nobody_has_configured_is_named(server: Server) -> None:
    server.store.accept(order(pinned_to="sold"), [], time.time())

    found = server.ask("GET", "/api/accounts").json["data"]
    assert [account["account"] for account in found] == ["main", "sold"]
    assert (found[1]["concurrency"], found[1]["pauses"][0]["reason"]) == (0, "not_configured")


def test_requests_are_counted_by_the_pattern_of_their_path(server: Server) -> None:
    for job_id in ("job_1", "job_2"):
        server.ask("GET", f"/api/videos/{job_id}")
    server.ask("GET", "/no/such/path")
    found = _metrics(server)

    assert found["platform_http_requests_total", ("GET", "/api/videos/{job_id}", "404")] == 2
    assert found["platform_http_requests_total", ("GET", "(none)", "404")] == 1


# Calls of Kling


def _processing(server: Server) -> tuple[str, str]:
    """A job whose task is looked at in an hour, and the path that Kling calls."""
    job_id = server.made()
    decision = Decision(State.PROCESSING, "taken", task_id="t", after=3600)
    moved(server.store, _claimed(server), decision, time.time())
    address = callbacks.address(server.url, server.store.keys.signing_key(), job_id)
    return job_id, address.removeprefix(server.url)


def _next_at(server: Server, job_id: str) -> float:
    job = server.store.job(job_id)
    assert job
    return job.next_at


def test_a_call_has_the_task_looked_at_at_once_whatever_it_says(server: Server) -> None:
    job_id, path = _processing(server)
    before = server.messages.waiting()
    answer = server.ask("POST", path, raw=b"not even JSON", fields={"host": "videos.example"})

    assert (answer.status, answer.body) == (204, b"")
    _until(lambda: server.messages.waiting() == before + 1)
    assert _next_at(server, job_id) <= time.time()
    job = server.store.job(job_id)
    assert job
    assert job.state is State.PROCESSING


def test_a_call_that_comes_twice_does_no_harm(server: Server) -> None:
    _, path = _processing(server)
    before = server.messages.waiting()

    assert [server.ask("POST", path, {}).status for _ in range(3)] == [204, 204, 204]
    _until(lambda: server.messages.waiting() == before + 1)


def _until(condition: Any) -> None:
    ends_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


@table(
    ("fields", "status"),
    [
        ({}, 204),
        (signing.fields([KLING_SECRET], "m", NOW, b"{}"), 204),
        (signing.fields([KLING_SECRET], "m", NOW, b"{ }"), 401),
        (signing.fields([KLING_SECRET], "m", NOW - 900, b"{}"), 401),
        ({signing.SIGNATURE: "v1,AAAA"}, 401),
        ({signing.SIGNATURE: ""}, 401),
    ],
)
def test_a_signature_that_is_there_has_to_be_right(fields: Mapping[str, str], status: int, tmp_path: Path) -> None:
    folder = tmp_path / str(hash(frozenset(fields.items())))
    folder.mkdir()
    environment = {"KLING_WEBHOOK_SECRET": KLING_SECRET.reveal()}
    with Server(folder, environment=environment, only_callbacks=True) as server:
        server.set_clock(NOW)
        job_id = "job_1"
        address = callbacks.address(server.url, server.store.keys.signing_key(), job_id)
        path = address.removeprefix(server.url)

        assert server.ask("POST", path, raw=b"{}", fields=fields).status == status
        counted = server.ask("GET", "/metrics").body.decode()
        assert f'platform_callbacks_total{{result="{"taken" if status == 204 else "refused"}"}} 1.0' in counted


def test_a_call_with_a_token_that_was_not_made_here_is_401_and_wakes_nothing(server: Server) -> None:
    job_id, path = _processing(server)
    before = _next_at(server, job_id)
    forged = path[:-1] + ("a" if path[-1] != "a" else "b")

    assert server.ask("POST", forged, {}).error == (401, "invalid_signature", None)
    assert server.ask("POST", f"/callbacks/kling/{job_id}", {}).status == 401
    assert _next_at(server, job_id) == before


def test_a_call_over_64_kb_is_413(server: Server) -> None:
    _, path = _processing(server)

    assert server.ask("POST", path, raw=b"x" * (64 << 10)).status == 204
    assert server.ask("POST", path, raw=b"x" * ((64 << 10) + 1)).status == 413


def test_the_receiver_alone_has_neither_api_nor_page(tmp_path: Path) -> None:
    with Server(tmp_path, only_callbacks=True) as server:
        for path in ("/", "/api/videos", "/v1/videos", "/session"):
            assert server.ask("GET", path).status == 404
        assert server.ask("GET", "/readyz").status == 200


def test_errors_are_json_with_the_id_of_their_request(server: Server) -> None:
    answer = server.ask("POST", "/callbacks/kling/x", {})

    assert answer.fields["content-type"] == "application/json"
    assert answer.fields["x-request-id"].startswith("req_")
    assert json.loads(answer.body)["error"]["type"] == "authentication_error"
