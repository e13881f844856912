"""The pool of connections to providers."""

from __future__ import annotations

import asyncio

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.exchange import Upstream
from mitm_ai_proxy.pipeline import Outgoing
from mitm_ai_proxy.server.upstream import Pool
from mitm_ai_proxy.wire.targets import Origin


class Sender:
    """A request that must not be sent."""

    def connected(self) -> None:
        """See upstream.Sender."""
        raise AssertionError("it is being sent")


def test_a_pool_that_is_closed_says_that_the_proxy_is_stopped_and_does_not_blame_the_provider() -> None:
    async def send() -> None:
        pool = Pool()
        await pool.close()
        await pool.send(Outgoing(Upstream(Origin("http", "127.0.0.1", 9), "POST", "/"), "/", ()), b"", Sender())

    with pytest.raises(Refusal) as raised:
        asyncio.run(send())

    assert (raised.value.status, raised.value.code) == (503, "proxy_stopped")
