"""The queue of messages on a real Redis: JSON, delays, and a Redis that is away, flushed or full."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform.messages import THE_QUEUE, Messages
from tests.platform.servers import Redis, binary, free_port


@pytest.fixture
def messages(redis: Redis) -> Iterator[Messages]:
    """An empty queue."""
    opened = Messages(Secret(redis.url))
    opened.huey.storage.conn.flushall()
    yield opened
    opened.close()


def test_messages_are_json_and_hold_an_id_alone(messages: Messages) -> None:
    messages.wake("job_1")
    messages.wake("job_2", 60)

    sent = [json.loads(item)["message"] for item in messages.huey.storage.enqueued_items()]
    assert sorted(message["args"] for message in sent) == [["job_1"], ["job_2"]]
    assert messages.waiting() == 2


def test_a_message_is_taken_as_it_was_sent(messages: Messages) -> None:
    taken: list[str] = []
    messages.work_with(taken.append)
    messages.wake("job_1")
    messages.wake(THE_QUEUE)
    for _ in range(2):
        messages.huey.execute(messages.huey.dequeue())

    assert taken == ["job_1", THE_QUEUE]


def test_nobody_waits_for_a_redis_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    messages = Messages(Secret(f"redis://:pa55@127.0.0.1:{free_port()}/0"))
    began = time.monotonic()
    for number in range(100):
        messages.wake(f"job_{number}")
    messages.close()

    assert time.monotonic() - began < 5
    assert [record.getMessage() for record in caplog.records] == ["platform: no message for job_0: ConnectionError"]
    assert "pa55" not in caplog.text


def test_a_full_redis_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    if not binary("redis-server"):
        pytest.skip("Redis is not installed")
    redis = Redis("--maxmemory", "1")
    try:
        messages = Messages(Secret(redis.url))
        messages.wake("job_1")
        messages.close()
    finally:
        redis.close()

    assert [record.getMessage() for record in caplog.records] == ["platform: no message for job_1: OutOfMemoryError"]
