"""Takes orders in: whose money, how many may wait, and which job a repeated create has."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from . import money
from .accepting import Result
from .messages import THE_QUEUE
from .money import Allowance, Budget
from .orders import Draft
from .records import Accepted, Ask, Job, Key, Order, Repeat
from .settings import DEFAULT_TENANT, PlatformSettings, TenantSettings
from .states import State
from .store import Store

PREFIX: Final = "job_"
_MOST_WOKEN: Final = 16
"""Messages for jobs that are accepted together: as many workers begin at once."""
RETRIED: Final = frozenset({State.FAILED, State.CANCELLED})


class NotRetried(Exception):
    """A job that has not failed, or of which it is not known any more what was asked for."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a tenant, by one of its keys; without one, somebody on this machine."""

    tenant: str = DEFAULT_TENANT
    key: Key | None = None


class Intake:
    """Where jobs are accepted. May be used by many threads.

    `wake` is told that there is something in the queue; it must not raise.
    """

    def __init__(
        self,
        store: Store,
        settings: PlatformSettings,
        wake: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._settings, self._wake, self._clock = store, settings, wake, clock

    def accept(self, caller: Caller, draft: Draft, *, repeat: Repeat | None = None, retry_of: str = "") -> Accepted:
        """Reserve the money for a draft, and put it into the queue; a create that came before gives its job.

        Raises Exceeded, QueueFull, RepeatedOtherwise or StoreError; then nothing is stored.
        """
        (found,) = self.accept_all([self.ask(caller, draft, repeat=repeat, retry_of=retry_of)])
        if isinstance(found, Exception):
            raise found
        return found

    def accept_all(self, asks: Sequence[Ask]) -> list[Result]:
        """What accept() gives or raises for each of these, which are written together."""
        results = self._store.accept_all(asks)
        new = sum(not isinstance(result, Exception) and result.is_new for result in results)
        # A worker that has found one job looks for the next one by itself.
        for _ in range(min(new, _MOST_WOKEN)):
            self._wake(THE_QUEUE)
        return results

    def ask(self, caller: Caller, draft: Draft, *, repeat: Repeat | None = None, retry_of: str = "") -> Ask:
        """A draft with what it needs to be accepted."""
        now, tenant = self._clock(), self._settings.tenant(caller.tenant)
        order = Order(
            f"{PREFIX}{secrets.token_hex(12)}",
            caller.tenant,
            draft.path,
            draft.model,
            draft.body,
            draft.estimate,
            caller.key.id if caller.key else "",
            draft.prompt,
            draft.seconds,
            draft.priority,
            draft.metadata,
            draft.callback_url,
            draft.has_name,
            retry_of,
            draft.pinned_to,
        )
        return Ask(order, self.budgets(caller, now), now, tenant.queue, repeat)

    def retry(self, caller: Caller, job: Job) -> Accepted:
        """Accept what a failed job asked for, as a new job that names it. Raises NotRetried, and what accept() does."""
        body = self._store.body(job.id)
        if job.state not in RETRIED or body is None:
            raise NotRetried(f"the job is {job.state}: only one that has failed is retried")
        draft = Draft(
            job.path,
            job.model,
            body,
            job.prompt,
            job.seconds,
            job.estimate,
            job.priority,
            job.metadata,
            job.callback_url,
            job.has_name,
            job.pinned_to,
        )
        return self.accept(caller, draft, retry_of=job.id)

    def budgets(self, caller: Caller, now: float) -> list[Budget]:
        """The budgets that a job of a caller counts against."""
        key = caller.key
        of_key = Allowance(key.daily, key.monthly) if key else money.NO_LIMIT
        return money.budgets(
            caller.tenant, allowance(self._settings.tenant(caller.tenant)), key.id if key else "", of_key, now
        )


def allowance(tenant: TenantSettings) -> Allowance:
    """What a tenant may spend, in milli-units."""
    return Allowance(_milli(tenant.daily_units), _milli(tenant.monthly_units))


def _milli(units: float | None) -> int | None:
    return None if units is None else round(units * money.MILLI)
