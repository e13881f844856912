"""What a test asks of the proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mitm_ai_proxy.cassette.cassette import Mode
from mitm_ai_proxy.cassette.variations import Variation
from mitm_ai_proxy.testing.runs import Unusable, make_test_run
from tests.tables import table

CONFIG: dict[str, Any] = {"provider": {"type": "kling"}, "cassette": {"ignore": "size"}, "simulator": {"units": 5}}


def test_marks_are_merged_into_the_configuration() -> None:
    made = make_test_run(
        CONFIG, Path("x.har"), "once", {"pace": "real", "failed": "too dark"}, {"units": 3, "fault": "1303"}
    )

    assert made.config == {
        "provider": {"type": "kling"},
        "cassette": {"ignore": "size", "pace": "real"},
        "simulator": {"speed": "instant", "units": 3, "fault": "1303"},
    }
    assert (made.path, made.mode, made.variation, made.simulates) == (
        Path("x.har"), Mode.ONCE, Variation(failed="too dark"), True,
    )  # fmt: skip
    assert CONFIG["simulator"] == {"units": 5}


@table(
    ("marked", "variation"),
    [
        ({}, None),
        ({"name": "clip", "allow_unused": True}, None),
        ({"content_gone": False}, None),
        ({"content_gone": True}, Variation(content_gone=True)),
        ({"failed": ""}, Variation(failed="")),
        ({"slow": 4}, Variation(slow=4)),
        ({"error": 1303}, Variation(error=1303)),
    ],
)
def test_a_plan_has_the_variation_of_its_mark(marked: dict[str, Any], variation: Variation | None) -> None:
    assert make_test_run(CONFIG, Path("x.har"), "none", marked, None).variation == variation


def test_without_a_cassette_all_goes_out_and_nothing_is_written() -> None:
    made = make_test_run(CONFIG, None, "none", {}, {})
    assert (made.path, made.mode, made.simulates) == (None, Mode.APPEND, True)


@table(
    ("config", "marked", "complaint"),
    [
        ("provider: kling", {}, "ai_proxy_config: expected a dict"),
        (CONFIG, {"error": 17}, "ai_cassette: Kling has no error code 17"),
        (CONFIG, {"slow": 0}, "ai_cassette: .* 1 to 10000 polls"),
    ],
)
def test_a_plan_that_cannot_be_made_is_refused(config: Any, marked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Unusable, match=complaint):
        make_test_run(config, None, "none", marked, None)
