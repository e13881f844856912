"""The page of a list that a query asks for, and the page after it."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.kling.pages import Page, next_page, page
from tests.tables import table

LISTS = ["t2v", "i2v"]


@table(
    ("query", "found"),
    [
        ("", Page("t2v", "1", 20)),
        ("limit=1", Page("t2v", "1", 1)),
        ("limit=100&order=desc", Page("t2v", "1", 100)),
        ("limit=007", Page("t2v", "1", 7)),
        ("limit=1&limit=2", Page("t2v", "1", 2)),
        ("after=", Page("t2v", "1", 20)),
        ("after=page-t2v-2", Page("t2v", "2", 20)),
        ("after=page-i2v-1&limit=5", Page("i2v", "1", 5)),
        ("after=page%2Di2v%2D1000", Page("i2v", "1000", 20)),
        ("unknown=1&;&%zz&=&limit=3", Page("t2v", "1", 3)),
    ],
)
def test_a_query_asks_for_a_page(query: str, found: Page) -> None:
    assert page(query, LISTS) == found


@table(
    ("query", "param"),
    [
        *(
            (f"limit={value}", "limit")
            for value in "0 101 -1 +1 1.0 a 1e1 %D9%A3 %C2%B2 %EF%BC%91 %ff 99999999999999999999 1_0 0x1".split()
        ),
        ("limit=", "limit"),
        pytest.param(f"limit={'9' * 5000}", "limit", id="limit of 5000 digits"),
        pytest.param(f"limit={'0' * 5000}1", "limit", id="limit of 5000 zeros"),
        *((f"order={value}", "order") for value in ("asc", "", "DESC", "desc%20")),
        *(
            (f"after={value}", "after")
            for value in (
                "kling-t2v-7",
                "7",
                "page",
                "page-t2v",
                "page-t2v-",
                "page-x-1",
                "page-tasks-1",
                "PAGE-t2v-1",
                "page-t2v-1%0A",
                "page-t2v-%C2%B2",
                "page-t2v-1%26pageSize=500",
                "page-t2v-" + "1" * 201,
                # No page of Kling's has these numbers.
                "page-t2v-0",
                "page-t2v-1001",
                "page-t2v-abc",
                "page-t2v-1_0",
                "page-i2v-99999",
                "%ff",
            )
        ),
    ],
)
def test_an_invalid_query_is_refused_with_its_parameter(query: str, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        page(query, LISTS)

    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_value", param)
    assert len(caught.value.message) < 200


@table(
    ("current", "count", "behind"),
    [
        (Page("t2v", "1", 2), 2, Page("t2v", "2", 2)),
        (Page("t2v", "1", 2), 3, Page("t2v", "2", 2)),
        (Page("t2v", "1", 2), 1, Page("i2v", "1", 2)),
        (Page("t2v", "7", 2), 0, Page("i2v", "1", 2)),
        (Page("t2v", "999", 1), 1, Page("t2v", "1000", 1)),
        (Page("t2v", "1000", 1), 1, Page("i2v", "1", 1)),
        (Page("i2v", "1", 2), 2, Page("i2v", "2", 2)),
        (Page("i2v", "1", 2), 1, None),
        (Page("i2v", "1000", 1), 1, None),
    ],
)
def test_a_full_page_is_followed_by_the_next_page_and_another_by_the_next_list(
    current: Page, count: int, behind: Page | None
) -> None:
    assert next_page(current, count, LISTS) == behind


@table("found", [Page("t2v", "2", 5), Page("i2v", "1000", 100)])
def test_a_cursor_leads_to_the_page_it_was_made_of(found: Page) -> None:
    assert page(f"limit={found.limit}&after={found.cursor}", LISTS) == found
