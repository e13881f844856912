"""The addresses that Kling calls: only we can make one, and it names its job."""

from __future__ import annotations

from mitm_ai_proxy.platform import callbacks
from tests.tables import table

KEY = b"k" * 32
ADDRESS = callbacks.address("https://videos.example/base/", KEY, "job_1")
TOKEN = ADDRESS.rpartition("/")[2]


def test_an_address_lies_below_the_public_url_and_names_its_job() -> None:
    assert ADDRESS.startswith("https://videos.example/base/callbacks/kling/job_1.")
    assert callbacks.job_of(TOKEN, KEY) == "job_1"


@table(
    "token",
    [
        "",
        "job_1",
        "job_1.",
        TOKEN.replace("job_1", "job_2"),
        TOKEN[:-1],
        f"{TOKEN}a",
        TOKEN.upper(),
        f"{TOKEN}\n",
        f"../{TOKEN}",
        "." + TOKEN.partition(".")[2],
    ],
)
def test_a_token_that_was_not_made_here_names_no_job(token: str) -> None:
    assert callbacks.job_of(token, KEY) is None


def test_a_token_of_another_key_names_no_job() -> None:
    assert callbacks.job_of(TOKEN, b"o" * 32) is None
