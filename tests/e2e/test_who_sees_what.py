"""The table of docs/reliability.md that says what a client gets and what is noted, row by row over real sockets."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.e2e import moody
from tests.e2e.conftest import StartProxy
from tests.e2e.moody import CLOSE, SILENCE, Mood, Moody
from tests.e2e.tries import CHAT, CHUNK, JSON, OVERLOADED, STREAM, flows_of

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
PICTURE = "/v1/images/generations"
REFUSED, FAILED = moody.refusal(429), moody.refusal(500)
_OF_CLAUDE = b'{"type": "error", "error": {"type": "overloaded_error", "message": "too many"}}'
BUSY = moody.refusal(529, body=_OF_CLAUDE)


class Row(NamedTuple):
    """How the two providers are, the model that leads to them, and what is asked; and what the client gets, if that is
    not what the page says: its status and the code of an error."""

    one: Mood
    two: Mood = STREAM
    model: str = "pair"
    path: str = CHAT
    status: int = 200
    code: str | None = None


# By the first two cells of the page's rows.
ROWS = {
    ("a status in `retryOnStatus`", "possible"): Row(REFUSED),
    ("the same", "none left"): Row(REFUSED, BUSY, status=529, code=None),
    ("refused, reset, no TLS", "none left"): Row(FAILED, model="nobody"),
    ("broken off before the client has anything", "none left"): Row(CLOSE, CLOSE),
    ("broken off in a stream", "never"): Row(moody.stream(CHUNK, CHUNK[:9], end="close"), code="answer_broken"),
    ("silence", "none left"): Row(REFUSED, SILENCE),
    ("an error as the first event of a stream, or as a whole answer of status 200", "possible"): Row(
        moody.stream(OVERLOADED)
    ),
    ("may have bought something", "never, but after a certain refusal"): Row(FAILED, path=PICTURE, status=500),
    ("the limits that are configured are reached", "with a token or provider that has room"): Row(
        REFUSED, model="full"
    ),
}
# test_silence.py and test_second_tries.py
ELSEWHERE = {
    ("the proxy is stopped while a request waits", "none"),
    ("the client leaves, also while it waits", "end"),
    ("mitmproxy's layers are not known", "none"),
}


def _page() -> Iterator[tuple[str, ...]]:
    """The rows of the table, in cells."""
    text = PAGE.read_text().partition("\n## Who sees what\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    for line in lines[1:]:
        yield tuple(cell.strip() for cell in line.strip("|").split("|"))


def _matches(shown: str, comment: str) -> bool:
    """Whether a comment has what the page shows, with numbers, names and a reason of its own."""
    pattern = re.escape(shown.replace("(...)", "(ANY)"))
    pattern = re.sub(r"\d+", r"\\d+", pattern.replace("ANY", ".+?"))
    # A provider with one token has no more of a name.
    return re.search(re.sub("openai|groq", r"\\w+(?: \\(token \\d+ of \\d+\\))?", pattern), comment) is not None


def test_each_row_of_the_page_is_so(pair: tuple[Moody, Moody], start_proxy: StartProxy, tmp_path: Path) -> None:
    one, two = pair
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    retry, domain = "retryOnFailure: {enabled: true}", f"providerDomain: '{one.origin}'"
    limit = "rate: {requestsPerMinute: 1}, queueTimeout: 1"
    text = (
        "providers:\n"
        f"- {{id: one, type: openai, apiTokens: [a, b], {domain}, {retry}}}\n"
        f"- {{id: two, type: claude, apiTokens: c, providerDomain: '{two.origin}', firstByteTimeout: 300}}\n"
        f"- {{id: gone, type: openai, apiTokens: d, providerDomain: '{nobody}'}}\n"
        f"- {{id: full, type: openai, apiTokens: [e, f], {domain}, {retry}, {limit}}}\n"
        f"routes: [{{path: {PICTURE}, provider: one}}, {{model: nobody, provider: [one, gone]}},"
        " {model: full, provider: full}, {path: '/*', provider: [one, two]}]"
    )
    saved = tmp_path / "flows"
    proxy = start_proxy(text, "-w", str(saved))
    page = {(what, further): (gets, shown) for what, further, gets, shown in _page()}
    assert page.keys() == ROWS.keys() | ELSEWHERE
    wrong: dict[str, object] = {}
    one.mood = lambda request: moody.OK
    assert proxy.request("POST", CHAT, _body("full", "before"), JSON).status == 200
    for (what, further), row in ROWS.items():
        one.mood, two.mood = _always(row.one), _always(row.two)
        reply = proxy.request("POST", row.path, _body(row.model, f"{what} {further}"), JSON)
        told = re.match(r"(\d{3}) `(\w+)`", page[what, further][0])
        status, code = (int(told[1]), told[2]) if told else (row.status, row.code)
        if reply.status != status or (code and f'"{code}"'.encode() not in reply.body):
            wrong[what] = reply
        if row.two is BUSY:
            # In the client's own dialect.
            assert json.loads(reply.body)["error"].keys() >= {"message", "type", "code"}
    proxy.close()
    flows = flows_of(saved)
    for what, further in ROWS:
        comment = [flow.comment for flow in flows if f"{what} {further}".encode() in (flow.request.content or b"")][-1]
        shown = re.findall(r"`([^`]+)`", page[what, further][1])
        if not (shown and _matches(shown[0], comment)):
            wrong[f"{what}, the comment"] = comment
    assert wrong == {}


def _body(model: str, text: str) -> bytes:
    value = {"model": model, "stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    return json.dumps({**value, "prompt": text}).encode()


def _always(mood: Mood) -> Callable[[moody.Request], Mood]:
    return lambda request: mood
