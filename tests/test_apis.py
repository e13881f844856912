"""Detection of the API by method and path, and the ids in the path."""

from __future__ import annotations

import pytest

from mitm_ai_proxy import apis
from tests.tables import table

JOB, CHECKPOINT = "/v1/fine_tuning/jobs/j-1", "/v1/fine_tuning/checkpoints/c-1/permissions"
JOB_ID = {"fine_tuning_job_id": "j-1"}
# name, method (None: any), path, ids
CALLS: list[tuple[str, str | None, str, dict[str, str]]] = [
    ("openai/v1/chatcompletions", None, "/v1/chat/completions", {}),
    ("openai/v1/completions", None, "/v1/completions", {}),
    ("openai/v1/embeddings", None, "/v1/embeddings", {}),
    ("openai/v1/audiospeech", None, "/v1/audio/speech", {}),
    ("openai/v1/audiotranscription", None, "/v1/audio/transcriptions", {}),
    ("openai/v1/audiotranslation", None, "/v1/audio/translations", {}),
    ("openai/v1/realtime", None, "/v1/realtime", {}),
    ("openai/v1/imagegeneration", None, "/v1/images/generations", {}),
    ("openai/v1/imagevariation", None, "/v1/images/variations", {}),
    ("openai/v1/imageedit", None, "/v1/images/edits", {}),
    ("openai/v1/batches", None, "/v1/batches", {}),
    ("openai/v1/retrievebatch", None, "/v1/batches/b-1", {"batch_id": "b-1"}),
    ("openai/v1/cancelbatch", None, "/v1/batches/b-1/cancel", {"batch_id": "b-1"}),
    ("openai/v1/files", None, "/v1/files", {}),
    ("openai/v1/retrievefile", None, "/v1/files/f-1", {"file_id": "f-1"}),
    ("openai/v1/retrievefilecontent", None, "/v1/files/f-1/content", {"file_id": "f-1"}),
    ("openai/v1/models", None, "/v1/models", {}),
    ("openai/v1/responses", None, "/v1/responses", {}),
    ("openai/v1/videos", "POST", "/v1/videos", {}),
    ("openai/v1/listvideos", "GET", "/v1/videos", {}),
    ("openai/v1/videoedits", "POST", "/v1/videos/edits", {}),
    ("openai/v1/videoextensions", "POST", "/v1/videos/extensions", {}),
    ("openai/v1/videocharacters", "POST", "/v1/videos/characters", {}),
    ("openai/v1/retrievevideocharacter", "GET", "/v1/videos/characters/c-1", {"character_id": "c-1"}),
    ("openai/v1/retrievevideo", "GET", "/v1/videos/v-1", {"video_id": "v-1"}),
    ("openai/v1/deletevideo", "DELETE", "/v1/videos/v-1", {"video_id": "v-1"}),
    ("openai/v1/retrievevideocontent", "GET", "/v1/videos/v-1/content", {"video_id": "v-1"}),
    ("openai/v1/videoremix", "POST", "/v1/videos/v-1/remix", {"video_id": "v-1"}),
    ("openai/v1/fine-tuningjobs", None, "/v1/fine_tuning/jobs", {}),
    ("openai/v1/retrievefine-tuningjob", None, JOB, JOB_ID),
    ("openai/v1/fine-tuningjobsevents", None, f"{JOB}/events", JOB_ID),
    ("openai/v1/fine-tuningjobcheckpoints", None, f"{JOB}/checkpoints", JOB_ID),
    ("openai/v1/cancelfine-tuningjob", None, f"{JOB}/cancel", JOB_ID),
    ("openai/v1/resumefine-tuningjob", None, f"{JOB}/resume", JOB_ID),
    ("openai/v1/pausefine-tuningjob", None, f"{JOB}/pause", JOB_ID),
    ("openai/v1/fine-tuningjobcheckpointpermissions", None, CHECKPOINT, {"fine_tuned_model_checkpoint": "c-1"}),
    (
        "openai/v1/deletefine-tuningjobcheckpointpermission",
        None,
        f"{CHECKPOINT}/p-1",
        {"fine_tuned_model_checkpoint": "c-1", "permission_id": "p-1"},
    ),
    ("anthropic/v1/messages", None, "/v1/messages", {}),
    ("anthropic/v1/messages/count_tokens", None, "/v1/messages/count_tokens", {}),
    ("anthropic/v1/complete", None, "/v1/complete", {}),
    ("cohere/v1/rerank", None, "/v1/rerank", {}),
    ("qwen/v1/rerank", None, "/v1/reranks", {}),
    ("qwen/v1/conversations", None, "/v1/conversations", {}),
    ("gemini/v1beta/generatecontent", None, "/v1beta/models/g-1.5:generateContent", {"model": "g-1.5"}),
    ("gemini/v1beta/streamgeneratecontent", None, "/v1beta/models/g-1.5:streamGenerateContent", {"model": "g-1.5"}),
]


def _detected(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    call = apis.detect(method, path)
    return (call.api.name, dict(call.ids)) if call else None


def test_every_api_is_in_the_table_of_this_test_once() -> None:
    assert sorted(name for name, *_ in CALLS) == sorted(api.name for api in apis.APIS)
    assert {name: api.name for name, api in apis.BY_NAME.items()} == {name: name for name, *_ in CALLS}


@table("prefix", ["", "/proxy", "/compatible-mode/x", "/v1/videos", "/v1beta", "//", "/a%2Fb", "/a\nb"])
@table(("name", "method", "path", "ids"), CALLS, ids=[name for name, *_ in CALLS])
def test_an_api_is_detected_behind_any_prefix(
    name: str, method: str | None, path: str, ids: dict[str, str], prefix: str
) -> None:
    for used in (method,) if method else ("GET", "POST", "DELETE", "PUT"):
        assert _detected(used, prefix + path) == (name, ids)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/videos/", ("openai/v1/retrievevideo", {"video_id": ""})),
        ("DELETE", "/v1/videos/", ("openai/v1/deletevideo", {"video_id": ""})),
        ("GET", "/v1/videos//content", ("openai/v1/retrievevideocontent", {"video_id": ""})),
        ("GET", "/v1/files/", ("openai/v1/retrievefile", {"file_id": ""})),
        ("POST", "/v1beta/models/:generateContent", ("gemini/v1beta/generatecontent", {"model": ""})),
    ],
)
def test_an_empty_id_is_detected_so_that_it_can_be_refused(
    method: str, path: str, expected: tuple[str, dict[str, str]]
) -> None:
    assert _detected(method, path) == expected


@table("video_id", ["kling-i2v-1", "a%2Fb", "%2e%2e", "..", "a b", "é", "a:b", "%zz", "text2video"])
def test_an_id_is_given_as_it_stands_in_the_path(video_id: str) -> None:
    assert _detected("GET", f"/v1/videos/{video_id}") == ("openai/v1/retrievevideo", {"video_id": video_id})


@table(
    ("method", "paths"),
    [
        ("POST", "/ /v1 v1/chat/completions /chat/completions /v2/chat/completions /api/v3/chat/completions".split()),
        (
            "POST",
            "/v1/chat/completions/ /v1/chat/completions/extra /v1/chat/completionsx /v1/chat/completions?a=b".split(),
        ),
        ("POST", "/v1/chat//completions /v1/Chat/Completions /v1/chat%2Fcompletions /xv1/chat/completions".split()),
        ("POST", ["", "/v1/chat/completions\n", "/v1/chat\n/completions"]),
        (
            "POST",
            "/v1/models/g:generateContent /v1beta/models/g:generateContents /v1beta/models/g:embedContent".split(),
        ),
        ("POST", "/v1beta/models/a/g:generateContent /v1/videos/1 /v1/videos/characters/1".split()),
        ("GET", "/v1/realtime/ /v1/videos/1/2 /v1/videos/1/content/ /v1/videos/1/2/content /v1/videos/1/remix".split()),
        ("DELETE", "/v1/videos /v1/videos/1/content /v1/videos/characters/1".split()),
        ("PUT", "/v1/videos /v1/videos/1".split()),
        ("post", ["/v1/videos"]),
    ],
)
def test_what_is_nearly_an_api_is_none(method: str, paths: list[str]) -> None:
    assert [path for path in paths if _detected(method, path)] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (apis.VIDEOS, "POST /v1/videos"),
        (apis.RETRIEVE_VIDEO, "GET /v1/videos/{video_id}"),
        ("openai/v1/files", "/v1/files"),
    ],
)
def test_an_api_is_shown_as_clients_call_it(name: str, text: str) -> None:
    assert str(apis.BY_NAME[name]) == text
