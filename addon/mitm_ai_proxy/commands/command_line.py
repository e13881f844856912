"""Which command a command line means, wherever its word stands, and the name that the program was called with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ..config.keys import nearest

TOOLS: Final = {"start": "mitmdump", "web": "mitmweb", "console": "mitmproxy"}
COMMANDS: Final = (
    *TOOLS,
    "inspect",
    "explain",
    "sessions",
    "init",
    "serve",
    "simulate",
    "demo",
    "platform",
    "cassette",
    "check",
    "docs",
    "script",
)
DEFAULT_CONFIG: Final = "config.yaml"
RUN_SH_COMMANDS: Final = ("test", "lint", "bench")
"""Further commands of run.sh, which takes them as its first word only."""
NAME: Final = "AI_PROXY_NAME"
"""Environment variable: the name that run.sh was called with."""

WITH_VALUE: Final = frozenset(
    "--allow-hosts --auth-choice --base-url --cert --cert-passphrase --certs --client-replay --config"
    " --console-layout --data --flow-detail --gateway-port --host --ignore-hosts --intercept --listen-host"
    " --grace --held-bodies"
    " --listen-port --log --map-local --map-remote --metrics-host --metrics-port --mode"
    " --modify-body --modify-headers --port --proxyauth --rfile"
    " --save-stream-file --scripts --server-replay --server-replay-extra --set --stickyauth"
    " --stickycookie --tcp-hosts --upstream-auth --upstream-ca --view-filter --web-host --web-port --workers"
    " -B -C -H -M -S -m -p"
    " -r -s -w".split()
)
"""The options of the commands and of mitmproxy's tools that take the next word as their value."""
# Short options in one word, of which the last takes a value.
_SHORT_WITH_VALUE = re.compile(r"-[hknqv]+[BCHMSmprsw]")


class WrongOrder(Exception):
    """A command line whose command is unclear. The text is for the user."""


def program() -> str:
    """The name that the user calls this program by: `ai-proxy`, or that of run.sh, such as `./run.sh`."""
    return os.environ.get(NAME) or "ai-proxy"


def split(words: Sequence[str]) -> tuple[str, list[str]]:
    """The command and its arguments; those of `cassette` begin with the command's own words.

    A command line without a command starts mitmdump; what is no option is a flow filter there. Raises WrongOrder.
    """
    places = list(_places(words))
    known = (*COMMANDS, *RUN_SH_COMMANDS) if os.environ.get(NAME) else COMMANDS
    first = words[places[0]] if places else "start"
    if first not in COMMANDS:
        _refuse_late(words, places, known)
        near = "" if first in RUN_SH_COMMANDS else nearest(first, known)
        if places[0] == 0:
            raise WrongOrder(f"unknown command {first}{near}")
        if near:
            raise WrongOrder(f"unknown command {first}{near} (a flow filter stands behind the command start)")
        return "start", [*words]
    if not places:
        return first, [*words]
    before, behind = words[: places[0]], words[places[0] + 1 :]
    if first not in TOOLS:
        return first, [*behind, *before]
    _refuse_late(words, places[1:], known, first)
    # mitmproxy takes all behind the first word of a filter for the filter.
    return first, [*before, *behind]


def _places(words: Sequence[str]) -> Iterator[int]:
    """The indexes of the words that are neither options nor their values."""
    is_value = False
    for index, word in enumerate(words):
        if is_value:
            is_value = False
        elif word == "--":
            return
        elif word.startswith("-") and word != "-":
            is_value = word in WITH_VALUE or word.endswith("-key") or bool(_SHORT_WITH_VALUE.fullmatch(word))
        else:
            yield index


def _refuse_late(words: Sequence[str], places: Sequence[int], known: Sequence[str], first: str = "") -> None:
    """Raise WrongOrder for the word of a command at one of these places, unless it is what a filter looks for."""
    for index in places:
        word = words[index]
        if word not in known or (index and words[index - 1].startswith("~")):
            continue
        if first:
            raise WrongOrder(f"{first} and {word} are both commands; give one (as a flow filter: ~u {word})")
        order = f"{program()} {word} ..."
        raise WrongOrder(f"the command {word} stands before all other arguments: {order} (as a flow filter: ~u {word})")
