"""The report at the end of a run: how many requests were replayed, recorded and missed, and what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ..cassette.spending import Spending, money_text
from .results import Result

_COUNTED: Final = ("replayed", "recorded", "simulated", "missed", "refused")


class Report(NamedTuple):
    """The report on a run.

    `line` is its summary; `files` has a line for each cassette with misses, unused entries or a remark, and for each
    recording that was not kept.
    `is_special`: there is more than replays and simulations, such as a recording or a miss.
    """

    line: str
    files: list[str]
    is_special: bool


def report(results: Sequence[Result]) -> Report:
    """The report on a run. An entry is unused if none of the tests that use its cassette used it."""
    counts, missed = Counter[str](), Counter[str]()
    unused: dict[str, set[str]] = {}
    for result in results:
        file = result["file"]
        missed[file] += result["missed"]
        counts.update({name: result[name] for name in _COUNTED})
        if result["unused"] is not None:
            left = set(result["unused"])
            unused[file] = unused.get(file, left) & left
    counts["unused"] = sum(map(len, unused.values()))
    parts = [f"{counts[name]} {name}" for name in (*_COUNTED, "unused") if counts[name]]
    line = ", ".join(parts) or "nothing was asked for"
    if counts["recorded"]:
        cost = _sum(result["cost"] for result in results)
        line += f"; recording cost {_text(cost)}"
        if cost.estimated:
            line += f" ({money_text(cost.estimated, None)} of it expected, not charged yet)"
    saved = _sum(result["saved"] for result in results)
    if saved.units or saved.dollars:
        line += f"; replaying saved {_text(saved)}"
        pretended = _sum(result["pretended"] for result in results)
        if pretended[:3] == saved[:3]:
            line += " (simulated)"
        elif pretended.units or pretended.dollars:
            line += f" ({_text(pretended)} of it simulated)"
    files = []
    for file in sorted({*missed, *unused}):
        amounts = {"missed": missed[file], "unused": len(unused.get(file, ()))}
        if any(amounts.values()):
            files.append(f"{file}: " + ", ".join(f"{amount} {what}" for what, amount in amounts.items() if amount))
    told = dict.fromkeys(result["told"] for result in results if result["told"])
    remarks = sorted({f"{result['file']} {result['remark']}" for result in results if result["remark"]})
    return Report(
        line,
        [*files, *told, *remarks],
        bool(remarks) or any(counts[name] for name in ("recorded", "missed", "refused", "unused")),
    )


def _sum(spendings: Iterable[Sequence[float]]) -> Spending:
    return Spending(*map(sum, zip(*spendings, strict=True)))


def _text(spending: Spending) -> str:
    text = money_text(spending.units or None, spending.dollars)
    return f"{text}, and what is not known of {spending.unknown} jobs" if spending.unknown else text
