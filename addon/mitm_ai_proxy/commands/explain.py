"""The command `ai-proxy explain`: what would become of a request, without sending it."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .. import registry
from ..auth.access_tokens import AccessToken
from ..auth.secret import Secret
from ..config.file import ConfigurationError
from ..routing.providers import Providers
from ..view import explain
from ..wire.header_fields import Fields
from . import dotenv

_EPILOG = """\
example: explain /v1/chat/completions -d '{"model": "gpt-4o", "messages": []}'
It ends with 1 where nothing would be sent.
"""


def main(words: Sequence[str], config: Path, name: str) -> int:
    """Run the command; `name` is that of the program. Returns 0, or 1 for a request that would not be sent."""
    parser = argparse.ArgumentParser(
        prog=f"{name} explain",
        description="Say what would become of a request: what is sent upstream and why, or the answer given here.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", help="path and query as the client sends them")
    parser.add_argument("-X", dest="method", metavar="METHOD", help="default: GET, with a body POST")
    parser.add_argument("-d", dest="body", metavar="BODY", help="the body; @FILE reads a file, @- standard input")
    parser.add_argument(
        "-H", dest="fields", metavar="'NAME: VALUE'", action="append", default=[], help="a header field"
    )
    parser.add_argument("--curl", action="store_true", help="print the upstream request as a line for curl")
    parser.add_argument("--config", type=Path, default=config, metavar="PATH", help="configuration (%(default)s)")
    chosen = parser.parse_args(words)
    try:
        body = _body(chosen.body)
        fields = _fields(chosen.fields, body)
    except OSError as error:
        parser.error(f"{error.filename}: cannot be read ({error.strerror})")
    except ValueError as error:
        parser.error(str(error))
    dotenv.use(chosen.config)
    try:
        providers = _providers(chosen.config)
    except ConfigurationError as error:
        print(f"ai-proxy: {error}", file=sys.stderr)
        return 1
    method = chosen.method or ("GET" if chosen.body is None else "POST")
    explained = explain.explain(providers, method, chosen.path, fields, body)
    if chosen.curl and explained.outgoing is not None:
        print(explain.curl(explained.outgoing, body))
    else:
        print("\n".join(explain.lines(explained, body)))
    return 0 if explained.outgoing is not None else 1


def _providers(path: Path) -> Providers:
    """The providers of a configuration, whose credentials may be missing. Raises ConfigurationError."""
    providers = registry.providers(registry.read(path, offline=True))
    for provider in providers.by_id.values():
        if provider.access_tokens is not None:
            # In the place of the one that would have been fetched by now.
            provider.access_tokens.put(AccessToken(Secret("access-token"), math.inf), time.time())
    return providers


def _body(text: str | None) -> bytes:
    if text is None or not text.startswith("@"):
        return (text or "").encode()
    return sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()


def _fields(given: Sequence[str], body: bytes) -> Fields:
    """Header fields from texts such as `anthropic-version: 2023-06-01`. Raises ValueError."""
    found = []
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise ValueError(f"a header field is NAME: VALUE, not {text}")
        found.append((name.strip().encode(), value.strip().encode()))
    names = {name.lower() for name, _ in found}
    if body and b"content-type" not in names:
        found.append((b"Content-Type", b"application/json"))
    if body and b"content-length" not in names:
        found.append((b"Content-Length", str(len(body)).encode()))
    return (*found,) if b"host" in names else ((b"Host", b"127.0.0.1:8080"), *found)
