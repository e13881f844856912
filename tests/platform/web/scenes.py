"""States of the platform for the page: written into the store as workers would, with videos of the simulator's.

As a program it takes the pictures of the page in docs/: `python -m tests.platform.web.scenes docs`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.records import Job, StoredFile
from mitm_ai_proxy.platform.replies import Verdict
from mitm_ai_proxy.platform.scheduling import Limits
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.storage import object_name
from mitm_ai_proxy.simulator.media import video
from tests.platform.orders import TIMING
from tests.platform.web.browser import Browser
from tests.platform.web.server import Server

BLOCK: Final = {"concurrency": 5, "tenants": {"default": {"dailyUnits": 120, "queue": 20_000}}}
PROMPTS: Final = (
    "a cat on a skateboard, low camera, sunset",
    "a paper boat in the rain, close up",
    "a lighthouse in a storm, seen from the sea",
    "two robots playing chess in a park",
    "a slow pan over a table of spices",
    "a red bicycle against a blue wall",
    "a fox running through fresh snow",
    "steam over a bowl of noodles, macro",
)
WIDE: Final = (1280, 900)


class Stage:
    """A server whose jobs are moved by hand; `ago` is how many seconds before the stage was set something has happened.

    However long the making takes, what lies between two things is what was said.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._now = time.time()

    def make(self, prompt: str, ago: float = 0) -> str:
        """A job that waits."""
        self.server.set_clock(self._now - ago)
        made = self.server.made(prompt=prompt)
        self.server.set_clock(None)
        return made

    def claimed(self, ago: float = 0) -> Job:
        """The next job of the queue, with a slot."""
        now = self._now - ago
        job = self.server.store.claim_next(Limits({"main": 50}, {}), TIMING, now, claim="c", lease=0, worker="w")
        assert job
        return job

    def move(self, job: Job, state: State, reason: str, ago: float = 0, **decided: Any) -> Job:
        """A job after its next step."""
        now = self._now - ago
        job = job if job.claim else self._claimed_again(job, now)
        file = decided.pop("file", None)
        moved = self.server.store.commit(job, Decision(state, reason, **decided), now, TIMING, worker="w", file=file)
        assert moved
        return moved

    def running(self, prompt: str, ago: float = 0) -> Job:
        """A job at Kling."""
        self.make(prompt, ago + 2)
        return self.move(self.claimed(ago), State.PROCESSING, "Kling has taken it", ago, task_id="t", after=-1e6)

    def stored(self, prompt: str, *, file: bytes = b"") -> Job:
        """A job whose video is there."""
        job = self.running(prompt, 148)
        job = self.move(job, State.FETCHING, "Kling has finished it", 3, money=Money.SETTLED, units=3000, after=-1e6)
        return self.finish(job, file)

    def finish(self, job: Job, file: bytes) -> Job:
        """A job whose download has ended."""
        name = object_name(job.tenant, job.id, job.created_at)
        if file:
            with tempfile.NamedTemporaryFile() as written:
                written.write(file)
                written.flush()
                self.server.storage.put(name, Path(written.name))
        return self.move(job, State.STORED, "stored", file=StoredFile(name, "ab" * 32, len(file)))

    def failed(self, prompt: str, reason: str, error: str = "moderation") -> Job:
        """A job that has failed."""
        self.make(prompt, 4)
        return self.move(self.claimed(2), State.FAILED, reason, 1, error=error, money=Money.RELEASED)

    def _claimed_again(self, job: Job, now: float) -> Job:
        found = self.server.store.claim(job.id, now, claim="c", lease=0)
        assert found
        return found


def empty(stage: Stage) -> None:
    """Nothing has happened yet."""


def busy(stage: Stage) -> None:
    """Videos are there, all slots are in use, and more wait."""
    for place, prompt in enumerate(PROMPTS[:6]):
        stage.stored(prompt, file=clip(f"scene {place}", place))
    for prompt, ago in zip(PROMPTS[3:], (150, 90, 40, 12, 3), strict=False):
        stage.running(prompt, ago)
    job = stage.running(PROMPTS[0])
    stage.move(job, State.FETCHING, "Kling has finished it", money=Money.SETTLED, units=3000)
    for place, prompt in enumerate(PROMPTS):
        stage.make(f"{prompt}, again", 64 - 7 * place)


def paused(stage: Stage) -> None:
    """The account has no units left; everything waits."""
    for place, prompt in enumerate(PROMPTS[:2]):
        stage.stored(prompt, file=clip(f"scene {place}", place))
    for place, prompt in enumerate(PROMPTS[2:6]):
        stage.make(prompt, 200 - 40 * place)
    stage.move(stage.claimed(), State.QUEUED, "the account has no units left", lesson=Verdict.UNPAID)


def failed(stage: Stage) -> None:
    """Some jobs have failed, one after it was repeated."""
    stage.stored(PROMPTS[1], file=clip("scene", 1))
    stage.failed(PROMPTS[2], "Kling refused it: the prompt was blocked by its content rules")
    stage.make(PROMPTS[4], 98)
    job = stage.move(
        stage.claimed(95), State.IN_DOUBT, "nobody knows whether Kling has taken it: nothing came in time", 65
    )
    job = stage.move(job, State.PROCESSING, "Kling has it: adopted", 63, task_id="t")
    job = stage.move(job, State.FETCHING, "Kling has finished it", 9, money=Money.SETTLED, units=3000)
    job = stage.move(job, State.FETCHING, "not stored yet: the connection broke off", 8)
    stage.move(job, State.FAILED, "Kling's file is gone: status 404", error="result_gone")


SCENES: Final[Mapping[str, Callable[[Stage], None]]] = {
    "empty": empty,
    "busy": busy,
    "paused": paused,
    "failed": failed,
}


def clip(words: str, seed: int) -> bytes:
    """A short video."""
    return video.make(640, 360, 2.0, [words], str(seed))


def shown(browser: Browser, server: Server) -> None:
    """Open the page, and wait until it listens and has drawn what there is."""
    browser.open(f"{server.url}/")
    browser.until("document.querySelector('#connection').dataset.state === 'live'")
    browser.until("/units|unit/.test(document.querySelector('#price').textContent)")
    count = server.store.counts().get(State.QUEUED, 0)
    browser.until(f"document.querySelector('#waiting').textContent === '{count}'")
    browser.drawn()


def settle(browser: Browser) -> None:
    """Wait until the first pictures of the videos in sight are there."""
    browser.until("[...document.querySelectorAll('#wall video')].every((video) => video.readyState >= 2)")


def main(folder: Path) -> None:
    """Take the pictures."""
    for name, scene in SCENES.items():
        with (
            tempfile.TemporaryDirectory() as data,
            Server(Path(data), BLOCK, listen_every=0.2) as server,
            Browser() as browser,
        ):
            scene(Stage(server))
            browser.prefer("dark" if name == "busy" else "light")
            browser.resize(1280, 770 if name == "empty" else 860)
            shown(browser, server)
            settle(browser)
            if name == "failed":
                browser.run("document.querySelector('[data-lane=failed] button').click()")
                browser.until("document.querySelector('#job').open")
            (folder / f"platform-{name}.png").write_bytes(browser.picture())
            print(name, browser.complaints)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
