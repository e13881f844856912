"""`ai-proxy cassette refresh`: record a cassette again, through a proxy."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .. import registry
from ..cassette import har, listing, rerecord_plan, spending
from ..cassette.bodies import BodyFiles, CassetteError, locked, unused_name
from ..cassette.budget import Budget
from ..cassette.cassette import Mode, Opening
from ..cassette.formatting import described
from ..cassette.polling import INTERVAL, TIMEOUT
from ..cassette.recorded_api import Prices, RecordedAPI
from ..cassette.replacements import Replacements
from ..cassette.rerecord_plan import Step
from .cassette_progress import EXPECTED, Stop, complain, count, outcome, reported, say, with_explanation
from .cassette_providers import CassetteProviders
from .cassette_proxy import CassetteProxy
from .command_line import program

_MARK: Final = "-again-"
"""Separates the two parts of a new external id: the recorded one, and random digits."""


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
    return reported(lambda: _Refresh(path, config, out or path, interval, timeout).run(budget, yes))


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
            say(f"{self._path}: holds no exchange, so there is nothing to do")
            return True
        providers = CassetteProviders(self._config)
        providers.check(self._path, [step.request for step in steps if not step.link])
        self._check_price(steps, budget, providers.prices)
        if self._costs(steps, providers.prices) and not yes:
            _ask()
        providers.reach()
        new = unused_name(self._target)
        try:
            opening = Opening(new, Mode.REWRITE, None if budget is None else Budget(budget, providers.prices))
            with CassetteProxy(providers, opening, self._interval, self._timeout) as proxy:
                self._send(steps, proxy, providers.prices)
            entries = har.read(new)
            with locked(self._target):
                har.write(self._target, entries)
                har.tidy(self._target)
        except EXPECTED as error:
            complain(error)
            self._keep(new, providers.prices)
            return False
        har.remove(new)
        total = spending.spent(entries, providers.prices)
        cost = spending.money_text(total.units, total.dollars)
        say(f"{self._target}: recorded anew, {count(len(entries), 'exchange')}, {cost}")
        return True

    def _check_target(self) -> None:
        """Raise Stop for a target whose folder of bodies is that of another cassette."""
        if self._target != self._path and _folder(self._target) == _folder(self._path):
            raise Stop(
                f"{self._target}: would share its bodies with {self._path}; -o takes another name, such as a.har"
            )

    def _check_price(self, steps: Sequence[Step], budget: float | None, prices: Prices) -> None:
        if budget is None:
            return
        try:
            planned = Budget(budget, prices)
        except ValueError as error:
            raise Stop(str(error)) from None
        for step in steps:
            reason = planned.refuse(step.request)
            if reason:
                raise Stop(f"entry {step.index + 1}, {described(step.request)}: {reason} Nothing was sent.")

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
            said.append(f"{count(unknown, 'request')} of unknown price")
        say(f"{self._path}: {count(len(steps), 'request')}; {' and '.join(said) or 'none of them costs anything'}")
        return bool(said)

    def _send(self, steps: Sequence[Step], proxy: CassetteProxy, prices: Prices) -> None:
        names = rerecord_plan.external_names(steps)
        api = registry.recorded_api()
        replacements = Replacements({name: fresh_name(name, api) for name in names})
        for step in steps:
            request = replacements.request(step.request)
            if step.link and replacements.link(step.link) is None:
                raise Stop(f"entry {step.index + 1}, {described(step.request)}: no new answer has this link")
            what = proxy.described(request)
            if step.is_polled:
                response = proxy.poll(request, listing.tasks, what)
            else:
                is_paid = not spending.is_free(step.request, prices)
                answer = proxy.ask(request, is_paid)
                if answer is None and step.answer is not None:
                    doubt = "; it cannot be known whether it was paid" if is_paid else ""
                    raise Stop(f"{what}: had no answer{doubt}")
                say(f"{what}: {outcome(answer)}")
                if answer is None:
                    continue
                response = answer
            reason = rerecord_plan.unlike(step, response)
            if reason:
                raise Stop(with_explanation(f"{what}: {reason}", proxy.recorded))
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
        complain(
            f"{self._target} is as it was. What was recorded until then may have been paid for, and is kept in {new};"
            f" `{program()} cassette resume {new}` brings its jobs to their end."
        )


def fresh_name(name: str, api: RecordedAPI) -> str:
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
        raise Stop("nobody can be asked whether that is to be paid: give --yes. Nothing was sent.")
    sys.stdout.write("Send them? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stop("nothing was sent")
