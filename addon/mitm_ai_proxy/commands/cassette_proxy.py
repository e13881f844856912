"""A proxy that records what is sent through it to a provider, and the client that sends."""

from __future__ import annotations

import contextlib
import http.client
import socket
import string
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from ..cassette import polling, rerecord_plan
from ..cassette.cassette import Opening
from ..cassette.entry import Entry, Request, Response
from ..cassette.formatting import described
from ..cassette.links_through_proxy import Address
from ..cassette.listing import Task
from ..cassette.polling import Reading
from ..gateway.addon import Gateway
from ..gateway.embedded import Embedded
from ..gateway.error_log import LOGGER, ErrorLog
from ..gateway.recorded import Recorded
from ..wire.targets import Origin
from .cassette_progress import PROGRAM, Stop, complain, outcome, say, with_explanation
from .cassette_providers import CassetteProviders

ANSWER_TIMEOUT: Final = 600.0
"""Seconds to wait for an answer; OpenAI's SDKs wait as long."""
WRITE_TIMEOUT: Final = 60.0
"""Seconds to wait until an exchange is written."""
MOST_FAILURES: Final = 10
"""The number of consecutive reads that may end in a temporary error."""
_BAD_GATEWAY: Final = 502
_GLANCE: Final = 0.2


class CassetteProxy:
    """mitmproxy with a cassette that records, and a client that sends requests through it."""

    def __init__(self, providers: CassetteProviders, opening: Opening, interval: float, timeout: float) -> None:
        self._providers, self._opening = providers, opening
        self._interval, self._timeout = interval, timeout
        self._recorded = Recorded()
        self._connection: http.client.HTTPConnection | None = None
        self._stack = contextlib.ExitStack()
        self._failures = ErrorLog()
        self.address = Address("", str(providers.origin))

    def __enter__(self) -> CassetteProxy:
        with contextlib.ExitStack() as stack:
            configuration = self._providers.as_recorded()
            LOGGER.addHandler(self._failures)
            stack.callback(LOGGER.removeHandler, self._failures)
            gateway = Gateway([self._recorded])
            embedded = Embedded(gateway, configuration)
            embedded.start()
            stack.callback(embedded.stop)
            self._recorded.insert(self._opening)
            embedded.call(lambda: gateway.use(configuration))
            self.address = Address(embedded.origin, str(self._providers.origin))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def recorded(self) -> tuple[Entry, ...]:
        """The recorded exchanges, without secrets."""
        cassette = self._recorded.cassette
        return cassette.recorded if cassette else ()

    def described(self, request: Request) -> str:
        """A request in words, with the URL by which it leaves the proxy."""
        there = self.address.lead_there(request.url.encode("utf-8", "surrogateescape"))
        return described(replace(request, url=there.decode("utf-8", "surrogateescape")))

    def ask(self, request: Request, is_paid: bool = False) -> Response | None:
        """Send a request; returns its answer, whose links lead through the proxy, or None if none came.

        Raises Stop if the proxy did not send or record it. If it is paid for, Ctrl-C waits for the answer.
        """
        before = len(self.recorded)
        answer = self._sent_despite_interrupt(request) if is_paid else self._sent(request)
        self._wait_for_the_cassette()
        if self._failures.texts:
            failed = "; ".join(text.removeprefix(f"{PROGRAM}: ") for text in self._failures.texts)
            raise Stop(f"{self.described(request)}: {outcome(answer)}, and {failed}")
        entries = self.recorded[before:]
        if answer is None or (entries and entries[-1].response is None):
            return None
        if not entries:
            if answer.status == _BAD_GATEWAY:
                return None
            raise Stop(f"{self.described(request)}: {polling.explanation(answer)}")
        return answer

    def poll(self, request: Request, told: Callable[[Response | None], Sequence[Task]], what: str) -> Response:
        """Repeat a read until all tasks in its answer have ended; returns that answer. Raises Stop.

        `told` finds the tasks in an answer, and `what` is a name for them in messages.
        """
        deadline = time.monotonic() + self._timeout
        failures, shown = 0, ""
        while True:
            response = self.ask(request)
            tasks = told(response)
            state = ", ".join(task.status for task in tasks) or outcome(response)
            found = polling.reading(response, tasks)
            if found in (Reading.UNKNOWN, Reading.REFUSED):
                raise Stop(with_explanation(f"{what}: {state}", self.recorded))
            if state != shown:
                shown = state
                say(f"{what}: {state}")
            if found is Reading.ENDED:
                assert response
                return response
            failures = failures + 1 if found is Reading.BUSY else 0
            if failures == MOST_FAILURES:
                raise Stop(f"{what}: {state}, {failures} times in a row")
            seconds = polling.seconds_to_wait(response, self._interval, datetime.now(UTC))
            if time.monotonic() + seconds > deadline:
                raise Stop(f"{what}: still {state} after {self._timeout:g} seconds")
            time.sleep(seconds)

    def _sent(self, request: Request) -> Response | None:
        """Send a request; returns the answer, None if the proxy gives none."""
        target, authority = self._place(request.url)
        host, port = self.address.proxy.removeprefix("http://").split(":")
        connection = self._connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_TIMEOUT)
        try:
            connection.putrequest(request.method, target, skip_host=bool(authority), skip_accept_encoding=True)
            if authority:
                connection.putheader("Host", authority)
            for name, value in rerecord_plan.headers_to_send(request.headers):
                connection.putheader(name, value.encode("utf-8", "surrogateescape"))
            if request.body or request.method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body or None)
            answer = connection.getresponse()
            headers = tuple(answer.getheaders())
            return Response(answer.status, answer.reason, headers, answer.read())
        except (http.client.HTTPException, OSError):
            return None
        finally:
            connection.close()

    def _sent_despite_interrupt(self, request: Request) -> Response | None:
        """The same, but a first Ctrl-C takes effect only after the answer: what is paid for has to be recorded."""
        future: Future[Response | None] = Future()

        def run() -> None:
            try:
                future.set_result(self._sent(request))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="ai-proxy-paid", daemon=True).start()
        try:
            return _awaited(future)
        except KeyboardInterrupt:
            try:
                complain("waiting for the answer to what is paid for; Ctrl-C again to lose it")
                _awaited(future)
            except KeyboardInterrupt:
                self._hang_up()
            raise

    def _hang_up(self) -> None:
        """Close the connection of an answer that is still to come; mitmproxy 11 would wait for it at its end."""
        if self._connection and self._connection.sock:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _wait_for_the_cassette(self) -> None:
        """Wait until the exchange is written, which may be after the client has all of it."""
        self._recorded.idle.wait(WRITE_TIMEOUT)

    def _place(self, url: str) -> tuple[str, str]:
        """The path on the proxy for a URL, and, of several providers, the host of the one that is asked."""
        origins = self._providers.origins
        for origin in (self.address.proxy, *map(str, origins)):
            if url.startswith(f"{origin}/"):
                is_asked = len(origins) > 1 and origin != self.address.proxy
                authority = Origin.parse(origin).authority if is_asked else ""
                return quote(url[len(origin) :], safe=string.punctuation, errors="surrogateescape"), authority
        raise Stop(f"{described(Request('GET', url))}: is a link that does not lead through the proxy")


def _awaited(future: Future[Response | None]) -> Response | None:
    # With short waits, since Python does not always notice a signal during a long one.
    while not future.done():
        futures.wait([future], _GLANCE)
    return future.result()
