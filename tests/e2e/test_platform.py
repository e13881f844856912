"""The job platform as one command: from its start to a stored video, and its end by SIGTERM."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.forked import ForkedProgram

DEADLINE = 180.0


def _json(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_one_command_stores_a_simulated_video_and_ends_when_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("provider: {type: kling}\nsimulator: {speed: 200}\n")
    environment = {name: value for name, value in os.environ.items() if "KLING" not in name}
    process = ForkedProgram(["ai-proxy", "platform", "--port", "0", "--data", "data"], tmp_path, environment)
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0] == "SIMULATED: no credential found, nothing is sent, nothing is paid\n"
        found = re.fullmatch(r"  curl (http://127\.0\.0\.1:\d+)/api/videos -H '.*' -d '(.*)'\n", lines[2])
        assert found, lines
        job = _json(f"{found[1]}/api/videos", json.loads(found[2]))
        ends_at = time.monotonic() + DEADLINE
        while job["status"] != "stored":
            assert time.monotonic() < ends_at, job
            time.sleep(0.2)
            job = _json(f"{found[1]}/api/videos/{job['job_id']}")
        with urllib.request.urlopen(f"{found[1]}/api/videos/{job['job_id']}/content", timeout=30) as answer:
            content = answer.read()
        with urllib.request.urlopen(f"{found[1]}/", timeout=30) as answer:
            page = answer.read()
        process.terminate()
        status, rest = process.wait(DEADLINE), process.stdout.read()
    finally:
        process.kill()
        process.stdout.close()

    assert (len(content), content[4:8]) == (job["size"], b"ftyp")
    assert (job["actual_credits"], job["money"]) == (3.0, "settled")
    assert b"<html" in page
    assert (status, rest) == (0, "ending: what is in hand is finished\n")
