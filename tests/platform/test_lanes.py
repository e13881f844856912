"""What an account's answers teach: limits that fall and rise again, and pauses in which jobs wait and none fails."""

from __future__ import annotations

from mitm_ai_proxy.platform import lanes
from mitm_ai_proxy.platform.lanes import ADVICE, ALL_MODELS, NEW, Lane, effective_limit, is_open, learned, taken
from mitm_ai_proxy.platform.replies import Verdict
from mitm_ai_proxy.platform.timing import Timing
from tests.tables import table

TIMING = Timing()
NOW = 1000.0


def _after(lesson: str, lane: Lane = NEW, running: int = 0, now: float = NOW, jitter: float = 0.0) -> Lane:
    return learned(lane, Verdict(lesson), running, now, TIMING, jitter)


def _times(lesson: str, count: int, lane: Lane = NEW) -> Lane:
    """The lane after answers that come whenever the pause before is over; NOW is when the last one came."""
    at = 0.0
    for _ in range(count):
        at = lane.paused_until
        lane = learned(lane, Verdict(lesson), 0, at, TIMING)
    return lane._replace(paused_until=lane.paused_until - at + NOW)


def test_a_refused_task_lowers_the_limit_to_what_runs() -> None:
    lane = _after("full", running=4)

    assert effective_limit(lane, 10, NOW, TIMING) == 4


def test_refusals_that_come_together_lower_the_limit_one_after_the_other() -> None:
    lane = NEW
    for running in (9, 8, 7, 6, 5):
        lane = _after("full", lane, running)

    assert effective_limit(lane, 10, NOW, TIMING) == 5


def test_a_full_account_keeps_one_slot_to_find_out_with_after_a_moment() -> None:
    lane = _after("full", running=0)

    assert effective_limit(lane, 10, NOW, TIMING) == 1
    assert (is_open(lane, NOW + 1), is_open(lane, NOW + 2)) == (False, True)


@table(("passed", "limit"), [(0, 4), (59, 4), (60, 5), (121, 6), (3600, 10), (-50, 4)])
def test_a_learned_limit_rises_by_one_a_minute_up_to_the_configured_one(passed: float, limit: int) -> None:
    assert effective_limit(Lane(4, NOW), 10, NOW + passed, TIMING) == limit


def test_a_limit_that_nobody_learned_is_the_configured_one() -> None:
    assert effective_limit(NEW, 7, NOW, TIMING) == 7
    assert effective_limit(Lane(9, NOW), 7, NOW, TIMING) == 7


@table(
    ("lesson", "model"),
    [
        ("full", "m"),
        ("denied", "m"),
        ("gone", "m"),
        ("fast", ALL_MODELS),
        ("unpaid", ALL_MODELS),
        ("forbidden", ALL_MODELS),
        ("clock", ALL_MODELS),
        ("doubt", ALL_MODELS),
        ("unsent", ALL_MODELS),
    ],
)
def test_a_lesson_is_for_the_model_or_for_the_whole_account(lesson: str, model: str) -> None:
    assert lanes.model_of(Verdict(lesson), "m") == model


@table(
    ("lesson", "times", "pause"),
    [
        ("unpaid", 1, 300),
        ("unpaid", 9, 300),
        ("denied", 1, 300),
        ("forbidden", 1, 300),
        ("gone", 1, 300),
        ("clock", 1, 0),
        ("clock", 2, 300),
        ("fast", 1, 1),
        ("fast", 2, 2),
        ("fast", 4, 8),
        ("fast", 50, 60),
        ("doubt", 4, 0),
        ("unsent", 1, 1),
        ("unsent", 3, 4),
        ("doubt", 5, 1),
        ("doubt", 6, 2),
        ("doubt", 50, 60),
        ("taken", 1, 0),
        ("invalid", 1, 0),
    ],
)
def test_a_lane_is_paused_for_as_long_as_its_reason_needs(lesson: str, times: int, pause: float) -> None:
    lane = _times(lesson, times)

    assert is_open(lane, NOW + pause)
    assert pause == 0 or not is_open(lane, NOW + pause - 0.01)


def test_jitter_makes_a_wait_longer_and_never_shorter() -> None:
    assert _after("fast", jitter=0.5).paused_until == NOW + 1.25


def test_every_pause_says_what_to_do_about_it() -> None:
    for verdict in Verdict:
        lane = _times(verdict, 10)
        assert not lane.reason or ADVICE[lane.reason]


@table("lesson", ["taken", "invalid", "blocked"])
def test_an_answer_that_only_a_good_account_gets_ends_the_pause(lesson: str) -> None:
    lane = _after(lesson, _times("unpaid", 3))

    assert (is_open(lane, NOW), lane.reason, lane.failures) == (True, "", 0)


def test_the_learned_limit_outlives_a_task_that_was_taken() -> None:
    assert _after("taken", _after("full", running=3)).limit == 3


def test_one_job_probes_a_paused_account_while_the_others_wait() -> None:
    paused = _after("unpaid")
    later = NOW + 300
    assert is_open(paused, later)

    probed = taken(paused, later, TIMING)

    assert not is_open(probed, later + 299)
    assert is_open(_after("taken", probed), later)


def test_a_lane_in_good_order_is_not_closed_by_a_job_that_is_claimed() -> None:
    assert taken(NEW, NOW, TIMING) == NEW
    assert taken(_after("fast"), NOW, TIMING) == _after("fast")


@table("lesson", ["doubt", "fast", "unsent"])
def test_what_passes_by_itself_does_not_shorten_another_pause(lesson: str) -> None:
    assert _after(lesson, _after("unpaid")) == _after("unpaid")


@table("lesson", ["fast", "unsent"])
def test_refusals_that_come_together_count_once(lesson: str) -> None:
    assert _after(lesson, _after(lesson)) == _after(lesson)


def test_a_full_model_does_not_shorten_another_pause() -> None:
    denied = _after("denied")

    assert _after("full", denied, 2).paused_until == denied.paused_until
