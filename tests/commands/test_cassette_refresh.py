"""The new names of creates that are sent again."""

from __future__ import annotations

import re

from mitm_ai_proxy import registry
from mitm_ai_proxy.commands.cassette_refresh import fresh_name
from mitm_ai_proxy.kling.ids import NO_PARAMETERS, VideoParameters, add_parameters, split_parameters
from tests.tables import table

OWN = "ai-proxy-yisswckzpdazq6fpsxxqfz77je-0"
ASKED = VideoParameters("sora-2", "4", "1280x720")


@table(
    ("recorded", "start", "asked"),
    [
        ("mine", "mine", NO_PARAMETERS),
        ("mine-again-0123abcd", "mine", NO_PARAMETERS),
        ("an-again-b", "an", NO_PARAMETERS),
        (OWN, OWN, NO_PARAMETERS),
        (add_parameters(OWN, ASKED), OWN, ASKED),
        (f"{add_parameters(OWN, ASKED)}-again-0123abcd", OWN, ASKED),
        (add_parameters(f"{OWN}-again-0123abcd", ASKED), OWN, ASKED),
        ("mine-oabcdefgh", "mine-oabcdefgh", NO_PARAMETERS),
    ],
)
def test_a_new_name_says_what_was_asked_for_as_the_recorded_one_does(
    recorded: str, start: str, asked: VideoParameters
) -> None:
    names = [fresh_name(recorded, registry.recorded_api()) for _ in range(2)]
    assert names[0] != names[1]
    for name in names:
        bare, parameters = split_parameters(name)
        assert re.fullmatch(re.escape(start) + "-again-[0-9a-f]{8}", bare)
        assert parameters == asked
