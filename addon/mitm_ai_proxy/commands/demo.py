"""The command `ai-proxy demo`: makes two videos with OpenAI's API on a simulated Kling, and shows what was rewritten.

The addon runs as in mitmdump.
"""

from __future__ import annotations

import http.client
import json
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow

from .. import registry
from ..gateway.addon import Gateway
from ..gateway.embedded import HOST, Embedded, NotStarted
from ..gateway.simulated import Simulated
from ..simulator.media import png
from ..view.columns import Page
from ..view.messages import Message, amount, brief
from .command_line import program

SPEED: Final = 40
"""Factor by which the simulator is faster than Kling, so that the two tasks take three to four seconds."""

_POLL_INTERVAL: Final = 0.1
_TIMEOUT: Final = 10.0
_FIELDS: Final = {"model": "sora-2", "prompt": "A paper boat in the rain", "size": "1280x720", "seconds": "4"}
_PICTURE: Final = "boat.png"
_PICTURE_SIZE: Final = (1280, 720)
_BOUNDARY: Final = "part-of-the-demo"
# The header fields of OpenAI's SDK.
_CLIENT: Final = {"User-Agent": "OpenAI/Python 2.0", "X-Stainless-Lang": "python"}
_KEY: Final = {"Authorization": "Bearer sk-any-text"}
_TRACK_HEAD: Final = struct.Struct(">76xH2xH2x")
"""The content of an MP4 `tkhd` box of version 0: the integer parts of width and height, at its end."""
_SHOWN: Final = ("Host", "Authorization", "Content-Type", "X-Stainless-Lang")
_SHOWN_LATER: Final = ("Authorization",)


def run(folder: Path, out: TextIO, speed: int = SPEED) -> int:
    """Make two videos and write them into a folder; returns the exit status, 1 if something went wrong."""
    page = Page(out)
    began = time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page.line(f"{page.style('title', 'ai-proxy demo')}  OpenAI's video API, answered by a simulated Kling")
        page.line(page.style("faint", "no account, no network: all of it stays on this machine, and nothing is paid"))
        with _Proxy(speed) as proxy:
            jobs = _Show(page, proxy, folder, speed).play()
        _conclude(page, folder, jobs, time.monotonic() - began)
        return 0
    except Failure as failure:
        page.bad(str(failure))
    except BrokenPipeError:
        pass  # the reader of the output is gone
    except OSError as error:
        page.bad(f"{error.filename} cannot be written: {error.strerror}." if error.filename else f"{error}.")
    except KeyboardInterrupt:
        page.bad("The demo was stopped.")
    return 1


class Failure(Exception):
    """The demo cannot continue; the text is a sentence for the user."""


@dataclass
class Exchange:
    """One request before and after rewriting, and the addon's notes on it."""

    before: Message
    after: Message
    notes: list[str] = field(default_factory=list)


@dataclass
class Answer:
    """A response as the application gets it. The names of header fields are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.body)


@dataclass
class Job:
    """A video that is being made. `video` is its latest OpenAI object; `started` a time of the monotonic clock."""

    name: str
    video: dict[str, Any]
    started: float

    @property
    def path(self) -> str:
        """The path of the video's status."""
        return f"/v1/videos/{self.video['id']}"

    @property
    def is_done(self) -> bool:
        """Whether the status is final."""
        return self.video["status"] in ("completed", "failed")


class _Show:
    """The steps of the demo, and what they print."""

    def __init__(self, page: Page, proxy: _Proxy, folder: Path, speed: int) -> None:
        self._page, self._proxy, self._folder, self._speed = page, proxy, folder, speed

    def play(self) -> list[Job]:
        """Run all steps; returns the jobs. Raises Failure."""
        page = self._page
        page.title("1  Create a video from text")
        page.heads("your application sends", "what goes to Kling")
        jobs = [self._create("text", json.dumps(_FIELDS).encode(), "application/json")]
        page.title("2  Create a video from a picture")
        jobs += [self._create("picture", _form(), f"multipart/form-data; boundary={_BOUNDARY}")]
        page.title("3  Ask until they are done")
        self._wait(jobs)
        page.title("4  Download them")
        for number, job in enumerate(jobs):
            if number:
                page.line()
            self._download(job)
        return jobs

    def _create(self, name: str, body: bytes, content_type: str) -> Job:
        answer = self._proxy.ask("POST", "/v1/videos", body, {"Content-Type": content_type})
        self._tell(_SHOWN)
        video = answer.json()
        self._page.good(f"{answer.status}  {video['object']} {brief(video['id'])}, {video['status']}")
        return Job(name, video, time.monotonic())

    def _wait(self, jobs: Sequence[Job]) -> None:
        """Poll the jobs in turn until all are done; the first poll is shown."""
        for job in jobs:
            job.video = self._proxy.ask("GET", job.path).json()
            self._tell(_SHOWN_LATER)
            self._page.line()
        self._page.bars([self._bar(job) for job in jobs])
        while not all(job.is_done for job in jobs):
            time.sleep(_POLL_INTERVAL)
            for job in jobs:
                if not job.is_done:
                    job.video = self._proxy.ask("GET", job.path).json()
            self._page.bars([self._bar(job) for job in jobs])
        for job in jobs:
            if job.video["status"] != "completed":
                raise Failure(f"The video from {job.name} was not made: {job.video['error']['message']}")

    def _bar(self, job: Job) -> tuple[str, float, str, str]:
        task = job.video["data"]
        passed = (task["updated_at"] - task["created_at"]) / 1000 if job.is_done else time.monotonic() - job.started
        passed *= self._speed
        lapsed = f"{int(passed) // 60}:{int(passed) % 60:02} of Kling's time"
        return job.name, job.video["progress"] / 100, job.video["status"], lapsed

    def _download(self, job: Job) -> None:
        answer = self._proxy.ask("GET", f"{job.path}/content")
        self._tell(_SHOWN_LATER)
        link = answer.headers.get("location", "")
        if not link.startswith(f"{self._proxy.origin}/"):
            raise Failure(f"The link to the video from {job.name} leads elsewhere: {link or 'nowhere'}")
        content = self._proxy.fetch(link)
        size = _size(content)
        if size != job.video["size"]:
            raise Failure(f"What came as the video from {job.name} is no MP4 of {job.video['size']}.")
        file = self._folder / f"{job.name}.mp4"
        file.write_bytes(content)
        name = self._page.style("good", str(file))
        made = f"{amount(len(content))}, {size}, {job.video['seconds']} s"
        self._page.good(f"{answer.status}  to the file: {name}, MP4, {made}")

    def _tell(self, fields: Sequence[str]) -> None:
        """Show the last request before and after rewriting, with these header fields."""
        exchange = self._proxy.exchanges[-1]
        self._page.beside(exchange.before.lines(fields), exchange.after.lines(fields))
        self._page.reasons(exchange.notes)


def _conclude(page: Page, folder: Path, jobs: Sequence[Job], seconds: float) -> None:
    units = sum(float(job.video["data"].get("final_unit_deduction", 0)) for job in jobs)
    command = page.style("head", program())
    page.title(f"Done in {seconds:.1f} s")
    page.line(f"  made {len(jobs)} videos in {page.style('good', f'{folder}/')}")
    page.line(f"  cost nothing; Kling would have taken {units:g} units")
    page.line(f"  next {command} starts the proxy on {HOST}:8080: simulated without a key, real with one")


class _Proxy:
    """mitmproxy with the addon on a simulator, and an application's connection to it."""

    def __init__(self, speed: int) -> None:
        self.exchanges: list[Exchange] = []
        document = {"provider": {"type": "kling"}, "simulator": {"speed": speed}}
        configuration = registry.read(document, name="demo", simulated=True)
        recorder = _Recorder()
        behind = _Behind(recorder, self.exchanges)
        simulated = Simulated()
        simulated.turn(True)
        self._embedded = Embedded(Gateway([simulated]), configuration, before=[recorder], behind=[behind])
        self._recorder = recorder
        self._connection: http.client.HTTPConnection | None = None

    @property
    def origin(self) -> str:
        """The origin at which the proxy listens."""
        return self._embedded.origin

    def __enter__(self) -> _Proxy:
        try:
            self._embedded.start()
        except NotStarted as error:
            raise Failure(f"mitmproxy did not start: {error}.") from None
        self._recorder.host = f"{HOST}:{self._embedded.port}"
        self._connection = http.client.HTTPConnection(HOST, self._embedded.port, timeout=_TIMEOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection:
            self._connection.close()
        self._embedded.stop()

    def ask(self, method: str, path: str, body: bytes | None = None, head: dict[str, str] | None = None) -> Answer:
        """Send a request as the application does, with its key. Raises Failure if the answer is an error."""
        return self._send(method, path, body, _CLIENT | _KEY | (head or {}))

    def fetch(self, link: str) -> bytes:
        """Download a file, without the key: a link may lead to another host than the provider."""
        target = urlsplit(link)
        return self._send("GET", f"{target.path}?{target.query}", None, _CLIENT).body

    def _send(self, method: str, path: str, body: bytes | None, head: dict[str, str]) -> Answer:
        assert self._connection is not None
        try:
            self._connection.request(method, path, body, head)
            response = self._connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, headers, response.read())
        except (http.client.HTTPException, TimeoutError) as error:
            raise Failure(f"{method} {brief(path)} got no answer: {type(error).__name__}.") from None
        if answer.status >= 400:
            text = answer.body.decode("utf-8", "replace")
            raise Failure(f"{method} {brief(path)} was answered with {answer.status}: {text}")
        return answer


class _Recorder:
    """An addon before the gateway that keeps requests as they come. `host` is the proxy's host and port."""

    name = "ai_proxy_demo"

    def __init__(self) -> None:
        self.host = ""
        self.before: dict[str, Message] = {}

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Keep the head, before the gateway changes it."""
        message = self.before[flow.id] = _message(flow)
        # In reverse mode mitmproxy replaces the Host header by its target.
        message.headers["host"] = self.host

    def request(self, flow: HTTPFlow) -> None:
        """Keep the body."""
        self.before[flow.id].body = flow.request.raw_content or b""


class _Behind:
    """An addon behind the gateway that keeps upstream requests and the gateway's notes."""

    name = "ai_proxy_demo_behind"

    def __init__(self, recorder: _Recorder, exchanges: list[Exchange]) -> None:
        self._recorder, self._exchanges = recorder, exchanges

    def request(self, flow: HTTPFlow) -> None:
        """Keep the request, before its credential is redacted."""
        self._exchanges.append(Exchange(self._recorder.before.pop(flow.id), _message(flow)))

    def response(self, flow: HTTPFlow) -> None:
        """Keep the notes, which are complete now."""
        self._exchanges[-1].notes = flow.comment.split("; ")


def _message(flow: HTTPFlow) -> Message:
    request = flow.request
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Message(request.method, request.path, headers, request.raw_content or b"")


def _form() -> bytes:
    """The fields of a create with a picture, as multipart/form-data."""
    width, height = _PICTURE_SIZE
    disposition = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = [f'{disposition}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in _FIELDS.items()]
    head = f'{disposition}"input_reference"; filename="{_PICTURE}"\r\nContent-Type: image/png\r\n\r\n'
    picture = png.make(width, height, ["A PAPER BOAT"], _PICTURE)
    return b"".join([*parts, head.encode(), picture, f"\r\n--{_BOUNDARY}--\r\n".encode()])


def _size(content: bytes) -> str:
    """Width and height of an MP4 file, from the header of its first track; "" if it has none."""
    _, found, track = content.partition(b"tkhd")
    if content[4:8] != b"ftyp" or not found or len(track) < _TRACK_HEAD.size:
        return ""
    width, height = _TRACK_HEAD.unpack_from(track)
    return f"{width}x{height}"
