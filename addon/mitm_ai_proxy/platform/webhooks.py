"""Sends webhooks to customers, and alarms: signed, to addresses that may be sent to, and again until they are taken.

Source: the specification of Standard Webhooks; OpenAI's webhook events, for their types.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException
from typing import Final, NamedTuple

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from . import addresses, signing
from .addresses import NotAllowed, Receiver, Resolve
from .database import StoreError
from .records import Delivery, Job
from .settings import PlatformSettings
from .states import State
from .store import Store

logger = logging.getLogger(__name__)

THREADS: Final = 8
"""Webhooks that are sent at once: a slow receiver holds up one of them for `deliverTimeout` at most."""
_LEASE: Final = 30.0
"""Seconds beyond that until another process takes a webhook over."""
_GONE: Final = 410
_LATE: Final = "it took more than {:g} s"
_AGENT: Final = "mitm-ai-proxy-platform"


class Outcome(NamedTuple):
    """How a try ended: the status of the answer (0 without one), and what was wrong; `is_final`: no other try helps."""

    status: int
    problem: str = ""
    is_final: bool = False

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has it."""
        return 200 <= self.status < 300


class Webhooks:
    """Sends what is due in threads of its own. Any number of them, in any number of processes, share the webhooks."""

    def __init__(
        self,
        store: Store,
        settings: PlatformSettings,
        *,
        clock: Callable[[], float] = time.time,
        resolve: Resolve = addresses.resolved,
    ) -> None:
        self._store, self._settings, self._clock, self._resolve = store, settings, clock, resolve
        self._ended = threading.Event()
        self._free = threading.Semaphore(THREADS)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="platform-webhook")
        self._thread = threading.Thread(target=self._run, name="platform-webhooks", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no more, and wait until those in hand are sent."""
        self._ended.set()
        self._thread.join()
        self._pool.shutdown()

    def send_due(self) -> list[Future[None]]:
        """Begin to send what is due, as far as there are threads for it. Raises StoreError."""
        begun: list[Future[None]] = []
        while self._free.acquire(blocking=False):
            claimed = self._claimed()
            if claimed is None:
                self._free.release()
                break
            future = self._pool.submit(self._settle, claimed)
            future.add_done_callback(lambda _: self._free.release())
            begun.append(future)
        return begun

    def _run(self) -> None:
        every = min(1.0, self._settings.timing.sweep)
        while not self._ended.wait(every):
            try:
                self.send_due()
            except Exception as error:
                # The next round may succeed; without rounds, no webhook would be sent any more.
                logger.warning("platform: webhooks cannot be sent: %s", type(error).__name__)

    def _claimed(self) -> Delivery | None:
        lease = self._settings.timing.deliver_timeout + _LEASE
        return next(iter(self._store.deliveries.claim(self._clock(), lease, 1)), None)

    def _settle(self, delivery: Delivery) -> None:
        """Send a webhook, and write what became of it."""
        try:
            self._write(delivery, self._sent(delivery, self._content(delivery)))
        except StoreError as error:
            # It was claimed, and is sent again when that is over, under the same id.
            logger.warning("platform: %s", error)
        except Exception:
            logger.exception("platform: webhook %s failed", delivery.id)

    def _write(self, delivery: Delivery, outcome: Outcome) -> None:
        deliveries, now, waits = self._store.deliveries, self._clock(), self._settings.timing.deliver
        tries = delivery.tries + 1
        if outcome.is_taken:
            deliveries.delivered(delivery, now, outcome.status)
        elif outcome.is_final or tries >= len(waits):
            is_gone = outcome.status == _GONE
            deliveries.failed(delivery, now, outcome.status, outcome.problem, closes=is_gone)
            logger.warning("platform: webhook %s is given up: %s", delivery.id, outcome.problem)
        else:
            deliveries.again(delivery, now + waits[tries], outcome.status, outcome.problem)

    def _content(self, delivery: Delivery) -> bytes:
        if delivery.job is None:
            return alarm_content(delivery)
        job = self._store.job(delivery.job)
        assert job, "a webhook is about a job, or about an account"
        return content(job)

    def _sent(self, delivery: Delivery, body: bytes) -> Outcome:
        is_alarm, settings = delivery.job is None, self._settings
        secrets = settings.alarms.webhook_secret if is_alarm else settings.tenant(delivery.tenant).webhook_secret
        fields = {
            "content-type": "application/json",
            "user-agent": _AGENT,
            **signing.fields(secrets, delivery.id, self._clock(), body),
        }
        # Whoever runs the platform names the receiver of alarms; the others are named by customers.
        allows_private = is_alarm or settings.private_receivers
        try:
            receiver = addresses.receiver(delivery.url)
            found = addresses.addresses(receiver, self._resolve, allows_private=allows_private)
        except NotAllowed as error:
            return Outcome(0, f"the address {error}", is_final=True)
        except (OSError, UnicodeError):
            return Outcome(0, "the name of the receiver is not known")
        return post(receiver, found[0], fields, body, self._settings.timing.deliver_timeout)


def content(job: Job) -> bytes:
    """What a webhook says about a job that has ended: OpenAI's event, with what a receiver may want to know at once."""
    event = {
        "id": f"evt_{job.id}",
        "object": "event",
        "type": "video.completed" if job.state is State.STORED else "video.failed",
        "created_at": int(job.ended_at),
        "data": {"id": job.id, "status": job.state, "metadata": json.loads(job.metadata)},
    }
    return json.dumps(event, separators=(",", ":")).encode()


def alarm_content(delivery: Delivery) -> bytes:
    """What a webhook says about an account that is paused, or in order again."""
    event = {
        "id": f"evt_{delivery.id}",
        "object": "event",
        "type": delivery.event,
        "created_at": int(delivery.created_at),
        "data": json.loads(delivery.data),
    }
    return json.dumps(event, separators=(",", ":")).encode()


def post(receiver: Receiver, address: str, fields: dict[str, str], body: bytes, seconds: float) -> Outcome:
    """Send a request to a receiver at one of its addresses. All of it has to be done in so many seconds.

    No redirect is followed: it could lead anywhere.
    """
    connection = _connection(receiver, address, seconds)
    with contextlib.closing(connection), _limited(connection, seconds) as is_late:
        try:
            connection.request("POST", receiver.target, body, {"host": receiver.authority, **fields})
            status = connection.getresponse().status
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            return Outcome(0, _LATE.format(seconds) if is_late() else _words(error))
        if is_late():
            # What was cut off may look whole.
            return Outcome(0, _LATE.format(seconds))
    if status == _GONE:
        return Outcome(status, "status 410: the receiver wants no more", is_final=True)
    if 300 <= status < 400:
        return Outcome(status, f"status {status}: redirects are not followed")
    return Outcome(status, "" if 200 <= status < 300 else f"status {status}")


def _connection(receiver: Receiver, address: str, seconds: float) -> HTTPConnection:
    """A connection to the address that was checked; the certificate has to be that of the name."""
    if receiver.scheme == "http":
        return HTTPConnection(address, receiver.port, timeout=seconds)
    return HTTPSConnection(
        address,
        receiver.port,
        timeout=seconds,
        cert_reqs="CERT_REQUIRED",
        server_hostname=receiver.host,
        assert_hostname=receiver.host,
    )


@contextlib.contextmanager
def _limited(connection: HTTPConnection, seconds: float) -> Iterator[Callable[[], bool]]:
    """Break a connection off after a time, however slowly its bytes come; gives whether that has happened."""
    late = threading.Event()

    def end() -> None:
        late.set()
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late.is_set
    finally:
        timer.cancel()


def _words(error: Exception) -> str:
    """What went wrong: the class of the error, without text of the receiver's."""
    reason = getattr(error, "reason", None) or getattr(error, "__cause__", None) or error
    return f"not sent: {type(reason).__name__}"
