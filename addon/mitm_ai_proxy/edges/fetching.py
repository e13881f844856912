"""Loads the texts that a configuration needs, before it is used. Blocks: it is called where a file is read, too."""

from __future__ import annotations

import functools
import http.client
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import IO, Final

from ..config import regular_files
from ..providers.fetches import MAX_SIZE, Fetch

_CHUNK: Final = 64 * 1024


class FetchError(ValueError):
    """A text that cannot be loaded; the text continues a sentence, and holds no secret."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could lead a credential to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    """Without the proxies of the environment, one of which may be this one.

    It reads the certificates of all authorities, for which no start should pay that loads nothing.
    """
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())


def load(fetch: Fetch) -> str:
    """The text. Raises FetchError."""
    data = _of_file(fetch.source) if isinstance(fetch.source, Path) else _of_url(str(fetch.source), fetch)
    if len(data) > MAX_SIZE:
        raise FetchError(f"has more than {MAX_SIZE} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FetchError(f"is not UTF-8 (byte {error.start})") from None
    if not text.strip():
        raise FetchError("is empty")
    return text


def _of_file(path: Path) -> bytes:
    try:
        return regular_files.content(path, MAX_SIZE)
    except OSError as error:
        raise FetchError(f"cannot be read: {error.strerror or type(error).__name__}") from None


def _of_url(url: str, fetch: Fetch) -> bytes:
    request = urllib.request.Request(url, headers={"accept": "*/*", **fetch.fields})  # noqa: S310 - http(s) by Url
    end = time.monotonic() + fetch.timeout
    data = b""
    try:
        with _opener().open(request, timeout=fetch.timeout) as answer:
            while chunk := answer.read(_CHUNK):
                data += chunk
                if len(data) > MAX_SIZE:
                    break
                if time.monotonic() > end:
                    raise TimeoutError
    except urllib.error.HTTPError as error:
        error.close()
        raise FetchError(f"cannot be loaded: the server answers with status {error.code}") from None
    except TimeoutError:
        raise FetchError(f"is not there within {fetch.timeout:g} seconds") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None)
        if isinstance(reason, TimeoutError):
            raise FetchError(f"is not there within {fetch.timeout:g} seconds") from None
        why = reason if isinstance(reason, OSError) else error
        said = (why.strerror if isinstance(why, OSError) else None) or type(why).__name__
        raise FetchError(f"cannot be loaded: {said}") from None
    return data
