"""What the addon costs: requests per second through mitmdump with it, as a ratio to the same mitmdump without it.

The rows, what they require, and the order of rounds; processes are in servers.py, requests in traffic.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cassettes
import traffic
from servers import BenchError, mitmdump, provider, tool
from traffic import Request, Wrk

HERE: Final = Path(__file__).resolve().parent
SCRIPT: Final = HERE.parent.parent / "addon" / "ai_proxy.py"

ROUNDS_PER_START: Final = 7
"""A process keeps the luck of its start, such as where its memory lies; after so many rounds new ones are started."""
INTERPRETERS: Final = 11
"""Starts of Python for the median of the import."""
SCATTER: Final = 0.1
"""Distance of the quartiles of a row's ratios above which the run is said to be doubtful."""


@dataclass(frozen=True)
class Case:
    """A kind of request, and the least ratio that it has to reach."""

    label: str
    request: Callable[[], Request]
    required: float


CASES: Final = {
    "create": Case("create, small", traffic.small_create, 0.88),
    "retrieve": Case("retrieve", traffic.retrieve, 0.90),
    "picture": Case("create, 10 MB picture", traffic.picture_create, 0.80),
}


@dataclass(frozen=True)
class Timed:
    """What is measured in milliseconds, and how many it may take."""

    label: str
    measure: Callable[[], list[float]]
    limit: float


def main() -> int:
    """Measures in turns, so that the machine's moods cancel out, and prints the table.

    Returns the exit status: 0 good, 1 a requirement is missed, 2 not measured.
    """
    options = parse(sys.argv[1:])
    # Ends the block of every process that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        passed = measure(options.only, options.rounds, options.seconds)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0 if passed or options.no_assert else 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.sh bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=positive, default=21, help="measurements of each proxy per row (%(default)s)")
    parser.add_argument("--seconds", type=positive, default=1, help="seconds of one measurement (%(default)s)")
    parser.add_argument("--only", action="append", choices=[*CASES, *TIMED], help="a row; may be given again")
    parser.add_argument("--no-assert", action="store_true", help="exit 0 whatever the ratios are")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def measure(only: Sequence[str] | None, rounds: int, seconds: int) -> bool:
    """Prints the table; whether each row has what it requires."""
    chosen = {name: case for name, case in CASES.items() if not only or name in only}
    ratios = measure_ratios(chosen, rounds, seconds) if chosen else {}
    timed = {name: case.measure() for name, case in TIMED.items() if not only or name in only}

    print(f"Python {platform.python_version()}, mitmproxy {importlib.metadata.version('mitmproxy')}, ", end="")
    print(f"{rounds} rounds of {seconds} s with the addon and without")
    print(f"{'':26}{'median':>8}{'min':>8}{'max':>8}  required")
    passed = True
    for name, case in chosen.items():
        good = statistics.median(ratios[name]) >= case.required
        passed &= good
        row(case.label, [f"{x:.3f}" for x in summary(ratios[name])], f">= {case.required:.2f}", good)
    for name, milliseconds in timed.items():
        limit = TIMED[name].limit
        good = statistics.median(milliseconds) < limit
        passed &= good
        row(f"{TIMED[name].label}, ms", [f"{x:.0f}" for x in summary(milliseconds)], f"< {limit:.0f}", good)
    scattered = [case.label for name, case in chosen.items() if scatter(ratios[name]) > SCATTER]
    if scattered:
        print(f"Doubtful, for the rounds differ much; is the machine busy? {'; '.join(scattered)}")
    return passed


def row(label: str, figures: Sequence[str], required: str, good: bool) -> None:
    print(f"{label:26}{''.join(f'{x:>8}' for x in figures)}  {required:9} {'pass' if good else 'FAIL'}")


def summary(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def scatter(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values)
    return high - low


def measure_ratios(cases: dict[str, Case], rounds: int, seconds: int) -> dict[str, list[float]]:
    """For each case the ratio of each round, with the addon to without."""
    require_tools()
    ratios: dict[str, list[float]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        wrk = Wrk(folder)
        with provider(folder) as upstream:
            for first in range(0, rounds, ROUNDS_PER_START):
                count = min(ROUNDS_PER_START, rounds - first)
                with mitmdump(folder, upstream, None) as plain, mitmdump(folder, upstream, SCRIPT) as addon:
                    for name, case in cases.items():
                        request = case.request()
                        traffic.check(request, plain, addon=False)
                        traffic.check(request, addon, addon=True)
                        ratios[name] += take_turns(wrk, request, plain, addon, count, seconds)
                        progress(f"{case.label}: {first + count} of {rounds} rounds")
    return ratios


def take_turns(wrk: Wrk, request: Request, plain: int, addon: int, rounds: int, seconds: int) -> list[float]:
    """Ratios of rounds one after the other; which proxy begins changes, so that a drift helps neither."""
    for port in (plain, addon):
        wrk.rate(request, port, 1)  # to warm up
    ratios = []
    for number in range(rounds):
        order = (plain, addon) if number % 2 == 0 else (addon, plain)
        rates = {port: wrk.rate(request, port, seconds) for port in order}
        ratios.append(rates[addon] / rates[plain])
    return ratios


def measure_import() -> list[float]:
    """Milliseconds, each from an interpreter of its own; the first only writes the byte code."""
    command = [sys.executable, str(HERE / "import_cost.py"), str(SCRIPT)]
    results = []
    for _ in range(1 + INTERPRETERS):
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if child.returncode:
            raise BenchError(f"the addon cannot be imported:\n{child.stderr}")
        results.append(float(child.stdout))
    return results[1:]


TIMED: Final = {
    "import": Timed("import", measure_import, 150),
    "replay": Timed("replay of a job", cassettes.replay, 150),
    "fixture": Timed("start of the fixture", cassettes.fixture, 500),
    "load": Timed("1,000 exchanges read", cassettes.load, 500),
}


def require_tools() -> None:
    missing = [program for program in ("wrk", "nginx") if tool(program) is None]
    if missing:
        raise BenchError(f"{' and '.join(missing)} not found; on Debian: apt-get install {' '.join(missing)}")


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
