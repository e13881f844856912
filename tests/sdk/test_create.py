"""Creates of the SDKs, as JSON and as multipart: the upstream request to Kling, and the returned Video."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest

from tests.sdk import openai_video
from tests.sdk.conftest import MakePicture
from tests.sdk.kling import Kling
from tests.sdk.sdk import File, Sdk

OPENAI_ONLY = {"model", "size", "seconds", "input_reference", "metadata"}


@pytest.fixture
def prompt() -> str:
    """A prompt that no other test has."""
    return f'Ein Käfer, "mit" 火 & Rauch %41 {uuid.uuid4()}'


def asked(kling: Kling, family: str = "text2video") -> dict[str, Any]:
    """The body of the only request that Kling got."""
    (request,) = kling.received
    assert (request.method, request.target) == ("POST", f"/v1/videos/{family}")
    assert [value.split(";")[0] for value in request.all("Content-Type")] == ["application/json"]
    assert not OPENAI_ONLY & request.json.keys()
    assert kling.bought == 1
    return request.json


def test_a_prompt_alone_gets_openais_defaults(sdk: Sdk, kling: Kling, prompt: str) -> None:
    outcome = sdk.call("create", prompt=prompt)

    body = asked(kling)
    assert (body["model_name"], body["mode"], body["prompt"]) == ("kling-v3", "std", prompt)
    assert (body["duration"], body["aspect_ratio"]) == ("4", "9:16")
    openai_video.check(outcome.video)
    assert outcome.video["status"] == "queued"
    assert outcome.video["prompt"] == prompt
    assert (outcome.video["seconds"], outcome.video["size"]) == ("4", "720x1280")
    assert outcome.video["created_at"] == kling.task.created_at // 1000
    assert len(outcome.sent) == 1


def test_klings_envelope_is_still_there(sdk: Sdk, kling: Kling, prompt: str) -> None:
    outcome = sdk.call("create", prompt=prompt)

    video = outcome.video
    assert (video["code"], video["message"]) == (0, "SUCCEED")
    assert outcome.task_id == kling.task.task_id
    assert video["data"]["task_status"] == "submitted"
    assert video["data"]["created_at"] == kling.task.created_at
    assert outcome.request_id == video["request_id"]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"model": "sora-2"}, {"model_name": "kling-v3", "mode": "std"}),
        ({"model": "sora-2-pro"}, {"model_name": "kling-v3", "mode": "pro"}),
        ({"size": "1280x720"}, {"aspect_ratio": "16:9", "mode": "std"}),
        ({"size": "720x1280"}, {"aspect_ratio": "9:16", "mode": "std"}),
        ({"size": "1792x1024"}, {"aspect_ratio": "16:9", "mode": "pro"}),
        ({"size": "1024x1792"}, {"aspect_ratio": "9:16", "mode": "pro"}),
        ({"seconds": "8"}, {"duration": "8"}),
        ({"seconds": "12"}, {"duration": "12"}),
        ({"model": "kling-v2-6", "seconds": "4"}, {"model_name": "kling-v2-6", "duration": "5"}),
        ({"model": "kling-v2-6", "seconds": "8"}, {"model_name": "kling-v2-6", "duration": "10"}),
        ({"model": "kling-of-tomorrow", "seconds": "7"}, {"model_name": "kling-of-tomorrow", "duration": "7"}),
        ({"extra": {"seconds": 8}}, {"duration": "8"}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_model_size_and_seconds_are_klings(
    arguments: dict[str, Any], sent: dict[str, str], sdk: Sdk, kling: Kling, prompt: str
) -> None:
    video = sdk.call("create", prompt=prompt, **arguments).video

    body = asked(kling)
    assert {name: body.get(name) for name in sent} == sent
    openai_video.check(video)
    assert video["model"] == arguments.get("model", video["model"])
    assert video["size"] == arguments.get("size", video["size"])
    assert video["seconds"] == sent.get("duration", video["seconds"])


def test_what_the_sdk_does_not_know_arrives_with_its_type(sdk: Sdk, kling: Kling, prompt: str) -> None:
    extra = {"cfg_scale": 0.7, "negative_prompt": "blur, 0.5", "watermark_info": {"enabled": True}}
    video = sdk.call("create", prompt=prompt, model="kling-v1-6", extra=extra).video

    openai_video.check(video)
    body = asked(kling)
    assert {name: body.get(name) for name in extra} == extra


def test_a_prompt_of_several_lines_arrives_as_it_is(python_sdk: Sdk, kling: Kling, prompt: str) -> None:
    # Not in Node, which makes every line end in CRLF itself.
    prompt = f" {prompt}\nsecond\r\n--boundary\r\n\r\n\tlast \N{PARTY POPPER} "
    outcome = python_sdk.call("create", prompt=prompt)
    assert asked(kling)["prompt"] == prompt
    assert outcome.video["prompt"] == prompt


def test_metadata_becomes_fields_of_klings(sdk: Sdk, kling: Kling, prompt: str) -> None:
    extra = {
        "camera_control": {"type": "simple", "config": {"zoom": -5.5}},
        "callback_url": "https://app.test/done?a=b",
    }
    sdk.call("create", prompt=prompt, model="kling-v1", extra={"metadata": extra}).video  # noqa: B018 - it must not fail

    body = asked(kling)
    assert {name: body.get(name) for name in extra} == extra


def check_picture(outcome: Any, kling: Kling, prompt: str, image: str) -> None:
    video = outcome.video
    body = asked(kling, "image2video")
    assert body["image"] == image
    assert body["prompt"] == prompt
    assert "aspect_ratio" not in body
    openai_video.check(video)


PYTHON_WAYS = [
    ("open", "png"), ("path", "jpg"), ("bytes", "png"), ("bytes", "jpg"), ("buffer", "png"), ("named", "jpg"),
    ("mime", "png"),
]  # fmt: skip


@pytest.mark.parametrize(("how", "kind"), PYTHON_WAYS)
def test_a_picture_in_python(
    how: str, kind: str, python_sdk: Sdk, kling: Kling, prompt: str, picture: MakePicture
) -> None:
    path = picture(kind)
    outcome = python_sdk.call(
        "create", prompt=prompt, size="1280x720", input_reference=File(how, path, f"image/{kind}")
    )
    check_picture(outcome, kling, prompt, base64.b64encode(path.read_bytes()).decode())


@pytest.mark.parametrize(("how", "kind"), [("open", "png"), ("open", "jpg"), ("named", "jpg"), ("mime", "png")])
def test_a_picture_in_node(how: str, kind: str, node_sdk: Sdk, kling: Kling, prompt: str, picture: MakePicture) -> None:
    path = picture(kind)
    outcome = node_sdk.call("create", prompt=prompt, size="1280x720", input_reference=File(how, path, f"image/{kind}"))
    check_picture(outcome, kling, prompt, base64.b64encode(path.read_bytes()).decode())


@pytest.mark.parametrize("as_object", [True, False], ids=["image_url", "text"])
def test_a_picture_as_a_web_url(as_object: bool, sdk: Sdk, kling: Kling, prompt: str) -> None:
    url = "https://pictures.test/a%20b.png?sign=x%2By&n=1"
    outcome = sdk.call("create", prompt=prompt, extra={"input_reference": {"image_url": url} if as_object else url})
    check_picture(outcome, kling, prompt, url)


@pytest.mark.parametrize("as_object", [True, False], ids=["image_url", "text"])
def test_a_picture_as_a_data_url(as_object: bool, sdk: Sdk, kling: Kling, prompt: str, picture: MakePicture) -> None:
    encoded = base64.b64encode(picture().read_bytes()).decode()
    url = f"data:image/png;base64,{encoded}"
    outcome = sdk.call("create", prompt=prompt, extra={"input_reference": {"image_url": url} if as_object else url})
    check_picture(outcome, kling, prompt, encoded)


def test_a_last_picture_beside_the_first(sdk: Sdk, kling: Kling, prompt: str, picture: MakePicture) -> None:
    first, last = File("mime", picture(), "image/png"), "https://pictures.test/last.png"
    extra = {"image_tail": last, "mode": "pro"}
    outcome = sdk.call("create", prompt=prompt, model="kling-v2-6", input_reference=first, extra=extra)
    check_picture(outcome, kling, prompt, base64.b64encode(first.path.read_bytes()).decode())
    body = kling.received[0].json
    assert (body["image_tail"], body["mode"]) == (last, "pro")


def test_organization_and_project_stay_here(sdk: Sdk, kling: Kling, prompt: str) -> None:
    # The fixture looks at the header fields of every request that Kling gets.
    client = sdk.with_client(organization="org-1", project="proj-1")
    openai_video.check(client.call("create", prompt=prompt).video)
    assert asked(kling)["prompt"] == prompt
