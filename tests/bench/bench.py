"""What the gateway costs: CPU time per request of mitmdump with the addon and of `serve`, against bare mitmdump.

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
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cassettes
import cpu
import peers
import servers
import traffic
import translation
from peers import Peer
from servers import Addon, BenchError, Providers, Proxy, Upstream, tool
from traffic import Request

HERE: Final = Path(__file__).resolve().parent
THIS: Final = Addon("addon", HERE.parent.parent)
SERVE: Final = "serve"
MOST_MEMORY: Final = 100
"""Megabytes that `serve` may have after creates with pictures."""

ROUNDS_PER_START: Final = 10
"""Rounds after which new processes are started: chance, such as the memory layout, makes a process slow or fast."""
INTERPRETERS: Final = 11
"""Interpreters that are started for the median time of the import."""
SCATTER: Final = 0.05
"""The greatest change of a ratio from the first half of the rounds to the second in a reliable row."""
IS_OLD: Final = importlib.metadata.version("mitmproxy").startswith("11.")
PACKAGES: Final = {"h2load": "nghttp2-client", "nginx": "nginx"}
"""The required programs, and their packages in Debian."""
EPILOG: Final = """\
A round sends a fixed number of requests (h2load, connections kept, a local nginx as the provider) to each proxy in
turn; rounds are short and many, so that some of them find a busy machine at rest. Its figure is the CPU time per
request, user and system, that the proxy's process and its children took meanwhile according to the operating system.
A row has the lower quartile of the rounds in microseconds for mitmdump without an addon (bare), with the one of this
checkout (addon), with that of --against (other), and for `ai-proxy serve` of this checkout (serve); behind them is how
many times more a processor does with each than with bare mitmdump. Other gateways are measured with chats where their
commands are found in PATH, against serve: Portkey (npm: @portkey-ai/gateway; the command is its build/start-server.js,
as portkey-gateway) and LiteLLM (PyPI: litellm[proxy]).
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
    """A kind of request, its number in a round, the gateway's configuration, and the bars.

    `bars`: the least of bare / addon, on mitmproxy 12 and on 11; None: the addon is not measured. `serve`: the least of
    bare / serve. `upstream`: which of the providers; `send`: how the requests are sent. `is_streaming`: bare mitmdump
    is told to pass answers on as they arrive.
    """

    label: str
    request: Callable[[], Request]
    count: int
    config: str
    bars: tuple[float, float] | None = None
    serve: float | None = None
    upstream: str = "plain"
    send: Callable[[Request, Proxy, int, Path], None] = traffic.load
    is_streaming: bool = False
    has_peers: bool = False

    def bar(self, column: str) -> float | None:
        """The least of bare / column."""
        return self.serve if column == SERVE else self.bars[IS_OLD] if self.bars and column == THIS.name else None


CASES: Final = {
    "create": Case("create, small", traffic.small_create, 200, servers.KLING_CONFIG, (1.5, 1.4), 3.7),
    "retrieve": Case("retrieve", traffic.retrieve, 200, servers.KLING_CONFIG, (1.65, 1.6), 5.0),
    "picture": Case("create, 10 MB picture", traffic.picture_create, 4, servers.KLING_CONFIG, (0.95, 0.95), 1.5),
    "original": Case("create, protocol original", traffic.original_create, 200, servers.ORIGINAL_CONFIG, (1.7, 1.6)),
    "chat": Case("chat, passed through", traffic.chat, 200, servers.OPENAI_CONFIG, (1.6, 1.6), has_peers=True),
    "retry": Case("the same, retryOnFailure", traffic.chat, 200, servers.RETRY_CONFIG, (1.5, 1.5)),
    "reliable": Case("the same, all such keys", traffic.chat, 200, servers.RELIABLE_CONFIG, (1.3, 1.3)),
    "fresh": Case(
        "new client, TLS upstream",
        traffic.retrieve,
        20,
        servers.KLING_CONFIG,
        serve=7.0,
        upstream="tls",
        send=traffic.load_fresh,
    ),
    "stream": Case(
        "event of a stream",
        traffic.events,
        300,
        servers.OPENAI_CONFIG,
        serve=1.3,
        upstream="events",
        send=traffic.load_events,
        is_streaming=True,
    ),
    "film": Case(
        "download, 64 MB",
        traffic.download,
        1,
        servers.OPENAI_CONFIG,
        serve=1.8,
        send=traffic.load_film,
        is_streaming=True,
    ),
}


@dataclass(frozen=True)
class Column:
    """A kind of proxy. `start` runs one for a case."""

    name: str
    start: Callable[[Case, Path, Providers], AbstractContextManager[Proxy]]
    is_for: Callable[[Case], bool]


def columns(others: Sequence[Addon]) -> list[Column]:
    """All kinds of proxies that are here."""

    def mitmdump_with(addon: Addon | None) -> Callable[[Case, Path, Providers], AbstractContextManager[Proxy]]:
        def start(case: Case, folder: Path, found: Providers) -> AbstractContextManager[Proxy]:
            upstream: Upstream = getattr(found, case.upstream)
            return servers.mitmdump(folder, upstream, addon, case.config, is_streaming=case.is_streaming)

        return start

    def start_serve(case: Case, folder: Path, found: Providers) -> AbstractContextManager[Proxy]:
        return servers.serve(folder, getattr(found, case.upstream), case.config)

    def start_peer(peer: Peer) -> Callable[[Case, Path, Providers], AbstractContextManager[Proxy]]:
        return lambda case, folder, found: peers.run(peer, folder, getattr(found, case.upstream))

    return [
        Column("bare", mitmdump_with(None), lambda case: True),
        *(Column(one.name, mitmdump_with(one), lambda case: case.bars is not None) for one in (THIS, *others)),
        Column(SERVE, start_serve, lambda case: True),
        *(Column(peer.name, start_peer(peer), lambda case: case.has_peers) for peer in peers.installed()),
    ]


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
        passed &= print_cases(cases, rounds, [Addon("other", against.resolve())] if against else [], found)
    if timed:
        passed &= print_timed(timed, found)
    if file:
        file.write_text(json.dumps(found, indent=2) + "\n")
    return passed


def print_cases(cases: Sequence[Case], rounds: int, others: Sequence[Addon], found: Json) -> bool:
    kinds = columns(others)
    results = measure_cpu(cases, rounds, kinds, others)
    names = [kind.name for kind in kinds]
    print(f"\nCPU per request (or event, or download) in microseconds, lower quartile of {rounds} rounds")
    print(f"{'':26}{''.join(f'{name:>9}' for name in names)}  bare / column, and what is required")
    passed = True
    doubts = []
    for case, result in zip(cases, results, strict=True):
        figures = "".join(
            f"{lower_quartile(c) * 1e6:9.0f}" if (c := result.seconds.get(n)) else f"{'-':>9}" for n in names
        )
        row: Json = {"seconds": {name: lower_quartile(column) for name, column in result.seconds.items()}, "times": {}}
        bare, serve = result.seconds["bare"], result.seconds[SERVE]
        said = []
        for name, column in result.seconds.items():
            first, second = halves(column, bare)
            if abs(first / second - 1) > SCATTER:
                doubts.append(f"{case.label}: {name}/bare {first:.3f} and {second:.3f}")
            if name == "bare":
                continue
            of_peer = next((peer for peer in peers.PEERS if peer.name == name), None)
            times, bar = ratio(bare, column), case.bar(name)
            if of_peer:
                times, bar = ratio(column, serve), of_peer.bar
            said.append(f"{name}{'/serve' if of_peer else ''} {verdict(times, bar)}")
            passed &= bar is None or times >= bar
            row["times"][name] = {"times": times, "required": bar}
        print(f"{case.label:26}{figures}  {', '.join(said)}")
        found[case.label] = row
        if case.label == CASES["picture"].label:
            most = max(result.memory[SERVE])
            is_good = most < MOST_MEMORY
            passed &= is_good
            memory = "".join(f"{max(result.memory[n]):9.0f}" if n in result.memory else f"{'-':>9}" for n in names)
            print(f"{'MB of memory after it':26}{memory}  serve < {MOST_MEMORY} {'pass' if is_good else 'FAIL'}")
            row["megabytes"] = {name: max(values) for name, values in result.memory.items()}
    if doubts:
        print("Doubtful, for the rounds scatter; is the machine busy? The first half of them and the second give")
        print("\n".join(f"  {doubt}" for doubt in doubts))
    return passed


def verdict(times: float, bar: float | None) -> str:
    return f"{times:.2f}" if bar is None else f"{times:.2f} (>= {bar:g} {'pass' if times >= bar else 'FAIL'})"


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


@dataclass(frozen=True)
class Result:
    """Seconds per request of each round, and megabytes at the end of each process, by column."""

    seconds: dict[str, list[float]]
    memory: dict[str, list[float]]


def measure_cpu(cases: Sequence[Case], rounds: int, kinds: Sequence[Column], others: Sequence[Addon]) -> list[Result]:
    """Measure each case with each kind of proxy that is for it."""
    require_system()
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        for addon in (THIS, *others):
            servers.check_package(addon, folder)
        with servers.providers(folder) as found:
            for case in cases:
                names = [kind.name for kind in kinds if kind.is_for(case)]
                results.append(Result({name: [] for name in names}, {name: [] for name in names}))
            for first in range(0, rounds, ROUNDS_PER_START):
                last = min(first + ROUNDS_PER_START, rounds)
                for case, result in zip(cases, results, strict=True):
                    with ExitStack() as stack:
                        starts = [kind.start(case, folder, found) for kind in kinds if kind.is_for(case)]
                        proxies = [stack.enter_context(start) for start in starts]
                        take_turns(case, proxies, range(first, last), result, folder)
                    progress(f"{case.label}: {last} of {rounds} rounds")
    return results


def take_turns(case: Case, proxies: Sequence[Proxy], rounds: range, result: Result, folder: Path) -> None:
    """Add the seconds of each round to each proxy's column; they begin in turn, so that a drift favours none."""
    request = case.request()
    for proxy in proxies:
        traffic.check(request, proxy)
        case.send(request, proxy, case.count, folder)  # to warm up
    for number in rounds:
        for turn in range(len(proxies)):
            proxy = proxies[(number + turn) % len(proxies)]
            before = cpu.seconds(proxy.pid)
            case.send(request, proxy, case.count, folder)
            result.seconds[proxy.name].append((cpu.seconds(proxy.pid) - before) / case.count)
    for proxy in proxies:
        result.memory[proxy.name].append(cpu.resident(proxy.pid))


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
