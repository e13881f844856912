"""The commands of `ai-proxy platform` that start nothing: they ask the store, or write a line into it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..config.keys import nearest
from ..platform import backends, checking, deployment, money
from ..platform.client import Client
from ..platform.deployment import Deployment
from ..platform.intake import Caller, Intake, NotRetried
from ..platform.money import Allowance, Exceeded
from ..platform.reconciling import Reconciler
from ..platform.records import Event, Job
from ..platform.settings import tenant_name
from ..platform.store import QueueFull, Store

_PAGE: Final = 500


def declare(name: str, parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command."""
    if name in ("job", "retry"):
        parser.add_argument("job", metavar="ID")
    if name == "key":
        parser.add_argument("tenant", type=_tenant, metavar="TENANT")
        parser.add_argument("--daily-units", type=_units, metavar="N", help="units that may be spent with it in a day")
        parser.add_argument("--monthly-units", type=_units, metavar="N", help="units in a month")
        parser.add_argument("--note", default="", metavar="TEXT", help="what it is for")
        parser.add_argument("--list", action="store_true", help="list the tenant's keys instead")
        parser.add_argument("--revoke", metavar="KEY_ID", help="have a key open nothing any more")


def _tenant(text: str) -> str:
    try:
        return tenant_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _units(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1e9:
        raise argparse.ArgumentTypeError("expected a number of units")
    return found


def _key(store: Store, found: Deployment, chosen: argparse.Namespace) -> int:
    """Make, list or revoke keys."""
    now = time.time()
    if chosen.list:
        for key in store.keys.all(chosen.tenant):
            state = f"revoked {_at(key.revoked_at)}" if key.revoked_at else "in use"
            print(f"{key.id}  {_at(key.created_at)}  {state}  {key.note}".rstrip())
        return 0
    if chosen.revoke:
        if any(key.id == chosen.revoke for key in store.keys.all(chosen.tenant)) and store.keys.revoke(
            chosen.revoke, now
        ):
            print(f"{chosen.revoke} opens nothing any more")
            return 0
        return _failed(f"{chosen.tenant} has no key {chosen.revoke} that is in use")
    limits = Allowance(_milli(chosen.daily_units), _milli(chosen.monthly_units))
    key, text = store.keys.make(chosen.tenant, now, allowance=limits, note=chosen.note)
    print(f"{key.id} of {chosen.tenant}, shown this once:", file=sys.stderr)
    print(text)
    tenants = found.platform.tenants
    if tenants and chosen.tenant not in tenants:
        known = nearest(chosen.tenant, tuple(tenants))
        print(f"ai-proxy: platform.tenants does not name {chosen.tenant}, which has no limits{known}", file=sys.stderr)
    return 0


def _milli(units: float | None) -> int | None:
    return None if units is None else round(units * money.MILLI)


def _job(store: Store, _: Deployment, chosen: argparse.Namespace) -> int:
    """Print what happened to a job."""
    job = store.job(chosen.job)
    if job is None:
        return _failed(f"there is no job {chosen.job}")
    for line in _described(job):
        print(line)
    for event in store.events(job.id):
        print(_line(event))
    for sent in store.deliveries.of_job(job.id):
        tried = f"{sent.tries} tries" + (f", last {sent.status or sent.problem}" if sent.tries else "")
        print(f"{_at(sent.created_at)}  webhook {sent.id} to {sent.url}: {sent.state}, {tried}")
    return 0


def _described(job: Job) -> list[str]:
    paid = "not known yet" if job.actual is None else f"{money.shown(job.actual)} units"
    lines = [
        f"{job.id} of {job.tenant}: {job.state}{f' ({job.error}: {job.message})' if job.error else ''}",
        f"  {job.model}, {job.seconds:g} s, {job.path}",
        f"  estimated {money.shown(job.estimate)} units, actual {paid}, {job.money}",
    ]
    if job.account:
        lines.append(f"  account {job.account}, task {job.task_id or 'none yet'}, attempt {job.attempt}")
    if job.object_name:
        lines.append(f"  {job.object_name}, {job.size} bytes, SHA-256 {job.sha256}")
    if job.retry_of:
        lines.append(f"  retry of {job.retry_of}")
    return lines


def _line(event: Event) -> str:
    way = f"{event.before} -> {event.after}" if event.before else event.after
    return f"{_at(event.at)}  {way}: {event.reason}{f'  [{event.worker}]' if event.worker else ''}"


def _retry(store: Store, found: Deployment, chosen: argparse.Namespace) -> int:
    """Accept what a failed job asked for once more."""
    job = store.job(chosen.job)
    if job is None:
        return _failed(f"there is no job {chosen.job}")
    with closing(backends.messages(found)) as messages:
        try:
            accepted = Intake(store, found.platform, messages.wake).retry(Caller(job.tenant), job)
        except (Exceeded, NotRetried, QueueFull) as error:
            return _failed(str(error))
    print(accepted.job.id)
    return 0


def _export(store: Store, _: Deployment, __: argparse.Namespace) -> int:
    """Print all jobs, the oldest first, one JSON object a line."""
    after = ""
    while page := store.jobs(after=after, limit=_PAGE, is_ascending=True):
        for job in page:
            document = dataclasses.asdict(job)
            del document["claim"]
            document["metadata"] = json.loads(job.metadata)
            print(json.dumps(document))
        after = page[-1].id
    return 0


def _reconcile(store: Store, found: Deployment, _: argparse.Namespace) -> int:
    """Compare the books with Kling's."""
    with ExitStack() as stack:
        clients = {
            account: stack.enter_context(closing(Client(url, seconds=found.platform.timing.request)))
            for account, url in found.gateways.items()
        }
        report = Reconciler(store.books, clients).run()
    for title, lines in (
        ("prices that were learned late", report.settled),
        ("prices that differ from Kling's books", report.differing),
        ("tasks that no job here has", [f"{one.name} {one.task_id} {one.status} {one.path}" for one in report.orphans]),
        ("what could not be asked", report.problems),
    ):
        print(f"{title}: {len(lines)}")
        for line in lines:
            print(f"  {line}")
    return 1 if report.problems else 0


def _check(path: Path, chosen: argparse.Namespace) -> int:
    """Try all parts."""
    found = deployment.read(path, os.environ, data=chosen.data)
    has_failed = False
    for result in checking.check(found):
        has_failed |= bool(result.problem)
        print(f"{'BAD ' if result.problem else 'ok  '} {result.part}: {result.problem or result.said}", flush=True)
    return int(has_failed)


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _failed(message: str) -> int:
    print(f"ai-proxy: {message}", file=sys.stderr)
    return 1


def _on_store(
    command: Callable[[Store, Deployment, argparse.Namespace], int],
) -> Callable[[Path, argparse.Namespace], int]:
    """A command on the store of a deployment."""

    def run(path: Path, chosen: argparse.Namespace) -> int:
        found = deployment.read(path, os.environ, data=chosen.data)
        with closing(backends.store(found)) as store:
            return command(store, found, chosen)

    return run


COMMANDS: Final[dict[str, Callable[[Path, argparse.Namespace], int]]] = {
    "check": _check,
    "job": _on_store(_job),
    "retry": _on_store(_retry),
    "reconcile": _on_store(_reconcile),
    "export": _on_store(_export),
    "key": _on_store(_key),
}
