"""Kling's error codes: the HTTP status and the usual message of each.

Source: Kling API documentation, error codes; messages of live answers where known.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Code(NamedTuple):
    """The HTTP status of an error code, and its default message."""

    status: int
    message: str


CODES: Final = {
    1000: Code(401, "Authentication failed"),
    1001: Code(401, "Authorization is empty"),
    1002: Code(401, "Authorization is invalid"),
    1003: Code(401, "Authorization is not valid yet"),
    1004: Code(401, "Authorization has expired"),
    1100: Code(429, "Account exception"),
    1101: Code(429, "Account in arrears"),
    1102: Code(429, "Account balance not enough"),
    1103: Code(403, "No permission for this API or model"),
    1200: Code(400, "Missing Request Parameter"),
    1201: Code(400, "Invalid request parameter"),
    1202: Code(404, "Request method is not supported"),
    1203: Code(404, "The requested resource does not exist"),
    1300: Code(400, "Triggered the strategy of the platform"),
    1301: Code(400, "Triggered the content security policy of the platform"),
    1302: Code(429, "API request too fast"),
    1303: Code(429, "parallel task over resource pack limit"),
    1304: Code(429, "Triggered the IP whitelisting policy of the platform"),
    5000: Code(500, "Internal server error"),
    5001: Code(503, "Server temporarily unavailable"),
    5002: Code(504, "Server internal timeout"),
}


class KlingError(Exception):
    """Kling refuses a request, with one of CODES. `message` replaces the default one."""

    def __init__(self, code: int, message: str = "") -> None:
        self.code = code
        self.status = CODES[code].status
        self.message = message or CODES[code].message
        super().__init__(self.message)


def bad_parameter(message: str) -> KlingError:
    """Error 1201: a request field is missing, or its value is wrong."""
    return KlingError(1201, message)
