"""The command `ai-proxy sessions`: the turns of agents in saved flows, a cassette or another HAR file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from .. import registry
from ..cassette import har
from ..cassette.bodies import CassetteError
from ..cassette.entry import Entry
from ..config.file import ConfigurationError
from ..view import prices, session_page, session_text
from ..view.prices import PriceSettings
from ..view.session_text import Report
from ..view.sessions import Asked, Sessions, Told
from . import dotenv

_EPILOG = """\
Requests belong together by the session that their client names (Claude Code, Codex and others), else by their messages:
a request follows the one with whose messages it begins. It ends with 1 for a file that cannot be read to its end.
"""


def main(words: Sequence[str], name: str) -> int:
    """Run the command; `name` is that of the program. Returns 0, or 1 for a file that cannot be read, or not whole."""
    parser = argparse.ArgumentParser(
        prog=f"{name} sessions",
        description="Show the turns of agents: what each one added, what came from a cache, what was spent so far.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="flows that mitmproxy saved, a cassette, or a HAR file")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON")
    forms.add_argument("--html", action="store_true", help="print one HTML page")
    parser.add_argument("--config", type=Path, metavar="PATH", help="a configuration whose `prices` are used")
    chosen = parser.parse_args(words)
    try:
        report = _read(chosen.file, _prices(chosen.config))
    except (ConfigurationError, CassetteError) as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{chosen.file}: could not be read ({error.strerror})")
    if report.problem and not report.sessions and not report.others:
        return _failed(f"{chosen.file}: {report.problem}")
    if chosen.json:
        # A text of a client may be no Unicode; JSON has escapes for all of it.
        print(json.dumps(session_text.document(report), indent=2))
    else:
        for piece in session_page.page(report) if chosen.html else _lines(report):
            sys.stdout.write(piece.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding))
    return _failed(f"{chosen.file}: {report.problem}") if report.problem else 0


def _failed(problem: str) -> int:
    print(f"ai-proxy: {problem}", file=sys.stderr)
    return 1


def _lines(report: Report) -> Iterator[str]:
    for line in session_text.lines(report):
        yield f"{line}\n"


def _prices(config: Path | None) -> PriceSettings:
    if config is None:
        return prices.LIST_PRICES
    dotenv.use(config)
    return registry.read(config, offline=True).block(PriceSettings)


def _read(path: Path, settings: PriceSettings) -> Report:
    """The sessions of a file of either kind. Raises OSError and CassetteError."""
    # Imported when needed, since mitmproxy takes a while.
    from ..gateway import saved_flows
    from ..gateway.saved_flows import Begin

    if path.is_dir():
        raise CassetteError(f"{path}: is a folder")
    sessions, others, problem = Sessions(settings), 0, ""
    begin = saved_flows.begin(path)
    if begin is Begin.FOREIGN:
        raise CassetteError(f"{path}: holds neither flows of mitmproxy nor a HAR file")
    exchanges = _flows(path) if begin is Begin.FLOWS else _recorded(har.read(path))
    try:
        for asked, told in exchanges:
            turn = sessions.ask(asked)
            if turn is None:
                others += 1
            elif told is not None:
                sessions.answer(turn, told)
    except saved_flows.SavedFlowsError as error:
        problem = str(error)
    return Report(str(path), [*sessions], others, problem)


def _flows(path: Path) -> Iterator[tuple[Asked, Told | None]]:
    from mitmproxy import http

    from ..gateway import conversations, saved_flows

    for flow in saved_flows.read(path):
        if isinstance(flow, http.HTTPFlow):
            yield conversations.asked_of(flow), conversations.told_of(flow)
        else:
            yield Asked(flow.id, "", {}, b""), None


def _recorded(entries: list[Entry]) -> Iterator[tuple[Asked, Told | None]]:
    for number, entry in enumerate(entries, 1):
        path = urlsplit(entry.request.url).path if "://" in entry.request.url else entry.request.url
        fields = {name.lower(): value for name, value in entry.request.headers}
        asked = Asked(f"entry {number}", path, fields, entry.request.body, entry.started)
        response = entry.response
        yield asked, Told(path, response.status, response.body) if response else Told(path, 0, b"")
