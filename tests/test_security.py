"""Each claim of SECURITY.md has tests that fail where its guard is missing; this is which."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TESTS: Final = {
    "the provider's credential": """
        gateway/test_sealed.py::test_it_goes_nowhere_else
        gateway/test_redaction.py::test_what_was_sent_is_not_kept
        e2e/test_fail_closed.py::test_a_script_that_sends_a_request_elsewhere_after_ours_does_not_get_the_credential_out
        e2e/test_secrets.py::test_nothing_secret_is_logged_or_saved
        e2e/test_secrets.py::test_a_credential_that_the_provider_repeats_is_masked
        cassette/test_credentials.py::test_a_credential_of_a_request_is_written_nowhere_in_its_exchange
        hostile/test_exchanges.py::test_no_exchange_of_the_core_fails_goes_astray_or_shows_a_secret
    """,
    "your money": """
        gateway/test_strangers.py::test_other_machines_are_served_only_when_the_listening_address_was_chosen
        gateway/test_pages.py::test_a_foreign_page_buys_nothing_in_any_mode
        gateway/test_pages.py::test_a_page_whose_name_leads_here_is_not_served
        e2e/test_edges.py::test_a_client_shows_its_token_which_goes_no_further
    """,
    "where a request goes": """
        e2e/test_fail_closed.py::test_an_exception_on_the_way_to_the_provider_is_answered_with_500
        e2e/test_fail_closed.py::test_an_exception_in_the_layers_of_mitmproxy_ends_the_exchange
        e2e/test_fail_closed.py::test_a_script_that_raises_before_ours_stops_the_request
        e2e/test_reload.py::test_a_script_that_breaks_lets_nothing_through
        test_pipeline.py::test_a_path_that_begins_with_two_slashes_behind_its_prefix_is_refused
    """,
    "the framing of requests": """
        wire/test_head.py::test_a_field_whose_value_could_hold_another_field
        wire/test_head.py::test_a_target_that_an_upstream_could_read_as_another
        e2e/test_heads.py::test_a_bad_head_over_http_1_reaches_nobody
        e2e/test_heads.py::test_a_bad_head_over_http_2_reaches_nobody
        e2e/test_edges.py::test_a_shape_of_a_request_is_served_or_refused
    """,
    "memory": """
        edges/test_held.py::test_bodies_share_the_room
        e2e/test_bodies.py::test_more_than_100_mebibytes_are_refused_without_filling_the_memory
        e2e/test_bodies.py::test_long_bodies_have_a_common_limit
    """,
}


def test_each_claim_has_tests_which_exist() -> None:
    protected = (ROOT / "SECURITY.md").read_text().split("## Protected")[1].split("\n## ")[0]
    claims = re.findall(r"^\| ([^|:]+): ", protected, re.MULTILINE)
    assert claims == list(TESTS)
    for place in " ".join(TESTS.values()).split():
        file, name = place.split("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), place
