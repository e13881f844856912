"""What chats cost: a dated table of the vendors' list prices, and the keys to override it.

Sources: the vendors' pricing pages, read between 2026-10-07 and 2026-11-05, without batch, flex and priority rates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ..chat.model import Usage
from ..config import values
from ..config.keys import blocks, key

_MILLION: Final = 1_000_000


class Price(NamedTuple):
    """US dollars for a million tokens: read, written, read from a cache, written to it for 5 minutes or an hour.

    None for a cache: as `input`. Above `long_from` tokens read, all that is read costs `long_input` times as much, and
    all that is written `long_output` times. `peak`: all costs this many times as much in DeepSeek's peak hours.
    """

    input: float
    output: float
    cached: float | None = None
    written: float | None = None
    written_1h: float | None = None
    long_from: int = 0
    long_input: float = 1
    long_output: float = 1
    peak: float = 1


def _claude(input: float, cached: float) -> Price:
    """Claude's prices follow from that of input and of cache reads; source: its pricing page of 2026-10-24."""
    return Price(input, input * 5, cached, input * 1.25, input * 2)


def _sol(input: float, output: float, cached: float) -> Price:
    """GPT-6 has a long-context tariff."""
    return Price(input, output, cached, input * 1.25, long_from=272_000, long_input=2, long_output=1.5)


PRICES: Final[Mapping[str, Price]] = {
    "claude-fable-5-1": _claude(10, 0.25),
    "claude-mythos-5-1": _claude(10, 0.25),
    "claude-fable-5": _claude(10, 1),
    "claude-mythos-5": _claude(10, 1),
    "claude-opus-5-5": _claude(4, 0.2),
    **dict.fromkeys(
        ("claude-opus-5", "claude-opus-4-8", "claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5"), _claude(5, 0.5)
    ),
    "claude-opus-4-1": _claude(15, 1.5),
    "claude-opus-4": _claude(15, 1.5),
    "claude-sonnet-5-5": _claude(2, 0.1),
    "claude-sonnet-5": _claude(2, 0.2),
    **dict.fromkeys(("claude-sonnet-4-6", "claude-sonnet-4-5", "claude-sonnet-4"), _claude(3, 0.3)),
    "claude-haiku-5-5": _claude(0.1, 0.01)._replace(long_from=100_000, long_input=5, long_output=5),
    "claude-haiku-4-5": _claude(1, 0.1),
    # OpenAI
    "gpt-6.2-astra": _sol(8, 40, 0.4),
    "gpt-6.2-sol": _sol(2, 10, 0.1),
    "gpt-6.1-sol": _sol(2, 10, 0.1),
    "gpt-6-astra": _sol(10, 50, 1),
    "gpt-6-sol": _sol(2, 10, 0.2),
    "gpt-6-luna": _sol(0.1, 0.5, 0.01),
    "gpt-5.6-terra": Price(2, 12, 0.2),
    "gpt-5.6-luna": Price(0.2, 1.2, 0.02),
    "gpt-5.4": Price(2.5, 15, 0.25),
    "gpt-5.4-mini": Price(0.75, 4.5, 0.075),
    "gpt-5.2": Price(1.75, 14, 0.175),
    "gpt-5.1": Price(1.25, 10, 0.125),
    "gpt-5": Price(1.25, 10, 0.125),
    "gpt-5-mini": Price(0.25, 2, 0.025),
    "gpt-5-nano": Price(0.05, 0.4, 0.005),
    "gpt-4.1": Price(2, 8, 0.5),
    "gpt-4.1-mini": Price(0.4, 1.6, 0.1),
    "gpt-4.1-nano": Price(0.1, 0.4, 0.025),
    "gpt-4o": Price(2.5, 10, 1.25),
    "gpt-4o-mini": Price(0.15, 0.6, 0.075),
    # Google; the Flash prices are those of 2026, which double in 2027.
    "gemini-4-neon": Price(3, 15, 0.15),
    "gemini-4-hydrogen": Price(1.5, 7.5, 0.075),
    **dict.fromkeys(("gemini-3.8-flash", "gemini-3.7-flash", "gemini-3.6-flash"), Price(0.75, 3.75, 0.075)),
    "gemini-2.5-pro": Price(1.25, 10, 0.125, long_from=200_000, long_input=2, long_output=1.5),
    "gemini-2.5-flash": Price(0.3, 2.5, 0.03),
    # DeepSeek, off-peak
    "deepseek-flash": Price(0.15, 0.6, 0.003, peak=2),
    "deepseek-v4-pro": Price(0.66, 1.98, 0.022, peak=2),
}

# What stands around a model's name: a vendor or a region before it, a date, a version or a variant behind it.
_BEFORE: Final = re.compile(r"(?:.*/)?(?:(?:[a-z]+\.)?anthropic\.)?", re.DOTALL)
_BEHIND: Final = re.compile(r"(?:@.*|-\d{8}|-\d{4}-\d\d-\d\d|-v\d+(?::\d+)?|:\d+|-latest|\[1m\])+", re.DOTALL)
_PEAK_HOURS: Final = ((1, 4), (6, 10))
"""Hours of UTC, from Monday to Friday; holidays are not known here. Source: DeepSeek, Models & Pricing."""


_dollars: Final = values.number(0, _MILLION)


@dataclass(frozen=True, slots=True)
class PriceKeys:
    """The price of a model, in US dollars for a million tokens."""

    input: float = key(_dollars, 0.0, help="Tokens that are read.")
    output: float = key(_dollars, 0.0, help="Tokens that are written.")
    cached: float | None = key(_dollars, help="Tokens that are read from a cache (default: as `input`).")
    written: float | None = key(_dollars, help="Tokens that are written to a cache (default: as `input`).")


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """Prices that stand in the configuration."""

    prices: Mapping[str, PriceKeys] = blocks(
        PriceKeys, help="What models cost, by the names that answers have; before the table that comes with this."
    )


LIST_PRICES: Final = PriceSettings()
"""Without prices in the configuration."""


def known_as(model: str) -> str:
    """The name of a model in the table: `us.anthropic.claude-sonnet-4-5-20250929-v1:0` gives `claude-sonnet-4-5`."""
    name = model[:200].lower()
    name = name[found.end() :] if (found := _BEFORE.match(name)) else name
    if name.startswith("claude"):
        name = name.replace(".", "-")
    end = next((found.start() for found in _BEHIND.finditer(name) if found.end() == len(name)), len(name))
    return name[:end]


def dollars(model: str, usage: Usage | None, settings: PriceSettings, now: float) -> float | None:
    """What these tokens of a model cost at a time (Unix); None where the price or the number of tokens is unknown."""
    if usage is None or usage.input is None or usage.output is None:
        return None
    price = _price(model, settings)
    if price is None:
        return None
    is_long = usage.input > price.long_from
    cached, written, written_1h = usage.cached or 0, usage.written or 0, usage.written_1h or 0
    if min(usage.input, usage.output, cached, written_1h, written - written_1h) < 0:
        return None
    read = (
        max(usage.input - cached - written, 0) * price.input
        + cached * _or(price.cached, price.input)
        + (written - written_1h) * _or(price.written, price.input)
        + written_1h * _or(price.written_1h, _or(price.written, price.input))
    )
    total = read * (price.long_input if is_long else 1) + usage.output * price.output * (
        price.long_output if is_long else 1
    )
    return total * (price.peak if price.peak != 1 and _is_peak(now) else 1) / _MILLION


def _price(model: str, settings: PriceSettings) -> Price | None:
    own = settings.prices.get(model) or settings.prices.get(known_as(model))
    return Price(own.input, own.output, own.cached, own.written) if own else PRICES.get(known_as(model))


def _or(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price


def _is_peak(now: float) -> bool:
    moment = datetime.fromtimestamp(now, UTC)
    return moment.weekday() < 5 and any(begin <= moment.hour < end for begin, end in _PEAK_HOURS)
