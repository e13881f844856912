"""What is done to mitmproxy's layers for a further try, event by event and without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import pytest
from h2.settings import SettingCodes
from mitmproxy import ctx, http
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.flow import Error
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpStream
from mitmproxy.proxy.layers.http._events import RequestProtocolError
from mitmproxy.test import taddons

from mitm_ai_proxy.edges.attempts import MOST_OF_REFUSED
from mitm_ai_proxy.edges.problems import CONNECT, FIRST_BYTE, QUEUE, RETRY, Problem
from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.gateway import second_tries, upstream_layers
from mitm_ai_proxy.gateway.second_tries import _REFUSED
from mitm_ai_proxy.routing import first_event
from tests.gateway.layers import REQUEST, Judge, Timers, Wire, run_at_once
from tests.tables import table

REFUSED = b"HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\nno"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LONG = b"HTTP/1.1 500 No\r\nContent-Length: 999999\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 16\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n"
BAD_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"


@pytest.fixture(autouse=True)
def options(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those of mitmproxy's proxy; and no event loop."""
    monkeypatch.setattr(second_tries, "Timers", Timers)
    monkeypatch.setattr(asyncio, "ensure_future", run_at_once)
    with taddons.context(Proxyserver()) as context:
        yield
    context.master._legacy_log_events.uninstall()


def _wire(judge: Judge | None = None) -> Wire:
    """A wire whose judge has a failure be followed by another try, while any are left."""
    wire = Wire(judge or Judge())

    def hear(flow: http.HTTPFlow) -> None:
        assert flow.response
        judged = wire.judge
        judged.is_refused = judged.follows = flow.response.status_code >= 400 and judged.left > 0
        if flow.response.headers.get("content-type") == "text/event-stream":
            flow.response.stream = True
            judged.first = first_event.begun("POST", flow.response.headers.fields) if judged.failing else None

    def fail(flow: http.HTTPFlow) -> None:
        judged = wire.judge
        problem = wire.loop.problem
        judged.follows = problem is not None and judged.left > 0
        judged.problems.append(problem)

    wire.hooks = {"responseheaders": hear, "error": fail}
    return wire


def _asked(judge: Judge | None = None) -> tuple[Wire, Server]:
    """A wire with a request that is on its way to a provider."""
    wire = _wire(judge)
    wire.ask()
    return wire, wire.opened()


def test_the_next_try_goes_over_the_same_connection_and_the_client_gets_its_answer_alone() -> None:
    wire, server = _asked()
    wire.judge.body = b"again"
    wire.say(server, REFUSED)
    wire.loop.limit(RETRY, 9.0, 9.0)
    wire.say(server, OK)
    assert (wire.loop.has_begun, wire.time_outs) == (True, set())
    first, second = wire.sent[server].split(b"POST /v1/chat")[1:]
    assert (first.partition(b"\r\n\r\n")[2], second.partition(b"\r\n\r\n")[2]) == (b"body", b"again")
    assert wire.answer == OK
    assert (wire.judge.prepared, wire.opening, wire.closed) == (1, [], [])
    # The connection of the client goes on, without tries of the one before.
    wire.judge.left = 0
    wire.ask()
    wire.say(server, REFUSED)
    assert wire.answer == OK + REFUSED
    assert wire.time_outs == set()


@table("answer", [LONG + b"x" * (MOST_OF_REFUSED + 1), BAD_HEAD, b"garbage\r\n\r\n", REFUSED[:-1]])
def test_what_is_left_of_a_try_is_not_taken_for_the_next_ones(answer: bytes) -> None:
    wire, server = _asked()
    wire.slow = {"response", "error"}
    wire.say(server, answer)
    if answer == REFUSED[:-1]:
        wire.end(server)
    # It is left at once, whoever is shown it for how long.
    assert not server.connected
    wire.slow.clear()
    wire.go_on()
    if server in wire.closed:
        wire.end(server)
    second = wire.opened()
    assert second is not server
    assert wire.answer == b""
    wire.say(second, OK)
    assert wire.answer == OK
    assert server in wire.closed or answer == REFUSED[:-1]


def test_a_refused_answer_that_does_not_end_is_left_in_time() -> None:
    wire, server = _asked()
    wire.say(server, LONG + b"begun")
    assert wire.time_outs == {_REFUSED}
    seen: list[bytes | None] = []
    wire.hooks["response"] = lambda flow: seen.append(flow.response.raw_content if flow.response else None)
    wire.time_out(_REFUSED)
    # Whoever looks at the refused answer sees what has come of it.
    assert (seen, server in wire.closed) == ([b"begun"], True)
    wire.say(wire.opened(), OK)
    assert (wire.answer, wire.time_outs) == (OK, set())


def test_a_refused_answer_that_goes_to_the_client_is_not_left() -> None:
    wire, server = _asked(Judge(0))
    body = b"x" * (MOST_OF_REFUSED + 1)
    wire.say(server, LONG.replace(b"999999", b"%d" % len(body)) + body[:-1])
    assert wire.time_outs == set()
    wire.say(server, b"x")
    assert wire.answer.endswith(body)


def test_a_connection_that_is_not_made_is_made_anew_for_each_try() -> None:
    wire = _wire(Judge(2))
    errors: list[Error | None] = []
    wire.hooks["request"] = lambda flow: errors.append(flow.error)
    wire.ask()
    for _ in range(2):
        wire.opened("refused")
    # Whoever hears of a try finds no error of the one before.
    assert errors == [None] * 3
    wire.say(wire.opened(), OK)
    assert wire.answer == OK
    assert wire.judge.problems == [Problem("refused", "", is_sent=False)] * 2


def test_nothing_is_waited_for_any_more_when_all_tries_have_ended() -> None:
    wire = _wire()
    wire.ask()
    wire.loop.connect_timeout = wire.loop.first_byte_timeout = 7.0
    wire.opened("refused")
    assert wire.time_outs == {CONNECT}
    wire.opened("refused")
    assert wire.time_outs == set()


def test_what_was_sent_is_told_of_each_try_by_itself() -> None:
    wire, server = _asked(Judge(2))
    wire.end(server)
    wire.opened("refused")
    assert [problem and problem.is_sent for problem in wire.judge.problems] == [True, False]


def test_a_time_out_in_line_is_none_of_the_connection_before_it() -> None:
    wire = _wire(Judge(1))
    wire.ask()
    wire.judge.queues, wire.slow = True, {"ai_proxy_wait"}
    wire.opened("refused")
    wire.loop.limit(RETRY, 9.0, 9.0)
    wire.time_out(RETRY)
    assert wire.loop.is_late


def test_of_connections_only_those_are_forgotten_that_were_not_made() -> None:
    wire, server = _asked()
    wire.say(server, REFUSED)
    # Another one to the same place that has an error, but is there; and one that somebody waits for.
    server.error = "an error of before"
    wire.judge.left = 1
    wire.say(server, OK)
    assert wire.answer == OK
    assert server in wire.layer.connections
    other = Server(address=("provider.test", 81))
    other.error = "refused"
    wire.layer.connections[other] = wire.layer.connections[server]
    wire.layer.waiting_for_establishment[other] = []
    gone = Server(address=("provider.test", 82))
    gone.error = "refused"
    wire.layer.connections[gone] = wire.layer.connections[server]
    new = Server(address=("provider.test", 83))
    wire.layer.connections[new] = wire.layer.connections[server]
    wire.ask()
    assert {server, other, new} < wire.layer.connections.keys()
    assert gone not in wire.layer.connections


def test_a_connection_that_is_not_made_in_time_is_cancelled_and_no_other() -> None:
    wire = _wire()
    wire.hooks["requestheaders"] = lambda _: setattr(wire.loop, "connect_timeout", 5.0)
    wire.ask()
    assert wire.time_outs == {CONNECT}
    (mine,) = wire.opening
    # Another stream's, to another place.
    other = Server(address=("other.test", 80))
    wire.handler.transports[other] = wire.handler.transports[mine.connection]
    wire.layer.connections[other] = wire.layer.connections[wire.client]
    theirs = GetHttpConnection(("other.test", 80), False, None)
    wire.layer.waiting_for_establishment[other] = [theirs]
    wire.layer.command_sources[theirs] = HttpStream(wire.layer.context.fork(), 99)
    wire.time_out(CONNECT)
    assert wire.cancelled == [mine.connection]
    wire.opened("connection cancelled")
    (problem,) = wire.judge.problems
    assert problem is not None
    assert (problem.timeout, problem.is_sent, problem.seconds) == (CONNECT, False, 5.0)
    # The next one has a time-out of its own, until it is there.
    assert wire.time_outs == {CONNECT}
    wire.judge.left = 1
    wire.opened("refused")
    assert wire.judge.problems[-1] == Problem("refused", "", is_sent=False)
    wire.loop.first_byte_timeout = 7.0
    server = wire.opened()
    assert wire.time_outs == {FIRST_BYTE}
    wire.judge.left = 1
    wire.time_out(FIRST_BYTE)
    last = wire.judge.problems[-1]
    assert last is not None
    assert (last.timeout, last.is_sent, server in wire.closed) == (FIRST_BYTE, True, True)


def test_the_first_byte_is_waited_for_until_the_head_and_of_a_held_stream_until_its_first_event() -> None:
    judge = Judge()
    wire, server = _asked(judge)
    wire.loop.first_byte_timeout = 7.0
    wire.say(server, REFUSED)
    assert wire.time_outs == {FIRST_BYTE}
    judge.failing = b"none"
    wire.say(server, EVENTS)
    assert wire.time_outs == {FIRST_BYTE}
    assert wire.answer == b""
    wire.say(server, b"data: {}")
    assert (wire.answer, wire.time_outs) == (EVENTS + b"data: {}", set())
    wire.say(server, b"data: {}")
    assert wire.answer == EVENTS + b"data: {}" * 2


def test_a_provider_that_is_silent_in_the_last_try_is_left() -> None:
    wire, server = _asked(Judge(0))
    wire.loop.limit(RETRY, 9.0, 9.0)
    wire.time_out(RETRY)
    assert server in wire.closed


@table("answer", [OK.replace(b"2\r", b"9\r"), CHUNKED])
def test_an_answer_that_is_too_long_to_be_held_is_no_try_that_failed(answer: bytes) -> None:
    ctx.options.update(body_size_limit="8")
    wire, server = _asked()
    wire.say(server, answer)
    assert (wire.judge.problems, wire.judge.prepared) == ([None], 0)


def test_a_try_goes_the_way_of_the_first_one_though_a_stage_led_that_elsewhere() -> None:
    wire = _wire()
    ways: list[Server] = []

    def lead(flow: http.HTTPFlow) -> None:
        ways.append(flow.server_conn)
        flow.server_conn = Server(address=("127.0.0.1", 9))

    wire.hooks["request"] = lead
    wire.ask()
    wire.say(wire.opened(), REFUSED)
    assert ways[1] is ways[0]


def test_a_head_ends_the_wait_for_it_though_the_body_is_long() -> None:
    wire, server = _asked()
    wire.loop.first_byte_timeout = 7.0
    wire.say(server, REFUSED)
    wire.say(server, OK[:-1])
    assert wire.time_outs == set()


def test_a_time_out_that_comes_when_the_answer_has_begun_changes_nothing() -> None:
    wire, server = _asked()
    timers = wire.loop._timers
    wire.loop.limit(RETRY, 9.0, 9.0)
    wire.say(server, EVENTS + b"data: {}")
    assert wire.time_outs == set()
    timers.due(RETRY, 9.0)  # type: ignore[attr-defined]
    wire.say(server, b"data: {}")
    assert wire.answer == EVENTS + b"data: {}" * 2


def test_a_time_out_that_comes_while_a_hook_waits_is_told_behind_it_and_one_of_an_answer_is_over() -> None:
    wire, server = _asked()
    wire.loop.limit(RETRY, 9.0, 9.0)
    wire.slow = {"response"}
    wire.say(server, OK)
    wire.time_out(RETRY)
    assert wire.loop.is_late
    wire.slow.clear()
    wire.go_on()
    # The whole answer was there.
    assert (wire.answer, wire.closed, wire.judge.problems) == (OK, [], [])


def test_a_first_event_that_fails_is_followed_by_another_try_and_nothing_of_it_is_at_the_client() -> None:
    wire, server = _asked(Judge())
    wire.judge.failing = b"data"
    wire.say(server, EVENTS)
    wire.slow = {"response"}
    for byte in b"data: {}":
        if server.connected:
            wire.say(server, bytes([byte]))
    # What was held is shown as its body.
    assert (server.connected, wire.judge.held[-1]) == (False, b"data")
    wire.slow.clear()
    wire.go_on()
    assert (wire.answer, server in wire.closed, wire.judge.prepared) == (b"", True, 1)
    # The next one is held too, by itself.
    wire.judge.left, wire.judge.failing = 1, b"none"
    second = wire.opened()
    wire.say(second, EVENTS + b"data: {}" * 2)
    assert wire.answer == EVENTS + b"data: {}" * 2


def test_who_finds_no_place_in_line_is_told_so_and_nothing_is_sent() -> None:
    wire = _wire(Judge(0))
    wire.judge.queues, wire.judge.has_place = True, False
    wire.ask()
    assert "ai_proxy_wait" in wire.seen
    (problem,) = wire.judge.problems
    assert problem is not None
    assert (problem.timeout, problem.is_sent) == (QUEUE, False)
    assert wire.opening == []


@table("is_gone", [True, False])
def test_a_client_that_leaves_the_line_or_a_wait_ends_its_request(is_gone: bool) -> None:
    for in_line in (True, False):
        wire = _wire()
        wire.slow = {"ai_proxy_wait"}
        wire.judge.queues, wire.judge.wait = in_line, 0.0 if in_line else 5.0
        wire.ask()
        if not in_line:
            wire.say(wire.opened(), REFUSED)
        before = len(wire.opening)
        assert not wire.loop.is_gone
        if is_gone:
            wire.end(wire.client)
            assert wire.loop.is_gone
        wire.slow.clear()
        wire.go_on()
        assert (len(wire.opening) - before, wire.judge.prepared) == ((0, 0) if is_gone else (in_line, not in_line))


def test_a_client_that_cannot_be_written_to_or_has_given_up_its_stream_is_gone() -> None:
    wire, _ = _asked()
    queue = wire.stream._paused_event_queue
    seen = [wire.loop.is_gone]
    queue.append(RequestProtocolError(1, "reset", upstream_layers.CANCEL))
    seen.append(wire.loop.is_gone)
    queue.clear()
    wire.client.state = ConnectionState.CAN_READ
    assert [*seen, wire.loop.is_gone] == [False, True, True]


def test_a_client_that_leaves_while_a_hook_of_a_refused_answer_waits_ends_its_request() -> None:
    wire, server = _asked()
    wire.slow = {"response"}
    wire.say(server, REFUSED)
    wire.end(wire.client)
    wire.slow.clear()
    wire.go_on()
    assert (wire.judge.prepared, wire.sent[server].count(b"POST")) == (0, 1)


def test_a_client_that_leaves_while_the_provider_is_asked_ends_its_request() -> None:
    wire, server = _asked()
    wire.loop.limit(RETRY, 9.0, 9.0)
    wire.end(wire.client)
    assert wire.judge.problems == [None]
    assert (wire.judge.prepared, server in wire.closed, wire.time_outs) == (0, True, set())


def test_a_flow_that_is_killed_in_a_try_ends() -> None:
    wire, server = _asked()
    wire.hooks["response"] = lambda flow: setattr(flow, "error", Error(Error.KILLED_MESSAGE))
    wire.say(server, REFUSED)
    assert (wire.judge.prepared, wire.sent[server].count(b"POST")) == (0, 1)
    assert wire.client in wire.closed


def test_a_try_that_is_lost_in_its_request_hook_sends_nothing() -> None:
    wire = _wire()
    lost = Problem("nothing in a.har", "", is_sent=False, refusal=Refusal(400, "It is not in it.", code="x"))
    wire.hooks["request"] = lambda _: wire.loop.lose(lost) if not wire.judge.prepared else None
    wire.ask()
    assert wire.judge.problems == [lost]
    server = wire.opened()
    wire.say(server, OK)
    assert (wire.answer, wire.sent[server].count(b"POST")) == (OK, 1)
    # The end of the next one is its own.
    wire.judge.left = 1
    wire.hooks["request"] = lambda _: None
    wire.ask()
    wire.end(server)
    assert wire.judge.problems[-1] is not None
    assert wire.judge.problems[-1].is_sent


def test_a_request_with_an_invalid_head_is_none_to_try_again() -> None:
    wire = _wire()
    wire.ask(REQUEST.replace(b"Host:", b"Transfer-Encoding: chunked\r\nHost:"))
    assert wire.judge.problems in ([None], [])
    assert (wire.opening, wire.judge.prepared) == ([], 0)


# HTTP/2


class _Provider:
    """One that speaks HTTP/2 over what a wire sends it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        wire.alpn = b"h2"
        wire.ask()
        self.server = wire.opened()
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._http2.initiate_connection()
        self._read = 0
        self.events: list[h2.events.Event] = []
        self.pump()

    def pump(self) -> None:
        """Read what was sent, and send what is to be."""
        while True:
            sent = self._wire.sent.get(self.server, b"")[self._read :]
            self._read += len(sent)
            if sent:
                self.events += self._http2.receive_data(sent)
            data = self._http2.data_to_send()
            if data:
                self._wire.say(self.server, data)
            if not (sent or data):
                return

    def answer(self, status: int, body: bytes, *, is_end: bool = True, stream: int = 0) -> None:
        """Answer the last request."""
        stream = stream or self.asked[-1]
        self._http2.send_headers(stream, [(":status", str(status))])
        self._http2.send_data(stream, body, end_stream=is_end)
        self.pump()

    def allow(self, most: int) -> None:
        """Allow so many streams at one time."""
        self._http2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: most})
        self.pump()

    @property
    def asked(self) -> list[int]:
        """The numbers of the streams of all requests."""
        return [event.stream_id or 0 for event in self.events if isinstance(event, h2.events.RequestReceived)]

    @property
    def reset(self) -> list[int]:
        """The numbers of the streams that were given up."""
        return [event.stream_id or 0 for event in self.events if isinstance(event, h2.events.StreamReset)]


def test_over_http2_a_try_that_is_left_is_given_up_and_the_next_one_has_a_stream_of_its_own() -> None:
    wire = _wire()
    provider = _Provider(wire)
    provider.answer(500, b"x" * 100, is_end=False)
    wire.time_out(_REFUSED)
    provider.pump()
    assert provider.reset == provider.asked[:1]
    assert len(provider.asked) == 2
    provider.answer(200, b"ok")
    assert wire.answer.endswith(b"ok")
    assert (wire.answer.count(b"HTTP/1.1"), provider.server in wire.closed) == (1, False)


def test_over_http2_a_refused_answer_that_is_complete_is_not_given_up() -> None:
    wire = _wire()
    provider = _Provider(wire)
    provider.answer(429, b"no")
    assert (provider.reset, len(provider.asked)) == ([], 2)
    provider.answer(200, b"ok")
    assert wire.answer.endswith(b"ok")


def test_over_http2_the_end_of_a_connection_does_not_end_a_try_that_has_gone_elsewhere() -> None:
    wire = _wire()
    provider = _Provider(wire)
    wire.hooks["request"] = lambda flow: setattr(flow.request, "port", 81)
    provider.answer(500, b"x" * 100, is_end=False)
    wire.time_out(_REFUSED)
    wire.alpn = None
    other = wire.opened()
    wire.end(provider.server)
    assert wire.judge.problems == []
    wire.say(other, OK)
    assert wire.answer == OK


def test_over_http2_what_was_given_up_does_not_end_the_next_try_too() -> None:
    wire = _wire(Judge(3))
    provider = _Provider(wire)
    provider.answer(500, b"x" * 100, is_end=False)
    wire.time_out(_REFUSED)
    provider.pump()
    sent = len(wire.sent[provider.server])
    wire.end(provider.server)
    # One try has ended by that, and nothing is sent to who is not there any more.
    assert (len(wire.judge.problems), wire.judge.prepared) == (1, 2)
    assert len(wire.sent[provider.server]) == sent
    assert len(wire.opening) == 1


def test_over_http2_a_request_that_waits_for_a_stream_and_is_given_up_is_not_sent_later() -> None:
    wire = _wire()
    wire.hooks["requestheaders"] = lambda _: setattr(wire.loop, "first_byte_timeout", 7.0)
    provider = _Provider(wire)
    provider.allow(0)
    wire.judge.left = 2
    for _ in range(2):
        wire.time_out(FIRST_BYTE)
    provider.pump()
    assert (len(provider.asked), len(provider.reset)) == (1, 1)
    provider.allow(5)
    assert len(provider.asked) == 2
    provider.answer(200, b"ok")
    assert wire.answer.endswith(b"ok")
