"""A create that an SDK retries is charged once; equal creates of a user are charged each."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from tests.sdk import openai_video
from tests.sdk.conftest import MakePicture
from tests.sdk.kling import Fault, Kling, answer_lost, broken_after_acceptance, held
from tests.sdk.sdk import File, Sdk


@pytest.fixture
def prompt() -> str:
    """A prompt that no other test has."""
    return f"a cat {uuid.uuid4()}"


def check_usable(sdk: Sdk, kling: Kling, video: dict[str, Any]) -> None:
    openai_video.check(video)
    openai_video.check(sdk.call("retrieve", video_id=video["id"]).video)
    assert kling.task.task_id in kling.received[-1].path or str(kling.task.external_task_id) in kling.received[-1].path
    assert kling.task.reads > 0


@pytest.mark.parametrize(
    "faults",
    [
        [answer_lost()],
        [broken_after_acceptance()],
        [broken_after_acceptance(504, 5002)],
        [answer_lost(), Fault(lost=True)],
    ],
    ids=["answer-lost", "internal-error", "time-out-in-kling", "lost-twice"],
)
def test_an_answer_that_did_not_come_costs_nothing_more(
    faults: list[Fault], sdk: Sdk, kling: Kling, prompt: str
) -> None:
    kling.next(*faults)
    outcome = sdk.call("create", prompt=prompt)

    assert kling.bought == 1
    assert len(kling.creates) == len(faults) + 1
    check_usable(sdk, kling, outcome.video)


def test_a_picture_whose_answer_was_lost_is_paid_for_once(
    sdk: Sdk, kling: Kling, prompt: str, picture: MakePicture
) -> None:
    kling.next(answer_lost())
    outcome = sdk.call("create", prompt=prompt, input_reference=File("mime", picture(), "image/png"))

    assert kling.bought == 1
    assert kling.task.family == "image2video"
    check_usable(sdk, kling, outcome.video)


def test_a_create_that_was_lost_before_kling_took_it_is_carried_out(sdk: Sdk, kling: Kling, prompt: str) -> None:
    kling.next(Fault(lost=True))
    outcome = sdk.call("create", prompt=prompt)

    assert kling.bought == 1
    check_usable(sdk, kling, outcome.video)


def test_a_client_that_did_not_wait_pays_once(sdk: Sdk, kling: Kling, prompt: str) -> None:
    answered = threading.Event()
    kling.next(held(answered))
    try:
        outcome = sdk.with_client(timeout=1).call("create", prompt=prompt)
    finally:
        answered.set()

    assert kling.bought == 1
    # On a busy machine a retry may time out, too.
    assert len(kling.creates) > 1
    check_usable(sdk, kling, outcome.video)


def test_equal_creates_at_once_are_all_bought(sdk: Sdk, kling: Kling, prompt: str) -> None:
    outcomes = sdk.together(4, "create", prompt=prompt)

    assert len({outcome.video["id"] for outcome in outcomes}) == 4
    assert kling.bought == 4
    assert len(kling.received) == 4


def test_equal_creates_one_after_the_other_are_all_bought(sdk: Sdk, kling: Kling, prompt: str) -> None:
    ids = {sdk.call("create", prompt=prompt).video["id"] for _ in range(3)}
    assert len(ids) == 3
    assert kling.bought == 3


@pytest.mark.parametrize("lost", [1, 2])
def test_of_four_equal_creates_at_once_those_whose_answers_were_lost_are_found_again(
    lost: int, sdk: Sdk, kling: Kling, prompt: str
) -> None:
    kling.next(*[answer_lost()] * lost)
    outcomes = sdk.together(4, "create", prompt=prompt)

    assert kling.bought == 4
    assert len({outcome.task_id for outcome in outcomes}) == 4
    assert len(kling.creates) == 4 + lost


def test_one_idempotency_key_is_one_task(sdk: Sdk, kling: Kling, prompt: str) -> None:
    headers = {"Idempotency-Key": f"key-{uuid.uuid4()}"}
    first = sdk.call("create", prompt=prompt, headers=headers)
    second = sdk.call("create", prompt=prompt, headers=headers)

    assert kling.bought == 1
    assert second.task_id == first.task_id == kling.task.task_id
    check_usable(sdk, kling, second.video)


def test_one_idempotency_key_at_once_is_one_task(sdk: Sdk, kling: Kling, prompt: str) -> None:
    outcomes = sdk.together(3, "create", prompt=prompt, headers={"Idempotency-Key": f"key-{uuid.uuid4()}"})

    assert {outcome.task_id for outcome in outcomes} == {kling.task.task_id}
    for outcome in outcomes:
        check_usable(sdk, kling, outcome.video)


def test_an_equal_create_through_another_proxy_is_bought(any_sdk: Sdk, replica: Sdk, kling: Kling, prompt: str) -> None:
    outcomes = [sdk.call("create", prompt=prompt) for sdk in (any_sdk, replica, replica, any_sdk)]

    assert kling.bought == 4
    assert len({outcome.task_id for outcome in outcomes}) == 4


def test_a_repetition_through_another_proxy_is_paid_for_once(
    any_sdk: Sdk, replica: Sdk, kling: Kling, prompt: str
) -> None:
    kling.next(answer_lost())
    assert any_sdk.with_client(max_retries=0).call("create", prompt=prompt).error.status_code == 502
    outcome = replica.call("create", prompt=prompt, headers={"X-Stainless-Retry-Count": "1"})

    assert kling.bought == 1
    check_usable(replica, kling, outcome.video)
    check_usable(any_sdk, kling, outcome.video)


def test_two_idempotency_keys_are_two_tasks(sdk: Sdk, kling: Kling, prompt: str) -> None:
    for key in "ab":
        openai_video.check(
            sdk.call("create", prompt=prompt, headers={"Idempotency-Key": f"{key}-{uuid.uuid4()}"}).video
        )
    assert kling.bought == 2
