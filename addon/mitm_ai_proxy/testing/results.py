"""The counts of a test for the report, and what a whole run drops from cassettes that were rewritten."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from ..cassette.bodies import CassetteError
from ..cassette.cassette import keep_only
from ..cassette.entry import Entry
from .runs import recorded_api
from .texts import line_of


class Result(TypedDict):
    """The counts of a test for the report, in plain types that pytest-xdist can send.

    `file` is its cassette. `unused` names the entries that it did not use; None if it failed or plays a variation.
    `cost`, `saved` and `pretended` are the members of a spending.Spending; `pretended` is the part of `saved` whose
    recordings are simulated. `rewritten` names the entries that it recorded anew in the mode rewrite, None if they are
    not kept, or if it failed; it is absent in other modes. `told` is what became of a recording that is not kept, and
    `remark` what is to be told of the cassette.
    """

    file: str
    path: str
    recorded: int
    simulated: int
    replayed: int
    missed: int
    refused: int
    unused: list[str] | None
    cost: list[float]
    saved: list[float]
    pretended: list[float]
    rewritten: NotRequired[list[str] | None]
    told: str
    remark: str


def entry_name(entry: Entry) -> str:
    """A name for an entry that is the same in all tests and workers that use its file."""
    # Workers of pytest-xdist send requests within the same millisecond.
    bodies = zlib.crc32(entry.response.body if entry.response else b"", zlib.crc32(entry.request.body))
    return f"{entry.started} {line_of(entry.request)} {bodies:x}"


def finish(results: Sequence[Result]) -> list[str]:
    """At the end of a run: drop from cassettes that were rewritten what no test recorded anew; returns errors.

    A cassette stays as it is if a test that uses it failed.
    """
    named: dict[str, list[list[str] | None]] = {}
    for result in results:
        if "rewritten" in result and result["path"]:
            named.setdefault(result["path"], []).append(result["rewritten"])
    errors = []
    for path, lists in named.items():
        names = {name for names in lists for name in names or ()}
        if names and None not in lists:
            try:
                keep_only(Path(path), names, recorded_api())
            except CassetteError as error:
                errors.append(str(error))
    return errors
