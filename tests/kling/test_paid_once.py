"""Equal creates of several clients under faults, through a whole Kling provider: random schedules, the same each time.

A model of Kling accepts each external_task_id once. Clients make up to three attempts, with a retry count as SDKs do,
or without one, as a program that tries again by itself.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any, Final

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.exchange import Answer, Caller, Head, NeedsBody, Upstream, Whole
from mitm_ai_proxy.kling.provider import Kling, KlingKeys
from tests.tables import table
from tests.upstream_of import rewritten

RUNS: Final = 32
LOST_RUNS: Final = 48
"""Where answers are lost on their last way, what is wrong shows in fewer schedules."""
ATTEMPTS: Final = 3
BODY: Final = b'{"model":"sora-2","prompt":"p","seconds":"4"}'

REFUSED, ACCEPTED_500, BROKEN, UNREADABLE = "refused", "accepted, then 500", "503", "accepted, answer unreadable"
LOST, LOST_BEFORE, LOST_AFTER = "accepted, connection lost", "lost before Kling", "lost after the answer was recorded"
FAULTS: Final = (REFUSED, ACCEPTED_500, BROKEN, UNREADABLE, LOST, LOST_BEFORE)
NOT_CARRIED_OUT: Final = (REFUSED, BROKEN, LOST_BEFORE)


@dataclass
class Account:
    """Kling's side: a video for each name. `name_first`: a name in use is refused before anything else is looked at."""

    name_first: bool
    bought: list[str] = field(default_factory=list)

    def create(self, name: str, fault: str) -> tuple[int, Any] | None:
        """Status and answer; None for a lost connection."""
        known = name in self.bought
        if fault in (LOST_BEFORE, BROKEN) or (fault == REFUSED and not (known and self.name_first)):
            return {LOST_BEFORE: None, BROKEN: (503, _error(5001)), REFUSED: (429, _error(1303))}[fault]
        if known:
            answer = 400, {**_error(1201), "message": f"External_task_id {name} already exists"}
        else:
            self.bought.append(name)
            task = {"task_id": str(self.bought.index(name)), "task_status": "submitted", "created_at": 1}
            answer = 200, {"code": 0, "message": "SUCCEED", "request_id": "r", "data": task}
        changed: dict[str, tuple[int, Any] | None] = {
            LOST: None,
            ACCEPTED_500: (500, _error(5000)),
            UNREADABLE: (200, "<html>"),
        }
        return changed.get(fault, answer)


def _error(code: int) -> dict[str, Any]:
    return {"code": code, "message": "no", "request_id": "r"}


@dataclass
class Client:
    """One that wants one video. `held` is the number of the video that it got."""

    counted: bool
    patience: int
    sent: int = 0
    held: int | None = None
    at: float = 0.0
    request: Upstream | None = None
    answer: tuple[int, Any] | None = None
    fault: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it holds a video or gave up."""
        return self.request is None and (self.held is not None or self.sent == self.patience)


@dataclass
class World:
    """A proxy, Kling and clients, with all that happens decided by the seed."""

    seed: int
    counted: tuple[bool, ...]
    lost_after: bool = False
    earlier: int = 0
    now: float = 1000.0
    is_ambiguous: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.account = Account(self.random.random() < 0.5)
        self.clients = [Client(counted, self.random.randint(1, ATTEMPTS)) for counted in self.counted]
        for client in self.clients:
            client.patience = ATTEMPTS if client.counted else client.patience
            client.at = self.now + self.random.random() * 20
        self.answers: list[tuple[float, int, bool]] = []
        """When a video was answered, the retry count of that attempt, and whether its client got it."""
        provider = self._proxy()
        for _ in range(self.earlier):
            upstream, name = self._request(provider, 0)
            status, answer = self.account.create(name, "") or (0, None)
            self._rewrite(provider, upstream, status, answer)
        self.provider = self._proxy()

    def _proxy(self) -> Kling:
        return Kling(KlingKeys("kling", api_tokens=(Secret("token"),)), lambda: self.now)

    def _request(self, provider: Kling, retries: int) -> tuple[Upstream, str]:
        caller = Caller("application/json", is_openai_sdk=True, retries=retries)
        upstream = provider.requestheaders(Head("POST", "/v1/videos", caller))
        assert isinstance(upstream, NeedsBody)
        made = rewritten(upstream, BODY)
        return made, json.loads(made.body or b"")["external_task_id"]

    def _rewrite(self, provider: Kling, upstream: Upstream, status: int, answer: Any) -> Answer:
        handling = provider.responseheaders(upstream, status, ())
        assert isinstance(handling, Whole)
        return handling.rewrite(Answer(status, json.dumps(answer).encode()))

    def run(self) -> World:
        """Let everything happen, in the order of time."""
        while waiting := [client for client in self.clients if not client.is_done]:
            client = min(waiting, key=lambda client: client.at)
            self.now = max(self.now, client.at)
            if client.request is None:
                self._send(client)
            else:
                self._receive(client)
        losses = [(at, count) for at, count, got in self.answers if not got]
        self.is_ambiguous = any(
            got and count == lost_count and at > lost for lost, lost_count in losses for at, count, got in self.answers
        )
        return self

    def _send(self, client: Client) -> None:
        client.request, name = self._request(self.provider, client.sent if client.counted else 0)
        client.sent += 1
        client.fault = self._fault(name)
        client.answer = self.account.create(name, client.fault)
        client.at = self.now + self.random.choice((0.1, 1.0, 10.0)) * self.random.random()

    def _fault(self, name: str) -> str:
        if name in self.account.bought[: self.earlier] or self.random.random() < 0.4:
            return ""
        return self.random.choice(FAULTS + (LOST_AFTER,) * 2 if self.lost_after else FAULTS)

    def _receive(self, client: Client) -> None:
        assert client.request is not None
        if client.answer is None:
            self.provider.error(client.request)
        else:
            got = self._rewrite(self.provider, client.request, *client.answer)
            video = self._video(got)
            if got.status == 200 and video is None:
                # An SDK does not repeat this; who repeats without a count does.
                assert got.headers["x-should-retry"] == "false"
                client.sent = client.patience if client.counted else client.sent
            if video is not None:
                self.answers.append((self.now, client.sent - 1, client.fault != LOST_AFTER))
                client.held = None if client.fault == LOST_AFTER else video
        client.request = None
        client.at = self.now + 0.5 + self.random.random() * 8

    def _video(self, answer: Answer) -> int | None:
        if answer.status == 200:
            video = json.loads(answer.body)
            return int(video["data"]["task_id"].removeprefix("kling-t2v-")) if isinstance(video, dict) else None
        if answer.status != 303:
            return None
        found = self.provider.requestheaders(Head("GET", str(answer.headers["location"]), Caller(is_openai_sdk=True)))
        assert isinstance(found, Upstream)
        return self.account.bought.index(found.target.rpartition("/")[2])

    @property
    def held(self) -> list[int]:
        """The numbers of the videos that clients got."""
        return [client.held for client in self.clients if client.held is not None]

    @property
    def bought(self) -> int:
        """How many videos the clients bought."""
        return len(self.account.bought) - self.earlier

    @property
    def gave_up(self) -> int:
        """How many clients got none."""
        return len(self.clients) - len(self.held)

    def problems(self) -> list[str]:
        """What went wrong with the money."""
        found = []
        if len(set(self.held)) < len(self.held) or any(video < self.earlier for video in self.held):
            found.append("two clients hold the same video")
        if self.bought > len(self.clients):
            found.append("more videos were bought than there are clients")
        if self.bought - len(set(self.held)) > self.gave_up:
            found.append("a paid video is nobody's")
        return found


def _worlds(counted: tuple[bool, ...], runs: int = RUNS, **options: Any) -> list[World]:
    return [World(seed, counted, **options).run() for seed in range(runs)]


def _failures(worlds: list[World]) -> list[str]:
    return [f"seed {world.seed}: {problem}" for world in worlds for problem in world.problems()]


@table("earlier", [0, 2])
@table("clients", [(True,) * 2, (True,) * 4, (False,) * 4, (True, False) * 2, (True,) * 3 + (False,)])
def test_equal_creates_are_paid_once_each_and_never_shared(clients: tuple[bool, ...], earlier: int) -> None:
    worlds = _worlds(clients, earlier=earlier)

    assert _failures(worlds) == []
    # The schedules are of use only where most clients get a video, and many of them at the second attempt.
    attempts = [client.sent for world in worlds for client in world.clients if client.held is not None]
    assert len(attempts) > RUNS * len(clients) * 0.5
    assert sum(sent > 1 for sent in attempts) > RUNS * 0.2


@table("number", [1, 2, 3, 4])
def test_an_answer_that_was_lost_on_its_last_way_is_found_by_the_count_and_the_time(number: int) -> None:
    # A client whose answer was recorded, and another that got its answer later at the same count: nothing tells which
    # of them repeats.
    worlds = [world for world in _worlds((True,) * number, LOST_RUNS, lost_after=True) if not world.is_ambiguous]

    assert _failures(worlds) == []
    assert len(worlds) > LOST_RUNS * 0.4


def test_a_repetition_without_count_of_a_create_that_was_answered_is_another_create() -> None:
    # Nothing tells it from a second create that is meant to be one: each such loss may be paid once more.
    for world in _worlds((False,) * 3, LOST_RUNS, lost_after=True):
        losses = sum(not got for _, _, got in world.answers)
        assert world.bought <= len(world.clients) + losses
        assert len(set(world.held)) == len(world.held)
