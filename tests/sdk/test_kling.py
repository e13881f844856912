"""The fake Kling of the contract tests itself, through the proxy on Kling's own paths."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.proxy import DEADLINE, Proxy
from tests.sdk.kling import FAMILIES, MP4, Kling, answer_lost, broken_after_acceptance, held, refusal

ASKED: dict[str, dict[str, Any]] = {
    "text2video": {"prompt": "a cat"},
    "image2video": {"image": "http://pictures.test/a.png"},
    "video-extend": {"video_id": "v-1"},
    "omni-video": {"prompt": "a cat"},
}


def send(proxy: Proxy, method: str, target: str, body: object = None) -> tuple[int, dict[str, Any]]:
    reply = proxy.request(method, target, None if body is None else json.dumps(body).encode())
    return reply.status, json.loads(reply.body)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_task_goes_from_submitted_over_processing_to_succeed(family: str, proxy: Proxy, kling: Kling) -> None:
    kling.state.polls = 2
    status, created = send(proxy, "POST", f"/v1/videos/{family}", ASKED[family])
    assert (status, created["code"], created["data"]["task_status"]) == (200, 0, "submitted")

    target = f"/v1/videos/{family}/{created['data']['task_id']}"
    words = [send(proxy, "GET", target)[1]["data"]["task_status"] for _ in range(4)]

    assert words == ["submitted", "processing", "succeed", "succeed"]
    assert kling.bought == 1


def test_a_task_can_fail(proxy: Proxy, kling: Kling) -> None:
    kling.state.polls, kling.state.failure = 0, "Image pixel is invalid"
    _, created = send(proxy, "POST", "/v1/videos/text2video", {"prompt": "a cat"})
    status, read = send(proxy, "GET", f"/v1/videos/text2video/{created['data']['task_id']}")

    assert (status, read["code"], read["message"]) == (200, 0, "SUCCEED")
    assert (read["data"]["task_status"], read["data"]["task_status_msg"]) == ("failed", "Image pixel is invalid")


def test_a_name_of_the_clients_is_taken_once_over_all_families_and_finds_the_task(proxy: Proxy, kling: Kling) -> None:
    asked = {"prompt": "a cat", "external_task_id": "mine"}
    _, created = send(proxy, "POST", "/v1/videos/text2video", asked)
    assert created["data"]["task_info"] == {"external_task_id": "mine"}

    status, again = send(proxy, "POST", "/v1/videos/omni-video", asked)
    assert (status, again["code"], again["message"]) == (400, 1201, "External_task_id mine already exists")
    assert "data" not in again
    _, found = send(proxy, "GET", "/v1/videos/text2video/mine")
    assert found["data"]["task_id"] == created["data"]["task_id"]
    assert kling.bought == 1


def test_a_task_is_not_found_in_another_family(proxy: Proxy, kling: Kling) -> None:
    (task,) = kling.add("text2video")
    status, read = send(proxy, "GET", f"/v1/videos/image2video/{task.task_id}")
    assert (status, read["code"]) == (400, 1201)
    assert read["message"] == f"Task not found by id/external id: {task.task_id}"


def test_a_list_is_one_familys_newest_first_in_pages(proxy: Proxy, kling: Kling) -> None:
    tasks = kling.add("text2video", 3)
    kling.add("image2video")
    pages = [send(proxy, "GET", f"/v1/videos/text2video?pageNum={n}&pageSize=2")[1]["data"] for n in (1, 2, 3)]
    newest_first = [task.task_id for task in reversed(tasks)]
    assert [[task["task_id"] for task in page] for page in pages] == [newest_first[:2], newest_first[2:], []]


def test_faults_say_what_they_buy(proxy: Proxy, kling: Kling) -> None:
    kling.next(
        answer_lost(), broken_after_acceptance(), refusal(429, 1303, "full", retry_after="1"), refusal(200, 1201, "bad")
    )

    assert proxy.request("POST", "/v1/videos/text2video", b'{"prompt":"a"}').status == 502
    assert kling.bought == 1
    assert send(proxy, "POST", "/v1/videos/text2video", {"prompt": "a"})[0] == 500
    assert kling.bought == 2
    refused = proxy.request("POST", "/v1/videos/text2video", b'{"prompt":"a"}')
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    status, body = send(proxy, "POST", "/v1/videos/text2video", {"prompt": "a"})
    assert (status, body["code"], body["message"]) == (200, 1201, "bad")
    assert kling.bought == 2


def test_an_answer_can_wait(proxy: Proxy, kling: Kling) -> None:
    event = threading.Event()
    kling.next(held(event))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(send, proxy, "POST", "/v1/videos/text2video", {"prompt": "a"})
        kling.wait_for(1)
        assert len(send(proxy, "GET", "/v1/videos/text2video")[1]["data"]) == 1
        assert not waiting.done()
        event.set()
        assert waiting.result(DEADLINE)[0] == 200


@pytest.mark.parametrize(
    "fields", [{}, {"Authorization": "Basic eA=="}, {"Authorization": "Bearer "}], ids=["none", "basic", "empty"]
)
def test_without_a_bearer_nothing_is_bought(fields: dict[str, str]) -> None:
    server = Kling()
    try:
        connection = http.client.HTTPConnection(server.address, timeout=DEADLINE)
        connection.request("POST", "/v1/videos/text2video", b'{"prompt":"a"}', fields)
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["code"]) == (401, 1001)
        connection.close()
        assert server.bought == 0
    finally:
        server.close()


def test_the_cdn_serves_what_a_task_names_and_nothing_else(proxy: Proxy, kling: Kling) -> None:
    (task,) = kling.add("text2video", finished=True)
    _, read = send(proxy, "GET", f"/v1/videos/text2video/{task.task_id}")
    url = read["data"]["task_result"]["videos"][0]["url"]

    with urllib.request.urlopen(url, timeout=DEADLINE) as response:
        assert response.read() == MP4
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url + "x", timeout=DEADLINE)
    refused.value.close()
    assert refused.value.code == 403
    assert [request.path for request in kling.downloads] == [f"/result/{task.task_id}.mp4"] * 2
