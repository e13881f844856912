"""`ai-proxy cassette refresh` and `resume`: record a cassette again, or complete its jobs, through a proxy."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import socket
import string
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import quote

from .. import registry
from ..cassette import har, jobs, links, listing, polling, rerecord_plan, spending
from ..cassette.bodies import BodyFiles, CassetteError, locked, unused_name
from ..cassette.budget import Budget
from ..cassette.cassette import Mode, Opening
from ..cassette.entry import Entry, Request, Response, header
from ..cassette.formatting import described
from ..cassette.links_through_proxy import Address
from ..cassette.listing import Task
from ..cassette.missing import Missing, Pending, find_missing, results
from ..cassette.polling import INTERVAL, TIMEOUT, Reading
from ..cassette.recorded_api import Prices, RecordedAPI
from ..cassette.replacements import Replacements
from ..cassette.rerecord_plan import PlanError, Step
from ..cassette.settings import CassetteSettings
from ..config.file import ConfigurationError
from ..gateway.addon import Gateway
from ..gateway.embedded import Embedded, NotStarted
from ..gateway.error_log import LOGGER, ErrorLog
from ..gateway.recorded import Recorded
from ..gateway.stages import StageError
from ..providers.common_keys import CommonKeys
from ..registry import Configuration
from ..wire.targets import Origin
from .command_line import program

PROGRAM: Final = "ai-proxy"
ANSWER_TIMEOUT: Final = 600.0
"""Seconds to wait for an answer; OpenAI's SDKs wait as long."""
CONNECT_TIMEOUT: Final = 10.0
WRITE_TIMEOUT: Final = 60.0
"""Seconds to wait until an exchange is written."""
MOST_FAILURES: Final = 10
"""The number of consecutive reads that may end in a temporary error."""
MOST_REDIRECTS: Final = 5

_MARK: Final = "-again-"
"""Separates the two parts of a new external id: the recorded one, and random digits."""
_BAD_GATEWAY: Final = 502
_GLANCE: Final = 0.2


class _Stop(Exception):
    """The command cannot continue; the text is for the user."""


_EXPECTED: Final = (CassetteError, ConfigurationError, NotStarted, PlanError, StageError, _Stop, KeyboardInterrupt)


def refresh(
    path: Path,
    config: Path,
    out: Path | None = None,
    *,
    budget: float | None = None,
    yes: bool = False,
    interval: float = INTERVAL,
    timeout: float = TIMEOUT,
) -> int:
    """Send the requests of a cassette again, and replace it, or `out`, if the new answers are like the recorded ones.

    It prints the cost and asks for confirmation, unless `yes`. `budget` is in units; `interval` and `timeout` are in
    seconds, as in INTERVAL and TIMEOUT. Returns the exit status: 0 success, 1 an error, which is written to stderr.
    """
    return _reported(lambda: _Refresh(path, config, out or path, interval, timeout).run(budget, yes))


def resume(path: Path, config: Path, *, interval: float = INTERVAL, timeout: float = TIMEOUT) -> int:
    """Poll the unfinished jobs of a cassette, fetch their results, and add that to it; nothing is created.

    Returns the exit status: 0 if nothing is missing any more, else 1, with the reason on stderr.
    """
    return _reported(lambda: _Resume(path, config, interval, timeout).run())


def _reported(run: Callable[[], bool]) -> int:
    try:
        return 0 if run() else 1
    except _EXPECTED as error:
        _complain(error)
        return 1


class _Refresh:
    """The steps of refresh()."""

    def __init__(self, path: Path, config: Path, target: Path, interval: float, timeout: float) -> None:
        self._path, self._config, self._target = path, config, target
        self._interval, self._timeout = interval, timeout
        self._check_target()

    def run(self, budget: float | None, yes: bool) -> bool:
        """All of it."""
        steps = rerecord_plan.refreshing(har.read(self._path, own=True))
        if not steps:
            _say(f"{self._path}: holds no exchange, so there is nothing to do")
            return True
        providers = _Providers(self._config)
        providers.check(self._path, [step.request for step in steps if not step.link])
        self._check_price(steps, budget, providers.prices)
        if self._costs(steps, providers.prices) and not yes:
            _ask()
        providers.reach()
        new = unused_name(self._target)
        try:
            opening = Opening(new, Mode.REWRITE, None if budget is None else Budget(budget, providers.prices))
            with _Proxy(providers, opening, self._interval, self._timeout) as proxy:
                self._send(steps, proxy, providers.prices)
            entries = har.read(new)
            with locked(self._target):
                har.write(self._target, entries)
                har.tidy(self._target)
        except _EXPECTED as error:
            _complain(error)
            self._keep(new, providers.prices)
            return False
        har.remove(new)
        total = spending.spent(entries, providers.prices)
        cost = spending.money_text(total.units, total.dollars)
        _say(f"{self._target}: recorded anew, {_count(len(entries), 'exchange')}, {cost}")
        return True

    def _check_target(self) -> None:
        """Raise _Stop for a target whose folder of bodies is that of another cassette."""
        if self._target != self._path and _folder(self._target) == _folder(self._path):
            raise _Stop(
                f"{self._target}: would share its bodies with {self._path}; -o takes another name, such as a.har"
            )

    def _check_price(self, steps: Sequence[Step], budget: float | None, prices: Prices) -> None:
        if budget is None:
            return
        try:
            planned = Budget(budget, prices)
        except ValueError as error:
            raise _Stop(str(error)) from None
        for step in steps:
            reason = planned.refuse(step.request)
            if reason:
                raise _Stop(f"entry {step.index + 1}, {described(step.request)}: {reason} Nothing was sent.")

    def _costs(self, steps: Sequence[Step], prices: Prices) -> bool:
        """Print what sending the requests will cost; returns whether it may cost anything."""
        costs = [spending.expected(step.request, prices) for step in steps]
        known = [cost for cost in costs if cost and (cost.units or cost.dollars)]
        unknown = sum(cost is None for cost in costs)
        said = []
        if known:
            units, dollars = (spending.total(amounts) for amounts in zip(*known, strict=True))
            said.append(f"up to {spending.money_text(units, dollars)}")
        if unknown:
            said.append(f"{_count(unknown, 'request')} of unknown price")
        _say(f"{self._path}: {_count(len(steps), 'request')}; {' and '.join(said) or 'none of them costs anything'}")
        return bool(said)

    def _send(self, steps: Sequence[Step], proxy: _Proxy, prices: Prices) -> None:
        names = rerecord_plan.external_names(steps)
        api = registry.recorded_api()
        replacements = Replacements({name: _fresh(name, api) for name in names})
        for step in steps:
            request = replacements.request(step.request)
            if step.link and replacements.link(step.link) is None:
                raise _Stop(f"entry {step.index + 1}, {described(step.request)}: no new answer has this link")
            what = proxy.described(request)
            if step.is_polled:
                response = proxy.poll(request, listing.tasks, what)
            else:
                is_paid = not spending.is_free(step.request, prices)
                answer = proxy.ask(request, is_paid)
                if answer is None and step.answer is not None:
                    doubt = "; it cannot be known whether it was paid" if is_paid else ""
                    raise _Stop(f"{what}: had no answer{doubt}")
                _say(f"{what}: {_outcome(answer)}")
                if answer is None:
                    continue
                response = answer
            reason = rerecord_plan.unlike(step, response)
            if reason:
                raise _Stop(_with_explanation(f"{what}: {reason}", proxy.recorded))
            for recorded in step.recorded:
                replacements.learn(recorded, response, step.request.url)

    def _keep(self, new: Path, prices: Prices) -> None:
        """Keep the incomplete new cassette if any of it was paid for, or may have been."""
        if not new.exists():
            return
        with contextlib.suppress(CassetteError):
            if not any(spending.may_be_paid(entry, prices) for entry in har.read(new)):
                har.remove(new)
                return
        _complain(
            f"{self._target} is as it was. What was recorded until then may have been paid for, and is kept in {new};"
            f" `{program()} cassette resume {new}` brings its jobs to their end."
        )


class _Resume:
    """The steps of resume()."""

    def __init__(self, path: Path, config: Path, interval: float, timeout: float) -> None:
        self._path, self._config = path, config
        self._interval, self._timeout = interval, timeout

    def run(self) -> bool:
        """All of it."""
        entries = har.read(self._path)
        # Before the configuration is read, which is not needed if nothing is missing.
        missing = find_missing(entries, registry.recorded_api())
        for line in missing.unknown:
            _say(f"{self._path}: {line}")
        if not missing.pending:
            _say(f"{self._path}: no job lacks anything, so there is nothing to do")
            return True
        providers = _Providers(self._config)
        providers.check(self._path, [job.read for job in missing.pending])
        providers.reach()
        is_good = True
        # The budget of 0 ensures that no request that costs units is sent.
        opening = Opening(self._path, Mode.APPEND, Budget(0, providers.prices))
        with _Proxy(providers, opening, self._interval, self._timeout) as proxy:
            for job in missing.pending:
                try:
                    is_good &= self._complete(job, missing, proxy)
                except _Stop as stop:
                    is_good = False
                    _complain(stop)
        self._report()
        return is_good

    def _complete(self, job: Pending, missing: Missing, proxy: _Proxy) -> bool:
        """Poll a job to its end, and fetch its results; returns whether all of them could be fetched."""
        if job.is_doubtful:
            answer = proxy.ask(job.read)
            if polling.reading(answer, _told(job, answer)) is Reading.UNKNOWN:
                _say(f"job {job.name}: the provider knows no such task, so it was not paid")
                return True
        response = proxy.poll(job.read, lambda answer: _told(job, answer), f"job {job.name}")
        task = job.task(response)
        assert task
        is_good = True
        for result in results(response, task, job.read, proxy.address):
            is_wanted = not missing.members or result.member in missing.members
            if result.link not in missing.fetched and is_wanted:
                is_good &= self._fetch(replace(job.read, url=result.here), proxy)
        return is_good

    def _fetch(self, request: Request, proxy: _Proxy) -> bool:
        what = proxy.described(request)
        for _ in range(MOST_REDIRECTS):
            answer = proxy.ask(request)
            location = header(answer.headers, "location") if answer and 300 <= answer.status < 400 else ""
            if not location:
                break
            request = replace(request, url=links.resolved(location, request.url))
        is_good = answer is not None and 200 <= answer.status < 300
        (_say if is_good else _complain)(f"{what}: {_outcome(answer)}")
        return is_good

    def _report(self) -> None:
        entries = har.read(self._path)
        for job in listing.sort(entries).jobs:
            task = job.end(entries)
            state = f"ended as {task.status}" if task and task.is_ended else "has no end"
            _say(f"{self._path}: job {job.name}: {state}, {_count(len(job.files), 'file')}")


class _Providers:
    """The providers of a configuration file, by their origins. Raises ConfigurationError."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self._configuration = registry.read(config)
        self._providers = registry.providers(self._configuration)
        self.origin: Origin = self._providers.main.origin
        self.origins = sorted({provider.origin for provider in self._providers}, key=str)
        self.prices: Prices = registry.recorded_api(*{provider.type for provider in self._providers})
        self._asked: list[Origin] = []

    def check(self, path: Path, requests: Sequence[Request]) -> None:
        """Raise _Stop if a request was recorded at another host, or needs a credential that is not configured."""
        asked = {links.origin(request.url) for request in requests}
        self._asked = [origin for origin in self.origins if str(origin) in asked]
        elsewhere = sorted(asked - {str(origin) for origin in self.origins})
        if elsewhere:
            raise _Stop(
                f"{path} was recorded with {', '.join(elsewhere)}, and {self.config} leads to"
                f" {', '.join(map(str, self.origins))}. Nothing was sent."
            )
        if any(rerecord_plan.has_credential(request) and not self._has_credential(request) for request in requests):
            raise _Stop(
                f"{path} was recorded with a client's credential, which no cassette holds: give apiTokens in"
                f" {self.config}. Nothing was sent."
            )

    def _has_credential(self, request: Request) -> bool:
        """Whether a credential is configured for a recorded request."""
        provider = self._providers.at(Origin.parse(links.origin(request.url)))
        return provider is not None and provider.has_credential

    def reach(self) -> None:
        """Raise _Stop if no connection to a provider that is asked can be made."""
        for origin in self._asked or [self.origin]:
            try:
                socket.create_connection((origin.host, origin.port), CONNECT_TIMEOUT).close()
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise _Stop(f"{origin} cannot be reached ({reason}). Nothing was sent.") from None

    def as_recorded(self) -> Configuration:
        """The configuration, without what would change more of a request than its host and credential.

        Of several providers, the one is asked whose host the client names.
        """
        # Base paths are for clients' requests: the paths in a recording are those of the upstream.
        none = CommonKeys()
        providers = {
            name: replace(
                keys,
                protocol="original",
                base_path=none.base_path,
                base_path_handling=none.base_path_handling,
                provider_base_path=none.provider_base_path,
            )
            for name, keys in self._configuration.providers.items()
        }
        # The links are followed here, so that they need no public URL.
        cassette = replace(self._configuration.block(CassetteSettings), public_url=None)
        return replace(self._configuration, providers=providers, routes=()).with_block(cassette)


class _Proxy:
    """mitmproxy with a cassette that records, and a client that sends requests through it."""

    def __init__(self, providers: _Providers, opening: Opening, interval: float, timeout: float) -> None:
        self._providers, self._opening = providers, opening
        self._interval, self._timeout = interval, timeout
        self._recorded = Recorded()
        self._connection: http.client.HTTPConnection | None = None
        self._stack = contextlib.ExitStack()
        self._failures = ErrorLog()
        self.address = Address("", str(providers.origin))

    def __enter__(self) -> _Proxy:
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

        Raises _Stop if the proxy did not send or record it. If it is paid for, Ctrl-C waits for the answer.
        """
        before = len(self.recorded)
        answer = self._sent_despite_interrupt(request) if is_paid else self._sent(request)
        self._wait_for_the_cassette()
        if self._failures.texts:
            failed = "; ".join(text.removeprefix(f"{PROGRAM}: ") for text in self._failures.texts)
            raise _Stop(f"{self.described(request)}: {_outcome(answer)}, and {failed}")
        entries = self.recorded[before:]
        if answer is None or (entries and entries[-1].response is None):
            return None
        if not entries:
            if answer.status == _BAD_GATEWAY:
                return None
            raise _Stop(f"{self.described(request)}: {polling.explanation(answer)}")
        return answer

    def poll(self, request: Request, told: Callable[[Response | None], Sequence[Task]], what: str) -> Response:
        """Repeat a read until all tasks in its answer have ended; returns that answer. Raises _Stop.

        `told` finds the tasks in an answer, and `what` is a name for them in messages.
        """
        deadline = time.monotonic() + self._timeout
        failures, shown = 0, ""
        while True:
            response = self.ask(request)
            tasks = told(response)
            state = ", ".join(task.status for task in tasks) or _outcome(response)
            found = polling.reading(response, tasks)
            if found in (Reading.UNKNOWN, Reading.REFUSED):
                raise _Stop(_with_explanation(f"{what}: {state}", self.recorded))
            if state != shown:
                shown = state
                _say(f"{what}: {state}")
            if found is Reading.ENDED:
                assert response
                return response
            failures = failures + 1 if found is Reading.BUSY else 0
            if failures == MOST_FAILURES:
                raise _Stop(f"{what}: {state}, {failures} times in a row")
            seconds = polling.seconds_to_wait(response, self._interval, datetime.now(UTC))
            if time.monotonic() + seconds > deadline:
                raise _Stop(f"{what}: still {state} after {self._timeout:g} seconds")
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
                _complain("waiting for the answer to what is paid for; Ctrl-C again to lose it")
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
        raise _Stop(f"{described(Request('GET', url))}: is a link that does not lead through the proxy")


def _awaited(future: Future[Response | None]) -> Response | None:
    # With short waits, since Python does not always notice a signal during a long one.
    while not future.done():
        futures.wait([future], _GLANCE)
    return future.result()


def _told(job: Pending, response: Response | None) -> list[Task]:
    task = job.task(response)
    return [task] if task else []


def _fresh(name: str, api: RecordedAPI) -> str:
    """A new external id, made from a recorded one: what the API keeps at the end stays there."""
    start, end = api.split_external_id(name)
    start = start.rpartition(_MARK)[0] or start
    if not end:
        # Earlier versions put the mark behind it.
        start, end = api.split_external_id(start)
    return f"{start}{_MARK}{secrets.token_hex(4)}{end}"


def _folder(path: Path) -> Path:
    return BodyFiles(path).folder.resolve()


def _ask() -> None:
    if not (sys.stdin and sys.stdin.isatty()):
        raise _Stop("nobody can be asked whether that is to be paid: give --yes. Nothing was sent.")
    sys.stdout.write("Send them? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise _Stop("nothing was sent")


def _outcome(response: Response | None) -> str:
    if response is None:
        return "no answer"
    if listing.is_file(response) and response.status < 300:
        return f"{response.status}, {len(response.body):,} bytes"
    name = jobs.task_id(response)
    return f"{response.status}, task {name}" if name else str(response.status)


def _with_explanation(text: str, recorded: Sequence[Entry]) -> str:
    """A text with the provider's explanation, taken from the recording, which has no secrets."""
    response = recorded[-1].response if recorded else None
    said = polling.explanation(response) if response else ""
    return f"{text}: {said}" if said else text


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def _say(line: str) -> None:
    _write(line, sys.stdout)


def _complain(problem: object) -> None:
    _write(f"{PROGRAM}: {str(problem) or 'interrupted'}", sys.stderr)


def _write(text: str, to: TextIO) -> None:
    encoding = to.encoding or "utf-8"
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    try:
        to.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        to.flush()
    except OSError:
        # The reader of the output is gone; a job that is paid for is still recorded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), to.fileno())
