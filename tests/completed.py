"""Types of provider that are more than their row, as the table of rows.py makes them: for tests that name the class."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitm_ai_proxy.providers.generic import Generic as Generic
    from mitm_ai_proxy.providers.openai import OpenAI as OpenAI
else:
    from mitm_ai_proxy.providers.rows import COMPATIBLE

    Generic, OpenAI = COMPATIBLE["generic"], COMPATIBLE["openai"]
