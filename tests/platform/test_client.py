"""The platform's HTTP: what had left and what had not, names in bodies, and files that are whole or not there."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mitm_ai_proxy.platform.client import LARGEST_ANSWER, Client, Downloader, DownloadFailed
from mitm_ai_proxy.platform.replies import Verdict
from tests.tables import table

PATH = "/v1/videos/text2video"
MP4 = b"\0\0\0\x20ftypisom" + b"x" * 1000
TAKEN = json.dumps({"code": 0, "data": {"task_id": "t", "task_status": "submitted"}}).encode()


@contextmanager
def _answering(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives each connection the next of these bytes, and closes it; its URL, and what it was sent."""
    left, received = list(answers), list[bytes]()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = list(iter(self.rfile.readline, b"\r\n"))
            if lines == [] or b"" in lines[:1]:
                return
            length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
            received.append(b"".join(lines) + b"\r\n" + self.rfile.read(length))
            self.wfile.write(left.pop(0))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()


def _answer(status: str, body: bytes, *fields: str, length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", "Connection: close"]
    return "\r\n".join([*head, *fields, "", ""]).encode() + body


@contextmanager
def _client(url: str, seconds: float = 20) -> Iterator[Client]:
    client = Client(url, seconds=seconds)
    try:
        yield client
    finally:
        client.close()


def _fetched(url: str, largest: int = 10_000) -> tuple[bytes, str, int]:
    downloader, into = Downloader(seconds=20, largest=largest), io.BytesIO()
    try:
        digest, size = downloader.fetch(url, into, lambda: True)
    finally:
        downloader.close()
    return into.getvalue(), digest, size


def test_a_create_goes_to_klings_path_below_the_gateways_with_its_name_and_without_a_credential() -> None:
    with _answering(_answer("200 OK", TAKEN)) as (url, received), _client(f"{url}/base/") as client:
        reply = client.create(PATH, '{"duration": 5.0, "prompt": "\\u00e4"}', "job_1~2")

    head, _, body = received[0].partition(b"\r\n\r\n")
    assert reply.verdict is Verdict.TAKEN
    assert head.startswith(f"POST /base{PATH} HTTP/1.1\r\n".encode())
    assert b"authorization" not in head.lower()
    assert body == b'{"duration":5.0,"prompt":"\\u00e4","external_task_id":"job_1~2"}'


def test_a_create_without_a_name_is_sent_as_it_is() -> None:
    with _answering(_answer("200 OK", TAKEN)) as (url, received), _client(url) as client:
        client.create(PATH, '{"prompt": "a"}')

    assert received[0].endswith(b'\r\n\r\n{"prompt": "a"}')


def test_a_question_names_the_task_in_its_path() -> None:
    with _answering(_answer("200 OK", TAKEN)) as (url, received), _client(url) as client:
        client.find(PATH, "job_1~2/../x?y")

    assert received[0].startswith(f"GET {PATH}/job_1~2%2F..%2Fx%3Fy HTTP/1.1\r\n".encode())


@table(
    ("answer", "verdict"),
    [
        (b"", "doubt"),
        (b"no HTTP\r\n\r\n", "doubt"),
        (_answer("200 OK", TAKEN, length=len(TAKEN) + 1), "doubt"),
        (_answer("200 OK", b" " * (LARGEST_ANSWER + 1)), "doubt"),
        (_answer("307 Temporary Redirect", b"", "Location: http://127.0.0.1:9/"), "doubt"),
        (_answer("502 Bad Gateway", b""), "doubt"),
        (_answer("429 Too Many Requests", b'{"code": 1303, "message": "full"}'), "full"),
        (_answer("200 OK", TAKEN), "taken"),
    ],
)
def test_an_answer_that_is_not_whole_leaves_a_doubt(answer: bytes, verdict: str) -> None:
    with _answering(answer) as (url, received), _client(url) as client:
        assert client.create(PATH, "{}", "j").verdict == verdict
        assert len(received) == 1


def test_a_create_is_never_repeated_by_itself() -> None:
    with _answering(b"", _answer("200 OK", TAKEN)) as (url, received), _client(url) as client:
        client.create(PATH, "{}", "j")

    assert len(received) == 1


def test_an_answer_that_does_not_come_in_time_leaves_a_doubt() -> None:
    with _answering(_answer("200 OK", TAKEN[:5], length=10**6)) as (url, _), _client(url, 0.05) as client:
        assert client.create(PATH, "{}", "j").verdict is Verdict.DOUBT


def test_an_error_tells_no_address() -> None:
    with _answering(b"") as (url, _), _client(f"{url}/secret") as client:
        assert "secret" not in client.create(PATH, "{}", "j").message


def test_a_file_is_fetched_with_its_hash() -> None:
    with _answering(_answer("200 OK", MP4)) as (url, received):
        assert _fetched(f"{url}/a.mp4?sig=1") == (MP4, hashlib.sha256(MP4).hexdigest(), len(MP4))
        assert received[0].startswith(b"GET /a.mp4?sig=1 HTTP/1.1\r\n")


def test_a_cdn_may_point_elsewhere_a_few_times() -> None:
    to = _answer("302 Found", b"", "Location: /b.mp4")
    with _answering(to, _answer("200 OK", MP4)) as (url, _):
        assert _fetched(f"{url}/a.mp4")[0] == MP4
    with _answering(*[to] * 9) as (url, received), pytest.raises(DownloadFailed, match="status 302"):
        _fetched(f"{url}/a.mp4")
    assert len(received) == 4


@table(
    ("answer", "problem", "kind"),
    [
        (_answer("403 Forbidden", b"<xml>"), "status 403", "dead"),
        (_answer("404 Not Found", b""), "status 404", "dead"),
        (_answer("410 Gone", b""), "status 410", "dead"),
        (_answer("408 Request Timeout", b""), "status 408", "away"),
        (_answer("429 Too Many Requests", b""), "status 429", "away"),
        (_answer("500 Internal Server Error", b""), "status 500", "away"),
        (_answer("503 Service Unavailable", b""), "status 503", "away"),
        (_answer("206 Partial Content", MP4), "status 206", ""),
        (_answer("400 Bad Request", b""), "status 400", ""),
        (_answer("200 OK", MP4, length=len(MP4) + 1), "broke off", ""),
        (_answer("200 OK", b"<html>a page of an error</html>"), "no MP4", ""),
        (_answer("200 OK", b""), "nothing came", ""),
        (_answer("200 OK", MP4 * 20), "larger than 10000 bytes", ""),
        (b"", "broke off", "away"),
    ],
)
def test_what_is_not_a_whole_video_is_no_result(answer: bytes, problem: str, kind: str) -> None:
    with _answering(answer) as (url, _), pytest.raises(DownloadFailed, match=problem) as raised:
        _fetched(f"{url}/a.mp4?secret")

    assert (raised.value.is_link_dead, raised.value.is_away) == (kind == "dead", kind == "away")
    assert "secret" not in str(raised.value)


def test_a_server_of_files_that_is_not_reached_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DownloadFailed, match="no connection was made") as raised:
        _fetched(f"http://127.0.0.1:{port}/a.mp4")

    assert raised.value.is_away


@table("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "", "a.mp4"])
def test_a_link_to_anything_but_the_web_is_refused(url: str) -> None:
    with pytest.raises(DownloadFailed, match="no http or https URL"):
        _fetched(url)


def test_a_download_ends_when_somebody_else_has_the_job() -> None:
    downloader = Downloader(seconds=20)
    with _answering(_answer("200 OK", MP4)) as (url, _), pytest.raises(DownloadFailed, match="somebody else"):
        downloader.fetch(f"{url}/a.mp4", io.BytesIO(), lambda: False)
    downloader.close()
