"""The command `ai-proxy cassette`: the commands of cassette_files.py, and `resume` and `refresh` with a provider."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from ..cassette.polling import INTERVAL, TIMEOUT
from . import cassette_files, dotenv
from .cassette_files import Command


def main(words: Sequence[str], config: Path) -> int:
    """Run one command; returns the exit status. `config` is the default of its option --config."""
    rows = {
        "resume": Command("finish a recording whose client left: polls and downloads, never a create", _add, _resume),
        "refresh": Command("send the same requests again, which costs what they cost", _add_paid, _refresh),
    }
    return cassette_files.main([*words], {name: _with(config, row) for name, row in rows.items()})


def _with(config: Path, row: Command) -> Command:
    """The command with `config` as the default of --config."""

    def add(parser: ArgumentParser) -> None:
        parser.set_defaults(config=config)
        row.add_arguments(parser)

    return row._replace(add_arguments=add)


def _add(parser: ArgumentParser) -> None:
    cassette_files.add_file(parser)
    parser.add_argument("--config", type=Path, metavar="PATH", help="configuration (default: config.yaml)")
    for name, default, what in (("--interval", INTERVAL, "between two polls"), ("--timeout", TIMEOUT, "for one job")):
        parser.add_argument(
            name, type=_number, metavar="SECONDS", default=default, help=f"{what} (default: %(default)g)"
        )


def _add_paid(parser: ArgumentParser) -> None:
    _add(parser)
    parser.add_argument("-o", dest="out", type=Path, metavar="OUT", help="the new cassette (default: FILE itself)")
    parser.add_argument("--budget", type=_number, metavar="UNITS", help="send no create that would exceed it")
    parser.add_argument("--yes", action="store_true", help="do not ask before it costs something")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ArgumentTypeError("expected a number from 0 on")
    return number


# Both import mitmproxy, when needed, since that takes a while.


def _resume(chosen: Namespace) -> int:
    from . import cassette_resume

    dotenv.use(chosen.config)
    return cassette_resume.resume(chosen.file, chosen.config, interval=chosen.interval, timeout=chosen.timeout)


def _refresh(chosen: Namespace) -> int:
    from . import cassette_refresh

    dotenv.use(chosen.config)
    return cassette_refresh.refresh(
        chosen.file,
        chosen.config,
        chosen.out,
        budget=chosen.budget,
        yes=chosen.yes,
        interval=chosen.interval,
        timeout=chosen.timeout,
    )
