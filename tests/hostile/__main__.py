"""Runs fuzzers in turn, without pytest, until so many exchanges of the core have been tried; goes on behind a finding.

`python -m tests.hostile 1000000 --seconds 5000`; prints what was tried as it goes.
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from tests.hostile import test_chats, test_edits, test_exchanges, test_forms
from tests.hostile.inputs import Inputs

Fuzzer = Callable[[Inputs], None]
EXCHANGES: Final[Fuzzer] = test_exchanges.test_no_exchange_of_the_core_fails_goes_astray_or_shows_a_secret
OTHERS: Final[tuple[Fuzzer, ...]] = (
    test_chats.test_a_damaged_stream_says_the_same_in_any_cut_and_tells_its_end,
    test_chats.test_a_damaged_answer_becomes_an_answer_or_an_error,
    test_chats.test_a_damaged_request_is_refused_or_becomes_a_request,
    test_chats.test_what_streams_are_made_of_is_read_alike_in_any_cut,
    test_edits.test_a_field_of_a_form_is_the_one_that_is_read_and_all_others_stay,
    test_forms.test_a_form_is_read_as_werkzeug_reads_it,
)
TURN: Final = 30.0
"""Seconds of the exchanges between two turns of others, which are shorter."""


def main(arguments: Sequence[str]) -> int:
    """Returns 1 if there was a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("exchanges", type=int, help="how many exchanges")
    parser.add_argument("--seconds", type=float, default=3600.0, help="at most so long (%(default)s)")
    options = parser.parse_args(arguments)
    end = time.monotonic() + options.seconds
    count: Counter[str] = Counter()
    findings = 0
    for other in itertools.cycle(OTHERS):
        for fuzzer, seconds in ((EXCHANGES, TURN), (other, TURN / 15)):
            findings += not _run(fuzzer, min(seconds, end - time.monotonic()), count)
        print(*(f"{name}: {number:,}" for name, number in count.items()), f"findings: {findings}", sep="\n", flush=True)
        if (
            count[f"{EXCHANGES.__name__.removeprefix('test_')}: exchanges"] >= options.exchanges
            or time.monotonic() >= end
        ):
            return min(findings, 1)
    return 0


def _run(fuzzer: Fuzzer, seconds: float, count: Counter[str]) -> bool:
    """Run a fuzzer for some time; returns whether all was well."""
    inputs = Inputs(seconds, secrets.randbelow(2**48))
    try:
        fuzzer(inputs)
    except Exception:
        print(f"{fuzzer.__name__} --hostile-input={inputs.number}\n{traceback.format_exc()}", flush=True)
        return False
    finally:
        name = fuzzer.__name__.removeprefix("test_")
        count.update({f"{name}: {what}": number for what, number in inputs.tally.items()})
        count[f"{name}: inputs"] += inputs.count
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
