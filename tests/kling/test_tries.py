"""Creates of Kling's under further tries: what is bought, by which account, and under which name.

Each token is an account of its own, which takes each external_task_id once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from mitm_ai_proxy import pipeline, registry
from mitm_ai_proxy.edges import attempts
from mitm_ai_proxy.edges.attempts import Attempts
from mitm_ai_proxy.edges.problems import CONNECT, FIRST_BYTE, TIMEOUT, Problem
from mitm_ai_proxy.exchange import Upstream, Whole
from mitm_ai_proxy.pipeline import Outgoing
from mitm_ai_proxy.routing.providers import Providers
from mitm_ai_proxy.routing.rules import Choice
from tests.providers.chats import head_of
from tests.tables import table

BODY = json.dumps({"model": "sora-2", "prompt": "a cat", "seconds": "4"}).encode()
RETRY = "retryOnFailure: {enabled: true, maxRetries: 9}"
PROVIDERS = {
    "one": f"providers: [{{id: one, type: kling, apiTokens: [a, b, c], {RETRY}}}]",
    "several": f"providers: [{{id: one, type: kling, apiTokens: [a, b, c], {RETRY}}},"
    f" {{id: two, type: kling, apiTokens: [d, e], {RETRY}}}]\nroutes: [{{path: '/*', provider: [one, two]}}]",
    "no further tries": "providers: [{id: one, type: kling, apiTokens: [a, b, c]}]",
}
SDK, KEY = "X-Stainless-Lang: python", "Idempotency-Key: k"
# What a client sends with a create, and with each repetition of it.
CLIENTS = {
    "an SDK that counts": [[SDK], [SDK, "X-Stainless-Retry-Count: 1"], [SDK, "X-Stainless-Retry-Count: 2"]],
    "one that does not count": [[SDK]] * 3,
    "a key": [[KEY]] * 3,
}
# How a try ends, and whether an account may have accepted the create.
FAULTS: dict[str, tuple[int | Problem, bool]] = {
    "429": (429, False),
    "401": (401, False),
    "connection refused": (Problem("connection refused", "", is_sent=False), False),
    "no connection in time": (Problem("", CONNECT, is_sent=False, seconds=1), False),
    "cut after it was sent": (Problem("peer closed connection", "", is_sent=True), True),
    "no answer in time": (Problem("", TIMEOUT, is_sent=True, seconds=1), True),
    "no first byte in time": (Problem("", FIRST_BYTE, is_sent=True, seconds=1), True),
    "500": (500, True),
}


@dataclass
class World:
    """Providers, and what their accounts have been asked and have accepted: (token, name)."""

    providers: Providers
    asked: list[tuple[str, str]] = field(default_factory=list)
    bought: set[tuple[str, str]] = field(default_factory=set)

    def ask(self, lines: list[str], *faults: str) -> int:
        """The status of the answer to a create, each of whose tries ends with one of the faults, at last with none."""
        head = head_of("/v1/videos", "Content-Type: application/json", *lines)
        names = tuple(self.providers.by_id)
        choice = Choice(self.providers.by_id[names[0]], "", head, names)
        tries = Attempts(self.providers, attempts.drawn(self.providers, choice, head, BODY), head)
        tries.raw = BODY
        upstream = pipeline.rewritten(tries.provider, head, BODY)
        for number in range(9):
            assert isinstance(upstream, Upstream)
            tries.send(upstream)
            token = tries.place.token if self.providers.is_watched(names) else None
            made = pipeline.outgoing(tries.provider, head, upstream, head.fields, BODY, token)
            status = self._try(tries, made, faults[number] if number < len(faults) else "")
            if not tries.follows:
                return status
            tries.begin_next()
            upstream = tries.prepared  # type: ignore[assignment]
        raise AssertionError("too many tries")

    def _try(self, tries: Attempts, made: Outgoing, fault: str) -> int:
        """Send it as an edge does; the status of what the client would get, 0 for none."""
        token = dict(made.fields)[b"Authorization"].decode().removeprefix("Bearer ")
        name = json.loads(made.body or b"")["external_task_id"]
        self.asked.append((token, name))
        is_known = (token, name) in self.bought
        end, is_accepted = FAULTS[fault] if fault else (200, True)
        if is_accepted:
            self.bought.add((token, name))
        if isinstance(end, Problem):
            tries.break_off(end)
            tries.provider.error(made.upstream)
            return 0
        code, message = (1201, f"External_task_id {name} already exists") if is_known else (0, "SUCCEED")
        document = {"code": code, "message": message, "data": {"task_id": "7", "task_status": "submitted"}}
        if fault:
            document = {"code": {429: 1303, 401: 1000, 500: 5000}[end], "message": "no"}
        status = 400 if is_known and not fault else end
        handling = pipeline.responseheaders(tries.provider, made.upstream, status, ())
        tries.hear(status, ())
        tries.complete(status)
        if tries.is_refused:
            return status
        assert isinstance(handling, Whole)
        reply = pipeline.response(handling, status, (), json.dumps(document).encode())
        return reply.status if reply else status


def _world(name: str) -> World:
    return World(registry.providers(registry.read(PROVIDERS[name], {})))


CERTAIN = [fault for fault, (_, is_accepted) in FAULTS.items() if not is_accepted]
UNCERTAIN = FAULTS.keys() - CERTAIN


@table(("providers", "client"), [(providers, client) for providers in PROVIDERS for client in CLIENTS])
def test_a_create_that_may_have_been_accepted_is_bought_once_however_often_it_is_repeated(
    providers: str, client: str
) -> None:
    first, second, third = CLIENTS[client]
    for certain in CERTAIN:
        for uncertain in UNCERTAIN:
            world = _world(providers)
            world.ask(first, *([certain] if providers != "no further tries" else []), uncertain)
            (account,) = world.bought
            # The only account that may have it is asked, and no other one where that refuses.
            world.ask(second, "429")
            assert world.ask(third) == 303
            assert world.bought == {account}
            assert world.asked[-3:] == [account] * 3
            assert {token for token, _ in world.asked} <= set("abc")
            assert len({name for _, name in world.asked}) == 1


@table(("fault", "count"), [(fault, 1 if is_accepted else 3) for fault, (_, is_accepted) in FAULTS.items()])
def test_only_a_certain_refusal_is_followed_by_another_token_under_the_same_name(fault: str, count: int) -> None:
    world = _world("one")
    world.ask([SDK], fault, fault, fault)
    assert len(world.asked) == len({token for token, _ in world.asked}) == count
    assert len({name for _, name in world.asked}) == 1


@table("lines", [lines for _, lines, _ in CLIENTS.values()])
def test_a_create_that_all_have_refused_may_go_to_each_of_them_when_it_is_repeated(lines: list[str]) -> None:
    for _ in range(4):
        world = _world("one")
        assert world.ask([KEY] if lines == [KEY] else [SDK], "429", "401", "429") == 429
        assert world.ask(lines, "429", "429") == 200
        assert {token for token, _ in world.asked[3:]} == set("abc")


def test_equal_creates_of_two_clients_have_two_names_though_both_are_tried_again() -> None:
    world = _world("one")
    assert [world.ask([SDK], "429", "401"), world.ask([SDK], "401")] == [200, 200]
    assert len({name for _, name in world.bought}) == len(world.bought) == 2
