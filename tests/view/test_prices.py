"""What chats cost by the table, by the configuration, and at which times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mitm_ai_proxy.chat.model import Usage
from mitm_ai_proxy.view.prices import PRICES, PriceKeys, PriceSettings, dollars, known_as
from tests.tables import table

NONE = PriceSettings()
NIGHT = datetime(2026, 11, 25, 23, tzinfo=UTC).timestamp()
PEAK = datetime(2026, 11, 25, 6, tzinfo=UTC).timestamp()
WEEKEND = datetime(2026, 11, 28, 6, tzinfo=UTC).timestamp()
M = 1_000_000


@table(
    ("model", "name"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("claude-opus-4-5@20251101", "claude-opus-4-5"),
        ("claude-sonnet-5-5[1m]", "claude-sonnet-5-5"),
        ("openai/gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("GPT-4o-latest", "gpt-4o"),
        ("claude-opus-4-1:0", "claude-opus-4-1"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("gpt-4o-audio", "gpt-4o-audio"),
        ("", ""),
    ],
)
def test_a_name_is_found_whatever_stands_around_it(model: str, name: str) -> None:
    assert known_as(model) == name


@table(
    ("model", "usage", "now", "expected"),
    [
        ("gpt-4o", Usage(M, M), NIGHT, 12.5),
        ("gpt-4o", Usage(M, 0, cached=M), NIGHT, 1.25),
        ("claude-sonnet-4-5", Usage(M, M, cached=400_000, written=200_000), NIGHT, 1.2 + 0.12 + 0.75 + 15),
        ("claude-sonnet-4-5", Usage(200_000, 0, written=200_000, written_1h=100_000), NIGHT, 0.375 + 0.6),
        ("claude-haiku-5-5", Usage(100_000, 0), NIGHT, 0.01),
        ("claude-haiku-5-5", Usage(200_000, M), NIGHT, 0.1 + 2.5),
        ("gpt-6.2-sol", Usage(300_000, M), NIGHT, 1.2 + 15),
        ("deepseek-flash", Usage(M, 0), NIGHT, 0.15),
        ("deepseek-flash", Usage(M, 0), PEAK, 0.3),
        ("deepseek-flash", Usage(M, 0), WEEKEND, 0.15),
        *(
            ("deepseek-flash", Usage(M, 0), PEAK + seconds, expected)
            for seconds, expected in (
                (-1, 0.15),
                (4 * 3600 - 1, 0.3),
                (4 * 3600, 0.15),
                (-5 * 3600, 0.3),
                (-2 * 3600, 0.15),
            )
        ),
        ("gpt-4o", Usage(M, None), NIGHT, None),
        ("gpt-4o", Usage(None, M), NIGHT, None),
        ("gpt-4o", Usage(-1, M), NIGHT, None),
        ("gpt-4o", Usage(M, -1), NIGHT, None),
        ("gpt-4o", Usage(M, M, cached=-1), NIGHT, None),
        ("claude-sonnet-4-5", Usage(M, 0, written=1, written_1h=2), NIGHT, None),
        ("claude-sonnet-4-5", Usage(1, 0, cached=M), NIGHT, 0.3),
        ("gpt-6.2-sol", Usage(272_000, M), NIGHT, 0.544 + 10),
        ("gpt-6.2-sol", Usage(272_001, 0), NIGHT, 1.088004),
        ("gpt-4o", Usage(M, 0, written=M), NIGHT, 2.5),
        ("gpt-6.2-sol", Usage(200_000, 0, written=200_000, written_1h=200_000), NIGHT, 0.5),
        ("gpt-4o", None, NIGHT, None),
        ("no-such-model", Usage(M, M), NIGHT, None),
    ],
)
def test_tokens_have_the_price_of_the_list(model: str, usage: Usage | None, now: float, expected: float | None) -> None:
    assert dollars(model, usage, NONE, now) == pytest.approx(expected)


def test_the_configuration_comes_before_the_table() -> None:
    own = PriceKeys(1.0, 2.0, 0.5, 4.0)
    settings = PriceSettings({"gpt-4o": PriceKeys(1.0, 2.0), "own": own, "gpt-4o-2024-05-13": PriceKeys(7.0, 7.0)})

    assert dollars("openai/gpt-4o-2024-08-06", Usage(M, M, cached=M), settings, NIGHT) == pytest.approx(3)
    assert dollars("own", Usage(M, M, cached=M), settings, NIGHT) == pytest.approx(2.5)
    assert dollars("own", Usage(M, 0, written=M), settings, NIGHT) == pytest.approx(4)
    assert dollars("gpt-4o-2024-05-13", Usage(M, 0), settings, NIGHT) == pytest.approx(7)


def test_no_row_is_free_and_no_cache_is_dearer_than_what_it_saves() -> None:
    assert all(0 < price.input < price.output for price in PRICES.values())
    assert all(price.cached is not None and price.cached < price.input for price in PRICES.values())
    assert all(known_as(name) == name for name in PRICES)
