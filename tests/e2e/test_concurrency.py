"""Many concurrent requests of different kinds: paths and answers are not mixed up."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.conftest import SECRET_KEY, StartProxy
from tests.e2e.upstream import Answer, Received, Upstream, verified_claims

COUNT = 60


def test_sixty_creates_at_once_text_and_image_mixed(kling: str, upstream: Upstream, start_proxy: StartProxy) -> None:
    together = threading.Barrier(COUNT, timeout=20)

    def respond(request: Received) -> Answer:
        # No answer is sent before all requests have arrived, so that all are in progress at the same time.
        together.wait()
        verified_claims(request.one("Authorization") or "", SECRET_KEY)
        number = json.loads(request.body)["number"]
        family = request.target.rpartition("/")[2]
        return Answer(body=json.dumps({"data": {"task_id": f"{family}-{number}"}}).encode())

    upstream.respond = respond
    proxy = start_proxy(kling)

    def create(number: int) -> str:
        body: dict[str, object] = {"model": f"model-{number}", "number": number, "prompt": "x" * number * 100}
        if number % 2:
            body["image"] = "y" * number * 1000
        reply = proxy.request("POST", "/v1/videos", json.dumps(body).encode())
        task_id = json.loads(reply.body)["data"]["task_id"]
        assert isinstance(task_id, str)
        return task_id

    with ThreadPoolExecutor(COUNT) as pool:
        task_ids = list(pool.map(create, range(COUNT)))

    assert task_ids == [
        f"kling-i2v-image2video-{number}" if number % 2 else f"kling-t2v-text2video-{number}" for number in range(COUNT)
    ]
    received = [upstream.next() for _ in range(COUNT)]
    assert {json.loads(request.body)["model_name"] for request in received} == {f"model-{n}" for n in range(COUNT)}
    for request in received:
        body = json.loads(request.body)
        assert ("image" in body) == request.target.endswith("image2video")
        assert body["model_name"] == f"model-{body['number']}"
