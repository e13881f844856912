"""The requests of a measurement: each is sent once to check its answer, or many times, by h2load or from here."""

from __future__ import annotations

import base64
import http.client
import json
import random
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from servers import CLIENT_KEY, FILM_SIZE, TASK_ID, BenchError, Proxy, tool

HEADERS = {
    "Accept": "application/json",
    "Authorization": f"Bearer {CLIENT_KEY}",
    "User-Agent": "bench",
}
PICTURE_SIZE = 10_000_000
RUN_SECONDS = 300.0
APART = 1000
"""Microseconds between two events of a stream."""


@dataclass(frozen=True)
class Request:
    """A kind of request, and the number of concurrent clients that send it. The method is GET, or POST with a body."""

    method: str
    path: str
    body: bytes
    clients: int
    upstream_path: str
    """The upstream path, to check that the addon has rewritten the request; "" for a provider that does not tell."""

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
    """A create whose picture is between other members, so that those after it must be found too."""
    picture = b"\x89PNG\r\n\x1a\n" + random.Random(0).randbytes(PICTURE_SIZE * 3 // 4 - 8)
    body = b'{"model":"kling-v2-6","image":"%s","prompt":"a cat","duration":"5"}' % base64.b64encode(picture)
    return Request("POST", "/v1/videos", body, clients=1, upstream_path="/v1/videos/image2video")


def original_create() -> Request:
    """A create of Kling's own API, for a provider with `protocol: original`."""
    path = "/v1/videos/text2video"
    body = b'{"model_name":"kling-v2-6","prompt":"a cat","duration":"5"}'
    return Request("POST", path, body, clients=8, upstream_path=path)


def chat() -> Request:
    """A chat of several turns, for a provider that accepts OpenAI's API."""
    turn = "What is a cat, and how does it differ from a dog? Answer in one sentence. " * 3
    messages = [{"role": role, "content": turn} for role in ("user", "assistant") * 3 + ("user",)]
    body = json.dumps({"model": "gpt-4o-mini", "messages": messages}).encode()
    return Request("POST", "/v1/chat/completions", body, clients=8, upstream_path="/v1/chat/completions")


def download() -> Request:
    """A film of 64 MB."""
    path = "/v1/files/film/content"
    return Request("GET", path, b"", clients=1, upstream_path=path)


def events() -> Request:
    """A chat whose answer streams; load_events() says how many events it has."""
    return Request("POST", "/v1/chat/completions", _asking_for(2), clients=1, upstream_path="")


def _asking_for(count: int) -> bytes:
    messages = [{"role": "user", "content": "go"}]
    return json.dumps({"model": f"events-{count}-{APART}", "stream": True, "messages": messages}).encode()


def check(request: Request, proxy: Proxy) -> None:
    """Send the request once, and check the answer, the upstream path and the credential, with and without the addon."""
    status, fields, body = ask(request, proxy)
    got = status, fields.get("X-Asked-For"), fields.get("X-Key-Of")
    expected = (200, request.upstream_path, "proxy") if proxy.is_gateway else (200, request.path, "client")
    is_told = request.upstream_path and not proxy.is_peer
    if got != expected if is_told else status != 200:
        raise BenchError(
            f"{proxy.name}: {request.method} {request.path}: status, path and owner of the credential at the provider "
            f"are {got}, and should be {expected}:\n{body[:2000].decode(errors='replace')}"
        )


def ask(request: Request, proxy: Proxy, body: bytes = b"") -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send the request on a connection of its own, perhaps with another body; gives status, fields and body."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    try:
        connection.request(
            request.method, request.path, body or request.body or None, {**request.headers, **proxy.headers}
        )
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def load_fresh(request: Request, proxy: Proxy, count: int, folder: Path) -> None:
    """Send the request `count` times, each over a connection of its own, one after the other."""
    for _ in range(count):
        status, _fields, body = ask(request, proxy)
        if status != 200:
            raise BenchError(f"{proxy.name}: {status}: {body[:2000]!r}")


def load_events(request: Request, proxy: Proxy, count: int, folder: Path) -> None:
    """Read a stream of so many events."""
    _, _, body = ask(request, proxy, _asking_for(count))
    # One more says that it has stopped, and the last one is [DONE].
    if body.count(b"data: ") != count + 2:
        raise BenchError(f"{proxy.name}: {body.count(b'data: ')} events arrived, not {count + 2}")


def load_film(request: Request, proxy: Proxy, count: int, folder: Path) -> None:
    """Download the film `count` times."""
    for _ in range(count):
        _, _, body = ask(request, proxy)
        if len(body) != FILM_SIZE:
            raise BenchError(f"{proxy.name}: {len(body)} bytes of the film arrived, not {FILM_SIZE}")


def load(request: Request, proxy: Proxy, count: int, folder: Path) -> None:
    """Send the request `count` times, over persistent connections. The body is written into the folder."""
    command = [str(tool("h2load")), "--h1", "-t1", f"-c{min(request.clients, count)}", f"-n{count}"]
    for name, value in ({**request.headers, **proxy.headers}).items():
        command += ["-H", f"{name}: {value}"]
    if request.body:  # which makes it a POST
        body = folder / "body.json"
        body.write_bytes(request.body)
        command += ["-d", str(body)]
    command.append(f"http://127.0.0.1:{proxy.port}{request.path}")
    try:
        run = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS, check=True
        )
    except subprocess.SubprocessError as e:
        raise BenchError(f"h2load failed: {e}") from e
    if not re.search(rf"^requests: {count} total, .* {count} succeeded,", run.stdout, re.MULTILINE):
        raise BenchError(f"h2load saw failing requests:\n{run.stdout}")
