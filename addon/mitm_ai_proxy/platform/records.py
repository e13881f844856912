"""What the store keeps, as values: a job, what it is made of, and the lines of its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .money import Budget
from .states import Money, State


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it is accepted. `body` is the JSON of Kling's create, without a name; `path` is where it goes.

    `seconds` is the length of the video, `estimate` in milli-units what it costs at most. `metadata` is the client's
    JSON. `has_name`: whether Kling's API takes a name for it. `retry_of`: the failed job that it repeats.
    `pinned_to`: the account that alone may buy it, "" for any.
    """

    id: str
    tenant: str
    path: str
    model: str
    body: str
    estimate: int
    key: str = ""
    prompt: str = ""
    seconds: float = 5.0
    priority: int = 0
    metadata: str = "{}"
    callback_url: str = ""
    has_name: bool = True
    retry_of: str = ""
    pinned_to: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. Times are Unix time, amounts milli-units; `actual` is None until Kling has said it.

    `claim` is the random word of the step that works on it; a step that has another one may not write. `tries`: steps
    without progress. `account`: where it is bought, or ""; `attempt`: which of its names it has there. `faults`: how
    often its file was missing or wrong.
    """

    id: str
    tenant: str
    key: str
    path: str
    model: str
    prompt: str
    seconds: float
    priority: int
    metadata: str
    callback_url: str
    has_name: bool
    retry_of: str
    pinned_to: str
    state: State
    money: Money
    estimate: int
    actual: int | None
    account: str
    attempt: int
    task_id: str
    tries: int
    faults: int
    created_at: float
    submitted_at: float
    ended_at: float
    next_at: float
    lease_until: float
    claim: str
    error: str
    message: str
    is_discarded: bool
    deleted_at: float
    object_name: str
    sha256: str
    size: int


class Event(NamedTuple):
    """A line of a job's history; `before` is "" for its first. The numbers of all jobs' events rise."""

    number: int
    job: str
    at: float
    before: str
    after: str
    reason: str
    worker: str


class StoredFile(NamedTuple):
    """A result as it was stored: the object's name, its SHA-256 in hexadecimal digits, and its length."""

    object_name: str
    sha256: str
    size: int


class Repeat(NamedTuple):
    """The client's word for a create that may come twice, and the hash of its body."""

    key: str
    body_hash: str


class Ask(NamedTuple):
    """A job that is to be accepted: the budgets it counts against, when, how many of its tenant may wait at most."""

    order: Order
    budgets: Sequence[Budget]
    now: float
    most: int | None = None
    repeat: Repeat | None = None


class Accepted(NamedTuple):
    """The job of a create, and whether it is new; False for a create that came before."""

    job: Job
    is_new: bool


class Key(NamedTuple):
    """A tenant's key, without the key itself. The limits are in milli-units; `revoked_at` is 0 while it opens."""

    id: str
    tenant: str
    note: str
    daily: int | None
    monthly: int | None
    created_at: float
    revoked_at: float


class DeliveryState(StrEnum):
    """What has become of a webhook: not taken yet, taken, or given up."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(NamedTuple):
    """A webhook about a job that has ended. `id` is its `webhook-id`; `status` and `problem` are of the last try.

    Without a job it is one to whoever looks after the platform: `event` is its type, and `data` what it says, as JSON.
    """

    id: str
    job: str | None
    event: str
    data: str
    tenant: str
    url: str
    state: DeliveryState
    created_at: float
    next_at: float
    tries: int
    claim: str
    lease_until: float
    status: int
    problem: str
    ended_at: float
