"""Recorded APIs: several as one, and that of each provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mitm_ai_proxy
from mitm_ai_proxy import registry
from mitm_ai_proxy.cassette.recorded_api import UNKNOWN, AllAPIs, AnyCost, TaskCharge, json_object
from mitm_ai_proxy.kling.recorded_api import RECORDED_API
from tests.tables import table

CREATE = "https://a.test/v1/videos"


@dataclass(frozen=True)
class Shop:
    """An API with prices for its own host only."""

    name: str
    host: str
    unit_price: float
    error_codes: tuple[int, ...] = ()
    paid_members: tuple[str, ...] = ("bill",)

    def expected(self, method: str, url: str, _: Mapping[str, Any]) -> AnyCost | None:
        return (2.0, None) if self.host in url and method == "POST" else None

    def charged(self, url: str, answer: Mapping[str, Any]) -> AnyCost | None:
        return (answer["bill"], None) if self.host in url else None

    def charged_tasks(self, url: str, answer: Mapping[str, Any]) -> Iterator[TaskCharge]:
        yield (f"{self.name}-task",), self.charged(url, answer)

    def is_refusal(self, answer: Mapping[str, Any]) -> bool:
        return answer.get("refused_by") == self.name

    def error_answer(
        self, code: int, _: str, recorded: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        return 400, {"code": code, "by": self.name, **recorded}, {}

    def task_url(self, create_url: str, name: str, is_external: bool) -> str | None:
        return f"{create_url}?id={name}&own={is_external}" if self.host in create_url else None

    def split_external_id(self, name: str) -> tuple[str, str]:
        start = name.removesuffix(self.name)
        return start, name[len(start) :]


A, B = Shop("A", "a.test", 0.5, (1, 2)), Shop("B", "b.test", 2.0, (2, 3), ("bill", "tip"))


def test_several_apis_answer_as_the_one_that_knows() -> None:
    both = AllAPIs([A, B])
    assert both.expected("POST", "https://b.test", {}) == (2.0, None)
    assert both.expected("POST", "https://c.test", {}) is None
    assert both.charged("https://b.test", {"bill": 3.0}) == (3.0, None)
    assert both.charged("https://c.test", {"bill": 3.0}) is None
    assert [*both.charged_tasks("https://b.test", {"bill": 3.0})] == [(("A-task",), None), (("B-task",), (3.0, None))]
    assert [both.is_refusal({"refused_by": name}) for name in "ABC"] == [True, True, False]
    assert both.task_url("https://b.test", "7", True) == "https://b.test?id=7&own=True"
    assert both.task_url("https://c.test", "7", True) is None
    assert (both.name, both.error_codes, both.paid_members) == ("A or B", (1, 2, 3), ("bill", "tip"))
    assert both.unit_price == 0.5
    assert [both.split_external_id(name) for name in ("1-A", "1-B", "1-C")] == [("1-", "A"), ("1-", "B"), ("1-C", "")]
    assert [both.error_answer(code, "", {"x": 1})[1]["by"] for code in (1, 2, 3)] == ["A", "A", "B"]


def test_nothing_is_known_of_no_api() -> None:
    answer = {"code": 1201, "data": {"task_id": "7", "final_unit_deduction": "3"}}
    assert UNKNOWN.expected("POST", CREATE, {}) is None
    assert UNKNOWN.charged(CREATE, answer) is None
    assert [*UNKNOWN.charged_tasks(CREATE, answer)] == []
    assert not UNKNOWN.is_refusal(answer)
    assert UNKNOWN.task_url(CREATE, "7", False) is None
    assert UNKNOWN.split_external_id("mine") == ("mine", "")
    assert [*UNKNOWN.error_codes, *UNKNOWN.paid_members] == []


def test_a_provider_without_an_api_of_its_own_and_no_provider_have_all_of_them() -> None:
    kling = "https://a.test/v1/videos/text2video", {"model_name": "kling-v3", "prompt": "a"}
    assert registry.recorded_api("kling") is RECORDED_API
    for name in ("generic", ""):
        assert registry.recorded_api(name).expected("POST", *kling) == (3.0, 0.42)


@table("body", [b"", b"[]", b"null", b"{", b"\xff", b'{"a":' + b"[" * 100_000])
def test_what_is_no_json_object_is_none(body: bytes) -> None:
    assert json_object(body) is None
    assert json_object(b'{"a": 1}') == {"a": 1}


def test_the_room_imports_no_provider_and_no_simulator() -> None:
    room = Path(mitm_ai_proxy.__file__).parent / "cassette"
    files = sorted(room.glob("*.py"))
    assert len(files) > 20
    for path in files:
        text = path.read_text()
        assert not any(f"from ..{name}" in text for name in ("kling", "simulator", "providers", "registry")), path
