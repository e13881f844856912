"""The command `ai-proxy serve`: the gateway on an HTTP server of its own, without mitmproxy."""

from __future__ import annotations

import argparse
import logging
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..config.file import ConfigurationError
from . import dotenv

if TYPE_CHECKING:
    from ..server.options import Options

_ELSEWHERE: Final = {
    "ai_record": "recording",
    "ai_replay": "replaying",
    "ai_inspect": "looking at traffic of others",
}
_MODES: Final = ("--mode", "-m", "--set", "-s", "--scripts", "--intercept", "-w", "--save-stream-file", "-r", "--rfile")
_SIZES: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def main(words: Sequence[str], config: Path, program: str) -> int:
    """Run it; returns the exit status. `config` is the configuration where the command line names none."""
    parser = _parser(program, config)
    _refuse_others(parser, words, program)
    chosen = parser.parse_args(words)
    dotenv.use(chosen.config)
    try:
        # Imported when needed: who has not installed the extra has all other commands.
        from ..server import log, service
        from ..server.listening import UnusableParser
    except ImportError as error:
        print(f"ai-proxy: serve needs {error.name}: pip install 'mitm-ai-proxy[serve]'", file=sys.stderr)
        return 1
    log.begin(chosen.log, logging.WARNING if chosen.quiet else logging.INFO)
    try:
        return service.run(_options(chosen))
    except (ConfigurationError, UnusableParser, service.StartError) as error:
        print(f"ai-proxy: {error}", file=sys.stderr)
        return 1


def _parser(program: str, config: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program} serve",
        allow_abbrev=False,
        description="The gateway for production: the same rewrites on an HTTP server of its own (docs/serve.md).",
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="PATH", default=config, help="configuration (default: %(default)s)")
    add("--listen-host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (default: %(default)s)")
    add("--listen-port", "-p", type=_port, metavar="PORT", default=8080, help="0 for any free one (%(default)s)")
    add("--log", choices=("text", "json"), default="text", help="a line for each request (default: %(default)s)")
    add("-q", "--quiet", action="store_true", help="log warnings and errors only")
    add("--grace", type=_seconds, metavar="SECONDS", default=30.0, help="for requests at its end (%(default)g)")
    add("--cert", type=Path, metavar="PATH", help="serve TLS: a file of PEM with certificate and key")
    add("--simulate", action="store_true", help="answer from a simulator of our own; nothing is sent")
    add("--upstream-ca", type=Path, metavar="PATH", help="certificates of authorities to trust, in place of certifi's")
    add("--environment-proxies", action="store_true", help="use HTTP_PROXY, HTTPS_PROXY and NO_PROXY")
    add("--metrics-host", metavar="ADDRESS", default="127.0.0.1", help="for --metrics-port (default: %(default)s)")
    add("--metrics-port", type=_port, metavar="PORT", help="serve /healthz and /metrics there (default: not at all)")
    add("--workers", type=_count, metavar="N", default=1, help="processes at one port; Linux only (%(default)s)")
    add("--held-bodies", type=_size, metavar="SIZE", default="512m", help="of long requests, in all (%(default)s)")
    return parser


def _options(chosen: argparse.Namespace) -> Options:
    from ..server.options import Options

    return Options(
        config=chosen.config,
        host=chosen.listen_host,
        port=chosen.listen_port,
        held_bodies=chosen.held_bodies,
        grace=chosen.grace,
        simulate=chosen.simulate,
        certificate=chosen.cert,
        upstream_ca=chosen.upstream_ca,
        uses_proxies=chosen.environment_proxies,
        metrics_host=chosen.metrics_host,
        metrics_port=chosen.metrics_port,
        workers=chosen.workers,
    )


def _refuse_others(parser: argparse.ArgumentParser, words: Sequence[str], program: str) -> None:
    """Say which command has what serve has not."""
    text = " ".join(words)
    for option, what in _ELSEWHERE.items():
        if option in text:
            parser.error(f"serve has no {what} ({option}); {program} start and {program} web have it")
    for word in words:
        if word.partition("=")[0] in _MODES:
            parser.error(
                f"serve is a reverse proxy of its own and takes nothing of mitmproxy's ({word}): modes, scripts,"
                f" intercepting, saved flows are those of {program} start and {program} web"
            )


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (0 to 65535)")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes (1 to 64)")
    if int(text) > 1 and not hasattr(socket, "SO_REUSEPORT"):
        raise argparse.ArgumentTypeError("several processes cannot share a port on this system")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return float(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d{1,9})([kmg]?)", text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no size, such as 512m")
    return int(match[1]) * _SIZES[match[2]]
