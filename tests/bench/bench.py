"""What the addon costs: the proxy's CPU time per request with it, in times of the same mitmdump without it.

Has the rows, their limits, and the order of rounds. See servers.py for the processes, traffic.py for the requests.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cassettes
import cpu
import servers
import traffic
import translation
from servers import Addon, BenchError, Proxy, mitmdump, provider, tool
from traffic import Request

HERE: Final = Path(__file__).resolve().parent
THIS: Final = Addon("addon", HERE.parent.parent)

ROUNDS_PER_START: Final = 10
"""Rounds after which new processes are started: chance, such as the memory layout, makes a process slow or fast."""
INTERPRETERS: Final = 11
"""Interpreters that are started for the median time of the import."""
SCATTER: Final = 0.05
"""The greatest difference between the ratios of the first and the second half of the rounds in a reliable row."""
IS_OLD: Final = importlib.metadata.version("mitmproxy").startswith("11.")
PACKAGES: Final = {"h2load": "nghttp2-client", "nginx": "nginx"}
"""The required programs, and their packages in Debian."""
EPILOG: Final = """\
A round sends a fixed number of requests (h2load, connections kept, a local nginx as the provider) to each proxy in
turn; rounds are short and many, so that some of them find a busy machine at rest. Its figure is the CPU time per
request, user and system, that the proxy's process and its children took meanwhile according to the operating system.
A row has the lower quartile of the rounds in microseconds for mitmdump without an addon (bare), with the one of this
checkout (addon), and with that of --against (other); times is bare / addon, how much more a processor does with the
addon; other/addon compares the checkouts.
CPU time is read from Linux's /proc; elsewhere only the timed rows can run.

Timed rows are the median of several runs of this checkout: import (what the addon adds to mitmproxy's own), replay (of
a job with 40 polls), fixture (of the pytest plugin), load (of 1,000 recorded exchanges). For chats that are translated:
body (of 1 MB), first (event of a stream, from the provider to the client), events (CPU time of one, in times of that
of an event which passes as it is), memory (by which mitmdump grows from the 20,000th event to the 100,000th).

Exit status: 0 good, 1 a requirement is missed, 2 not measured.
"""

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A kind of request, its number in a round, the addon's configuration, and the bars."""

    label: str
    request: Callable[[], Request]
    count: int
    config: str
    bars: tuple[float, float]
    """The least of bare / addon, on mitmproxy 12 and on 11."""


CASES: Final = {
    "create": Case("create, small", traffic.small_create, 100, servers.KLING_CONFIG, (1.5, 1.4)),
    "retrieve": Case("retrieve", traffic.retrieve, 100, servers.KLING_CONFIG, (1.65, 1.6)),
    "picture": Case("create, 10 MB picture", traffic.picture_create, 4, servers.KLING_CONFIG, (0.95, 0.95)),
    "original": Case("create, protocol original", traffic.original_create, 100, servers.ORIGINAL_CONFIG, (1.7, 1.6)),
    "chat": Case("chat, passed through", traffic.chat, 100, servers.OPENAI_CONFIG, (1.6, 1.6)),
}


@dataclass(frozen=True)
class Timed:
    """A measurement and its limit; the unit is in the label."""

    label: str
    measure: Callable[[], list[float]]
    limit: float


def main() -> int:
    """Measure in turns, so that changes of the machine's speed cancel out; print tables; return the exit status."""
    options = parse(sys.argv[1:])
    # Leaves the context managers of all processes, which stops these.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        passed = measure(options.only, options.rounds, options.against, options.json)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0 if passed or options.no_assert else 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run.sh bench",
        description=(__doc__ or "").partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive, default=40, help="measurements of each proxy per row (%(default)s)")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout, measured in the same rounds")
    parser.add_argument("--only", action="append", choices=[*CASES, *TIMED], help="a row; may be given again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of all rows into a file")
    parser.add_argument("--no-assert", action="store_true", help="exit 0 whatever the figures are")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def measure(only: Sequence[str] | None, rounds: int, against: Path | None, file: Path | None) -> bool:
    """Print the tables; returns whether all rows are within their limits."""
    cases = [case for name, case in CASES.items() if not only or name in only]
    timed = [case for name, case in TIMED.items() if not only or name in only]
    print(f"Python {platform.python_version()}, mitmproxy {importlib.metadata.version('mitmproxy')}", flush=True)
    passed = True
    found: Json = {"python": platform.python_version(), "mitmproxy": importlib.metadata.version("mitmproxy")}
    if cases:
        other = [Addon("other", against.resolve())] if against else []
        passed &= print_cases(cases, rounds, [None, THIS, *other], found)
    if timed:
        passed &= print_timed(timed, found)
    if file:
        file.write_text(json.dumps(found, indent=2) + "\n")
    return passed


def print_cases(cases: Sequence[Case], rounds: int, addons: Sequence[Addon | None], found: Json) -> bool:
    results = measure_cpu(cases, rounds, addons)
    print(f"\nCPU per request in microseconds, lower quartile of {rounds} rounds")
    names = [addon.name if addon else "bare" for addon in addons]
    compared = "other/addon" if len(addons) > 2 else ""
    print(f"{'':26}{''.join(f'{name:>9}' for name in names)}{'times':>8}  {'required':14}{compared}".rstrip())
    passed = True
    doubts = []
    for case, columns in zip(cases, results, strict=True):
        bare, own, *others = columns
        ratios = [ratio(bare, own), *(ratio(other, own) for other in others)]
        bar = case.bars[IS_OLD]
        passed &= ratios[0] >= bar
        figures = "".join(f"{lower_quartile(column) * 1e6:9.0f}" for column in columns)
        verdict = f">= {bar:.2f}  {'pass' if ratios[0] >= bar else 'FAIL'}"
        compare = "".join(f"{x:11.3f}" for x in ratios[1:])
        print(f"{case.label:26}{figures}{ratios[0]:8.3f}  {verdict:14}{compare}".rstrip())
        seconds = {name: lower_quartile(column) for name, column in zip(names, columns, strict=True)}
        found[case.label] = {"seconds": seconds, "times": ratios[0], "required": bar}
        for name, column in zip(names, columns, strict=True):
            first, second = halves(column, own)
            if abs(first - second) > SCATTER:
                doubts.append(f"{case.label}: {name}/addon {first:.3f} and {second:.3f}")
    if doubts:
        print("Doubtful, for the rounds scatter; is the machine busy? The first half of them and the second give")
        print("\n".join(f"  {doubt}" for doubt in doubts))
    return passed


def print_timed(timed: Sequence[Timed], found: Json) -> bool:
    print(f"\n{'':34}{'median':>9}{'min':>9}{'max':>9}{'required':>12}")
    passed = True
    for case in timed:
        values = case.measure()
        median = statistics.median(values)
        passed &= median < case.limit
        found[case.label] = {"median": median, "required": case.limit}
        figures = "".join(f"{x:9.3g}" for x in (median, min(values), max(values)))
        print(f"{case.label:34}{figures}    < {case.limit:<6.3g}{'pass' if median < case.limit else 'FAIL'}")
    return passed


def lower_quartile(values: Sequence[float]) -> float:
    return statistics.quantiles(values, method="inclusive")[0] if len(values) > 1 else values[0]


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    return lower_quartile(values) / lower_quartile(others)


def halves(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """The ratios of the first and of the second half of the rounds."""
    middle = len(values) // 2
    if not middle:
        return ratio(values, others), ratio(values, others)
    return ratio(values[:middle], others[:middle]), ratio(values[middle:], others[middle:])


def measure_cpu(cases: Sequence[Case], rounds: int, addons: Sequence[Addon | None]) -> list[list[list[float]]]:
    """The seconds per request of each round, for each case and each addon (None: without)."""
    require_system()
    results: list[list[list[float]]] = [[[] for _ in addons] for _ in cases]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        for addon in filter(None, addons):
            servers.check_package(addon, folder)
        with provider(folder) as upstream:
            for first in range(0, rounds, ROUNDS_PER_START):
                last = min(first + ROUNDS_PER_START, rounds)
                for case, columns in zip(cases, results, strict=True):
                    with ExitStack() as stack:
                        proxies = [
                            stack.enter_context(mitmdump(folder, upstream, addon, case.config)) for addon in addons
                        ]
                        take_turns(case, proxies, range(first, last), columns, folder)
                    progress(f"{case.label}: {last} of {rounds} rounds")
    return results


def take_turns(
    case: Case, proxies: Sequence[Proxy], rounds: range, columns: Sequence[list[float]], folder: Path
) -> None:
    """Append the seconds of each round to each proxy's column; they begin in turn, so that a drift favours none."""
    request = case.request()
    for proxy in proxies:
        traffic.check(request, proxy)
        traffic.load(request, proxy.port, case.count, folder)  # to warm up
    for number in rounds:
        for turn in range(len(proxies)):
            which = (number + turn) % len(proxies)
            proxy = proxies[which]
            before = cpu.seconds(proxy.pid)
            traffic.load(request, proxy.port, case.count, folder)
            columns[which].append((cpu.seconds(proxy.pid) - before) / case.count)


def measure_import() -> list[float]:
    """Milliseconds of imports, each in a new interpreter; the first one, which writes the byte code, is left out."""
    command = [sys.executable, str(HERE / "import_cost.py"), str(THIS.script)]
    results = []
    for _ in range(1 + INTERPRETERS):
        child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if child.returncode:
            raise BenchError(f"the addon cannot be imported:\n{child.stderr}")
        results.append(float(child.stdout))
    return results[1:]


TIMED: Final = {
    "import": Timed("import, ms", measure_import, 150),
    "replay": Timed("replay of a job, ms", cassettes.replay, 150),
    "fixture": Timed("start of the fixture, ms", cassettes.fixture, 500),
    "load": Timed("1,000 exchanges read, ms", cassettes.load, 500),
    "body": Timed("1 MB chat translated, ms of CPU", translation.body, 20),
    "first": Timed("first event translated, ms", translation.first_event, 5),
    "events": Timed("event translated, times passed", translation.events, 2),
    "memory": Timed("100,000 events translated, MB", translation.memory, 5),
}


def require_system() -> None:
    if not cpu.supported():
        raise BenchError("the CPU time of a process is read from Linux's /proc, which is not here; --only timed rows")
    missing = [program for program in PACKAGES if tool(program) is None]
    if missing:
        packages = " ".join(PACKAGES[program] for program in missing)
        raise BenchError(f"{' and '.join(missing)} not found; on Debian: apt-get install {packages}")


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
