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


# Ways to write the path of an API that are certainly meant for it: what stands before, and how the rest is changed.
BEFORE = ["", "/openai", "/openai/deployments/sora-2", "/OpenAI/Deployments/my.sora"]


@table("before", BEFORE)
@table("behind", ["", "/", "//"])
@table(("name", "method", "path", "ids"), CALLS, ids=[name for name, *_ in CALLS])
def test_a_path_without_v1_is_that_of_openais_api(
    name: str, method: str | None, path: str, ids: dict[str, str], before: str, behind: str
) -> None:
    written = f"{before}{path.removeprefix('/v1')}{behind}"
    if not name.startswith("openai/"):
        assert apis.nearly(method or "POST", written) is None
        return
    near = apis.nearly(method or "POST", written)
    if near and near.path == f"{before}{path}/":
        # A slash at the end may stand before an empty id.
        assert near.api.path.endswith("}")
        return

    assert near == apis.Near(apis.BY_NAME[name], before + path, (), bool(ids), has_version=False)
    assert _detected(method or "POST", near.path) == (name, ids)


@table(
    ("request_line", "meant"),
    [
        ("POST /v1/videos/", "/v1/videos"),
        ("POST /v1/videos//", "/v1/videos"),
        ("POST /v1//videos", "/v1/videos"),
        ("GET /v1//videos", "/v1/videos"),
        ("POST /proxy//v1///videos", "/proxy/v1/videos"),
        ("GET /v1/videos/v-1/", "/v1/videos/v-1"),
        ("GET /v1/videos//v-1", "/v1/videos/v-1"),
        ("GET /v1/videos/v-1/content/", "/v1/videos/v-1/content"),
        ("GET /v1/videos/v-1//content", "/v1/videos/v-1/content"),
        ("POST /v1/videos/v-1/remix/", "/v1/videos/v-1/remix"),
        ("POST /V1/videos", "/v1/videos"),
        ("POST /v1/Videos", "/v1/videos"),
        ("GET /V1/VIDEOS/Kling-I2V-7/Content", "/v1/videos/Kling-I2V-7/content"),
        ("GET /Proxy/V1/videos", "/Proxy/v1/videos"),
        ("GET /v1/videos/a.b/", "/v1/videos/a.b"),
        ("GET /v1/videos/%C3%A9/", "/v1/videos/%C3%A9"),
        ("POST /videos/EDITS", "/v1/videos/edits"),
        ("GET /videos//content", "/v1/videos//content"),
        ("GET /videos/", "/v1/videos/"),
        ("POST /v1/chat/completions/", "/v1/chat/completions"),
        ("POST /v1/Chat/Completions", "/v1/chat/completions"),
    ],
)
def test_slashes_too_many_and_capitals_do_not_hide_an_api(request_line: str, meant: str) -> None:
    method, _, path = request_line.partition(" ")
    near = apis.nearly(method, path)

    assert apis.detect(method, path) is None
    assert near is not None
    assert (near.path, near.methods) == (meant, ())


@table(
    ("request_line", "name"),
    [
        ("POST /proxy/videos", "openai/v1/videos"),
        ("POST /v2/videos", "openai/v1/videos"),
        ("POST /v1beta/openai/videos", "openai/v1/videos"),
        ("POST /v1/openai/videos", "openai/v1/videos"),
        ("POST /v1/videos/videos", "openai/v1/videos"),
        ("POST /v1/chat/completions/videos", "openai/v1/videos"),
        ("POST /openai/deployments/a/b/videos", "openai/v1/videos"),
        ("POST /openai/deployments/videos", "openai/v1/videos"),
        ("GET /api/videos/", "openai/v1/retrievevideo"),
        ("GET /v1/videos/videos/v-1", "openai/v1/retrievevideo"),
        ("GET /v1/videos/videos/v-1/content", "openai/v1/retrievevideocontent"),
        ("POST /v1/%76ideos", "openai/v1/videos"),
        ("POST /v1%2Fvideos", "openai/v1/videos"),
        ("POST /%76ideos", "openai/v1/videos"),
    ],
)
def test_an_unknown_base_or_an_escape_leaves_doubt(request_line: str, name: str) -> None:
    method, _, path = request_line.partition(" ")
    near = apis.nearly(method, path)

    assert near is not None
    assert (near.api.name, near.path, near.methods) == (name, "", ())


@table(
    ("path", "has"),
    [
        ("/v1/videos", {"POST", "GET"}),
        ("/videos", {"POST", "GET"}),
        ("/v1//videos", {"POST", "GET"}),
        ("/openai/videos", {"POST", "GET"}),
        ("/proxy/videos", {"POST", "GET"}),
        ("/v1/videos/v-1/content", {"GET"}),
        ("/v1/videos/v-1/remix", {"POST"}),
        ("/v1/videos/characters/c-1", {"GET"}),
    ],
)
@table("method", ["HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "post", "get", "X"])
def test_another_method_is_told_from_another_path(method: str, path: str, has: set[str]) -> None:
    near = apis.nearly(method, path)

    assert near is not None
    assert {api.method for api in near.methods} == has
    assert {api.path for api in near.methods} == {near.api.path}


@table(
    "request_line",
    [
        *(
            "GET /",
            "GET /tasks",
            "GET /v1",
            "POST /text-to-video/kling-3.0",
            "GET /account/costs",
            "POST /v1/audio/tts",
        ),
        *(
            "POST /v1/video/generations",
            "GET /v1/videos/1/2",
            "GET /videosx",
            "GET /xvideos",
            "GET /v1/videos/1/2/content",
        ),
        # The name of a file, and a path that is too long to be meant.
        *("GET /videos/a.mp4", "GET /files/a.mp4", "GET /storage/videos/a.mp4", "POST /" + "a/" * 2048 + "videos"),
        *("POST /messages", "POST /rerank"),
    ],
)
def test_most_paths_are_near_to_nothing(request_line: str) -> None:
    method, _, path = request_line.partition(" ")

    assert apis.nearly(method, path) is None


@table(
    ("path", "collection"),
    [
        ("/v1/threads", "/v1/threads"),
        ("/v1/threads/t-1/runs", "/v1/threads"),
        ("/proxy/v1/Moderations/", "/v1/moderations"),
        ("/v1/models/gpt-4", "/v1/models"),
        ("/v1/responses/r-1/input_items", "/v1/responses"),
        ("/threads", None),
        ("/v1/threadsx", None),
        ("/v1x/threads", None),
        ("/v1/videos/1/2", None),
        ("/v1/images/omni-image", None),
        ("/v1/audio/tts", None),
        ("/v1/general/custom-voices", None),
    ],
)
def test_the_collections_that_openai_alone_has(path: str, collection: str | None) -> None:
    assert apis.collection(path) == collection
