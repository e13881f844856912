"""The platform's API over HTTP: what is right is stored once, what is wrong names its field and leaves nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.money import Allowance
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.platform.web.openapi import OPERATIONS
from tests.platform.orders import MANY, NOW, TIMING, moved, stored
from tests.platform.web.server import SEEDS_BODY, Server
from tests.tables import table

FILE = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 8


@pytest.fixture
def server(either_store: Store, tmp_path: Path) -> Iterator[Server]:
    """An application on each kind of store."""
    with Server(tmp_path, store=either_store) as running:
        yield running


def _claimed(store: Store) -> Any:
    return store.claim_next(MANY, TIMING, 4e9, claim="c", lease=60, worker="w")


def _stored(server: Server, tmp_path: Path, **changed: Any) -> str:
    """A job whose file is in the storage."""
    job_id = server.made(**changed)
    found = stored(server.store, _claimed(server.store))
    assert found.id == job_id
    (tmp_path / "file").write_bytes(FILE)
    server.storage.put(found.object_name, tmp_path / "file")
    return job_id


def test_a_job_is_accepted_with_its_price_and_place(server: Server) -> None:
    first = server.ask("POST", "/api/videos", {**SEEDS_BODY, "metadata": {"scene": 7}})
    second = server.ask("POST", "/api/videos", SEEDS_BODY)

    assert (first.status, second.status) == (202, 202)
    job = first.json
    assert (job["status"], job["estimated_credits"], job["estimated_usd"]) == ("queued", 3, 0.42)
    assert (job["position"], second.json["position"]) == (1, 2)
    assert first.fields["location"] == job["links"]["self"] == f"/api/videos/{job['job_id']}"
    whole = server.ask("GET", job["links"]["self"]).json
    assert whole["metadata"] == {"scene": 7}
    assert [event["to"] for event in whole["events"]] == ["queued"]
    assert server.messages.waiting() == 2


@table(
    ("changed", "units"),
    [
        ({"duration": "10"}, 6),
        ({"mode": "professional"}, 4),
        ({"model": "kling-v2-6", "sound": "on", "mode": "pro"}, 5),
    ],
)
def test_an_estimate_stores_nothing(changed: Mapping[str, Any], units: float, server: Server) -> None:
    answer = server.ask("POST", "/api/videos?dry_run=true", {**SEEDS_BODY, **changed})

    assert (answer.status, answer.json["estimated_credits"]) == (200, units)
    assert answer.json["body"]["prompt"] == "a cat"
    assert server.counts() == 0


# Repetitions


def test_a_create_with_the_same_key_and_body_gives_the_same_job(server: Server) -> None:
    fields = {"idempotency-key": "one"}
    first = server.ask("POST", "/api/videos", SEEDS_BODY, fields=fields)
    again = server.ask("POST", "/api/videos", raw=json.dumps(SEEDS_BODY, indent=2).encode(), fields=fields)

    assert again.status == 202
    assert again.json["job_id"] == first.json["job_id"]
    assert again.fields["idempotent-replayed"] == "true"
    assert server.counts() == 1


# Limits


def test_a_job_beyond_the_budget_is_402_with_what_is_left(tmp_path: Path) -> None:
    with Server(tmp_path, {"tenants": {"default": {"dailyUnits": 4}}}) as server:
        server.made()
        answer = server.ask("POST", "/api/videos", SEEDS_BODY)
        error = answer.json["error"]

        assert (answer.status, error["code"], error["needed"], error["left"]) == (402, "budget_exceeded", 3, 1)
        assert error["resets_at"] > server.services.clock()
        assert server.counts() == 1


def test_a_full_queue_is_429_and_says_when_to_come_again(tmp_path: Path) -> None:
    with Server(tmp_path, {"tenants": {"default": {"queue": 1}}}) as server:
        server.made()
        answer = server.ask("POST", "/api/videos", SEEDS_BODY)

        assert answer.error == (429, "queue_full", None)
        assert int(answer.fields["retry-after"]) > 0
        assert server.counts() == 1


def test_a_database_that_is_away_is_503(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.made()
        (tmp_path / "jobs.db").rename(tmp_path / "away.db")
        server.store.close()
        (tmp_path / "jobs.db").mkdir()

        answer = server.ask("POST", "/api/videos", SEEDS_BODY)

        assert answer.error == (503, "database_away", None)
        assert server.ask("GET", "/readyz").status == 503
        assert server.ask("GET", "/healthz").status == 200
        (tmp_path / "jobs.db").rmdir()
        (tmp_path / "away.db").rename(tmp_path / "jobs.db")
        assert server.counts() == 1


# Looking


def test_jobs_are_listed_in_pages_in_both_orders(server: Server) -> None:
    made = [server.made(prompt=f"cat {number}") for number in range(5)]

    def pages(order: str) -> list[list[str]]:
        found, after = [], ""
        while True:
            page = server.ask("GET", f"/api/videos?limit=2&order={order}{after}").json
            found.append([job["job_id"] for job in page["data"]])
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    assert pages("desc") == [[made[4], made[3]], [made[2], made[1]], [made[0]]]
    assert pages("asc") == [[made[0], made[1]], [made[2], made[3]], [made[4]]]


def test_jobs_are_listed_by_their_states(server: Server) -> None:
    first, second = server.made(), server.made()
    server.ask("DELETE", f"/api/videos/{second}")

    def listed(states: str) -> list[str]:
        return [job["job_id"] for job in server.ask("GET", f"/api/videos?status={states}").json["data"]]

    assert listed("queued") == [first]
    assert listed("cancelled") == [second]
    assert listed("queued,cancelled") == [second, first]


def test_a_tenant_sees_nothing_of_another(server: Server) -> None:
    own = {"authorization": f"Bearer {server.store.keys.make('acme', 0)[1]}"}
    other = {"authorization": f"Bearer {server.store.keys.make('other', 0)[1]}"}
    job_id, ended = (server.ask("POST", "/api/videos", SEEDS_BODY, fields=own).json["job_id"] for _ in range(2))
    server.store.cancel(ended, "acme", NOW)
    before = (server.store.jobs(), server.store.events())

    assert server.ask("GET", f"/api/videos/{job_id}", fields=own).status == 200
    for pattern, operations in OPERATIONS.items():
        for method in (name for name, operation in operations.items() if operation.has_key):
            for of in (job_id, ended):
                path = re.sub(r"{\w+}", of, pattern)
                source = {"video": {"id": of}} if pattern in ("/v1/videos/edits", "/v1/videos/extensions") else {}
                body = {"prompt": "x", **source} if method == "post" else None
                assert server.ask(method.upper(), path, body).status == 401, (method, path)
                if source or "{" in pattern:
                    assert server.ask(method.upper(), path, body, fields=other).status == 404, (method, path)
    for api in ("api", "v1"):
        assert server.ask("GET", f"/{api}/videos?after={job_id}", fields=other).status == 400
        assert server.ask("GET", f"/{api}/videos", fields=other).json["data"] == []
    assert server.ask("GET", "/api/usage", fields=other).json["jobs"]["queued"] == 0
    assert (server.store.jobs(), server.store.events()) == before


def test_a_path_and_a_parameter_that_no_database_takes_name_no_job(server: Server) -> None:
    paths = ("/api/videos/%00", "/api/videos/%00/content", "/api/videos/%00/events", "/v1/videos/%00", "/v1/videos/%ff")
    for path in paths:
        assert server.ask("GET", path).error == (404, "not_found", "id")
    for path in ("/api/videos?after=%00", "/v1/videos?after=%00"):
        assert server.ask("GET", path).error == (400, "invalid_value", "after")
    assert server.ask("POST", "/api/videos/%00/deliveries/%00").status == 404
    source = {"prompt": "x", "video": {"id": "\0"}}
    assert server.ask("POST", "/v1/videos/edits", source).error[::2] == (400, "video")
    assert server.counts() == 0


def test_the_limit_of_a_key_is_its_own(server: Server) -> None:
    _, text = server.store.keys.make("acme", 0, allowance=Allowance(daily=3000))
    fields = {"authorization": f"Bearer {text}"}

    assert server.ask("POST", "/api/videos", SEEDS_BODY, fields=fields).status == 202
    assert server.ask("POST", "/api/videos", SEEDS_BODY, fields=fields).status == 402


def test_a_job_says_where_its_time_went_and_why_anything_was_repeated(server: Server) -> None:
    job_id = server.made()
    job = _claimed(server.store)
    job = moved(server.store, job, Decision(State.QUEUED, "Kling has no free slot"), 4e9 + 1)
    job = _claimed(server.store)
    moved(server.store, job, Decision(State.IN_DOUBT, "nobody knows"), 4e9 + 2)
    found = server.ask("GET", f"/api/videos/{job_id}").json

    assert [entry["reason"] for entry in found["repeats"]] == ["Kling has no free slot", "nobody knows"]
    assert found["times"].keys() == {"queued", "kling", "download"}
    assert found["status"] == "in_doubt"
    assert "worker" not in found["events"][0]


def test_a_job_may_name_the_account_that_has_what_it_is_made_of(tmp_path: Path) -> None:
    """Elements and voices are an account's own, and only whoever has made them knows whose."""
    accounts = {"small": {"gateway": "http://127.0.0.1:9"}, "big": {"gateway": "http://127.0.0.1:9/big"}}
    with Server(tmp_path, {"accounts": accounts}) as server:
        job_id = server.made(account="small", element_list=[{"element_id": 7}])
        video = server.ask("POST", "/v1/videos", {"prompt": "a cat", "account": "big"}).json["id"]
        free = server.made()
        answer = server.ask("POST", "/api/videos", {**SEEDS_BODY, "account": "main"})

        jobs = {job.id: job.pinned_to for job in server.store.jobs()}
        assert jobs == {job_id: "small", video: "big", free: ""}
        assert "account" not in json.loads(server.store.body(job_id) or "")
        assert answer.json["error"]["message"] == "account 'main' is none of small, big."


# Ending


def test_a_job_that_waits_is_cancelled_and_its_money_released(server: Server) -> None:
    job_id = server.made()
    answer = server.ask("DELETE", f"/api/videos/{job_id}")

    assert (answer.status, answer.json["status"], answer.json["money"]) == (200, "cancelled", "released")
    assert server.ask("GET", "/api/usage").json["budgets"][0]["reserved"] == 0


def test_a_job_that_was_bought_is_not_cancelled_but_may_be_discarded(server: Server) -> None:
    job_id = server.made()
    moved(server.store, _claimed(server.store), Decision(State.PROCESSING, "taken", task_id="t"))

    assert server.ask("DELETE", f"/api/videos/{job_id}").error == (409, "already_bought", None)
    discarded = server.ask("DELETE", f"/api/videos/{job_id}?discard=true").json
    assert (discarded["status"], discarded["is_discarded"]) == ("processing", True)


def test_a_job_that_has_ended_loses_its_file_and_stays_for_the_books(server: Server, tmp_path: Path) -> None:
    job_id = _stored(server, tmp_path)
    name = server.store.job(job_id).object_name  # type: ignore[union-attr]
    deleted = server.ask("DELETE", f"/api/videos/{job_id}").json

    assert deleted["deleted_at"] > 0
    assert deleted["actual_credits"] == 3
    assert server.storage.size(name) is None
    assert server.ask("GET", f"/api/videos/{job_id}/content").error == (404, "deleted", "id")
    assert [job["job_id"] for job in server.ask("GET", "/api/videos").json["data"]] == [job_id]
    assert server.ask("DELETE", f"/api/videos/{job_id}").status == 200


def test_a_job_that_has_failed_is_made_again_as_a_new_one(server: Server) -> None:
    job_id = server.made()
    failed = Decision(State.FAILED, "Kling refused it", error="moderation", money=Money.RELEASED)
    moved(server.store, _claimed(server.store), failed)
    answer = server.ask("POST", f"/api/videos/{job_id}/retry")

    assert (answer.status, answer.json["retry_of"], answer.json["status"]) == (202, job_id, "queued")
    assert server.ask("GET", f"/api/videos/{job_id}").json["error"] == {
        "code": "moderation",
        "message": "Kling refused it",
    }
    assert server.ask("POST", f"/api/videos/{answer.json['job_id']}/retry").error == (409, "not_failed", "id")


# Files


def test_a_file_is_given_whole_in_parts_and_not_again(server: Server, tmp_path: Path) -> None:
    path = f"/api/videos/{_stored(server, tmp_path)}/content"
    whole = server.ask("GET", path)
    part = server.ask("GET", path, fields={"range": "bytes=4-11"})
    etag = whole.fields["etag"]

    assert (whole.status, whole.body, whole.fields["content-type"]) == (200, FILE, "video/mp4")
    assert whole.fields["accept-ranges"] == "bytes"
    assert (part.status, part.body) == (206, FILE[4:12])
    assert part.fields["content-range"] == f"bytes 4-11/{len(FILE)}"
    assert server.ask("GET", path, fields={"range": "bytes=9999-"}).error == (416, "invalid_range", "Range")
    assert server.ask("GET", path, fields={"if-none-match": etag}).status == 304
    assert server.ask("GET", path, fields={"range": "bytes=0-1", "if-range": etag}).status == 206
    assert server.ask("GET", path, fields={"range": "bytes=0-1", "if-range": '"other"'}).status == 200
    head = server.ask("HEAD", path)
    assert (head.status, head.body, head.fields["content-length"]) == (200, b"", str(len(FILE)))


def test_a_file_in_a_bucket_is_a_link_for_a_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = _stored(server, tmp_path)
    monkeypatch.setattr(
        server.storage, "link", lambda name, seconds: f"https://bucket.example/{name}?for={seconds:.0f}"
    )
    answer = server.ask("GET", f"/api/videos/{job_id}/content")

    assert answer.status == 302
    assert answer.fields["location"].startswith("https://bucket.example/default/")
    assert server.ask("GET", f"/api/videos/{job_id}").json["url"] == answer.fields["location"]
    assert "media-src 'self' https://bucket.example;" in server.ask("GET", "/").fields["content-security-policy"]


def test_a_file_that_is_not_there_is_404_with_the_reason(server: Server) -> None:
    job_id = server.made()
    path = f"/api/videos/{job_id}/content"

    assert server.ask("GET", path).error == (404, "not_ready", "id")
    server.ask("DELETE", f"/api/videos/{job_id}")
    assert server.ask("GET", path).error == (404, "cancelled", "id")


def test_a_storage_that_has_lost_a_file_says_so(server: Server, tmp_path: Path) -> None:
    job_id = _stored(server, tmp_path)
    server.storage.delete(server.store.job(job_id).object_name)  # type: ignore[union-attr]

    assert server.ask("GET", f"/api/videos/{job_id}/content").error == (404, "file_gone", "id")


# Figures


def test_usage_and_accounts_say_what_goes_on(server: Server, tmp_path: Path) -> None:
    _stored(server, tmp_path)
    server.made()
    usage = server.ask("GET", "/api/usage").json
    account = server.ask("GET", "/api/accounts").json["data"][0]

    assert usage["jobs"]["stored"] == usage["jobs"]["queued"] == 1
    assert usage["oldest_waiting_seconds"] >= 0
    assert (account["account"], account["concurrency"], account["running"]) == ("main", 5, 0)
    day = usage["budgets"][0]
    assert (day["spent"], day["spent_usd"], day["reserved"], day["limit"]) == (3, 0.42, 3, None)


def test_the_models_in_service_are_listed_with_what_they_take(server: Server) -> None:
    found = {model["model"]: model for model in server.ask("GET", "/api/models").json["data"]}

    assert found["kling-v3"]["is_default"]
    assert found["kling-v3"]["durations"] == list(range(3, 16))
    assert "kling-v2-master" not in found
