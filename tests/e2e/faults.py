"""What a provider can do wrong, and what the client sees of it at both edges: the table of docs/reliability.md."""

from __future__ import annotations

from typing import Final, NamedTuple

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EVENTS: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY: Final = b'{"id": "chatcmpl-1"}'
EVENT: Final = b'data: {"id": "chatcmpl-1"}\n\n'
WHOLE: Final = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Fault(NamedTuple):
    """What a provider says and does. `mitmdump` and `serve`: what the client sees, as seen() of test_faults.py tells.

    `way`: the path that leads to this provider. `end`: what it does with the connection behind what it says.
    """

    name: str
    says: bytes
    mitmdump: str
    serve: str
    end: str = ""
    way: str = "raw"


UNREACHABLE: Final = "502 `provider_unreachable`"
CUT: Final = "200, then the connection is closed"
BROKEN: Final = "200, then an error event (`answer_broken`)"
PASSED: Final = "200, the whole answer"
_CHUNKED: Final = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_INTERIM: Final = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
_SWITCH: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
_REDIRECT: Final = b"HTTP/1.1 307 See There\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
_EVIL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
_LONG: Final = b"HTTP/1.1 200 OK\r\nX: %b\r\n" % (b"a" * 1_000_000)
STREAM: Final = EVENTS + b"%x\r\n%b\r\n" % (len(EVENT), EVENT)

FAULTS: Final = (
    Fault("the connection is refused", b"", UNREACHABLE, UNREACHABLE, way="nobody"),
    Fault("reset before an answer", b"", UNREACHABLE, UNREACHABLE, "reset"),
    Fault("closed before an answer", b"", UNREACHABLE, UNREACHABLE, "close"),
    Fault("no HTTP", b"220 mail.example ESMTP\r\n\r\n", UNREACHABLE, UNREACHABLE, "close"),
    Fault("half a head, then closed", HEAD, UNREACHABLE, UNREACHABLE, "close"),
    Fault("half a short answer, then closed", WHOLE[:-5], UNREACHABLE, CUT, "close"),
    Fault("half a short answer, then reset", WHOLE[:-5], UNREACHABLE, CUT, "reset"),
    Fault("half a chunk, then closed", _CHUNKED + b"20\r\n{", UNREACHABLE, CUT, "close"),
    Fault("a chunk without a length", _CHUNKED + b"zz\r\n{}\r\n", UNREACHABLE, UNREACHABLE, "close"),
    Fault("a stream that is closed before its end", STREAM, BROKEN, BROKEN, "close"),
    Fault("a stream that is reset", STREAM, BROKEN, BROKEN, "reset"),
    Fault("an answer that drips, byte by byte", WHOLE, PASSED, PASSED, "drip"),
    Fault("silence, with `timeout`", b"", "504 `provider_timeout`", "504 `provider_timeout`", way="timed"),
    Fault("more than its length says", WHOLE + b"EVIL", PASSED, UNREACHABLE),
    Fault("a length that is no number", HEAD + b"Content-Length: 2x\r\n\r\n{}", UNREACHABLE, UNREACHABLE),
    Fault("two lengths", HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", UNREACHABLE, UNREACHABLE),
    Fault(
        "a length and chunks",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        UNREACHABLE,
        UNREACHABLE,
    ),
    Fault("no length, and closed at its end", HEAD + b"\r\n" + BODY, PASSED, PASSED, "close"),
    Fault("`100 Continue` and `103 Early Hints` first", _INTERIM + WHOLE, PASSED, PASSED),
    Fault("`101 Switching Protocols`, unasked", _SWITCH + _EVIL, UNREACHABLE, UNREACHABLE),
    Fault("a redirect to another host", _REDIRECT, "307, the whole answer", "307, the whole answer"),
    Fault("a second answer that nobody asked for", WHOLE + _EVIL, PASSED, PASSED),
    Fault(
        "a head of 1 MB", b"HTTP/1.1 200 OK\r\nX: %b\r\n" % (b"a" * 1_000_000) + WHOLE[17:], UNREACHABLE, UNREACHABLE
    ),
)
OTHERS: Final = (
    ("HTTP/2 on the client's side", "each row above as over HTTP/1.1", "`ai-proxy serve` speaks HTTP/1.1: 505"),
    (
        "HTTP/2 on the provider's side, and the stream is reset or the connection is closed",
        UNREACHABLE,
        "it is spoken to by HTTP/1.1",
    ),
    (
        "a kept connection that the provider has closed",
        "the next request has a new one; none is sent twice",
        "the next request has a new one; none is sent twice",
    ),
    (
        "the client leaves in the middle of a stream",
        "the provider's connection is closed",
        "the provider's connection is closed",
    ),
    ("the clock jumps", "credentials are signed anew; time-outs do not mind", "the same"),
    (
        "the configuration is changed under load",
        "each request is served by the old or by the new one, whole",
        "the same",
    ),
    (
        "SIGTERM under load",
        "a whole answer, or a connection that is closed; whole answers are in the recording",
        "what is under way is answered; then no connection is made any more",
    ),
    ("the disk is full while recording", "the answer; the log says that it is not recorded yet", "does not record"),
)
"""What else can go wrong, and both edges' ways with it; a test of test_faults.py has each."""
