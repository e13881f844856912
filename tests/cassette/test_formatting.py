"""Parts of an exchange as short texts."""

from __future__ import annotations

from mitm_ai_proxy.cassette.formatting import described
from tests.cassette.exchanges import new_request


def test_a_request_is_shown_without_what_is_nobodys_business() -> None:
    assert described(new_request("GET", "https://u:p@A.test:443/a%20b?key=secret#c")) == "GET https://a.test/a%20b"
