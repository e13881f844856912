"""The page in a real browser: what it shows, with the keyboard and on a phone, and that nothing foreign runs in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform.postgres import PostgresDatabase
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.store import Store
from tests.platform.servers import Postgres
from tests.platform.web import browser as browsers
from tests.platform.web.browser import Browser
from tests.platform.web.scenes import BLOCK, PROMPTS, SCENES, Stage, clip, settle, shown
from tests.platform.web.server import Server

EVERY = 0.2
"""Seconds between two looks for events: the page is open for long."""
LANES = ("queued", "kling", "fetching", "stored")

pytestmark = pytest.mark.skipif(not browsers.PROGRAM, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    """One browser for all tests: it starts slowly."""
    with Browser() as running:
        yield running


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    """The browser, which must not have complained at the end."""
    opened.forgive()
    opened.resize(1280, 900)
    opened.prefer("light")
    yield opened
    complaints = list(opened.complaints)
    opened.leave()
    opened.forgive()
    assert complaints == []


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A server with a budget, whose jobs the test moves."""
    with Server(tmp_path, BLOCK, listen_every=EVERY) as server:
        yield Stage(server)


def _count(browser: Browser, selector: str) -> int:
    return int(browser.run(f"document.querySelectorAll('{selector}').length"))


def _lane(browser: Browser, name: str) -> list[str]:
    return list(
        browser.run(f"[...document.querySelectorAll('[data-lane={name}] .what')].map((found) => found.textContent)")
    )


def _focused(browser: Browser, selector: str) -> bool:
    return bool(browser.run(f"document.activeElement?.matches('{selector}') ?? false"))


def test_without_jobs_it_says_what_to_do(stage: Stage, browser: Browser) -> None:
    SCENES["empty"](stage)
    shown(browser, stage.server)

    assert browser.run("!document.querySelector('#empty').hidden")
    assert browser.text("#spent").startswith("0 of 120 units")
    assert browser.text("#price") == "3 units, $0.42"
    assert _count(browser, ".slots i") == 5


def test_a_busy_platform_is_seen_at_a_glance(stage: Stage, browser: Browser) -> None:
    SCENES["busy"](stage)
    shown(browser, stage.server)
    settle(browser)

    assert browser.text(".account b") == "5 of 5 running"
    assert _count(browser, ".slots i.held") == 5
    assert [browser.text(f"[data-count={lane}]") for lane in LANES] == list("8516")
    assert _lane(browser, "queued")[0] == f"{PROMPTS[0]}, again"
    assert (browser.text("#waiting"), browser.text("#hour")) == ("8", "6")
    assert browser.text("#spent") == "21 of 120 units ($2.94), 39 reserved"
    assert browser.text("#wall .how").startswith("3 units · 2 min 3")
    assert browser.run("document.querySelector('[data-lane=kling] progress').value") > 50


def test_it_is_the_same_on_postgres_and_hears_what_another_process_writes(
    postgres: Postgres, tmp_path: Path, browser: Browser
) -> None:
    postgres.clear()
    url = Secret(postgres.url)
    store, other = (Store(PostgresDatabase(url, MIGRATIONS)) for _ in range(2))
    with Server(tmp_path, BLOCK, store=store, listen_every=EVERY) as server, closing(other):
        SCENES["busy"](Stage(server))
        shown(browser, server)
        assert browser.text(".account b") == "5 of 5 running"
        assert [browser.text(f"[data-count={lane}]") for lane in LANES] == list("8516")
        assert browser.text("#spent") == "21 of 120 units ($2.94), 39 reserved"
        waiting = other.jobs(states=[State.QUEUED])[0]
        other.cancel(waiting.id, "default", time.time())
        browser.until("document.querySelector('[data-count=queued]').textContent === '7'")
        browser.until("document.querySelector('#spent').textContent.endsWith('36 reserved')")
        browser.leave()


def test_a_paused_account_says_what_to_do_and_no_job_fails(stage: Stage, browser: Browser) -> None:
    SCENES["paused"](stage)
    shown(browser, stage.server)

    assert browser.text(".banner").startswith("main is paused. The account has no units left: buy some at Kling.")
    assert "paused" in browser.text(".account b")
    assert browser.text("[data-count=failed]") == "0"


def test_the_line_of_a_job_says_times_costs_and_why_anything_was_repeated(stage: Stage, browser: Browser) -> None:
    SCENES["failed"](stage)
    shown(browser, stage.server)
    assert "content rules" in browser.text("[data-lane=failed] li:nth-child(2) .how")
    browser.run("document.querySelector('[data-lane=failed] button').click()")
    browser.until("document.querySelector('#job').open")
    text = browser.text("#job-body")

    assert browser.text("#job-title") == PROMPTS[4]
    assert "Queued 3 s, Kling 86 s, download 9 s" in text
    assert "estimated 3 units ($0.42), actual 3 units ($0.42)" in text
    assert "result_gone: Kling's file is gone: status 404" in text
    assert _count(browser, "#job .repeats li") == 2
    widths = browser.run("[...document.querySelectorAll('#job .line i')].map((part) => part.offsetWidth)")
    assert widths[1] > widths[2] > widths[0]


def test_jobs_move_as_they_go_on_without_a_reload(stage: Stage, browser: Browser) -> None:
    shown(browser, stage.server)
    browser.run("document.body.dataset.same = 'yes'")
    stage.make("a cat")
    browser.until("document.querySelector('[data-lane=queued] li')")
    job = stage.move(stage.claimed(), State.PROCESSING, "taken", task_id="t", after=-1e6)
    browser.until("document.querySelector('[data-lane=kling] li')")
    browser.until("document.querySelector('.account b').textContent.startsWith('1 of 5')")
    job = stage.move(job, State.FETCHING, "done", money=Money.SETTLED, units=3000, after=-1e6)
    browser.until("document.querySelector('[data-lane=fetching] li')")
    stage.finish(job, clip("a cat", 1))
    browser.until("document.querySelector('#wall li')")
    browser.until("document.querySelector('#spent').textContent.startsWith('3 of 120')")

    assert [_lane(browser, name) for name in ("queued", "kling", "fetching")] == [[], [], []]
    assert browser.run("document.body.dataset.same") == "yes"


def test_a_video_plays_while_it_is_looked_at(stage: Stage, browser: Browser) -> None:
    stage.stored("a cat", file=clip("a cat", 1))
    shown(browser, stage.server)
    settle(browser)
    assert browser.run("document.querySelector('#wall video').paused")
    browser.run("document.querySelector('#wall button').focus()")

    browser.until("!document.querySelector('#wall video').paused")
    browser.until("document.querySelector('#wall video').currentTime > 0")
    browser.run("document.querySelector('#prompt').focus()")
    browser.until("document.querySelector('#wall video').paused")


def test_the_price_follows_what_is_chosen_and_a_mistake_is_said_before_it_is_made(
    stage: Stage, browser: Browser
) -> None:
    shown(browser, stage.server)

    def chosen(name: str, value: str) -> None:
        field = f"document.querySelector('#order').elements.{name}"
        browser.run(f"{field}.value = '{value}'; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    chosen("duration", "10")
    browser.until("document.querySelector('#price').textContent === '6 units, $0.84'")
    chosen("mode", "pro")
    browser.until("document.querySelector('#price').textContent === '8 units, $1.12'")
    chosen("model", "kling-v2-6")
    browser.until("document.querySelector('#price').textContent === '5 units, $0.70'")
    chosen("image", "no link")
    browser.until("document.querySelector('#price').classList.contains('problem')")

    assert "image" in browser.text("#price")
    assert stage.server.counts() == 0
    # The browser says itself that a request was answered 400.
    browser.expect("400")


def test_a_budget_that_is_spent_is_said_at_the_form(tmp_path: Path, browser: Browser) -> None:
    with Server(tmp_path, {"tenants": {"default": {"dailyUnits": 2}}}, listen_every=EVERY) as server:
        shown(browser, server)
        browser.run("document.querySelector('#prompt').focus()")
        browser.type("a cat")
        browser.run("document.querySelector('#order').requestSubmit()")
        browser.until("document.querySelector('#price').classList.contains('problem')")

        assert "2 units left" in browser.text("#price")
        assert browser.run("document.querySelector('#prompt').value") == "a cat"
        assert server.counts() == 0
        browser.expect("402")
        browser.leave()


def test_the_keyboard_is_enough(stage: Stage, browser: Browser) -> None:
    shown(browser, stage.server)
    browser.tab_to(lambda: _focused(browser, "#prompt"))
    browser.type("a cat in the rain")
    browser.tab_to(lambda: _focused(browser, "#order button"))
    browser.press("Enter")
    browser.until("document.querySelector('[data-lane=queued] li')")
    browser.until("document.querySelector('#price').textContent.startsWith('accepted, number 1')")
    browser.until("document.activeElement.id === 'prompt'")
    browser.tab_to(lambda: _focused(browser, "[data-lane=queued] button"))
    browser.press("Enter")
    browser.until("document.querySelector('#job').open")
    assert browser.text("#job-title") == "a cat in the rain"
    browser.press("Escape")
    browser.until("!document.querySelector('#job').open")
    assert _focused(browser, "[data-lane=queued] button")
    # Before the dialog has been told that it was closed.
    browser.run(
        "document.activeElement.click(); new Promise((opened) => { const look = () => {"
        " const dialog = document.querySelector('#job'); if (!dialog.open) return setTimeout(look, 5);"
        " dialog.close(); document.activeElement.click(); opened(); }; look(); })"
    )
    browser.until("document.querySelector('#job').open")
    # To be told of it when it is open again has no effect.
    browser.run("document.querySelector('#job').dispatchEvent(new Event('close'))")
    assert browser.run("document.querySelector('#job-body').childNodes.length") > 0
    browser.tab_to(lambda: bool(browser.run("document.activeElement.textContent === 'Cancel'")))
    browser.press(" ")
    browser.until("!document.querySelector('[data-lane=queued] li')")

    assert stage.server.store.counts() == {State.CANCELLED: 1}


def test_the_focus_stays_where_it_is_while_others_come_and_go(stage: Stage, browser: Browser) -> None:
    first, second = stage.make("first"), stage.make("second")
    shown(browser, stage.server)
    browser.run(f"document.querySelector('[data-job={second}]').focus()")
    stage.server.ask("DELETE", f"/api/videos/{first}")
    browser.until("document.querySelectorAll('[data-lane=queued] li').length === 1")

    assert _focused(browser, f"[data-job={second}]")


def test_the_focus_and_the_scrolling_stay_in_the_dialog_of_a_job_that_goes_on(stage: Stage, browser: Browser) -> None:
    """An event of the job draws its dialog anew; only a button that is gone leaves the focus to another one."""
    job = stage.running("a cat")
    shown(browser, stage.server)
    browser.run("document.querySelector('[data-lane=kling] button').click()")
    browser.until("document.querySelector('#job').open")
    browser.tab_to(lambda: bool(browser.run("document.activeElement.textContent === 'Throw the result away'")))
    browser.run("window.focused = document.activeElement")
    for place in range(12):
        job = stage.move(job, State.PROCESSING, f"the task is running, {place}", after=-1e6)
    browser.until("document.querySelectorAll('#job .history li').length >= 15")
    assert browser.run("document.activeElement === window.focused && window.focused.isConnected")

    browser.run("document.querySelector('#job .history').scrollTop = 40")
    browser.press("Enter")
    browser.until("![...document.querySelectorAll('#job button')].includes(window.focused)")
    assert browser.run("document.querySelector('#job').contains(document.activeElement)")
    assert browser.run("document.querySelector('#job .history').scrollTop") == 40


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(scheme: str, stage: Stage, browser: Browser) -> None:
    SCENES["busy"](stage)
    browser.prefer(scheme)
    browser.resize(390, 844, phone=True)
    shown(browser, stage.server)

    assert browser.run("document.documentElement.scrollWidth") <= 390
    wide = browser.run("[...document.querySelectorAll('button, input, select, textarea')].map((e) => e.offsetHeight)")
    assert min(height for height in wide if height) >= 13
    red = int(browser.run("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0]"))
    assert (red < 60) is (scheme == "dark")
    browser.run("document.querySelector('[data-lane=kling] button').click()")
    browser.until("document.querySelector('#job').open")
    assert browser.run("document.querySelector('#job').getBoundingClientRect().right") <= 390


def test_what_a_prompt_holds_is_text_and_runs_nothing(stage: Stage, browser: Browser) -> None:
    prompt = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
    stage.stored(prompt, file=clip("x", 1))
    stage.make(prompt)
    shown(browser, stage.server)
    browser.run("document.querySelector('[data-lane=queued] button').click()")
    browser.until("document.querySelector('#job').open")

    assert browser.text("#job-title") == prompt
    assert _lane(browser, "queued") == [prompt]
    assert browser.run("window.hit ?? 0") == 0


def test_the_policy_keeps_foreign_code_and_addresses_out(stage: Stage, browser: Browser) -> None:
    shown(browser, stage.server)
    browser.run(
        "(() => { const made = document.createElement('script'); made.textContent = 'window.hit = 1';"
        " document.body.append(made); })()"
    )
    blocked = browser.run("fetch('http://127.0.0.1:9/x').then(() => 'sent', (error) => error.name)")

    assert browser.run("window.hit ?? 0") == 0
    assert blocked == "TypeError"
    browser.expect("Content Security Policy", least=2)


def test_where_there_are_keys_it_asks_for_one_and_keeps_it_where_no_script_sees_it(
    stage: Stage, browser: Browser
) -> None:
    _, key = stage.server.store.keys.make("default", 0)
    browser.open(f"{stage.server.url}/")
    browser.until("document.querySelector('#enter').open")
    browser.type("vp_wrong")
    browser.press("Enter")
    browser.until("document.querySelector('#key-problem').textContent")
    assert "not known" in browser.text("#key-problem")
    browser.run("document.querySelector('#key').select()")
    browser.type(key)
    browser.press("Enter")
    browser.until("document.querySelector('#connection').dataset.state === 'live'")

    assert browser.run("document.cookie") == ""
    assert not browser.run("document.querySelector('#enter').open")
    browser.run("document.querySelector('#leave').click()")
    browser.until("document.querySelector('#enter')?.open")
    browser.expect("401")


def test_many_jobs_are_a_bounded_number_of_elements(tmp_path: Path, browser: Browser) -> None:
    with Server(tmp_path, listen_every=EVERY) as server:
        for number in range(50):
            server.made(prompt=f"cat {number}")
        shown(browser, server)

        assert _count(browser, "[data-lane=queued] li") == 30
        assert browser.text("[data-more=queued]") == "and 20 more"
        assert _lane(browser, "queued")[0] == "cat 0"
        browser.leave()
