"""A test's view of the proxy: its URL, its requests, its cassette, and what to say of them when the test ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ..cassette.bodies import CassetteError
from ..cassette.cassette import Cassette, Mode, Settled
from ..cassette.entry import Request
from ..cassette.playing import Miss
from .obstacles import obstacles
from .results import Result, entry_name
from .runs import Advice, TestRun, recorded_api, words_of
from .texts import first, line_of, shown
from .upstream_request import Headers, UpstreamRequest


class Mark(NamedTuple):
    """How many misses, refusals and errors there were at a moment."""

    misses: int = 0
    refusals: int = 0
    complaints: int = 0


NOTHING: Final = Mark()


class AIProxy:
    """The proxy of one test: `url` and `base_url` for its clients, `requests` and `cassette` for its assertions."""

    def __init__(
        self, url: str, test_run: TestRun, cassette: Cassette, advice: Advice, connections: Callable[[], int]
    ) -> None:
        self.url: Final = url
        """The origin of the proxy."""
        self.cassette: Final = cassette
        """The cassette of this test."""
        self.test_run: Final = test_run
        self._advice = advice
        self._connections, self._connections_before = connections, connections()
        self.complaints: Final[list[str]] = []
        """Errors that the proxy logged, such as that a cassette could not be written."""
        self._requests: list[UpstreamRequest] = []
        self._is_new = test_run.path is None or not test_run.path.exists()
        self._settled = Settled(True)
        self._has_passed = False

    def __repr__(self) -> str:
        return f"<ai_proxy {self.base_url}, {shown(self.test_run.path)}, {len(self._requests)} requests>"

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client: `url` with `/v1`."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[UpstreamRequest]:
        """The requests that were or would have been sent to the provider, in order."""
        return list(self._requests)

    @property
    def refusals(self) -> list[str]:
        """The creates that the budget did not allow, as texts with the reason."""
        return [f"{line_of(request)}\n  {reason}{self._advice.share}" for request, reason in self.cassette.refusals]

    def saw(self, request: Request) -> None:
        """Append to the requests."""
        self._requests.append(UpstreamRequest(request.method, request.url, Headers(request.headers), request.body))

    def so_far(self) -> Mark:
        """How much trouble there was so far."""
        return Mark(len(self.cassette.misses), len(self.cassette.refusals), len(self.complaints))

    def trouble(self, since: Mark = NOTHING) -> str:
        """A text about misses, refusals and errors, any of which fails the test; "" if there are none."""
        misses = self.cassette.misses[since.misses :]
        told = [*self.refusals[since.refusals :], *self.complaints[since.complaints :]]
        return "\n\n".join([*([self._missed(misses)] if misses else ()), *told])

    def remark(self) -> str:
        """A text about possible causes of a failure; "" if there are none."""
        texts = [f"{shown(self.test_run.path)} {self.test_run.remark}."] if self.test_run.remark else []
        if self.test_run.variation and self.cassette.recorded:
            varied = words_of(self.test_run.variation)
            texts.append(f"{shown(self.test_run.path)} was recorded as it went; {varied} counts from the next run on.")
        if not texts and (failures := self._recorded_failures()):
            texts.append(failures)
        is_unreached = not self._requests and self._connections() == self._connections_before
        in_the_way = obstacles() if is_unreached else []
        if in_the_way:
            texts.append("\n".join([f"No request came to the proxy at {self.url}.", *in_the_way]))
        return "\n\n".join(texts)

    def _recorded_failures(self) -> str:
        """A text about failures that came from the cassette, and not from the provider."""
        failed = [entry for entry in self.cassette.replayed if entry.response and _is_temporary(entry.response.status)]
        if not failed or self.test_run.variation:
            return ""
        lines = [
            f"  {line_of(entry.request)}: {entry.response.status}"
            for entry in dict.fromkeys(failed)
            if entry.response is not None
        ]
        head = f"This was not answered by the provider, but from {shown(self.test_run.path)}:"
        return "\n".join([head, *first(lines), "--ai-record=rewrite records it anew."])

    def settle(self, passed: bool) -> None:
        """At the end of the test, keep or drop what it recorded."""
        self._has_passed = passed and not self.trouble()
        try:
            self._settled = self.cassette.settle(self._has_passed)
        except CassetteError as error:
            self._settled, self._has_passed = Settled(False), False
            self.complaints.append(str(error))

    def _told(self) -> str:
        """What became of the recording, if it is not in the cassette; "" if it is."""
        if self._settled.is_kept or not self.cassette.recorded:
            return ""
        why = "no request had a success" if self._has_passed else "the test failed"
        state = "was not recorded" if self._is_new else "is as it was"
        aside = self._settled.aside
        kept = f", and what it may have paid for is in {aside.name}" if aside else ""
        return f"{shown(self.test_run.path)} {state}, since {why}{kept}"

    def left_over(self) -> str:
        """A text with the unused entries of the cassette; "" if there are none."""
        unused = self.cassette.unused
        if not unused:
            return ""
        lines = [f"  {line_of(entry.request)}" for entry in unused]
        head = f"Not asked for, of the recordings in {shown(self.test_run.path)}:"
        return "\n".join([head, *first(lines), "allow_unused=True lets a test leave some."])

    def result(self, passed: bool) -> Result:
        """The result for the report; `passed` is whether the test passed and must use all entries."""
        from ..cassette import spending

        prices = recorded_api()
        cassette, test_run = self.cassette, self.test_run
        recorded, replayed = cassette.recorded, cassette.replayed
        says_what_is_unused = passed and test_run.variation is None
        is_paid = [] if test_run.simulates else [entry for entry in recorded if not entry.simulated]
        pretended = [entry for entry in replayed if entry.simulated]
        # Older recordings of the simulator do not say that they are.
        saving = pretended if test_run.simulates else replayed
        result: Result = {
            "file": shown(test_run.path),
            "path": str(test_run.path or ""),
            "recorded": len(recorded) if test_run.path else 0,
            "simulated": 0 if test_run.path else len(recorded),
            "replayed": len(replayed),
            "missed": len(cassette.misses),
            "refused": len(self.refusals),
            "unused": [entry_name(entry) for entry in cassette.unused] if says_what_is_unused else None,
            "cost": list(spending.spent(is_paid, prices)),
            "saved": list(spending.spent(saving, prices)),
            "pretended": list(spending.spent(pretended, prices)),
            "told": self._told(),
            "remark": test_run.remark,
        }
        if cassette.mode is Mode.REWRITE:
            is_good = self._has_passed and self._settled.is_kept
            result["rewritten"] = list(self._settled.names) if is_good else None
        return result

    def _missed(self, misses: Sequence[Miss]) -> str:
        """The text about requests that no recording answers."""
        path, mode = shown(self.test_run.path), self.cassette.mode.value
        if self._is_new:
            head = f"There is no cassette {path} (mode {mode}), so this was not sent:"
            advice = f"{self._advice.mode.format('once')} records it."
        else:
            head = f"This is not in {path} (mode {mode}), so it was not sent:"
            some, everything = map(self._advice.mode.format, ("new_episodes", "rewrite"))
            advice = f"{some} records what is missing, {everything} all of it anew."
        if self.test_run.variation:
            varied = words_of(self.test_run.variation)
            advice = f"With {varied}, a cassette that is there is only played; without it, {advice}"
        texts = []
        for miss, times in Counter(misses).items():
            lines = [f"  {miss.request}{f' ({times} times)' if times > 1 else ''}"]
            if miss.recorded:
                lines.append(f"    the nearest is entry {(miss.nearest or 0) + 1}, {miss.recorded}")
                lines += [f"      {difference}" for difference in miss.differences]
            texts.append("\n".join(lines))
        return "\n".join([head, *first(texts), advice])


def _is_temporary(status: int) -> bool:
    """Whether a failure says more of its time than of the request: a wrong key, too many requests, a server's error."""
    return status in (401, 403, 407, 408, 429) or status >= 500
