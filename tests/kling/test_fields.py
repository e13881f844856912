"""Conversion of values to the types of Kling's fields, and refusal of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.kling.fields import FIELDS, converted
from tests.tables import table

HOSTILE: list[Any] = [True, 0, -1, 1.5, 10**400, float("inf"), "", " ", "x" * 10_000, "²", "\ud800", [], [None], [[]]]
HOSTILE += [{}, {"": 0}, {"config": 1}, [{"element_id": []}], {"enabled": {}}, [{"trajectories": [1]}], "9" * 5000]


def _any(*values: Any) -> tuple[Any, ...]:
    """Values of all types, for a table."""
    return values


@table(
    ("field", "value", "new"),
    [
        ("cfg_scale", "0.5", 0.5),
        ("cfg_scale", "1", 1),
        ("cfg_scale", 0.50, 0.5),
        ("cfg_scale", 1.0, 1.0),
        ("cfg_scale", "1.0", 1),
        ("duration", 5.0, "5"),
        ("duration", "5.0", "5"),
        ("duration", "5.00", "5"),
        ("duration", 5.5, "5.5"),
        ("duration", "abc", "abc"),
        ("multi_prompt", [{"index": 1.0, "duration": 2.0}], [{"index": 1, "duration": "2"}]),
        ("multi_prompt", {"1": {"index": "2.0"}, "0": {"index": 1}}, [{"index": 1}, {"index": 2}]),
        ("multi_prompt", '[{"index": "1"}]', [{"index": 1}]),
        ("multi_prompt", {"10": '{"index": 3}', "9": {"index": 2}}, [{"index": 2}, {"index": 3}]),
        ("element_list", [{"element_id": 7.0}], [{"element_id": 7}]),
        ("element_list", [{"element_id": "829836802793406551.0"}], [{"element_id": 829836802793406551}]),
        ("camera_control", '{"config": "{\\"zoom\\": \\"1\\"}"}', {"config": {"zoom": 1}}),
        ("dynamic_masks", [{"trajectories": {"0": {"x": "1"}}}], [{"trajectories": [{"x": 1}]}]),
        ("duration", 5, "5"),
        ("duration", "5", "5"),
        ("sound", "true", "on"),
        ("sound", True, "on"),
        ("sound", "OFF ", "off"),
        ("sound", 0, "off"),
        ("multi_shot", "false", False),
        ("multi_shot", "1", True),
        (
            "multi_prompt",
            [{"index": "1", "prompt": "p", "duration": 2}],
            [{"index": 1, "prompt": "p", "duration": "2"}],
        ),
        ("watermark_info", {"enabled": "true", "x": "1"}, {"enabled": True, "x": "1"}),
        ("element_list", [{"element_id": "829836802793406551"}], [{"element_id": 829836802793406551}]),
        ("element_list", [{"element_id": 829836802793406551}], [{"element_id": 829836802793406551}]),
        (
            "camera_control",
            {"type": "simple", "config": {"zoom": "-1.5", "pan": "0"}},
            {"type": "simple", "config": {"zoom": -1.5, "pan": 0}},
        ),
        (
            "dynamic_masks",
            [{"mask": "u", "trajectories": [{"x": "1", "y": 2}]}],
            [{"mask": "u", "trajectories": [{"x": 1, "y": 2}]}],
        ),
        ("prompt", "5", "5"),
        ("nobody_knows", ["5", None], ["5", None]),
    ],
)
def test_a_value_gets_kling_s_type(field: str, value: Any, new: Any) -> None:
    got = converted(field, value)

    assert (got, type(got)) == (new, type(new))


@table("field", FIELDS)
def test_null_stays_null(field: str) -> None:
    assert converted(field, None) is None


@table(
    ("field", "value", "says"),
    [
        *(
            ("cfg_scale", value, "is not a number")
            for value in _any("a", "", "nan", "inf", "-Infinity", "1e999", True, [])
        ),
        *(("cfg_scale", value, "is not a number from 0 to 1") for value in _any(1.01, -0.01, 7, "2", 1e300, 10**400)),
        ("element_list", [{"element_id": "1.5"}], "is not a whole number"),
        ("element_list", [{"element_id": 1.5}], "is not a whole number"),
        # A float does not hold so many digits: another element would be meant.
        ("element_list", [{"element_id": 829836802793406551.0}], "is not a whole number"),
        *(("element_list", value, "is not a list") for value in _any({}, {"0": {}, "a": {}}, "[", "{}", '"[]"', "[]x")),
        ("element_list", {"0": {}, "00": {}}, "is not a list"),
        *(("camera_control", value, "is not an object") for value in ("", "[]", "{", '"{}"', "null", "[" * 9999)),
        ("element_list", {"element_id": 1}, "is not a list"),
        ("element_list", ["1"], "is not an object"),
        *(("sound", value, "is not true or false") for value in _any("maybe", "", 2, [], {}, 0.5)),
        *(
            (field, value, "is not a string")
            for field in ("prompt", "mode", "image")
            for value in _any(1, True, [], {})
        ),
        ("camera_control", "simple", "is not an object"),
        ("camera_control", {"config": {"zoom": "x"}}, "is not a number"),
        ("duration", True, "is not a number"),
        ("duration", [5], "is not a number"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_by_its_field(field: str, value: Any, says: str) -> None:
    with pytest.raises(Refusal) as caught:
        converted(field, value)

    assert (caught.value.status, caught.value.param, caught.value.message) == (400, field, f"{field} {says}.")


@table("field", FIELDS)
def test_a_hostile_value_raises_nothing_but_a_refusal(field: str) -> None:
    for value in HOSTILE:
        try:
            converted(field, value)
        except Refusal as refusal:
            assert refusal.param == field  # noqa: PT017
            assert len(refusal.message) < 100  # noqa: PT017
