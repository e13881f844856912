"""Limits and lines: at one time, in a minute, of a provider and of each token; order; random histories."""

from __future__ import annotations

import random

from mitm_ai_proxy.config.reliability import Limits, Rate
from mitm_ai_proxy.routing.health import Place
from mitm_ai_proxy.routing.limits import Line, Lines, Quota, Ticket
from tests.tables import table

A, B = Place("p", 0), Place("p", 1)
NONE = Limits()


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _line(whole: Limits = NONE, each: Limits = NONE) -> tuple[Line, Clock]:
    clock = Clock()
    return Line(Quota(whole, each), clock), clock


def _enter(line: Line, place: Place = A, tokens: int = 0) -> Ticket:
    ticket = Ticket(place, tokens)
    line.enter(ticket)
    return ticket


def test_no_more_than_so_many_are_under_way_and_the_first_in_line_is_next() -> None:
    line, _ = _line(Limits(concurrency=2))
    first, second, third, fourth = (_enter(line) for _ in range(4))
    assert [one.is_admitted for one in (first, second, third, fourth)] == [True, True, False, False]
    assert (line.has_room(A), line.next_at) == (False, float("inf"))
    assert line.leave(second) == [third]
    assert line.leave(fourth) == []
    assert line.leave(first) == []
    assert line.has_room(A)


def test_a_request_is_admitted_at_once_where_there_is_room_and_nobody_waits() -> None:
    line, _ = _line(Limits(concurrency=2), Limits(concurrency=1))
    tickets = [Ticket(place, 0) for place in (A, A, B)]
    first, second, other = tickets
    assert [line.enter_alone(ticket) for ticket in tickets] == [True, False, True]
    assert line.leave(other) == []
    line.enter(second)
    # One that waits is not overtaken, though it waits for another token.
    assert not line.enter_alone(other)
    assert line.leave(first) == [second]
    assert line.enter_alone(other)
    assert (line.leave(second), line.leave(other), line.enter_alone(first)) == ([], [], True)


def test_in_any_minute_no_more_than_so_many_begin() -> None:
    line, clock = _line(Limits(rate=Rate(requests_per_minute=2)))
    for _ in range(2):
        line.leave(_enter(line))
        clock.now += 10
    waiting = _enter(line)
    assert (waiting.is_admitted, line.next_at) == (False, 40.0)
    clock.now += 39
    assert line.admit() == []
    clock.now += 1
    assert line.admit() == [waiting]
    assert line.wait(A, 0) == 10.0


def test_tokens_of_a_minute_are_counted_and_what_is_longer_than_a_minute_goes_alone() -> None:
    line, clock = _line(Limits(rate=Rate(tokens_per_minute=100)))
    assert _enter(line, tokens=60).is_admitted
    clock.now += 5
    assert _enter(line, tokens=40).is_admitted
    assert (line.wait(A, 50), line.wait(A, 80)) == (55.0, 60.0)
    long = _enter(line, tokens=500)
    assert (long.is_admitted, line.next_at) == (False, 60.0)
    clock.now += 60
    assert line.admit() == [long]


def test_one_that_waits_for_its_own_token_holds_up_nobody_else() -> None:
    line, _ = _line(each=Limits(concurrency=1))
    first, second, other = _enter(line), _enter(line), _enter(line, B)
    assert [one.is_admitted for one in (first, second, other)] == [True, False, True]
    assert (line.has_room(A), line.has_room(B)) == (False, False)
    assert line.leave(first) == [second]


@table(("name", "has_room"), [("p", False), ("q", True), ("r", True)])
def test_a_provider_without_limits_has_room(name: str, has_room: bool) -> None:
    lines = Lines({"p": Quota(Limits(concurrency=1), NONE), "q": Quota(NONE, NONE)}, Clock())
    for line in filter(None, map(lines.of, "pqr")):
        _enter(line, Place("p"))
    assert (lines.of("q"), lines.has_room(Place(name))) == (None, has_room)


def test_whatever_happens_no_limit_is_passed_and_everybody_gets_in() -> None:
    for seed in range(100):
        rng = random.Random(seed)
        most, minute = rng.choice([0, 1, 3]), rng.choice([0, 2, 5])
        line, clock = _line(Limits(most, Rate(minute, rng.choice([0, 50]))), Limits(rng.choice([0, 1, 2])))
        tickets: list[Ticket] = []
        begun: list[float] = []
        admitted: set[Ticket] = set()

        def note(
            found: list[Ticket], clock: Clock = clock, begun: list[float] = begun, admitted: set[Ticket] = admitted
        ) -> None:
            begun.extend(clock.now for _ in found)
            admitted.update(found)

        for _ in range(60):
            clock.now += rng.random() * 5
            if rng.random() < 0.5:
                ticket = Ticket(rng.choice([A, B]), rng.randint(0, 60))
                tickets.append(ticket)
                before = [one for one in tickets if one.is_admitted]
                line.enter(ticket)
                note([one for one in tickets if one.is_admitted and one not in before])
            elif under_way := [one for one in tickets if one.is_admitted]:
                note(line.leave(rng.choice(under_way)))
            else:
                note(line.admit())
            assert not most or sum(one.is_admitted for one in tickets) <= most
            assert not minute or sum(time > clock.now - 60 for time in begun) <= minute
        for _ in range(3 * len(tickets)):
            for ticket in [one for one in tickets if one.is_admitted]:
                note(line.leave(ticket))
            clock.now += 60
            note(line.admit())
        assert admitted == set(tickets)


def test_a_small_request_does_not_pass_a_long_one_that_waits_for_a_whole_minute() -> None:
    line, clock = _line(Limits(rate=Rate(tokens_per_minute=100)))
    _enter(line, tokens=60)
    long, small = _enter(line, tokens=90), _enter(line, tokens=10)
    assert (long.is_admitted, small.is_admitted) == (False, False)
    clock.now += 60
    assert line.admit() == [long, small]
