"""The command `ai-proxy`: starts mitmproxy's tools with the addon, or runs one of its other commands."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from .. import registry
from ..config import file
from ..config.file import ConfigurationError
from ..registry import Configuration
from ..routing.providers import Providers
from ..simulator.settings import ACCESS_KEY, API_KEY, SECRET_KEY, SimulatorSettings
from . import dotenv
from .command_line import COMMANDS, DEFAULT_CONFIG, TOOLS, WrongOrder, program, split

LISTEN: Final = ("127.0.0.1", "8080")
SIMULATOR_PORT: Final = 8090
SIMULATE: Final = "ai_simulate"
REPLAY: Final = "ai_replay"
INSPECT: Final = "ai_inspect"
HOME: Final = "AI_PROXY_HOME"
"""Environment variable: the folder of config.yaml if the current folder has none."""

_DESCRIPTION = """\
start    mitmdump with the addon, as a reverse proxy on 127.0.0.1:8080 (the default)
init     write a first configuration: which provider, which key (init --help)
web      the same with mitmweb
console  the same with mitmproxy
serve    the gateway for production, on an HTTP server of its own, without mitmproxy (serve --help)
explain  say what would become of a request, without sending it (explain --help)
sessions show the turns of agents in saved flows or a recording: what each added, read and cost (sessions --help)
inspect  look at any AI API's traffic in mitmweb, as a regular proxy without a provider; nothing is changed
simulate a Kling and a chat model of our own as a plain HTTP server (--port N, --host ADDRESS)
demo     make two simulated videos and show what is rewritten, into a folder (default: demo);
         demo chat: show a chat that is translated (--client anthropic or openai)
platform many video jobs: queue, workers, budgets, storage, a page ({program} platform --help)
cassette what is in a recording, and what can be done with it: {program} cassette --help
check    read the configuration and say what is wrong with it
docs     write the tables of docs/ that are made from the code (--check: only say which are stale)
script   print the path of the addon's script, for mitmdump -s

start, web and console hand all other arguments to mitmproxy's tool, for instance
--mode regular, --listen-host ADDRESS, --listen-port PORT, --set connection_strategy=lazy.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 success, 1 an error such as a wrong configuration, 2 wrong usage."""
    try:
        status = _main(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads the output has enough of it, as `head` does; at the end, Python would write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _main(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog=program(),
        usage=f"{program()} [{'|'.join(COMMANDS)}] [--config PATH] [arguments of mitmproxy's tool]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION.format(program=program()),
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        help="configuration (default: config.yaml here, else the one that came with this)",
    )
    try:
        command, words = split(words)
    except WrongOrder as error:
        parser.error(str(error))
    if command == "cassette":
        return _cassette(words)
    if command == "platform":
        return _platform(words)
    if command == "init":
        # Imported when needed, here and below, since it takes a while.
        from . import init

        return init.main(words)
    if command == "serve":
        from . import serve

        return serve.main(words, default_config(), program())
    if command == "explain":
        from . import explain

        return explain.main(words, default_config(), program())
    if command == "sessions":
        from . import sessions

        return sessions.main(words, program())
    if command == "docs":
        # Imported when needed: it loads almost the whole package.
        from . import docs

        return docs.main(words)
    chosen, rest = parser.parse_known_args(words)
    if command == "inspect" or (command in TOOLS and _value(rest, INSPECT) == "true"):
        if chosen.config:
            parser.error("inspect takes no configuration: it changes nothing")
        return _start(TOOLS.get(command, TOOLS["web"]), inspecting(rest))
    if rest and command not in TOOLS and command not in ("simulate", "demo"):
        parser.error(f"{command} does not take {' '.join(rest)}")
    if command == "demo":
        if chosen.config:
            parser.error("demo takes no configuration: it simulates")
        return _demo(parser, rest)
    if command == "script":
        print(script())
        return 0
    path = chosen.config or default_config()
    dotenv.use(path)
    if path == packaged("config.yaml") and not os.environ.get(HOME) and command != "simulate":
        print(
            f"ai-proxy: there is no config.yaml here, so {path} is used; a copy of it is yours to change.",
            file=sys.stderr,
        )
    try:
        if command == "simulate":
            return _simulate(parser, path, bool(chosen.config), rest)
        simulate = _value(rest, SIMULATE) if command in TOOLS else "false"
        configuration, found, is_simulated = providers(path, simulate, bool(_value(rest, REPLAY)))
    except ConfigurationError as error:
        print(f"ai-proxy: {error}", file=sys.stderr)
        return 1
    if command == "check":
        for line in registry.described(configuration, found, remarks=True):
            print(f"{path}: {line}")
        for warning in registry.warnings(configuration):
            print(f"{path}: warning: {warning}", file=sys.stderr)
        return 0
    if is_simulated and _value(rest, SIMULATE) is None:
        rest = ["--set", f"{SIMULATE}=true", *rest]
    return _start(TOOLS[command], tool_arguments(path, str(found.main.origin), rest))


def script() -> Path:
    """The script for `mitmdump -s`."""
    return packaged("ai_proxy.py")


def packaged(name: str) -> Path:
    """The script or the configuration that comes with the package: inside it in a wheel, in a checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "script" / name
    beside = {"ai_proxy.py": package.parent, "config.yaml": package.parents[1]}
    return installed if installed.is_file() else beside[name] / name


def default_config() -> Path:
    """config.yaml in the current folder, else in AI_PROXY_HOME, else the one that comes with the package."""
    here = Path(DEFAULT_CONFIG)
    if here.exists():
        return here
    home = os.environ.get(HOME)
    return Path(home) / here if home else packaged("config.yaml")


def tool_arguments(config: Path, origin: str, rest: Sequence[str]) -> list[str]:
    """Arguments for one of mitmproxy's tools; those in `rest` override our defaults."""
    arguments = ["-s", str(script()), "--set", f"ai_config={config}"]
    if not _gives(rest, "mode", "-m", "--mode"):
        arguments += ["--mode", f"reverse:{origin}", "--set", "connection_strategy=lazy"]
    return [*arguments, *_listen_arguments(rest), *rest]


def inspecting(rest: Sequence[str]) -> list[str]:
    """Arguments for one of mitmproxy's tools that only looks at traffic; those in `rest` override our defaults."""
    arguments = ["-s", str(script()), "--set", f"{INSPECT}=true"]
    return [*arguments, *_listen_arguments(rest), *rest]


def _listen_arguments(rest: Sequence[str]) -> list[str]:
    """Where to listen, as far as the arguments do not say it."""
    host, port = LISTEN
    arguments = [] if _gives(rest, "listen_host", "--listen-host") else ["--listen-host", host]
    return arguments if _gives(rest, "listen_port", "-p", "--listen-port") else [*arguments, "--listen-port", port]


def providers(path: Path, simulate: str | None, offline: bool) -> tuple[Configuration, Providers, bool]:
    """A configuration file, its providers, and whether they are simulated, perhaps because they have no credential.

    `simulate`: whether they are to be, "true" or "false"; None: where it is needed. `offline`: a cassette answers, so
    that no credential is needed. Raises ConfigurationError.
    """
    if simulate == "true" and not offline:
        configuration = registry.read(path, simulated=True)
        return configuration, registry.providers(configuration, simulated=True), True
    try:
        configuration = registry.read(path, offline=offline)
        return configuration, registry.providers(configuration), False
    except ConfigurationError:
        if simulate is None:
            with contextlib.suppress(ConfigurationError):
                configuration = registry.read(path, simulated=True)
                if registry.is_simulated_without_key(configuration):
                    return configuration, registry.providers(configuration, simulated=True), True
        raise


def _simulate(parser: argparse.ArgumentParser, path: Path, is_chosen: bool, rest: Sequence[str]) -> int:
    """Run the simulator as a server until the process is interrupted."""
    own = argparse.ArgumentParser(prog=f"{parser.prog} simulate", allow_abbrev=False)
    own.add_argument("--port", type=int, default=SIMULATOR_PORT, help="0 for any free one (default: %(default)s)")
    own.add_argument("--host", default=LISTEN[0], help="the address to listen on (default: %(default)s)")
    chosen = own.parse_args(rest)
    # Only the file's block `simulator` is read: no provider is needed.
    source: Path | dict[str, object] = path if is_chosen or path.exists() else {}
    settings = file.read_block(source, os.environ, "simulator", SimulatorSettings)
    # Imported when needed, since Flask takes a while.
    from ..simulator.app import Simulator
    from ..simulator.server import make

    try:
        server = make(Simulator(settings), chosen.host, chosen.port)
    except (OSError, OverflowError) as error:
        print(f"ai-proxy: cannot listen on {chosen.host} port {chosen.port}: {error}", file=sys.stderr)
        return 1
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"SIMULATED: a Kling and a chat model at http://{host}:{server.port}, nothing is paid", flush=True)
    # Only the default account is public; others are not printed.
    if (settings.access_key, settings.secret_key.reveal()) == (ACCESS_KEY, SECRET_KEY):
        print(f"  KLING_ACCESS_KEY={ACCESS_KEY} KLING_SECRET_KEY={SECRET_KEY}", flush=True)
    if settings.api_key.reveal() == API_KEY:
        print(f"  or KLING_API_KEY={API_KEY}", flush=True)
        base = f"http://{host}:{server.port}"
        print(f"  chats: OPENAI_BASE_URL={base}/v1 OPENAI_API_KEY={API_KEY}", flush=True)
        print(f"     or: ANTHROPIC_BASE_URL={base} ANTHROPIC_API_KEY={API_KEY}", flush=True)
    print(f"  the proxy uses it with providerDomain: http://{host}:{server.port} in its provider: block", flush=True)
    with contextlib.suppress(KeyboardInterrupt), server:
        server.serve_forever()
    return 0


def _demo(parser: argparse.ArgumentParser, rest: Sequence[str]) -> int:
    """Run one of the demos."""
    if rest[:1] == ["chat"]:
        return _demo_chat(parser, rest[1:])
    own = argparse.ArgumentParser(prog=f"{parser.prog} demo", allow_abbrev=False)
    own.add_argument("folder", type=Path, nargs="?", default=Path("demo"), help="for the videos (default: %(default)s)")
    chosen = own.parse_args(rest)
    # Imported when needed, since mitmproxy takes a while.
    from . import demo

    return demo.run(chosen.folder, sys.stdout)


def _demo_chat(parser: argparse.ArgumentParser, rest: Sequence[str]) -> int:
    """Run the demo of chats."""
    # Imported when needed, since mitmproxy takes a while.
    from . import demo_chat

    own = argparse.ArgumentParser(prog=f"{parser.prog} demo chat", allow_abbrev=False)
    clients = tuple(demo_chat.DIALECTS)
    own.add_argument("--client", choices=clients, default=clients[0], help="the dialect (default: %(default)s)")
    return demo_chat.run(sys.stdout, own.parse_args(rest).client)


def _cassette(words: Sequence[str]) -> int:
    """Run a command of `ai-proxy cassette`."""
    # Imported when needed, since it takes a while.
    from . import cassette

    return cassette.main(words, default_config())


def _platform(words: Sequence[str]) -> int:
    """Run a command of `ai-proxy platform`."""
    try:
        from . import platform
    except ImportError as error:
        print(f"ai-proxy: the platform needs {error.name}: pip install 'mitm-ai-proxy[platform]'", file=sys.stderr)
        return 1
    return platform.run(words)


def _value(rest: Sequence[str], option: str) -> str | None:
    """The value of the last `--set option=value` in the arguments; None without any."""
    settings = [
        value if word == "--set" else word.removeprefix("--set=")
        for word, value in itertools.pairwise([*rest, ""])
        if word.startswith("--set")
    ]
    values = [value for name, equals, value in (text.partition("=") for text in settings) if equals and name == option]
    return values[-1].strip().lower() if values else None


def _gives(rest: Sequence[str], option: str, *flags: str) -> bool:
    """Whether the arguments set one of mitmproxy's options, by a flag or by `--set option=value`."""
    return _value(rest, option) is not None or any(_is_option(word, *flags) for word in rest)


def _is_option(word: str, *names: str) -> bool:
    return any(
        word == name or (word.startswith(f"{name}=") if name.startswith("--") else word.startswith(name))
        for name in names
    )


def _start(tool: str, arguments: list[str]) -> NoReturn:
    # The tool of this environment, which has the addon's dependencies, rather than the first one on the path.
    program = shutil.which(tool, path=str(Path(sys.executable).parent)) or shutil.which(tool)
    if program is None:
        sys.exit(f"ai-proxy: {tool} is not installed beside {sys.executable}")
    # Otherwise logs into a pipe or a file would come late, in pieces of several KiB.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    command = [program, *arguments]
    if any("~ai" in argument for argument in arguments):
        command = [sys.executable, "-m", f"{__package__}.filtered", tool, *arguments]
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main())
