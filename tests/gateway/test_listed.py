"""The flow lists: the line of a flow, its marker, mitmweb's columns, the console's rows, and the filter ~ai."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import flowfilter, http
from mitmproxy.addons import view
from mitmproxy.test import taddons, tflow
from mitmproxy.tools.console import common
from mitmproxy.tools.web import webaddons

from mitm_ai_proxy.gateway import filters, flows, listed
from mitm_ai_proxy.gateway.listed import Listed
from tests.gateway.literal import Proxy, Said, make, run
from tests.tables import table

WORDS = ("rewritten", "replayed", "simulated", "refused", "retried")


def _flow(*words: str, comment: str = "why", body: bytes = b'{"model": "gpt-5"}') -> http.HTTPFlow:
    flow = tflow.tflow(req=http.Request.make("POST", "http://p.test/v1/chat/completions", body), resp=True)
    assert flow.response
    flow.response.content = b'{"model": "m", "choices": [], "usage": {"cost": 0.25}}'
    flow.comment = comment
    flow.metadata[flows.LISTED] = {"provider": "openai", "words": list(words), "tries": 1}
    return flow


@table("words, marker", [
    (("rewritten",), ""), (("rewritten", "refused"), ":no_entry:"), (("rewritten", "retried"), ":repeat:"),
    (("replayed",), ":vhs:"), (("rewritten", "simulated"), ":test_tube:"),
])  # fmt: skip
def test_the_comment_begins_with_the_line_and_there_is_a_marker(words: tuple[str, ...], marker: str) -> None:
    flow = _flow(*words)

    Listed().request(flow)
    Listed().response(flow)

    line, notes = flow.comment.split("\n")
    assert line.startswith("POST /v1/chat/completions → openai · gpt-5 · $0.25")
    assert all(word in line for word in words)
    assert (notes, flow.marked) == ("why", marker)


def test_the_mark_of_a_person_and_foreign_flows_stay() -> None:
    flow, foreign = _flow("refused"), tflow.tflow(resp=True)
    flow.marked, foreign.comment = ":red_circle:", "mine"

    listed.show(flow)
    listed.show(foreign)

    assert (flow.marked, foreign.comment, foreign.marked) == (":red_circle:", "mine", "")


def test_what_is_saved_with_a_flow_by_others_is_shown_as_far_as_it_can_be() -> None:
    for found in ({"words": "x", "tries": "1", "provider": 5}, {"words": [1]}, {}, {"words": None, "tries": 10**30}):
        flow = _flow()
        flow.metadata[flows.LISTED] = found
        assert "/v1/chat/completions" in listed.of(flow).text
    flow.metadata[flows.LISTED] = "x"
    assert listed.of(flow).text == ""


@table("expression, matches", [
    *[(f"~ai {word}", word == "retried" or word == "rewritten") for word in WORDS],
    ("~ai cost>0.1", True), ("~ai cost>0.25", False), ("~ai cost>=0.25", True), ("~ai cost<.3", True),
    ("~ai cost=0.25", True), ("!~ai refused & ~ai REWRITTEN", True), ("~m GET | ~ai retried", True),
    ("(~ai cost<0.25)", False),
])  # fmt: skip
def test_the_filter_finds_them(expression: str, matches: bool) -> None:
    filters.add()
    filters.add()
    flow = _flow("rewritten", "retried")

    assert bool(flowfilter.match(expression, flow)) is matches
    assert not flowfilter.match("~ai cost>0 | ~ai rewritten", tflow.tflow(resp=True))
    assert [entry[0] for entry in flowfilter.help].count("~ai word") == 1


@table("expression", ["~ai", "~ai refuse", "~ai cost", "~ai cost>x", "~ai cost>1e5", "~ai cost>>1"])
def test_what_it_does_not_know_is_refused(expression: str) -> None:
    filters.add()
    with pytest.raises(ValueError, match="Invalid filter expression"):
        flowfilter.parse(expression)


def test_a_mitmproxy_without_these_filters_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[Any, ...]] = []
    monkeypatch.setattr(filters.logger, "warning", lambda *text: heard.append(text))
    monkeypatch.setattr(filters, "flowfilter", SimpleNamespace(_Action=flowfilter._Action))
    filters.add()
    assert "is not known well enough for the filter" in heard[0][0]


def test_it_works_in_tools_with_a_list_only() -> None:
    async def work(proxy: Proxy) -> None:
        flow = make("GET /a")
        await proxy.ask(flow, Said())
        assert flow.comment.startswith("GET /a → fake") is has_list

    for has_list in (False, True):
        run(work, before=[view.View()] if has_list else [])


def test_mitmweb_shows_comments_unless_somebody_chose_its_columns() -> None:
    for chosen in (None, ["path", "time"]):
        with taddons.context(webaddons.WebAddon()) as context:
            before = list(context.options.web_columns)
            if chosen:
                context.options.update(web_columns=chosen)
            listed.add_columns()
            listed.add_columns()
            place = before.index("path") + 1
            assert context.options.web_columns == (chosen or [*before[:place], "comment", *before[place:]])
    with taddons.context():
        listed.add_columns()


def _rows(flow: http.HTTPFlow, mode: common.RenderMode) -> list[str]:
    widget = common.format_flow(flow, render_mode=mode, focused=False, hostheader=False)
    return [line.decode() for line in widget.render((120,)).text]


def test_the_console_has_a_line_more_for_each_of_ours() -> None:
    listed.add_line()
    listed.add_line()
    try:
        for mode in (common.RenderMode.TABLE, common.RenderMode.LIST, common.RenderMode.DETAILVIEW):
            ours, foreign = _rows(_flow("rewritten"), mode), _rows(tflow.tflow(resp=True), mode)
            assert len(ours) == len(foreign) + 1
            assert ours[-1].strip().startswith("POST /v1/chat/completions → openai · gpt-5 · $0.25")
    finally:
        listed.remove_line()
    assert len(_rows(_flow("rewritten"), common.RenderMode.TABLE)) == 1


def _without(common: Any, patch: pytest.MonkeyPatch) -> None:
    patch.delattr(common, "format_flow")


def _other(common: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(common, "format_flow", lambda flow: None)


def _broken(common: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(listed, "_piled", lambda widget, text: 1 / 0)


@table("change", [_without, _other, _broken])
def test_a_console_that_looks_different_is_left_alone_with_one_warning(change: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        heard: list[str] = []
        patch.setattr(listed.logger, "warning", heard.append)
        change(common, patch)
        before = getattr(common, "format_flow", None)
        listed.add_line()
        if change is _broken:
            assert len(_rows(_flow("rewritten"), common.RenderMode.TABLE)) == 1
            assert len(_rows(_flow("rewritten"), common.RenderMode.TABLE)) == 1
        assert getattr(common, "format_flow", None) is before
        assert heard == ["ai-proxy: this version of mitmproxy is not known well enough to show more in its list."]


def test_nothing_happens_without_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mitmproxy.tools.console.common")
    listed.add_line()
    listed.remove_line()
