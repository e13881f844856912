"""What a client's header fields say about it."""

from __future__ import annotations

from mitm_ai_proxy import clients
from mitm_ai_proxy.clients import ANYBODY, Client
from tests.tables import table

Fields = tuple[tuple[bytes, bytes], ...]


def _read(*fields: str) -> Client:
    """The client of these fields, each written as `name: value`."""
    pairs = (field.partition(": ") for field in fields)
    return clients.read(tuple((name.encode(), value.encode()) for name, _, value in pairs))


def test_a_client_that_says_nothing_is_anybody() -> None:
    assert clients.read(()) == ANYBODY == Client("", False, 0, "", "")


@table(
    ("field", "is_openai"),
    [
        ("User-Agent: OpenAI/Python 3.52.0", True),
        ("user-agent: AsyncOpenAI/Python 3.52.0", True),
        ("USER-AGENT: OpenAI/JS 7.55.0", True),
        ("User-Agent: litellm/1.109.1", True),
        ("X-Stainless-Lang: js", True),
        ("x-stainless-retry-count: 0", True),
        ("X-Stainless-: ", True),
        ("User-Agent: openai/1", False),
        ("User-Agent: my OpenAI/Python", False),
        ("User-Agent: OpenAI", False),
        ("User-Agent: curl/8.5.0", False),
        ("X-Stainless: js", False),
        ("OpenAI-Organization: x", False),
        ("Idempotency-Key: x", False),
    ],
)
def test_an_openai_client_is_known_by_its_user_agent_or_its_own_fields(field: str, is_openai: bool) -> None:
    assert _read("Accept: */*", field, "Host: a").is_openai is is_openai


def test_a_later_user_agent_does_not_undo_an_earlier_one() -> None:
    assert _read("User-Agent: OpenAI/Python", "User-Agent: curl").is_openai


@table(
    ("value", "retries"),
    [
        ("0", 0),
        ("1", 1),
        ("2", 2),
        ("0002", 2),
        ("9" * 10_000, 9999),
        ("", 0),
        ("-1", 0),
        ("+1", 0),
        ("1.0", 0),
        ("1 ", 0),
        ("x", 0),
        ("٣", 0),
        ("²", 0),
        ("1_0", 0),
    ],
)
def test_retries_are_what_an_sdk_counts_and_nothing_else(value: str, retries: int) -> None:
    assert _read(f"X-Stainless-Retry-Count: {value}").retries == retries


def test_the_other_fields_are_read_whatever_the_case_of_their_names() -> None:
    client = _read(
        "CONTENT-TYPE: Multipart/Form-Data; boundary=AbC", "idempotency-KEY: k", "sec-fetch-SITE: cross-site"
    )

    assert client == Client("Multipart/Form-Data; boundary=AbC", False, 0, "k", "cross-site")


def test_bytes_that_are_no_text_are_kept() -> None:
    client = clients.read(((b"Idempotency-Key", b"\xff\x00k"), (b"Content-Type", b"\xe9")))

    assert client.idempotency_key.encode("utf-8", "surrogateescape") == b"\xff\x00k"
    assert client.content_type.encode("utf-8", "surrogateescape") == b"\xe9"
