"""The OpenAPI document: valid, of exactly the endpoints that there are, and true of their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest
from openapi_schema_validator import OAS31Validator

from mitm_ai_proxy.platform.decisions import Decision
from mitm_ai_proxy.platform.orders import KNOWN
from mitm_ai_proxy.platform.states import Money, State
from mitm_ai_proxy.platform.web import openapi
from mitm_ai_proxy.platform.web.schemas import SCHEMAS
from tests.platform.orders import MANY, TIMING, moved, stored
from tests.platform.web.server import SEEDS_BODY, Server

UNPAID = {"tenants": {"default": {"dailyUnits": 12, "queue": 3}}}
TEN = {**SEEDS_BODY, "duration": 10, "mode": "pro"}
DOCUMENT = openapi.document()


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """One with little money, and receivers of webhooks on this machine."""
    with Server(tmp_path, {**UNPAID, "privateReceivers": True}) as running:
        yield running


def _claimed(server: Server) -> Any:
    return server.store.claim_next(MANY, TIMING, 4e9, claim="c", lease=60, worker="w")


def test_the_document_is_valid_and_of_exactly_the_endpoints_that_there_are(server: Server) -> None:
    document = server.ask("GET", "/openapi.json").json
    openapi_spec_validator.validate(document)
    served = {
        (route.path, method.lower())
        for route in server.application._routes
        if route.include_in_schema
        for method in (route.methods or set()) - {"HEAD"}
    }

    assert served == {(path, method) for path, operations in document["paths"].items() for method in operations}
    described = [found for operations in document["paths"].values() for found in operations.values()]
    statuses = {status for found in described for status in found["responses"]}
    assert "422" not in statuses


def test_a_create_is_described_with_all_its_fields_and_no_other() -> None:
    assert SCHEMAS["Create"]["properties"].keys() == set(KNOWN)
    OAS31Validator(SCHEMAS["Create"]).validate(SEEDS_BODY)


def test_the_receiver_of_callbacks_describes_what_it_has(tmp_path: Path) -> None:
    with Server(tmp_path, only_callbacks=True) as server:
        document = server.ask("GET", "/openapi.json").json

    openapi_spec_validator.validate(document)
    assert sorted(document["paths"]) == [
        "/callbacks/kling/{token}", "/healthz", "/metrics", "/openapi.json", "/readyz",
    ]  # fmt: skip


def test_answers_are_what_the_document_says(server: Server, tmp_path: Path) -> None:
    failed = server.made(callback_url="http://127.0.0.1:9/hook")
    moved(server.store, _claimed(server), Decision(State.FAILED, "no", error="invalid", money=Money.RELEASED))
    delivery = server.ask("GET", f"/api/videos/{failed}").json["deliveries"][0]["id"]
    done = server.ask("POST", "/v1/videos", {"prompt": "a cat", "seconds": "5"}).json["id"]
    name = stored(server.store, _claimed(server)).object_name
    (tmp_path / "file").write_bytes(bytes(64))
    server.storage.put(name, tmp_path / "file")
    running = server.made(metadata={"scene": 7})
    moved(server.store, _claimed(server), Decision(State.PROCESSING, "taken", task_id="t"))
    waits = server.made()

    for method, path, body, status in (
        ("POST", "/api/videos?dry_run=true", SEEDS_BODY, 200),
        ("POST", "/api/videos", TEN, 402),
        ("POST", "/api/videos", {"colour": 1}, 400),
        ("GET", "/api/videos?limit=2", None, 200),
        ("GET", "/api/videos?limit=x", None, 400),
        ("GET", f"/api/videos/{failed}", None, 200),
        ("GET", f"/api/videos/{done}", None, 200),
        ("GET", f"/api/videos/{done}/content", None, 200),
        ("GET", f"/api/videos/{waits}/content", None, 404),
        ("POST", f"/api/videos/{failed}/deliveries/{delivery}", None, 202),
        ("POST", f"/api/videos/{waits}/retry", None, 409),
        ("POST", f"/api/videos/{failed}/retry", None, 202),
        ("GET", "/api/usage", None, 200),
        ("GET", "/api/accounts", None, 200),
        ("GET", "/api/models", None, 200),
        ("GET", "/v1/videos", None, 200),
        ("GET", f"/v1/videos/{failed}", None, 200),
        ("GET", f"/v1/videos/{done}/content", None, 200),
        ("GET", "/v1/videos/characters/char_1", None, 404),
        ("DELETE", f"/v1/videos/{running}", None, 400),
        ("DELETE", f"/v1/videos/{done}", None, 200),
        ("DELETE", f"/api/videos/{running}", None, 409),
        ("DELETE", f"/api/videos/{waits}", None, 200),
        ("DELETE", "/api/videos/job_none", None, 404),
        ("POST", "/callbacks/kling/none", {}, 401),
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 200),
        ("GET", "/metrics", None, 200),
    ):
        answer = server.ask(method, path, body)
        assert answer.status == status, (method, path, answer.body)
        _require_true(method, path.partition("?")[0], answer)


def _require_true(method: str, path: str, answer: Any) -> None:
    parts = path.split("/")
    (found,) = [
        pattern
        for pattern in sorted(DOCUMENT["paths"], key=lambda pattern: pattern.count("{"))
        if len(pattern.split("/")) == len(parts)
        and all(known.startswith("{") or known == part for known, part in zip(pattern.split("/"), parts, strict=True))
    ][:1]
    response = DOCUMENT["paths"][found][method.lower()]["responses"][str(answer.status)]
    media_type = answer.fields["content-type"].partition(";")[0]
    schema = response["content"][media_type].get("schema")
    if schema:
        OAS31Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.json)
