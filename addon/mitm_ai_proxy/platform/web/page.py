"""The page: its files, what a browser may do with them, and the session of somebody with a key."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from ...errors import bad_body
from . import access
from .services import READ, Services, body_of, call_of

_FOLDER: Final = Path(__file__).with_name("page")
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_LONGEST_BODY: Final = 4096
_SESSION_SECONDS: Final = 30 * 24 * 3600


class Page:
    """The endpoints of the page."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.router = APIRouter()
        self._files = {path: _file(*entry) for path, entry in _FILES.items()}
        for path in _FILES:
            self.router.add_api_route(path, self.file, methods=READ, include_in_schema=False)
        self.router.add_api_route("/session", self.enter, methods=["POST"], include_in_schema=False)
        self.router.add_api_route("/session", self.leave, methods=["DELETE"], include_in_schema=False)

    def file(self, request: Request) -> Response:
        """A file of the page."""
        content, media_type, etag = self._files[request.url.path]
        headers = {"etag": etag, "cache-control": "no-cache", "content-security-policy": self._policy()}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, 200, headers, media_type)

    async def enter(self, request: Request) -> Response:
        """Keep a key in a cookie that no script can read, and no other site makes a browser send."""
        body = await body_of(request, _LONGEST_BODY)
        await run_in_threadpool(access.require_own_site, call_of(request))
        try:
            key = json.loads(body)["key"]
        except (ValueError, LookupError, TypeError, RecursionError):
            key = None
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise bad_body("key is no key.", param="key")
        await run_in_threadpool(access.opened, key, self._services.store.keys)
        answer = Response(status_code=204)
        answer.set_cookie(
            access.COOKIE, key, _SESSION_SECONDS, secure=self._is_secure(request), httponly=True, samesite="strict"
        )
        return answer

    async def leave(self, request: Request) -> Response:
        """Forget the key."""
        access.require_own_site(call_of(request))
        answer = Response(status_code=204)
        answer.delete_cookie(access.COOKIE, secure=self._is_secure(request), httponly=True, samesite="strict")
        return answer

    def _is_secure(self, request: Request) -> bool:
        return request.url.scheme == "https" or self._services.deployment.public_url.startswith("https://")

    def _policy(self) -> str:
        """What the page may load: from here only, and videos from where the storage's links lead."""
        link = self._services.storage.link("video.mp4", 1)
        parts = urlsplit(link) if link else None
        media = f" {parts.scheme}://{parts.netloc}" if parts else ""
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
            f" media-src 'self'{media}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )


def _file(name: str, media_type: str) -> tuple[bytes, str, str]:
    content = (_FOLDER / name).read_bytes()
    return content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
