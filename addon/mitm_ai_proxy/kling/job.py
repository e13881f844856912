"""What the answer to a request of OpenAI's Videos API is translated with: it travels from the request to its answer."""

from __future__ import annotations

from typing import Final, NamedTuple

from .. import exchange
from ..exchange import without_surrogates
from . import pages
from .ids import NO_PARAMETERS, VideoParameters
from .task_kinds import TASK_KINDS

LIST: Final = "openai/v1/listvideos"
CONTENT: Final = "openai/v1/retrievevideocontent"
REMIX: Final = "openai/v1/videoremix"
EDIT: Final = "openai/v1/videoedits"
EXTEND: Final = "openai/v1/videoextensions"
CHARACTER: Final = "openai/v1/videocharacters"
RETRIEVE_CHARACTER: Final = "openai/v1/retrievevideocharacter"


class Job(NamedTuple):
    """What the answer to a request is translated with. As plain values (`memo`) it is saved with the flow.

    `what` is the kind of request: retrieve, content, list, character, source (the first request of a follow-up), or,
    where Kling charges for it, create or make (the second request of a follow-up). `kind` is the name of a TaskKind.
    `asked` goes into the video id. `name` is the external_task_id of a create, and `repeated` whether the client may
    have sent it before. `api` is the API of a follow-up, `target` the client's path and query, for a redirect.
    `is_told`: the client gets OpenAI's objects only because of this request, so that its ids have to tell it later.
    `is_guessed`: nothing says that the task is of this kind.
    """

    what: str
    kind: str = ""
    is_openai: bool = True
    asked: VideoParameters = NO_PARAMETERS
    prompt: str | None = None
    name: str = ""
    repeated: bool = False
    api: str = ""
    page: pages.Page | None = None
    target: str = ""
    is_told: bool = False
    is_guessed: bool = False

    @classmethod
    def of(cls, memo: exchange.Memo) -> Job | None:
        """The job in a memo; None if it is empty."""
        if not memo:
            return None
        given = dict(memo)
        if "asked" in given:
            given["asked"] = VideoParameters(*given["asked"])
        if "page" in given:
            given["page"] = pages.Page(*given["page"])
        if "target" in given:
            given["target"] = given["target"].encode("latin-1").decode("utf-8", "surrogateescape")
        return cls(**given)

    @property
    def memo(self) -> exchange.Memo:
        """The fields that differ from their defaults, as plain values."""
        defaults = self._field_defaults
        found = {name: value for name, value in self._asdict().items() if value != defaults.get(name)}
        # A lone surrogate, which JSON may hold, would break the file in which mitmproxy saves a flow.
        if "asked" in found:
            found["asked"] = [without_surrogates(text) for text in self.asked]
        if self.page:
            found["page"] = list(self.page)
        if self.prompt is not None:
            found["prompt"] = without_surrogates(self.prompt)
        if self.target:
            # A target may hold any byte; a redirect has to repeat it exactly.
            found["target"] = self.target.encode("utf-8", "surrogateescape").decode("latin-1")
        return found

    @property
    def is_paid(self) -> bool:
        """Whether Kling charges for the request."""
        return self.what in ("create", "make")


NATIVE_CREATES: Final = {name: Job("create", name, is_openai=False).memo for name in TASK_KINDS}
"""The memo of a create in Kling's own words, which is answered in these, by the kind of its task."""
