"""The command `ai-proxy demo`: makes two videos with OpenAI's API on a simulated Kling, and shows what was rewritten.

The addon runs as in mitmdump.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from ..gateway.embedded import HOST
from ..simulator.media import png
from ..view.columns import Page
from ..view.messages import amount, brief
from .command_line import program
from .demo_proxy import DemoProxy, Failure

SPEED: Final = 40
"""Factor by which the simulator is faster than Kling, so that the two tasks take three to four seconds."""

_POLL_INTERVAL: Final = 0.1
_FIELDS: Final = {"model": "sora-2", "prompt": "A paper boat in the rain", "size": "1280x720", "seconds": "4"}
_PICTURE: Final = "boat.png"
_PICTURE_SIZE: Final = (1280, 720)
_BOUNDARY: Final = "part-of-the-demo"
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
        with DemoProxy({"provider": {"type": "kling"}, "simulator": {"speed": speed}}) as proxy:
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

    def __init__(self, page: Page, proxy: DemoProxy, folder: Path, speed: int) -> None:
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
