"""The count of long bodies that are held at one time."""

from __future__ import annotations

import gc

from mitmproxy.test import tflow

from mitm_ai_proxy.edges.held import Held


def _held(limit: int) -> Held:
    held = Held()
    held.limit = limit
    return held


def test_bodies_share_the_room() -> None:
    held, first, second = _held(100), tflow.tflow(), tflow.tflow()
    assert held.room(first, 60) == 100
    assert held.room(second, 41) == 40
    assert held.was_refused(second)
    assert not held.was_refused(first)
    held.release(first)
    assert held.room(second, 41) == 100


def test_a_body_that_grows_counts_once() -> None:
    held, first, second = _held(100), tflow.tflow(), tflow.tflow()
    for size in (10, 50, 100):
        assert held.room(first, size) == 100
    assert held.room(second, 1) == 0
    assert held.room(first, 101) == 100
    assert held.was_refused(first)


def test_a_flow_that_is_forgotten_takes_no_room() -> None:
    held, second = _held(100), tflow.tflow()
    held.room(tflow.tflow(), 100)
    gc.collect()
    assert held.room(second, 100) == 100
