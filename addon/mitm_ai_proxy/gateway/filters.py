"""mitmproxy's filter expression `~ai`: `~ai refused`, `~ai cost>0.1`, in all places that take filters."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from mitmproxy import flow, flowfilter

from ..view.summary import WORDS

logger = logging.getLogger(__name__)

CODE: Final = "ai"
_COST: Final = re.compile(r"cost(>=|<=|>|<|=)(\d+(?:\.\d+)?|\.\d+)")


class AIFilter(flowfilter._Action):
    """Matches requests by what became of them, or by what they cost."""

    code = CODE
    help = f"AI requests that are {', '.join(WORDS)}, or by cost in dollars: cost>0.1"

    def __init__(self, expression: str) -> None:
        self.expression = expression.lower()
        self._cost = _COST.fullmatch(self.expression)
        if self._cost is None and self.expression not in WORDS:
            raise ValueError(f"~{CODE} takes {', '.join(WORDS)} or cost>0.1")

    def __call__(self, f: flow.Flow) -> bool:
        # Not at the top: a filter that was made before the script is loaded would use modules that are not in use.
        from . import listed

        found = listed.of(f)
        if self._cost is None:
            return self.expression in found.words
        if found.dollars is None:
            return False
        sign, limit = self._cost[1], float(self._cost[2])
        return (
            (">" in sign and found.dollars > limit)
            or ("<" in sign and found.dollars < limit)
            or ("=" in sign and found.dollars == limit)
        )

    def __str__(self) -> str:
        return f"AI: {self.expression}"


def add() -> None:
    """Make the filter known to mitmproxy, once or again after a reload of the script."""
    module: Any = flowfilter
    try:
        if AIFilter in module.filter_rex:
            return
        kept = [kind for kind in module.filter_rex if kind.code != CODE]
        module.filter_rex[:] = [*kept, AIFilter]
        module.bnf = module._make()
        line = (f"~{CODE} word", AIFilter.help)
        module.help[:] = [line, *[entry for entry in module.help if entry[0] != line[0]]]
    except (AttributeError, TypeError) as error:
        logger.warning(
            "ai-proxy: this version of mitmproxy is not known well enough for the filter ~%s (%s); "
            "~comment refused finds the same.",
            CODE,
            type(error).__name__,
        )
