"""Static tokens: the choice among several, and that a Secret does not show its text."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable

import pytest

from mitm_ai_proxy.auth.bearer import bearer
from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.providers.generic import GenericKeys
from mitm_ai_proxy.wire.targets import Origin
from tests.completed import Generic
from tests.tables import table

TEXT = "sk-never-shown"


def _provider(*tokens: str) -> Generic:
    """A provider with these `apiTokens`."""
    host = Origin("http", "127.0.0.1", 1)
    keys = GenericKeys("generic", generic_host=host, api_tokens=tuple(map(Secret, tokens)))
    return Generic(keys, lambda: 0.0)


def _sent(provider: Generic) -> str:
    """The value of the Authorization header of one request."""
    token = provider.token(())
    assert token
    return bearer(token).fields[b"authorization"].decode()


def test_the_only_token_is_used_each_time() -> None:
    provider = _provider(TEXT)
    assert {_sent(provider) for _ in range(3)} == {f"Bearer {TEXT}"}


def test_the_choice_among_several_tokens_is_made_anew_each_time() -> None:
    provider = _provider("one", "two", "three")
    random.seed(1)
    assert {_sent(provider) for _ in range(30)} == {"Bearer one", "Bearer two", "Bearer three"}


@table(
    ("token", "value"),
    [
        ("abc", b"Bearer abc"),
        ("Bearer abc", b"Bearer abc"),
        ("bearer abc", b"bearer abc"),
        ("Basic YTpi", b"Basic YTpi"),
        ("a=,b", b"Bearer a=,b"),
        ("\udcff", b"Bearer \xff"),
    ],
)
def test_a_token_is_sent_as_bearer_unless_it_has_a_scheme(token: str, value: bytes) -> None:
    credential = bearer(Secret(token))
    assert dict(credential.fields) == {b"authorization": value}
    assert credential.query == ""


@table(
    "show",
    [
        pytest.param(repr, id="repr"),
        pytest.param(str, id="str"),
        pytest.param(format, id="format"),
        pytest.param("{0!r} {0!s} {0}".format, id="format string"),
        pytest.param(lambda secret: "%s %r" % (secret, secret), id="percent"),  # noqa: UP031 - the old way is the case
        pytest.param(lambda secret: repr({"key": [secret]}), id="container"),
    ],
)
def test_the_text_of_a_secret_is_not_shown(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(TEXT))
    assert "<secret>" in shown
    assert TEXT not in shown


def test_a_secret_is_not_in_a_traceback_with_its_local_variables() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(secret)

    with pytest.raises(ValueError, match="<secret>") as caught:
        fail(Secret(TEXT))
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "secret = <secret>" in shown
    assert TEXT not in shown


def test_a_secret_has_no_dictionary_that_a_debugging_aid_could_print() -> None:
    assert not hasattr(Secret(TEXT), "__dict__")


@table("text", [TEXT, ""])
def test_a_secret_reveals_its_text_when_asked_and_is_false_when_empty(text: str) -> None:
    secret = Secret(text)
    assert secret.reveal() == text
    assert bool(secret) is bool(text)
