"""The client's side of an exchange: one answer to it, whole or as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from ..edges import pages
from ..edges.streaming import Translation
from ..wire.header_fields import Fields
from .answers import Out
from .arrivals import Arrived
from .upstream import Broken

_EMPTY: Final = frozenset((204, 304))


class ClientGone(Exception):
    """The client has closed its connection."""


class Client:
    """Answers one client, once.

    `page`: the origin of the web page that it is, if its answers may be read by it. `has_begun`: something of the
    answer is on its way. `status`: that of the answer.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.page = ""
        self.has_begun = False
        self.status = 0

    async def whole(self, status: int, fields: Fields, body: bytes, reason: bytes | None = None) -> Out:
        """Send an answer that is complete. Raises ClientGone."""
        answer = self._begin(status, fields, reason)
        try:
            await answer.prepare(self._request)
            await answer.write_eof(b"" if self._has_no_body(status) else body)
        except ConnectionError:
            raise ClientGone from None
        return answer

    async def stream(
        self, arrived: Arrived, fields: Fields, translation: Translation, begun: Callable[[], None]
    ) -> tuple[Out, Broken | None]:
        """Send an answer as it arrives; also returns why it has broken off, if it has. Raises ClientGone.

        `begun` is called before the first of it is sent. One that broke off ends with an error event, or with the
        connection: never as if it were complete.
        """
        status = arrived.status
        answer = self._begin(status, fields, arrived.reason, begun)
        broken = None
        try:
            writer = await answer.prepare(self._request)
            assert writer
            if self._has_no_body(status):
                await answer.write_eof()
                return answer, None
            while True:
                try:
                    piece = arrived.ready()
                    if not piece and not arrived.is_over:
                        answer.send_head()
                        piece = await arrived.piece()
                except Broken as error:
                    broken = error
                    break
                if not piece:
                    break
                for made in translation(piece):
                    await answer.write(made)
                if translation.is_over:
                    break
            last = b"".join(translation(b"")) if broken is None else translation.end_of_broken()
            if last is None or (translation.has_failed and not translation.tells_failure):
                self.abort()
            else:
                await answer.write_eof(last)
        except ConnectionError:
            raise ClientGone from None
        return answer, broken

    def abort(self) -> Out:
        """Close the connection, so that the client cannot take what it has for a whole answer."""
        if self._request.transport:
            self._request.transport.abort()
        return Out(self.status or 500, (), is_last=True)

    def _has_no_body(self, status: int) -> bool:
        return self._request.method == "HEAD" or status in _EMPTY

    def _begin(
        self, status: int, fields: Fields, reason: bytes | None, begun: Callable[[], None] = lambda: None
    ) -> Out:
        if self.page:
            fields = pages.allow(fields, self.page)
        begun()
        self.status, self.has_begun = status, True
        return Out(status, fields, reason)
