"""SDKs with a base URL that is nearly right, the clients for Azure, and APIs that Kling lacks."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.e2e.proxy import Proxy
from tests.sdk import node, openai_video
from tests.sdk.conftest import sdks_of
from tests.sdk.kling import MP4, Kling, answer_lost
from tests.sdk.sdk import BASE, NODE, PYTHON, Sdk, Sdks

# Behind the proxy's address, what an SDK is told.
CLIENTS: dict[str, dict[str, str]] = {
    "no v1": {"base_url": ""},
    "a slash": {"base_url": "/"},
    "v1 and a slash": {"base_url": "/v1/"},
    "v1 twice": {"base_url": "/v1/v1"},
    "slashes inside": {"base_url": "/proxy//v1"},
    "capitals": {"base_url": "/V1"},
    "openai without v1": {"base_url": "/openai"},
    "openai": {"base_url": "/openai/v1"},
    "Azure": {"azure_endpoint": "", "api_version": "preview"},
    "Azure with a deployment": {"azure_endpoint": "", "api_version": "preview", "azure_deployment": "sora-2"},
}


@pytest.fixture(params=sdks_of((PYTHON[0], *NODE)))
def sdk(request: pytest.FixtureRequest, sdks: Sdks, proxy: Proxy, kling: Kling) -> Sdk:
    """The newest SDK of each language, and an old one for Node, whose client for Azure follows redirects.

    How an SDK joins its base URL and a path depends on these alone.
    """
    return sdks.sdk(request.param, f"http://127.0.0.1:{proxy.port}{BASE}")


def _follows_redirects(sdk: Sdk, name: str) -> bool:
    """The newest SDK for Node does not, in its client for Azure."""
    return not (name.startswith("Azure") and sdk.variant.version == node.NEWEST)


def _with(sdk: Sdk, options: dict[str, str]) -> Sdk:
    here = sdk.base_url.removesuffix("/v1")
    urls = {name: here + value for name, value in options.items() if name in ("base_url", "azure_endpoint")}
    return sdk.with_client(**{**options, **urls})


@pytest.mark.parametrize("name", CLIENTS)
def test_a_video_is_made_found_listed_and_fetched_at_a_base_url_that_is_nearly_right(
    name: str, sdk: Sdk, kling: Kling
) -> None:
    used = _with(sdk, CLIENTS[name])
    kling.state.polls = 0
    video = used.call("create", prompt=f"a cat {uuid.uuid4()}", model="sora-2").video
    openai_video.check(video)

    assert used.call("retrieve", video_id=video["id"]).video["status"] == "completed"
    assert kling.task.task_id in used.call("list").value[0]["id"]
    assert not any("api-version" in request.target for request in kling.received)
    assert kling.bought == 1
    if _follows_redirects(sdk, name):
        assert used.call("download_content", video_id=video["id"]).content == MP4
        assert used.call("remix", video_id=video["id"], prompt="at night").video["id"].startswith("kling-omni-")
        assert kling.bought == 2


@pytest.mark.parametrize("name", ["no v1", "Azure"])
def test_a_create_whose_answer_was_lost_is_paid_once_there_too(name: str, sdk: Sdk, kling: Kling) -> None:
    kling.next(answer_lost())
    outcome = _with(sdk, CLIENTS[name]).call("create", prompt=f"a cat {uuid.uuid4()}")

    assert kling.bought == 1
    if _follows_redirects(sdk, name):
        openai_video.check(outcome.video)
    else:
        assert outcome.error.status_code == 303


@pytest.mark.parametrize("base", ["/v2", "/v1/videos", "/proxy", "/v1/chat/completions"])
def test_a_wrong_base_url_is_told_with_the_right_one(base: str, sdk: Sdk, kling: Kling) -> None:
    error = _with(sdk, {"base_url": base}).call("create", prompt="a cat").error

    assert (error.kind, error.status_code, error.code) == ("NotFoundError", 404, "wrong_base_url")
    assert f"base_url has to be {sdk.base_url}." in error.message
    assert kling.received == []


@pytest.mark.parametrize(
    ("base", "method", "arguments", "says"),
    [
        ("", "images.generate", {"prompt": "a boat", "model": "dall-e-3", "size": "1024x1024"}, "a client of Kling's"),
        ("/v1", "images.generate", {"prompt": "a boat", "model": "kling-v2-1"}, "a client of Kling's"),
        ("", "models.list", {}, "kling has no /v1/models"),
        ("/v1", "models.list", {}, "kling has no /v1/models"),
    ],
)
def test_what_kling_lacks_is_an_error_that_says_so(
    base: str, method: str, arguments: dict[str, Any], says: str, sdk: Sdk, kling: Kling
) -> None:
    outcome = _with(sdk, {"base_url": base}).call(method, **arguments)

    assert (outcome.error.kind, outcome.error.code) == ("NotFoundError", "unsupported_api")
    assert says in outcome.error.message
    assert len(outcome.sent) == 1
    assert kling.received == []


def test_a_slash_at_the_end_of_azures_endpoint_is_served_or_told(sdk: Sdk, kling: Kling) -> None:
    used = _with(sdk, {"azure_endpoint": "/", "api_version": "preview"})
    outcome = used.call("create", prompt=f"a cat {uuid.uuid4()}")

    # The SDKs for Node write it in front of their own.
    if sdk.variant.language == "node" and outcome.failure:
        assert outcome.error.code == "invalid_head"
        assert "look for one at the end of the client's base URL" in outcome.error.message
        assert kling.received == []
    else:
        openai_video.check(outcome.video)


def test_pictures_of_azures_client_are_refused_too(sdk: Sdk, kling: Kling) -> None:
    outcome = _with(sdk, CLIENTS["Azure"]).call("images.generate", prompt="a boat", model="dall-e-3")

    assert outcome.error.code == "unsupported_api"
    assert kling.received == []
