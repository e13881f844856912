"""What of an exchange cannot be sent as HTTP: a cassette that has it is refused, and what came is cleaned of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from .entry import Entry, Headers, Request, Response

STATUSES: Final = range(200, 600)
"""The statuses of final answers."""
EMPTY: Final = frozenset((204, 304))
"""Statuses without a body (RFC 9110, 6.4.1)."""

# Half surrogate pairs stand for bytes that are no UTF-8 if they are low, and cannot be encoded otherwise.
_NO_TEXT = re.compile("[\r\n\0\ud800-\udc7f\udd00-\udfff]")
_FOLD = re.compile("[ \t]*[\r\n\0\ud800-\udc7f\udd00-\udfff]+[ \t]*")
_TOKEN = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2."""


def problem(request: Request, response: Response | None) -> tuple[str, str] | None:
    """The first member, by its key in HAR, that could not be sent, and why; None if all could."""
    return next(_problems(request, response), None)


def _problems(request: Request, response: Response | None) -> Iterator[tuple[str, str]]:
    texts = [("request.method", request.method), ("request.url", request.url)]
    texts += _texts("request", request.headers)
    if response is not None:
        texts += [("response.statusText", response.reason), *_texts("response", response.headers)]
        if response.status not in STATUSES:
            yield "response.status", "is no status of an answer, 200 to 599"
        for index, (name, _) in enumerate(response.headers):
            if not _TOKEN.fullmatch(name):
                yield f"response.headers[{index}].name", "is no name of a header field"
    for place, text in texts:
        if _NO_TEXT.search(text):
            yield place, "has a line break, a zero or half of a surrogate pair"


def _texts(side: str, headers: Headers) -> list[tuple[str, str]]:
    return [
        (f"{side}.headers[{index}].{key}", text)
        for index, field in enumerate(headers)
        for key, text in zip(("name", "value"), field, strict=True)
    ]


def sent(request: Request, response: Response) -> Response:
    """The answer without a body that nobody can send: behind a status that has none, or to HEAD."""
    is_empty = response.status in EMPTY or request.method == "HEAD"
    return replace(response, body=b"", chunks=()) if is_empty and response.body else response


def cleaned(entry: Entry) -> Entry:
    """An exchange as it came, so that it can be sent: with blanks for line breaks and zeros (RFC 9112, 5.2).

    An answer whose status is none is no answer, and a field of an answer whose name is none is left out.
    """
    request, response = entry.request, entry.response
    method, url = _FOLD.sub(" ", request.method), _FOLD.sub(" ", request.url)
    return replace(
        entry,
        request=replace(request, method=method, url=url, headers=_cleaned(request.headers)),
        response=_cleaned_answer(response) if response and response.status in STATUSES else None,
    )


def _cleaned_answer(response: Response) -> Response:
    headers = tuple(field for field in _cleaned(response.headers) if _TOKEN.fullmatch(field[0]))
    return replace(response, reason=_FOLD.sub(" ", response.reason), headers=headers)


def _cleaned(headers: Headers) -> Headers:
    return tuple((_FOLD.sub(" ", name), _FOLD.sub(" ", value)) for name, value in headers)
