"""mitmweb in a real browser, with traffic of real SDKs: list, conversation, stream, video job, difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.platform.web import browser
from tests.sdk.sdk import Sdks
from tests.sdk.windows import HOSTILE, KEY, window


@pytest.mark.skipif(not browser.PROGRAM, reason="there is no Chromium here")
def test_mitmweb_tells_what_was_asked_what_became_of_it_and_what_was_said(tmp_path: Path, sdks: Sdks) -> None:
    with window(tmp_path, sdks.newest) as opened:
        rows = "\n".join(opened.rows())
        for told in (
            "POST /v1/videos → kling text2video · sora-2 → kling-v3 · 4 s · queued · 2.4 units · $0.336 (list price)",
            "→ kling text2video · completed · first byte ",
            "POST /v1/chat/completions → moonshot · gpt-4.1 → kimi-k2 · 14 tokens in, 6 out · ",
            "POST /v1/messages → claude · claude-sonnet-4-5 · 138 tokens in, 10 out (6 reasoning) · $0.000564 ",
            "POST /v1/videos → kling · sora-2 · 99 s · 400: kling-v3 makes no video of 99 seconds",
            "429: Too many requests. Try again later. · first byte ",
            "rewritten · simulated · retried, 2 tries",
        ):
            assert told in rows
        # There is room for it: more than for anything else.
        widths = opened.browser.run("[...document.querySelectorAll('.flow-table th')].map((head) => head.offsetWidth)")
        comment = opened.browser.run("document.querySelector('.flow-table th.col-comment').offsetWidth")
        assert comment == max(widths) > 500

        conversation = opened.shown(opened.number("POST /v1/messages → claude", 1), "Request")
        stream = opened.shown(opened.number("POST /v1/messages → claude"), "Response")
        video = opened.shown(opened.number("GET /v1/videos/", -2), "Response")
        difference = opened.shown(opened.number("POST /v1/messages → moonshot"), "Request")
        answer = opened.shown(opened.number("POST /v1/messages → moonshot"), "Response")
        # Sent again, as a person does it: by the button for the flow that is chosen.
        again = opened.number("POST /v1/messages → moonshot")
        opened.browser.run("document.querySelector('button[title*=\"eplay flow\"]').click()")
        asks = f"fetch('flows').then((answer) => answer.json()).then((all) => {{ window.told = all[{again}].comment }})"
        opened.browser.until(f"({asks}, window.told?.includes('again, as a person asked, which may cost again'))")
        page = opened.browser.run("document.body.innerText")

        assert "turn 2 of session 3f2a1b2c: added 2 messages" in conversation
        assert "(image/png, 972 bytes, 640x480)\nWhat is the weather there?" in conversation
        assert "─\n18 degrees" in conversation
        assert "I need get_weather for this.\n\n── call get_weather" in stream
        assert "ended to have tools called · 138 tokens in, 10 out (6 reasoning) · $0.000564 (list price)" in stream
        assert "· completed · 100 %\nsora-2 · 4 s · 1280x720 · 2.4 units · $0.336 (list price)\nso far: queued" in video
        assert "-POST /v1/messages\n+POST /v1/chat/completions\n" in difference
        assert "translated from anthropic to openai" in difference
        shown = HOSTILE.replace("\x1b", "\\x1b").replace("\x07", "\\x07")
        assert shown in difference
        assert shown[:60] in answer
        assert opened.browser.run("window.owned === undefined && !document.querySelector('img[src=x]')")
        assert KEY not in page
