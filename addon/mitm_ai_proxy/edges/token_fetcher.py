"""Fetches access tokens ahead of requests: at the start, and before each one ends; in threads, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from ..auth.access_tokens import AccessTokens, TokenRequest
from ..wire.printable import printable

logger = logging.getLogger(__name__)

TIMEOUT: Final = 10.0
"""Seconds for one request."""
START_TIMEOUT: Final = 12.0
"""Seconds that the start waits for the first tokens."""
_LONGEST_ANSWER: Final = 64 * 1024
_LONGEST_WAIT: Final = 3600.0

Post = Callable[[TokenRequest], tuple[int, bytes]]


def post(request: TokenRequest) -> tuple[int, bytes]:
    """Send a request for a token, and follow no redirect, for it holds a credential. Raises OSError."""
    # Not at the top: start-up should not pay for it.
    import ssl
    import urllib.error
    import urllib.request

    import certifi

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            """None leaves the answer as it is."""

    context = ssl.create_default_context(cafile=certifi.where())
    opener = urllib.request.build_opener(NoRedirects(), urllib.request.HTTPSHandler(context=context))
    made = urllib.request.Request(str(request.url), request.body, request.fields, method="POST")  # noqa: S310 - checked
    try:
        with opener.open(made, timeout=TIMEOUT) as answer:
            return answer.status, answer.read(_LONGEST_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_LONGEST_ANSWER)


class TokenFetcher:
    """Keeps the tokens of a configuration's providers fresh."""

    def __init__(self, send: Post = post, clock: Callable[[], float] = time.time) -> None:
        self._send, self._clock = send, clock
        self._sources: tuple[AccessTokens, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def use(self, sources: Iterable[AccessTokens], *, is_offline: bool) -> None:
        """Other accounts; tokens of those that stay are kept. Before start(), it waits for the first tokens."""
        known = {source.identity: source.latest for source in self._sources if source.latest}
        self._sources = tuple(sources)
        now = self._clock()
        for source in self._sources:
            token = known.get(source.identity)
            if is_offline:
                source.rest()
            elif token is not None:
                source.put(token, now)
        due = self._due()
        if self._task is not None:
            self._changed.set()
        elif due:
            threads = [threading.Thread(target=self._fetch, args=(source,), daemon=True) for source in due]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(max(now + START_TIMEOUT - self._clock(), 0))

    def start(self) -> None:
        """Begin to renew tokens, in the running event loop."""
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """End it."""
        if self._task:
            self._task.cancel()
            self._task = None

    def _due(self) -> list[AccessTokens]:
        now = self._clock()
        return [source for source in self._sources if source.next_request() <= now]

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            await asyncio.gather(*(asyncio.to_thread(self._fetch, source) for source in self._due()))
            following = min((source.next_request() for source in self._sources), default=math.inf)
            seconds = min(max(following - self._clock(), 0.05), _LONGEST_WAIT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    def _fetch(self, source: AccessTokens) -> None:
        """Ask for one token, and put it in, or the reason why there is none. It does not raise."""
        try:
            status, body = self._send(source.request(self._clock()))
            now = self._clock()
            token = source.read(status, body, now)
        except (OSError, ValueError) as error:
            reason = printable(_reason(error))
            delay = source.fail(reason, self._clock())
            # A warning, since an error would end mitmproxy while it starts.
            logger.warning("ai-proxy: no access token for %s: %s; asked again in %.0f s", source.name, reason, delay)
            return
        source.put(token, now)
        logger.info(
            "ai-proxy: access token for %s, until %s",
            source.name,
            time.strftime("%H:%M", time.localtime(token.expires)),
        )


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    # That of urllib has the error of the connection in it.
    inner = getattr(error, "reason", error)
    text = inner.strerror if isinstance(inner, OSError) else inner
    return text if isinstance(text, str) and text else type(inner).__name__
