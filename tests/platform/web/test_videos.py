"""OpenAI's Videos API on the platform's jobs: its objects, its errors, and no second job for what an SDK repeats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.kling.tasks import Task
from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.replies import Reply, Verdict
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.store import Store
from tests.platform.orders import MANY, TIMING, moved, order, stored
from tests.platform.web.server import Server
from tests.tables import table

KEYS = set(
    "id object model status progress created_at completed_at expires_at prompt size seconds remixed_from_video_id"
    " error".split()
)
SDK = {"x-stainless-lang": "python"}


def _claimed(store: Store) -> Any:
    return store.claim_next(MANY, TIMING, 4e9, claim="c", lease=60, worker="w")


def _create(server: Server, body: Mapping[str, Any] | None = None, fields: Mapping[str, str] | None = None) -> Any:
    answer = server.ask("POST", "/v1/videos", body or {"prompt": "a cat"}, fields=fields)
    assert answer.status == 200, answer.body
    return answer.json


def _sdk(retries: int) -> dict[str, str]:
    """What an SDK says of itself, and how often it has sent a request before."""
    return {**SDK, "x-stainless-retry-count": str(retries)}


def _form(**parts: str) -> tuple[bytes, dict[str, str]]:
    lines = [
        f'--line\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts.items()
    ]
    return ("".join(lines) + "--line--\r\n").encode(), {"content-type": "multipart/form-data; boundary=line"}


def test_a_create_gives_a_video_with_all_its_keys(server: Server) -> None:
    answer = server.ask("POST", "/v1/videos", {"prompt": "a cat"})
    video = answer.json

    assert video.keys() == KEYS
    assert (video["status"], video["progress"], video["seconds"]) == ("queued", 0, "4")
    assert (video["size"], video["model"], video["expires_at"]) == ("720x1280", "kling-v3", None)
    assert answer.fields["openai-poll-after-ms"].isdigit()
    assert server.ask("GET", f"/v1/videos/{video['id']}").json == video


@table(
    ("given", "expected"),
    [
        ({"model": "sora-2", "seconds": "8", "size": "1280x720"}, ("sora-2", "8", "1280x720")),
        ({"model": "sora-2-pro", "size": "1024x1792"}, ("sora-2-pro", "4", "1024x1792")),
        ({"model": "kling-v3", "seconds": 5, "aspect_ratio": "1:1"}, ("kling-v3", "5", "720x720")),
        ({"model": "kling-v2-6", "metadata": {"mode": "pro"}}, ("kling-v2-6", "5", "1920x1080")),
        ({"input_reference": {"image_url": "https://pictures.example/a.png"}}, ("kling-v3", "4", None)),
    ],
)
def test_a_video_says_what_was_asked_for(given: Mapping[str, Any], expected: Any, server: Server) -> None:
    video = _create(server, {"prompt": "a cat", **given})

    assert (video["model"], video["seconds"], video["size"]) == expected


def test_a_form_is_taken_as_json_is(server: Server) -> None:
    body, fields = _form(prompt="a cat", seconds="8", model="sora-2")
    answer = server.ask("POST", "/v1/videos", raw=body, fields=fields)

    assert (answer.status, answer.json["seconds"], answer.json["prompt"]) == (200, "8", "a cat")


@table(
    ("raw", "fields"),
    [
        (b"", {}),
        (b"[]", {}),
        (b"\x89PNG", {"content-type": "application/json"}),
        (b"no form", {"content-type": "multipart/form-data; boundary=line"}),
        (b"x", {"content-type": "multipart/form-data"}),
        (b'{"prompt": "x", "prompt": "y"}', {}),
    ],
)
def test_a_body_that_cannot_be_read_is_400(raw: bytes, fields: Mapping[str, str], server: Server) -> None:
    assert server.ask("POST", "/v1/videos", raw=raw, fields=fields).status == 400
    assert server.counts() == 0


# Repetitions of the SDKs, which send no word of their own for a create


def test_a_retry_of_an_sdk_finds_the_job_of_its_first_attempt(server: Server) -> None:
    first = _create(server, fields=_sdk(0))
    again = _create(server, fields=_sdk(1))
    third = _create(server, fields=_sdk(2))

    assert first["id"] == again["id"] == third["id"]
    assert server.counts() == 1


def test_a_form_with_a_new_boundary_is_the_same_create(server: Server) -> None:
    body, fields = _form(prompt="a cat")
    first = server.ask("POST", "/v1/videos", raw=body, fields={**fields, **SDK, "x-stainless-retry-count": "0"})
    other = {"content-type": "multipart/form-data; boundary=rule", **SDK, "x-stainless-retry-count": "1"}
    again = server.ask("POST", "/v1/videos", raw=body.replace(b"--line", b"--rule"), fields=other)

    assert again.json["id"] == first.json["id"]


def test_equal_creates_that_are_no_retries_are_jobs_of_their_own(server: Server) -> None:
    made = [_create(server, fields=_sdk(0))["id"] for _ in range(3)]
    retries = [_create(server, fields=_sdk(1))["id"] for _ in range(3)]

    assert len(set(made)) == 3
    # Each retry finds another one: none of the three is left without its client.
    assert set(retries) == set(made)
    assert _create(server, fields=_sdk(1))["id"] not in made


def test_a_retry_whose_first_attempt_never_came_is_a_new_job(server: Server) -> None:
    _create(server, {"prompt": "a dog"}, fields=_sdk(0))
    _create(server, fields=_sdk(1))

    assert server.counts() == 2


def test_a_retry_after_an_hour_is_a_new_job(server: Server) -> None:
    server.set_clock(1000.0)
    first = _create(server, fields=_sdk(0))
    server.set_clock(4700.0)

    assert _create(server, fields=_sdk(1))["id"] != first["id"]


def test_a_clients_own_key_counts_before_that(server: Server) -> None:
    fields = {**SDK, "idempotency-key": "one"}
    first = _create(server, fields=fields)

    assert _create(server, fields=fields)["id"] == first["id"]
    assert server.ask("POST", "/v1/videos", {"prompt": "a dog"}, fields=fields).error[:2] == (409, "key_reused")


# Lists, files, ends


def test_videos_are_listed_in_both_orders_until_there_are_no_more(server: Server) -> None:
    made = [_create(server, {"prompt": f"cat {number}"})["id"] for number in range(3)]
    page = server.ask("GET", "/v1/videos?limit=2").json

    assert [video["id"] for video in page["data"]] == [made[2], made[1]]
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == ("list", made[2], made[1], True)
    rest = server.ask("GET", f"/v1/videos?limit=2&after={page['last_id']}").json
    assert ([video["id"] for video in rest["data"]], rest["has_more"]) == ([made[0]], False)
    upward = server.ask("GET", "/v1/videos?order=asc").json
    assert [video["id"] for video in upward["data"]] == made


def test_an_empty_list_has_no_ends(server: Server) -> None:
    page = server.ask("GET", "/v1/videos").json

    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_video_that_is_stored_is_completed_and_its_file_is_there(server: Server, tmp_path: Path) -> None:
    video_id = _create(server)["id"]
    job = stored(server.store, _claimed(server.store))
    (tmp_path / "file").write_bytes(b"a file")
    server.storage.put(job.object_name, tmp_path / "file")
    video = server.ask("GET", f"/v1/videos/{video_id}").json

    assert (video["status"], video["progress"], video["error"]) == ("completed", 100, None)
    assert video["completed_at"] >= video["created_at"]
    assert server.ask("GET", f"/v1/videos/{video_id}/content?variant=video").body == b"a file"


def test_a_deleted_video_is_gone_here_and_stays_in_the_books(server: Server) -> None:
    kept, gone = _create(server)["id"], _create(server)["id"]
    answer = server.ask("DELETE", f"/v1/videos/{gone}")

    assert answer.json == {"id": gone, "object": "video.deleted", "deleted": True}
    assert server.ask("GET", f"/v1/videos/{gone}").status == 404
    assert server.ask("GET", f"/v1/videos/{gone}/content").status == 404
    assert server.ask("DELETE", f"/v1/videos/{gone}").status == 404
    assert [video["id"] for video in server.ask("GET", "/v1/videos").json["data"]] == [kept]
    assert server.ask("GET", f"/v1/videos?after={gone}").json["data"][0]["id"] == kept
    books = server.ask("GET", f"/api/videos/{gone}").json
    assert (books["status"], books["money"]) == ("cancelled", "released")


def test_a_video_under_way_is_not_deleted_and_the_sdk_does_not_try_again(server: Server) -> None:
    video_id = _create(server)["id"]
    moved(server.store, _claimed(server.store), Decision(State.PROCESSING, "taken", task_id="t"))

    assert server.ask("DELETE", f"/v1/videos/{video_id}").error == (400, "video_in_progress", "video_id")
    assert server.ask("GET", f"/v1/videos/{video_id}").json["status"] == "in_progress"


@table(
    ("error", "code"),
    [("moderation", "moderation_blocked"), ("task_failed", "task_failed"), ("unknown", "unknown")],
)
def test_a_video_that_has_failed_says_why_in_openais_words(error: str, code: str, server: Server) -> None:
    video_id = _create(server)["id"]
    decision = Decision(State.FAILED, "as Kling says", error=error, money=Money.RELEASED)
    moved(server.store, _claimed(server.store), decision)
    video = server.ask("GET", f"/v1/videos/{video_id}").json

    assert (video["status"], video["error"]) == ("failed", {"code": code, "message": "as Kling says"})
    assert server.ask("GET", f"/v1/videos/{video_id}/content").status == 404


# Videos made of others


class _Kling:
    """A client of a gateway that has one task."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def find(self, path: str, name: str) -> Reply:
        """What is known of a task."""
        return self.reply


LINK = "https://files.example/video.mp4"
TASK = Reply(Verdict.TAKEN, task=Task("t1", "succeed", video_id="v1", url=LINK))


def _source(server: Server, monkeypatch: pytest.MonkeyPatch, reply: Reply = TASK) -> str:
    monkeypatch.setitem(server.services.clients, "main", _Kling(reply))
    video_id = _create(server)["id"]
    stored(server.store, _claimed(server.store))
    return str(video_id)


@pytest.mark.parametrize("is_remix", [True, False])
def test_a_remix_is_a_job_that_edits_what_kling_has(
    is_remix: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(server, monkeypatch)
    if is_remix:
        answer = server.ask("POST", f"/v1/videos/{source}/remix", {"prompt": "in the rain"})
    else:
        answer = server.ask("POST", "/v1/videos/edits", {"prompt": "in the rain", "video": {"id": source}})
    job = server.store.job(answer.json["id"])

    assert (answer.status, answer.json["remixed_from_video_id"]) == (200, source)
    assert job is not None
    assert (job.path, job.model, job.prompt) == ("/v1/videos/omni-video", "kling-v3-omni", "in the rain")
    assert f'"video_url": "{LINK}"' in (server.store.body(job.id) or "")
    assert job.estimate > 0


def test_a_video_behind_a_link_is_edited_too(server: Server) -> None:
    answer = server.ask("POST", "/v1/videos/edits", {"prompt": "in the rain", "video": LINK})

    assert (answer.status, answer.json["remixed_from_video_id"]) == (200, None)


@table(
    ("reply", "expected"),
    [
        (Reply(Verdict.MISSING), (404, "source_gone", "video")),
        (Reply(Verdict.TAKEN, task=Task("t1", "succeed")), (404, "source_gone", "video")),
        (Reply(Verdict.UNSENT), (503, "gateway_away", None)),
        (Reply(Verdict.DOUBT), (503, "gateway_away", None)),
    ],
)
def test_without_the_source_nothing_is_accepted(reply: Reply, expected: Any, server: Server) -> None:
    with pytest.MonkeyPatch.context() as patch:
        source = _source(server, patch, reply)
        before = server.counts()

        assert server.ask("POST", f"/v1/videos/{source}/remix", {"prompt": "x"}).error == expected
        assert server.counts() == before


def test_an_extension_is_bought_once_in_the_account_that_has_its_source(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server.services.clients, "main", _Kling(TASK))
    server.store.accept(order("old", model="kling-v1-6"), [], 1.0)
    stored(server.store, _claimed(server.store))

    answer = server.ask("POST", "/v1/videos/extensions", {"prompt": "on", "video": {"id": "old"}, "seconds": "5"})
    job = server.store.job(answer.json["id"])
    assert job
    assert (job.path, job.has_name, job.pinned_to) == ("/v1/videos/video-extend", False, "main")


def test_only_what_is_stored_is_edited_or_extended(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = _create(server)["id"]

    assert server.ask("POST", f"/v1/videos/{waiting}/remix", {"prompt": "x"}).error == (400, "invalid_body", "video")
    body = {"prompt": "x", "video": {"id": waiting}, "seconds": "5"}
    answer = server.ask("POST", "/v1/videos/extensions", body)
    assert answer.error == (400, "invalid_body", "video")
    assert "V1.6" in answer.json["error"]["message"]
