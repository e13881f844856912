"""Editing the field of a form in place, whatever the files in it hold."""

from __future__ import annotations

import pytest

from mitm_ai_proxy.errors import Refusal
from mitm_ai_proxy.wire import form_edit
from tests.tables import table

FILE = b'Content-Disposition: form-data; name="file"; filename="model"\r\nContent-Type: audio/wav\r\n\r\n'
# What looks like a boundary, or like the field, in a file.
NASTY = b'\r\n--XX not\r\n--XXY\r\n --XX\r\nname="model"\r\n\r\nno\n--XX\n--XX--x\r\n--XX\0'


def _form(*parts: bytes, end: bytes = b"--XX--\r\n") -> bytes:
    return b"".join(b"--XX\r\n" + part + b"\r\n" for part in parts) + end


def _model(text: bytes, head: bytes = b'Content-Disposition: form-data; name="model"') -> bytes:
    return head + b"\r\n\r\n" + text


@table(
    ("before", "after", "text"),
    [
        (_form(_model(b"a"), FILE + NASTY), _form(_model(b"new"), FILE + NASTY), "a"),
        (_form(FILE + NASTY, _model(b"a")), _form(FILE + NASTY, _model(b"new")), "a"),
        (_form(_model(b"")), _form(_model(b"new")), ""),
        (_form(_model("é".encode())), _form(_model(b"new")), "é"),
        (
            _form(_model(b"a", b"X-A: b\r\ncontent-disposition:form-data;name=model\r\nContent-Type: text/plain")),
            _form(_model(b"new", b"X-A: b\r\ncontent-disposition:form-data;name=model\r\nContent-Type: text/plain")),
            "a",
        ),
        (_form(FILE + b"x"), _form(FILE + b"x", _model(b"new")), None),
        (
            _form(_model(b"a", b'Content-Disposition: form-data; name="models"'), end=b"--XX--"),
            _form(_model(b"a", b'Content-Disposition: form-data; name="models"'), _model(b"new"), end=b"--XX--"),
            None,
        ),
        (b"before\r\n" + _form(_model(b"a")) + b"after", b"before\r\n" + _form(_model(b"new")) + b"after", "a"),
        (_form(end=b"--XX--"), _form(_model(b"new"), end=b"--XX--"), None),
    ],
)
def test_one_field_changes_and_nothing_else(before: bytes, after: bytes, text: str | None) -> None:
    form = form_edit.find(before, b"XX", "model")

    assert (form.field.text if form.field else None) == text
    assert form.with_text("model", "new") == after


@table(
    ("body", "says"),
    [
        (b"", "no whole form"),
        (b"{}", "no whole form"),
        (_form(_model(b"a"), end=b""), "no whole form"),
        (_form(_model(b"a"), end=b"--XX"), "do not end"),
        (_form(b"Content-Disposition: form-data", end=b"--XX--"), "no whole form|do not end"),
        (_form(_model(b"a"), _model(b"b")), "model stands more than once in the form"),
        (_form(_model(b"\xff")), "model is not UTF-8"),
        (_form(_model(b"a", b'Content-Disposition: form-data; name="model"; filename="a"')), "not sent as text"),
        (
            _form(
                _model(b"YQ==", b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64')
            ),
            "not sent as text",
        ),
        (_form(b"X: " + b"x" * 9000 + b"\r\n\r\n"), "do not end, or are too long"),
        (b"--XX\r\nContent-Disposition: form-data; name=model\r\n\r\n--XX--", "no whole form"),
        (_form(*[FILE] * 1001), "more than 1000 parts"),
    ],
)
def test_a_form_that_cannot_be_edited_with_certainty_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Refusal, match=says) as caught:
        form_edit.find(body, b"XX", "model")

    assert (caught.value.status, caught.value.code) == (400, "invalid_body")
