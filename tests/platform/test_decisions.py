"""What becomes of a job after each answer: never bought twice, never lost, its money settled by what Kling took."""

from __future__ import annotations

from typing import Any

from mitm_ai_proxy.kling.prices import Cost
from mitm_ai_proxy.kling.tasks import Task
from mitm_ai_proxy.platform import decisions
from mitm_ai_proxy.platform.decisions import Decision, Download, Standing
from mitm_ai_proxy.platform.replies import Reply, Verdict
from mitm_ai_proxy.platform.states import Money, State, require
from mitm_ai_proxy.platform.timing import DAY, Timing
from tests.tables import table

TIMING = Timing()
START = 1000.0


def _job(state: State = State.SUBMITTING, **known: Any) -> Standing:
    return Standing(state, estimate=3000, submitted_at=START, typical=100, **known)


def _task(status: str = "submitted", url: str = "", message: str = "", units: float | None = None) -> Reply:
    cost = None if units is None else Cost(units, units * 0.14)
    return Reply(Verdict.TAKEN, "", Task("t1", status, message, url=url), cost)


def _created(reply: Reply, **known: Any) -> Decision:
    return decisions.after_create(_job(**known), reply, TIMING)


def _looked(reply: Reply, now: float = START + 50, **known: Any) -> Decision:
    return decisions.after_look(_job(State.PROCESSING, **known), reply, TIMING, now)


def _asked(reply: Reply, now: float = START + 50, **known: Any) -> Decision:
    return decisions.after_question(_job(State.IN_DOUBT, **known), reply, TIMING, now)


@table(
    ("verdict", "state", "error", "money"),
    [
        ("full", "queued", "", None),
        ("fast", "queued", "", None),
        ("unpaid", "queued", "", None),
        ("denied", "queued", "", None),
        ("forbidden", "queued", "", None),
        ("clock", "queued", "", None),
        ("invalid", "failed", "invalid", "released"),
        ("gone", "failed", "model_gone", "released"),
        ("blocked", "failed", "moderation", "released"),
        ("unsent", "submitting", "", None),
        ("duplicate", "in_doubt", "", None),
        ("missing", "in_doubt", "", None),
        ("doubt", "in_doubt", "", None),
    ],
)
def test_a_create_without_a_task_loses_money_for_nobody(
    verdict: str, state: str, error: str, money: str | None
) -> None:
    found = _created(Reply(Verdict(verdict), "why"))

    assert (found.state, found.error, found.money) == (state, error, money)
    assert "why" in found.reason or verdict == "duplicate"


def test_the_table_of_verdicts_is_whole_and_within_the_table_of_states() -> None:
    for verdict in Verdict:
        reply = _task() if verdict is Verdict.TAKEN else Reply(verdict)
        require(State.SUBMITTING, _created(reply).state)
        require(State.SUBMITTING, _created(reply, has_name=False).state)
        require(State.IN_DOUBT, _asked(reply).state)
        require(State.PROCESSING, _looked(reply).state)


@table("is_first", [True, False])
def test_a_create_that_was_sent_before_waits_for_the_account_that_would_know_its_name(is_first: bool) -> None:
    for verdict in ("full", "fast", "unpaid", "denied", "forbidden", "clock"):
        assert _created(Reply(Verdict(verdict)), is_first=is_first).is_pinned is not is_first


@table("verdict", ["full", "fast", "unpaid", "denied", "forbidden", "clock", "gone", "taken", "doubt"])
def test_the_account_learns_from_a_create(verdict: str) -> None:
    reply = _task() if verdict == "taken" else Reply(Verdict(verdict))

    assert _created(reply).lesson == verdict


@table("verdict", ["invalid", "blocked"])
def test_a_refused_create_shows_that_the_account_is_let_in(verdict: str) -> None:
    assert _created(Reply(Verdict(verdict))).lesson == verdict


def test_a_task_is_looked_at_after_a_part_of_its_typical_time() -> None:
    assert _created(_task())[:4] == (State.PROCESSING, "Kling has taken it", 40.0, "t1")
    assert _created(_task(), has_callbacks=True).after == 120.0


@table("verdict", ["doubt", "duplicate", "missing"])
def test_what_kling_cannot_name_is_never_sent_again(verdict: str) -> None:
    found = _created(Reply(Verdict(verdict)), has_name=False)

    assert (found.state, found.error, found.money, found.units) == ("failed", "unknown", "settled", 3000)


@table("has_name", [True, False])
def test_a_request_that_never_left_is_sent_again_after_ever_longer_waits(has_name: bool) -> None:
    waits = [_created(Reply(Verdict.UNSENT), tries=tries, has_name=has_name).after for tries in (0, 1, 5, 11, 99)]

    assert waits == [1, 2, 30, 60, 60]


def test_a_first_create_that_never_left_gives_its_slot_back() -> None:
    found = _created(Reply(Verdict.UNSENT, "refused"), is_first=True)

    assert (found.state, found.lesson, found.money) == ("queued", "unsent", None)


def test_a_create_that_ends_in_doubt_again_and_again_asks_ever_more_seldom() -> None:
    assert [_created(Reply(Verdict.DOUBT), tries=tries).after for tries in (0, 2, 9)] == [1, 5, 60]


def test_a_purchase_without_a_name_that_was_left_is_a_persons() -> None:
    found = decisions.without_name(_job(has_name=False))

    assert (found.state, found.error, found.money, found.units) == ("failed", "unknown", "settled", 3000)


def test_after_a_day_a_name_that_kling_does_not_know_is_no_proof() -> None:
    assert _asked(Reply(Verdict.MISSING), now=START + DAY - 1).state is State.SUBMITTING
    assert _asked(Reply(Verdict.MISSING), now=START + DAY).error == "unknown"


def test_a_job_in_doubt_is_adopted_where_kling_has_it() -> None:
    assert _asked(_task())[:4] == (State.PROCESSING, "Kling has it: adopted", 40.0, "t1")
    assert _asked(_task("succeed")).after == 0.0
    assert _asked(_task("failed")).after == 0.0


def test_a_job_in_doubt_is_sent_again_only_where_kling_says_that_it_has_none() -> None:
    sent = [verdict for verdict in Verdict if _asked(Reply(verdict)).state is State.SUBMITTING]

    assert sent == [Verdict.MISSING]


def test_a_job_in_doubt_asks_ever_more_seldom_and_then_is_a_persons() -> None:
    assert [_asked(Reply(Verdict.DOUBT), tries=tries).after for tries in (0, 1, 2, 3, 4, 9)] == [1, 2, 5, 15, 60, 60]
    assert _asked(Reply(Verdict.DOUBT, "no answer"), now=START + 30 * DAY - 1).state is State.IN_DOUBT
    found = _asked(Reply(Verdict.DOUBT, "no answer"), now=START + 30 * DAY)
    assert (found.state, found.error, found.money, found.units) == ("failed", "unknown", "settled", 3000)


@table(
    ("cost", "money", "units"),
    [(3.0, "settled", 3000), (2.5, "settled", 2500), (0.05, "settled", 50), (0.0, "settled", 0), (None, None, 0)],
)
def test_a_finished_task_is_settled_by_what_kling_took(cost: float | None, money: str | None, units: int) -> None:
    found = _looked(_task("succeed", "https://cdn.test/1.mp4", units=cost))

    assert (found.state, found.money, found.units) == ("fetching", money, units)


@table(
    ("message", "units", "attempt", "state", "error", "money"),
    [
        ("Failure to pass the risk control system", 0.0, 1, "failed", "task_failed", "released"),
        ("Failure to pass the risk control system", None, 1, "failed", "task_failed", "released"),
        ("broken", 1.0, 1, "failed", "task_failed", "settled"),
        ("parallel task over resource pack limit", 0.0, 1, "queued", "", None),
        ("parallel task over resource pack limit", 0.0, 2, "queued", "", None),
        ("parallel task over resource pack limit", 0.0, 3, "failed", "task_failed", "released"),
        ("parallel task over resource pack limit", 1.0, 1, "failed", "task_failed", "settled"),
    ],
)
def test_a_task_that_failed(
    message: str, units: float | None, attempt: int, state: str, error: str, money: str | None
) -> None:
    found = _looked(_task("failed", message=message, units=units), attempt=attempt)

    assert (found.state, found.error, found.money) == (state, error, money)
    assert found.is_new_attempt is (state == "queued")
    assert message in found.reason or state == "queued"


def test_a_task_that_runs_is_looked_at_again() -> None:
    assert _looked(_task("processing"))[:3] == (State.PROCESSING, "the task is running", 10.0)


def test_a_look_that_failed_ends_nothing() -> None:
    for verdict in set(Verdict) - {Verdict.TAKEN}:
        assert _looked(Reply(verdict), tries=50).state is State.PROCESSING


@table(
    ("reply", "days"),
    [(_task("processing"), 1), (Reply(Verdict.MISSING), 1), (Reply(Verdict.DOUBT), 30), (Reply(Verdict.UNSENT), 30)],
)
def test_a_task_without_an_end_is_given_up_and_counts_as_spent(reply: Reply, days: int) -> None:
    """After a day where Kling says so; after the days for which it keeps a result where it cannot be asked."""
    assert _looked(reply, now=START + days * DAY - 1).state is State.PROCESSING
    found = _looked(reply, now=START + days * DAY)

    assert (found.state, found.error, found.money, found.units) == ("failed", "stuck", "settled", 3000)


def test_a_task_that_ends_after_a_day_is_not_given_up() -> None:
    assert _looked(_task("succeed", "https://cdn.test/1.mp4"), now=START + 2 * DAY).state is State.FETCHING


def test_a_task_that_names_no_file_is_looked_at_a_few_times() -> None:
    """However often it was looked at before."""
    found = _looked(_task("succeed", units=3), tries=99, faults=3)
    assert (found.state, found.is_fault, found.after) == (State.PROCESSING, True, 8)
    found = _looked(_task("succeed", units=2), faults=4)
    assert (found.error, found.money, found.units) == ("no_video", "settled", 2000)


def test_a_discarded_job_is_settled_and_not_fetched() -> None:
    found = _looked(_task("succeed", "https://cdn.test/1.mp4", units=2), is_discarded=True)

    assert (found.state, found.error, found.money, found.units) == ("failed", "discarded", "settled", 2000)
    assert _looked(_task("succeed", "https://cdn.test/1.mp4"), is_discarded=True).units == 3000


@table("verdict", ["full", "fast", "unpaid", "denied", "forbidden", "clock", "unsent"])
def test_a_discarded_job_that_was_not_bought_is_not_bought_any_more(verdict: str) -> None:
    """One of which an earlier create may still arrive goes on."""
    found = _created(Reply(Verdict(verdict)), is_first=True, is_discarded=True)

    assert (found.state, found.error, found.money, found.lesson) == ("failed", "discarded", "released", verdict)
    assert _created(Reply(Verdict(verdict)), is_discarded=True).state is not State.FAILED


@table(
    ("problem", "is_link_dead", "faults", "state", "error"),
    [
        ("", False, 0, "stored", ""),
        ("cut", False, 0, "fetching", ""),
        ("cut", False, 10, "fetching", ""),
        ("cut", False, 11, "failed", "not_stored"),
        ("404", True, 3, "fetching", ""),
        ("404", True, 4, "failed", "result_gone"),
    ],
)
def test_a_file_is_fetched_until_it_is_stored_or_nothing_helps(
    problem: str, is_link_dead: bool, faults: int, state: str, error: str
) -> None:
    """Whatever was away before: that is no fault of the file."""
    download = Download(problem, is_link_dead)
    found = decisions.after_download(_job(State.FETCHING, tries=99, faults=faults), download, TIMING, START)

    assert (found.state, found.error, found.money) == (state, error, None)
    assert found.is_fault is (state == "fetching")


def test_each_attempt_has_a_name_of_its_own() -> None:
    assert [decisions.name("job_1", attempt) for attempt in (1, 2, 3)] == ["job_1", "job_1~2", "job_1~3"]


@table(("units", "count"), [(3.0, 3000), (0.05, 50), (2.8000000000000003, 2800), (0.0, 0)])
def test_units_are_counted_in_whole_thousandths(units: float, count: int) -> None:
    assert decisions.milli(units) == count
    assert isinstance(decisions.milli(units), int)


def test_money_is_touched_once_on_every_way_to_an_end() -> None:
    """A job that ends from a state in which its money is reserved says what becomes of it."""
    ends = [_created(Reply(verdict), has_name=False) for verdict in Verdict if verdict is not Verdict.TAKEN]
    ends += [_looked(_task("failed")), _looked(_task("processing"), now=START + DAY)]

    assert all(found.money in (Money.SETTLED, Money.RELEASED) for found in ends if found.state is State.FAILED)


@table(("days", "state"), [(0, "fetching"), (29.99, "fetching"), (30, "failed")])
def test_what_is_paid_waits_for_what_is_away_as_long_as_kling_keeps_it(days: float, state: str) -> None:
    download = Download("the bucket is not there", is_away=True)
    found = decisions.after_download(_job(State.FETCHING, tries=99, faults=11), download, TIMING, START + days * DAY)

    assert (found.state, found.error, found.is_fault) == (state, "not_stored" if state == "failed" else "", False)
    assert "the bucket is not there" in found.reason
