"""Faults on demand: how one is requested, which place wins, and the error codes."""

from __future__ import annotations

from typing import Any

import pytest

from mitm_ai_proxy.simulator import faults
from mitm_ai_proxy.simulator.faults import FAULTS, NONE, Fault
from mitm_ai_proxy.simulator.kling_error import CODES, KlingError, bad_parameter
from tests.tables import table

RISK = "Failure to pass the risk control system"


@table(
    ("text", "fault"),
    [
        ("1303", Fault("CODE", "1303")),
        ("5000", Fault("CODE", "5000")),
        (" 1303 ", Fault("CODE", "1303")),
        ("1303*2", Fault("CODE", "1303", 2)),
        ("1303 *2", Fault("CODE", "1303", 2)),
        ("1303*999", Fault("CODE", "1303", 999)),
        ("accepted=5002", Fault("accepted", "5002")),
        ("accepted=5002*1", Fault("accepted", "5002", 1)),
        ("failed", Fault("failed", RISK)),
        ("failed=", Fault("failed", RISK)),
        ("failed=Image pixel is invalid", Fault("failed", "Image pixel is invalid")),
        ("failed=a=b", Fault("failed", "a=b")),
        ("failed=2*3 is 6", Fault("failed", "2*3 is 6")),
        ("failed=no cats*3", Fault("failed", "no cats", 3)),
        ("failed=two\nlines*2", Fault("failed", "two\nlines", 2)),
        ("slow", Fault("slow", "10")),
        ("slow=3", Fault("slow", "3")),
        ("slow=100*5", Fault("slow", "100", 5)),
        ("picture", Fault("picture")),
        ("stuck*1", Fault("stuck", "", 1)),
        ("lost", Fault("lost")),
        ("truncated", Fault("truncated")),
        ("garbage*12", Fault("garbage", "", 12)),
        ("gone", Fault("gone")),
    ],
)
def test_a_fault_is_read(text: str, fault: Fault) -> None:
    assert faults.parse(text) == fault


@table(
    "text",
    [
        *("", " ", "*2", "=", "CODE", "accepted", "accepted=", "accepted=CODE", "accepted=failed", "Failed", "FAILED"),
        *(
            "0",
            "200",
            "1201.0",
            "-1303",
            "+1303",
            "13030",
            "9999",
            "1 303",
            "0x517",
            "1303=1",
            "٣",
            "1303\N{DIGIT TWO}3",
        ),
        *(
            "130300000",
            "1303000000001",
            "000001303999",
            "accepted=000001303999",
            "1303" * 2000,
            "\uff11\uff13\uff10\uff13",
        ),
        *("1303*0", "1303*-1", "1303*x", "1303*1000", "1303*", "1303*2*2", "1303**2", "lost*", "lost*1.5"),
        *("stuck=1", "lost=yes", "gone=1", "picture=x", "garbage=x", "truncated=5"),
        *("slow=fast", "slow=-1", "slow=1.5", "slow=1e9", "slow=1234567", "slow=²", "slow=٣", "slow= 3"),
        *("unknown", "failed2", "x" * 10_000, "\ud800", "failed;stuck"),
    ],
)
def test_a_text_that_is_no_fault_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"unknown fault \(known: CODE, accepted=CODE, failed|slow= takes a whole number"
    ):
        faults.parse(text)


@table("key", FAULTS)
@table("code", CODES)
def test_every_fault_that_is_named_can_be_asked_for(key: str, code: int) -> None:
    text = key.replace("CODE", str(code))
    fault = faults.parse(text)

    assert faults.parse(f"{text}*7") == fault._replace(times=7)
    assert (fault.code == code) if "CODE" in key else (fault.name == key)


def test_no_fault_is_missing() -> None:
    assert set(FAULTS) == {
        *("CODE", "accepted=CODE", "failed", "picture", "slow", "stuck", "lost", "truncated", "garbage", "gone")
    }
    assert all(FAULTS.values())


@table(
    ("header", "prompt", "configured", "fault"),
    [
        (None, "a cat", "", NONE),
        ("", "", "", NONE),
        (None, None, "", NONE),
        ("lost", "[simulate: stuck]", "gone", Fault("lost")),
        ("lost", "a cat", "", Fault("lost")),
        (None, "[simulate: stuck]", "gone", Fault("stuck")),
        ("", "[simulate: stuck]", "gone", Fault("stuck")),
        (None, "a cat", "gone", Fault("gone")),
        (None, None, "1303*2", Fault("CODE", "1303", 2)),
        # Anywhere in a prompt, the first one
        (None, "[simulate: 1303] a cat", "", Fault("CODE", "1303")),
        (None, "a cat [simulate: 1303*2] on a mat", "", Fault("CODE", "1303", 2)),
        (None, "a cat[simulate:1303]", "", Fault("CODE", "1303")),
        (None, "a cat\n[simulate:   slow=3 ]\n", "", Fault("slow", "3")),
        (None, "[simulate: failed=no cats, please]", "", Fault("failed", "no cats, please")),
        (None, "[[simulate: stuck]]", "", Fault("stuck")),
        (None, "[simulate: stuck] [simulate: lost]", "", Fault("stuck")),
        (None, "x" * 2000 + "[simulate: stuck]", "", Fault("stuck")),
        # No marked word
        (None, "simulate: stuck", "", NONE),
        (None, "[simulate stuck]", "", NONE),
        (None, "[simulate:]", "gone", Fault("gone")),
        (None, "[simulate: stuck", "", NONE),
        (None, "[simulate: " + "x" * 201 + "]", "", NONE),
        *(
            (None, prompt, "gone", Fault("gone"))
            for prompt in (5, True, ["[simulate: stuck]"], {"a": "[simulate: lost]"})
        ),
    ],
)
def test_a_header_comes_before_a_prompt_and_a_prompt_before_the_configuration(
    header: str | None, prompt: Any, configured: str, fault: Fault
) -> None:
    assert faults.asked_for(header, prompt, configured) == fault


@table(
    ("header", "prompt", "configured"),
    [
        ("unknown", "[simulate: stuck]", "gone"),
        (None, "[simulate: unknown]", "gone"),
        (None, "a cat", "unknown"),
        (" ", "a cat", ""),
    ],
)
def test_an_invalid_fault_in_a_place_that_wins_is_refused(header: str | None, prompt: str, configured: str) -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        faults.asked_for(header, prompt, configured)


# code | HTTP status
TABLE = """
1000 401
1001 401
1002 401
1003 401
1004 401
1100 429
1101 429
1102 429
1103 403
1200 400
1201 400
1202 404
1203 404
1300 400
1301 400
1302 429
1303 429
1304 429
5000 500
5001 503
5002 504
"""
STATUSES = {int(code): int(status) for code, status in map(str.split, TABLE.strip().splitlines())}


def test_the_codes_are_kling_s_with_their_status() -> None:
    assert {code: entry.status for code, entry in CODES.items()} == STATUSES


@table(
    ("code", "message"),
    [
        (1001, "Authorization is empty"),
        (1102, "Account balance not enough"),
        (1200, "Missing Request Parameter"),
        (1303, "parallel task over resource pack limit"),
    ],
)
def test_a_code_has_the_words_of_a_live_answer(code: int, message: str) -> None:
    assert CODES[code].message == message


@table("code", STATUSES)
def test_an_error_has_its_code_s_status_and_its_own_words_or_the_usual_ones(code: int) -> None:
    usual, own = KlingError(code), KlingError(code, "own words")

    assert (usual.code, usual.status, usual.message) == (code, STATUSES[code], CODES[code].message)
    assert (own.code, own.status, own.message, str(own)) == (code, STATUSES[code], "own words", "own words")
    assert usual.message


def test_a_wrong_value_is_1201() -> None:
    assert (bad_parameter("x").code, bad_parameter("x").status, bad_parameter("x").message) == (1201, 400, "x")
