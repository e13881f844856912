"""When a task is looked at, how long a new try waits, and what progress a job shows."""

from __future__ import annotations

from mitm_ai_proxy.platform.states import State
from mitm_ai_proxy.platform.timing import Timing, delay, first_look, next_look, progress, typical_seconds
from tests.tables import table

TIMING = Timing()


@table(("tries", "seconds"), [(0, 1), (4, 60), (5, 60), (1000, 60)])
def test_the_last_wait_holds_for_all_further_tries(tries: int, seconds: float) -> None:
    assert delay(TIMING.doubt, tries) == seconds


def test_a_wait_has_a_limit_where_one_is_given() -> None:
    assert delay(TIMING.again, 11, 60) == 60


@table(
    ("model", "seconds", "own", "typical"),
    [
        ("kling-v3", 5, None, 170),
        ("kling-v3", 3, None, 170),
        ("kling-v3", 10, None, 340),
        ("nobody-knows", 5, None, 170),
        ("kling-v3", 10, 2.0, 2.0),
    ],
)
def test_a_longer_video_takes_longer(model: str, seconds: float, own: float | None, typical: float) -> None:
    assert typical_seconds(model, seconds, Timing(typical=own)) == typical


@table(("has_callbacks", "reads"), [(False, (6, 8)), (True, (1, 2))])
def test_a_video_of_150_seconds_is_read_a_few_times(has_callbacks: bool, reads: tuple[int, int]) -> None:
    at, looks = first_look(150, has_callbacks=has_callbacks), 1
    while at < 150:
        at += next_look(150, looks, TIMING, has_callbacks=has_callbacks)
        looks += 1

    assert reads[0] <= looks <= reads[1]


@table(
    ("typical", "looks", "has_callbacks", "seconds"),
    [
        (10, 0, False, 5.0),
        (170, 0, False, 17.0),
        (10_000, 0, False, 30.0),
        (170, 0, True, 60.0),
        (170, 1, True, 120.0),
        (170, 9999, True, 300.0),
    ],
)
def test_looks_are_neither_too_many_nor_too_few(
    typical: float, looks: int, has_callbacks: bool, seconds: float
) -> None:
    assert next_look(typical, looks, TIMING, has_callbacks=has_callbacks) == seconds


@table(
    ("state", "running", "percent"),
    [
        ("queued", 0, 0),
        ("submitting", 0, 1),
        ("processing", 50, 50),
        ("processing", 500, 95),
        ("fetching", 1, 97),
        ("stored", 0, 100),
        ("failed", 50, 0),
    ],
)
def test_progress_never_claims_an_end_that_is_not_there(state: str, running: float, percent: int) -> None:
    assert progress(State(state), 100, running) == percent


def test_progress_needs_no_typical_time() -> None:
    assert progress(State.PROCESSING, 0, 1) == 95
