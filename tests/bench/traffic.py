"""What the clients of a measurement send: the kinds of request, each once to check the answer or many times by wrk."""

from __future__ import annotations

import base64
import http.client
import json
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

from servers import TASK_ID, BenchError, tool

HEADERS = {
    "Accept": "application/json",
    "Authorization": "Bearer sk-bench-client-key",
    "User-Agent": "bench",
}
PICTURE_SIZE = 10_000_000

# Arguments: the method, the file with the body or "-", and the headers, a name and a value each. wrk sends what is set
# here unchanged, and its last line is what "done" writes.
WRK_SCRIPT = """\
function init(args)
    wrk.method = args[1]
    if args[2] ~= "-" then
        local file = assert(io.open(args[2], "rb"))
        wrk.body = file:read("*a")
        file:close()
    end
    for i = 3, #args, 2 do
        wrk.headers[args[i]] = args[i + 1]
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('{"requests": %d, "microseconds": %d, "errors": %d}\\n', summary.requests,
        summary.duration, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Request:
    """One kind of client request, and how many clients send it at a time."""

    method: str
    path: str
    body: bytes
    clients: int
    upstream_path: str
    """Where the addon has to send it: shows that it was rewritten, and to which API."""

    @property
    def headers(self) -> dict[str, str]:
        return HEADERS | {"Content-Type": "application/json"} if self.body else HEADERS


def small_create() -> Request:
    body = b'{"model":"kling-v2-6","prompt":"a cat","duration":"5"}'
    return Request("POST", "/v1/videos", body, clients=8, upstream_path="/v1/videos/text2video")


def retrieve() -> Request:
    path = f"/v1/videos/kling-t2v-{TASK_ID}"
    return Request("GET", path, b"", clients=8, upstream_path=f"/v1/videos/text2video/{TASK_ID}")


def picture_create() -> Request:
    """The picture lies between other members: what follows it must be found, too."""
    picture = b"\x89PNG\r\n\x1a\n" + random.Random(0).randbytes(PICTURE_SIZE * 3 // 4 - 8)
    body = b'{"model":"kling-v2-6","image":"%s","prompt":"a cat","duration":"5"}' % base64.b64encode(picture)
    return Request("POST", "/v1/videos", body, clients=1, upstream_path="/v1/videos/image2video")


def check(request: Request, port: int, *, addon: bool) -> None:
    """Sends the request once: it has to succeed, and to be rewritten by the addon and by nobody else."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(request.method, request.path, request.body or None, request.headers)
        response = connection.getresponse()
        text = response.read().decode()
        path = response.getheader("X-Asked-For")
    finally:
        connection.close()
    expected = request.upstream_path if addon else request.path
    if response.status != 200 or path != expected:
        proxy = "mitmdump with the addon" if addon else "mitmdump"
        raise BenchError(
            f"{proxy} answered {request.method} {request.path} with {response.status} after asking for {path}, "
            f"and not with 200 after asking for {expected}:\n{text[:2000]}"
        )


class Wrk:
    """Measures requests per second with wrk, whose script and bodies it keeps in a folder."""

    def __init__(self, folder: Path) -> None:
        self._program = str(tool("wrk"))
        self._script = folder / "wrk.lua"
        self._script.write_text(WRK_SCRIPT)
        self._body = folder / "body.json"

    def rate(self, request: Request, port: int, seconds: int) -> float:
        self._body.write_bytes(request.body)
        headers = [part for header in request.headers.items() for part in header]
        command = [self._program, "-t1", f"-c{request.clients}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", str(self._script), f"http://127.0.0.1:{port}{request.path}", "--"]
        command += [request.method, str(self._body) if request.body else "-", *headers]
        try:
            run = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds + 60,
                check=True,
            )
        except subprocess.SubprocessError as e:
            raise BenchError(f"wrk failed: {e}") from e
        summary = json.loads(run.stdout.splitlines()[-1])
        if summary["errors"] or not summary["requests"]:
            raise BenchError(f"wrk saw failing requests:\n{run.stdout}")
        return float(summary["requests"] / summary["microseconds"] * 1e6)
