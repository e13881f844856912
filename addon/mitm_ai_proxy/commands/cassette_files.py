"""The commands `ai-proxy cassette show`, `check`, `diff` and `vary`, which need files only. See COMMANDS."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import textwrap
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TextIO

from .. import registry
from ..cassette import har, listing, scrubbing, spending
from ..cassette.bodies import DIGITS, BodyFiles, CassetteError
from ..cassette.diff import differences
from ..cassette.entry import Entry, header
from ..cassette.formatting import (
    SCRUBBER,
    URL_WIDTH,
    WIDTH,
    address,
    clean,
    clock,
    count,
    duration,
    short,
    size,
    status,
)
from ..cassette.listing import Job, Listing
from ..cassette.variations import POLLS, Variation, VariationError, check_code, vary
from ..view import conversation
from .command_line import program

PROGRAM: Final = "ai-proxy"


class Command(NamedTuple):
    """A subcommand: its help text, a function that adds its arguments, and one that runs it for the exit status."""

    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def main(words: Sequence[str], more: Mapping[str, Command] = MappingProxyType({})) -> int:
    """Run one command of COMMANDS or of `more`.

    Returns the exit status: 0 success, 1 problems, differences or an error. Usage errors exit with 2.
    """
    parser = ArgumentParser(f"{program()} cassette", description="Look at cassettes, and make new ones of them.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    known = {**COMMANDS, **more}
    for name, command in known.items():
        own = commands.add_parser(name, help=command.summary, description=command.summary, allow_abbrev=False)
        command.add_arguments(own)
    chosen = parser.parse_args(words)
    try:
        status = known[chosen.command].run(chosen)
        sys.stdout.flush()
        return status
    except CassetteError as error:
        _complain(error)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _complain(f"the output could not be written ({error.strerror})")
        # Otherwise Python would try again to write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def add_file(parser: ArgumentParser) -> None:
    """Add the argument for one cassette."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a cassette")


def _add_files(parser: ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="cassettes")


def _add_two_files(parser: ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument("other", type=Path, metavar="OTHER", help="another one")


# show

_NOTE: Final = " " * 8 + "why: "
_SAID: Final = " " * 8


def _show(chosen: Namespace) -> int:
    entries = har.read(chosen.file)
    found = listing.sort(entries)
    _print(*_summary(chosen.file, entries, found))
    for job in found.jobs:
        title = f"job {job.name}" + (f" ({job.external_id})" if job.task_id and job.external_id else "")
        _print("", short(title, WIDTH), *_rows(entries, job.indexes, job))
    if found.others:
        _print("", "other exchanges", *_rows(entries, found.others))
    return 0


def _summary(path: Path, entries: Sequence[Entry], found: Listing) -> Iterator[str]:
    yield f"{path}: {count(entries, 'exchange')} in {count(found.jobs, 'job')}{_when(entries)}"
    simulated = [entry for entry in entries if entry.simulated]
    if simulated:
        yield "simulated: nothing was paid" if len(simulated) == len(entries) else f"{len(simulated)} of them simulated"
    bodies = BodyFiles(path)
    names = {_digest(body) for body in _bodies(entries)}
    sizes = [file.stat().st_size for file in _files(bodies.folder) if file.stem in names]
    if sizes:
        yield f"{count(sizes, 'body', 'bodies')} of {size(sum(sizes))} in {bodies.folder.name}"
    total = spending.spent(entries, registry.recorded_api())
    if total.jobs or total.units:
        said = [spending.money_text(total.units, total.dollars)] if total.jobs > total.unknown else []
        said += [f"{total.estimated:g} of the units are expected, not charged"] if total.estimated else []
        said += [f"{total.unknown} of unknown price"] if total.unknown else []
        yield "; ".join(said)


def _rows(entries: Sequence[Entry], indexes: Sequence[int], job: Job | None = None) -> Iterator[str]:
    """A line for each exchange or group of polls with the same state, followed by their notes that are new."""
    noted: set[str] = set()
    start = min(entry.started for entry in entries)

    def state(index: int) -> object:
        return (_state(entries[index], job), status(entries[index])) if job and index in job.reads else index

    for _, grouped in itertools.groupby(indexes, state):
        group = list(grouped)
        polls = group if job and group[0] in job.reads else []
        last = entries[group[-1]]
        body = last.response.body if last.response else b""
        numbers = f"{group[0] + 1}" if len(group) == 1 else f"{group[0] + 1}-{group[-1] + 1}"
        row = (
            f"{numbers:>7} {clock(entries[group[0]].started - start):>8}  {short(last.request.method, 6):<6}"
            f" {status(last):>3} {size(len(body)):>8} {duration(last.milliseconds):>8}  "
            f"{address(last.request):<{URL_WIDTH}}  {_details(entries, group, polls, job)}"
        )
        yield short(row.rstrip(), WIDTH)
        if not job:
            yield from _conversation(last)
        for note in dict.fromkeys(note for index in group for note in clean(entries[index]).notes):
            if note in noted:
                continue
            noted.add(note)
            yield from textwrap.wrap(note, WIDTH, initial_indent=_NOTE, subsequent_indent=" " * len(_NOTE))


def _conversation(entry: Entry) -> Iterator[str]:
    """What was said in a chat."""
    scrubbed = SCRUBBER.entry(entry)
    answer = scrubbed.response.body if scrubbed.response else None
    for line in conversation.lines(entry.request.method, entry.request.url, scrubbed.request.body, answer):
        yield from textwrap.wrap(line, WIDTH, initial_indent=_SAID, subsequent_indent=_SAID + "  ")


def _details(entries: Sequence[Entry], group: Sequence[int], polls: Sequence[int], job: Job | None) -> str:
    """The end of a line about exchanges: the job's state, the number of polls, and the cost."""
    last = entries[group[-1]]
    times = sum(1 + entries[index].repeats for index in group)
    said = [_state(last, job) if job else ""]
    if last.response is None:
        said.append("no answer")
    elif listing.is_file(last.response):
        said.append(header(last.response.headers, "content-type").partition(";")[0] or "to another address")
    if times > 1:
        said.append(f"{times} polls" if polls else f"given {times} times")
    if last.units is not None:
        said.append(f"{last.units:g} units")
    elif last.price is not None:
        said.append(f"${last.price:.2f}")
    return ", ".join(filter(None, said))


def _state(entry: Entry, job: Job | None) -> str:
    task = job.task(entry) if job else None
    return task.status if task else ""


def _when(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    start = min(entry.started for entry in entries)
    end = max(entry.started + entry.milliseconds / 1000 for entry in entries)
    try:
        date = datetime.fromtimestamp(start, UTC)
    except (ValueError, OverflowError, OSError):
        return ", at a time that no calendar has"
    return f", recorded {date:%Y-%m-%d %H:%M} UTC within {duration((end - start) * 1000)}"


# check


def _check(chosen: Namespace) -> int:
    return max([_check_file(path) for path in chosen.files])


def _check_file(path: Path) -> int:
    try:
        entries = har.read(path)
    except CassetteError as error:
        _complain(error)
        return 1
    found = listing.sort(entries)
    problems = [*_problems(path, entries, found)]
    good = f"good, {count(entries, 'exchange')} in {count(found.jobs, 'job')}"
    _print(*(f"{path}: {line}" for line in problems or [good]))
    return 1 if problems else 0


def _problems(path: Path, entries: Sequence[Entry], found: Listing) -> Iterator[str]:
    for index, entry in enumerate(entries):
        for place in scrubbing.findings(entry):
            yield f"entry {index + 1}: {place.removeprefix('entry.')}: looks like a secret; record it anew, or edit it"
        if entry.response is None:
            yield f"entry {index + 1}: {entry.request.method} {address(entry.request)}: has no answer"
    for job in found.jobs:
        state = _left_as(job, entries)
        if state is not None:
            seen = f"was last seen as {short(state, URL_WIDTH)}" if state else "has no known state"
            yield f"job {job.name}: {seen} and not at its end; go on with: {program()} cassette resume {path}"
    bodies = BodyFiles(path)
    names = {_digest(body) for body in _bodies(entries)}
    for file in _files(bodies.folder):
        if file.stem not in names:
            yield f"{bodies.folder.name}/{file.name}: belongs to no exchange; delete it"


def _left_as(job: Job, entries: Sequence[Entry]) -> str | None:
    """The last recorded state of a job that was accepted and has no recorded end; None for any other job."""
    last = job.end(entries)
    refused = all((answer := entries[index].response) and answer.status >= 400 for index in job.indexes)
    if refused or (last and last.is_ended) or (job.files and not last):
        return None
    return last.status if last else ""


# diff


def _diff(chosen: Namespace) -> int:
    lines = differences(chosen.file, chosen.other)
    if not lines:
        _print(f"{chosen.file} and {chosen.other} do not differ")
        return 0
    _print(f"recorded: {chosen.file}", f"came: {chosen.other}", *lines)
    return 1


# vary


def _add_variations(parser: ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument("-o", dest="out", type=Path, metavar="OUT", help="the new cassette (default: FILE.WAY.har)")
    ways = parser.add_mutually_exclusive_group(required=True)
    ways.add_argument("--failed", metavar="TEXT", help="the jobs end as failed, with this message")
    code = "their creates are refused with this code of Kling's"
    ways.add_argument(
        "--error", type=_checked(lambda number: check_code(number, registry.recorded_api())), metavar="CODE", help=code
    )
    ways.add_argument("--content-gone", action="store_true", help="the links to their results have expired")
    slow = f"they take N polls more (default: {POLLS})"
    ways.add_argument(
        "--slow", type=_checked(lambda number: Variation(slow=number)), nargs="?", const=POLLS, metavar="N", help=slow
    )


def _checked(use: Callable[[int], object]) -> Callable[[str], int]:
    """A type of argparse: a number that `use` accepts, which raises VariationError for others."""

    def number(text: str) -> int:
        value = int(text)
        try:
            use(value)
        except VariationError as error:
            raise ArgumentTypeError(str(error)) from None
        return value

    return number


def _vary(chosen: Namespace) -> int:
    path: Path = chosen.file
    out: Path = chosen.out or path.with_name(f"{path.name.removesuffix('.har')}.{_variation_name(chosen)}.har")
    entries = har.read(path)
    if out.resolve() == path.resolve() or (out.exists() and out.samefile(path)):
        raise CassetteError(f"{out}: is the cassette itself; -o takes the name of another")
    if BodyFiles(out).folder.resolve() == BodyFiles(path).folder.resolve():
        raise CassetteError(f"{out}: would share its bodies with {path}; -o takes another name, such as a.har")
    try:
        variation = Variation(chosen.failed, chosen.error, chosen.content_gone, chosen.slow)
        varied = vary(entries, variation, registry.recorded_api())
    except VariationError as error:
        raise CassetteError(f"{path}: {error}") from None
    har.write(out, varied)
    har.tidy(out)
    _print(f"{out}: {count(varied, 'exchange')}, made of {len(entries)} in {path}")
    return 0


def _variation_name(chosen: Namespace) -> str:
    """The name of the variation, as part of a file name."""
    if chosen.failed is not None:
        return "failed"
    if chosen.error is not None:
        return f"error-{chosen.error}"
    return "content-gone" if chosen.content_gone else "slow"


# Output


def _print(*lines: str, to: TextIO | None = None) -> None:
    """Write lines, with control characters escaped: a recording may have some."""
    out = to or sys.stdout
    encoding = out.encoding or "utf-8"
    for line in lines:
        plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        out.write(plain.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _complain(problem: object) -> None:
    _print(f"{PROGRAM}: {problem}", to=sys.stderr)


def _bodies(entries: Iterable[Entry]) -> Iterator[bytes]:
    for entry in entries:
        yield entry.request.body
        if entry.response:
            yield entry.response.body


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:DIGITS]


def _files(folder: Path) -> list[Path]:
    """The files of a folder, without hidden ones other than those that a crash left."""
    try:
        found = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise CassetteError(f"{folder}: could not be read ({error.strerror})") from error
    return [file for file in found if not file.name.startswith(".") or file.suffix == ".tmp"]


COMMANDS: Final = {
    "show": Command("what is in a cassette", add_file, _show),
    "check": Command(
        "what is wrong with cassettes: secrets, missing bodies, jobs that did not end",
        _add_files,
        _check,
    ),
    "diff": Command("how a cassette differs from another one", _add_two_files, _diff),
    "vary": Command("make a cassette in which its jobs go wrong, without paying for it", _add_variations, _vary),
}
