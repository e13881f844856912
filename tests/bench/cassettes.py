"""Times of cassettes: replaying a whole job, starting the pytest fixture, and reading a long cassette.

Each function returns the milliseconds of several runs. No network or provider is used.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from mitm_ai_proxy import registry
from mitm_ai_proxy.cassette import har
from mitm_ai_proxy.cassette.cassette import Mode, Opening
from mitm_ai_proxy.cassette.entry import Entry, Headers, Request, Response
from mitm_ai_proxy.gateway.addon import Gateway
from mitm_ai_proxy.gateway.embedded import HOST, Embedded
from mitm_ai_proxy.gateway.recorded import Recorded

HERE: Final = Path(__file__).resolve().parent
RUNS: Final = 11
POLLS: Final = 40
EXCHANGES: Final = 1000
FILE: Final = bytes(2_000_000)

ORIGIN: Final = "https://api-singapore.klingai.com"
LINK: Final = "https://cdn.example.org/video.mp4?sign=scrubbed"
TASK: Final = "831234567890123456"
CREATE: Final = b'{"model":"kling-v3","prompt":"a cat"}'
JSON: Final[Headers] = (("Content-Type", "application/json"),)
CLIENT: Final = {"Content-Type": "application/json", "User-Agent": "OpenAI/Python 2.0"}
CONFIG: Final = {"provider": {"type": "kling"}}


def replay() -> list[float]:
    """Replay a create, 40 polls and a download, by a client that keeps its connection."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        cassette, configuration = folder / "job.har", registry.read(CONFIG, offline=True)
        har.write(cassette, [*_job(TASK), Entry(300, 500, Request("GET", LINK), _file())])
        recorded = Recorded()
        gateway = Gateway([recorded])
        embedded = Embedded(gateway, configuration)
        embedded.start()
        try:
            results = []
            for _ in range(1 + RUNS):
                recorded.insert(Opening(cassette, Mode.NONE))
                embedded.call(lambda: gateway.use(configuration))
                results.append(_play(embedded.port))
            return results[1:]
        finally:
            embedded.stop()


def fixture() -> list[float]:
    """The time from the first import to a proxy with a cassette, each in a new interpreter."""
    command = [sys.executable, str(HERE / "fixture_cost.py")]
    results = []
    # The first run writes the byte code, and is left out.
    for _ in range(1 + RUNS):
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        results.append(float(child.stdout))
    return results[1:]


def load() -> list[float]:
    """Read a cassette of 1,000 exchanges."""
    entries = [entry for number in range(EXCHANGES // (1 + POLLS) + 1) for entry in _job(f"83{number:016}")]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        cassette = Path(temporary) / "long.har"
        har.write(cassette, entries[:EXCHANGES])
        results = []
        for _ in range(RUNS):
            began = time.perf_counter()
            read = har.read(cassette)
            results.append((time.perf_counter() - began) * 1000)
            assert len(read) == EXCHANGES
        return results


def _job(task: str) -> list[Entry]:
    create = Request("POST", f"{ORIGIN}/v1/videos/text2video", JSON, b'{"model_name":"kling-v3","prompt":"a cat"}')
    poll = Request("GET", f"{ORIGIN}/v1/videos/text2video/{task}", JSON)
    states = ["submitted"] * 3 + ["processing"] * (POLLS - 4) + ["succeed"]
    return [
        Entry(0, 50, create, _answer(task, "submitted")),
        *(Entry(5 * number, 50, poll, _answer(task, state)) for number, state in enumerate(states, 1)),
    ]


def _answer(task: str, status: str) -> Response:
    data: dict[str, Any] = {"task_id": task, "task_status": status, "created_at": 1722769557708}
    if status == "succeed":
        data |= {"task_result": {"videos": [{"id": "v", "url": LINK, "duration": "5"}]}, "final_unit_deduction": "3"}
    document = {"code": 0, "message": "SUCCEED", "request_id": "CjMT7WdSwWcAAAAAALvB3g", "data": data}
    return Response(200, "OK", JSON, json.dumps(document).encode())


def _file() -> Response:
    return Response(200, "OK", (("Content-Type", "video/mp4"),), FILE)


def _play(port: int) -> float:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)

    def ask(method: str, path: str, body: bytes | None = None) -> tuple[http.client.HTTPResponse, bytes]:
        connection.request(method, path, body, CLIENT)
        response = connection.getresponse()
        return response, response.read()

    try:
        began = time.perf_counter()
        video = json.loads(ask("POST", "/v1/videos", CREATE)[1])["id"]
        for _ in range(POLLS):
            status = json.loads(ask("GET", f"/v1/videos/{video}")[1])["status"]
        location = ask("GET", f"/v1/videos/{video}/content")[0].headers["Location"]
        content = ask("GET", location.removeprefix(f"http://{HOST}:{port}"))[1]
        passed = (time.perf_counter() - began) * 1000
    finally:
        connection.close()
    assert (status, content) == ("completed", FILE)
    return passed
