"""The chats of one provider: what is done to a request and its answer, in its own dialect or translated."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from ..chat import answer_repairs, context, edits, native, token_estimate, translate
from ..chat.body_edits import Notes
from ..chat.dialects import ANTHROPIC, OPENAI
from ..chat.edits import Edits
from ..chat.target import Target
from ..chat.translate import CHAT_APIS, Rewritten
from ..exchange import NO_MEMO, Answer, Handling, Memo
from ..wire.header_fields import Changes, Fields
from .base import Clock

CHAT: Final = "openai/v1/chatcompletions"
MESSAGES: Final = "anthropic/v1/messages"
COUNT_TOKENS: Final = "anthropic/v1/messages/count_tokens"
READABLE: Final[Changes] = {b"accept-encoding": b"identity"}
"""Header fields of a request whose answer is read here: clients ask for encodings that are not known here."""
TRANSLATION: Final = "translation"
"""In the memo of a chat that was translated: what its answer needs."""
_MENDED: Final = "mended"
"""In that of one whose answer may have errors with the status of a success."""
_DIALECT: Final = "dialect"
"""In that of a chat whose answer is edited: the client's."""


class Chats:
    """What the chats of a provider have in common.

    `targets`: by name of an API, what is particular about it. `wanted`: what the configuration asks for.
    """

    def __init__(self, targets: Mapping[str, Target], wanted: Edits, clock: Clock) -> None:
        self._targets, self._wanted, self._clock = targets, wanted, clock

    def is_foreign(self, api: str) -> bool:
        """Whether an API of this name is a chat that the provider has in a dialect of its own."""
        return api in CHAT_APIS and self._targets[api].dialect != CHAT_APIS[api]

    def named(self, api: str) -> str:
        """The name of a chat API for a person: that of its dialect, if it is the vendor's own."""
        return f"{self._targets[api].dialect} chat" if self.is_foreign(api) else api

    def prepared(self, api: str, body: bytes) -> tuple[bytes, Notes]:
        """A request in the provider's own dialect, of which nothing is read that need not be. Raises Refusal."""
        dialect, target = CHAT_APIS[api], self._targets[api]
        if dialect == ANTHROPIC and not target.has_threads:
            native.refuse_thread(body, target.name)
        body, taken = native.request(body, dialect, target.vendor)
        body, done = self.edited(api, body)
        return body, (*taken, *done)

    def memo(self, api: str) -> Memo:
        """What the answer to a request in the provider's own dialect needs."""
        dialect = CHAT_APIS[api]
        found = {} if edits.stream(dialect, self._wanted) is None else {_DIALECT: dialect}
        return {**found, _MENDED: True} if self._mends(api) == "errors" else found

    def _mends(self, api: str) -> str:
        return self._targets[api].mends if CHAT_APIS[api] == OPENAI else "nothing"

    def own_memo(self, api: str, body: bytes) -> Memo:
        """What the answer needs besides, if all of it is read and written anew. Raises Refusal."""
        if self._mends(api) != "all":
            return NO_MEMO
        memo = translate.own_memo(body, self._targets[api], self._clock(), uuid.uuid4().hex)
        return {TRANSLATION: memo, _DIALECT: CHAT_APIS[api]}

    def edited(self, api: str, body: bytes) -> tuple[bytes, Notes]:
        """A request with what the configuration asks for. Raises Refusal."""
        body, done = edits.request(body, self._wanted)
        body, added = context.added(body, CHAT_APIS[api], self._wanted.context)
        return body, (*done, *added)

    def translated(self, asked: str, other: str, body: bytes) -> Rewritten:
        """A request for the API `asked`, translated for the `other` one. Raises Refusal."""
        found = translate.rewrite(body, CHAT_APIS[asked], self._targets[other], self._clock(), uuid.uuid4().hex)
        memo = {TRANSLATION: dict(found.memo), _DIALECT: CHAT_APIS[asked]}
        return found._replace(memo=memo, fields={**found.fields, **READABLE})

    def handling(self, memo: Memo, inner: Handling, status: int, fields: Fields) -> Handling:
        """What is done with an answer beside `inner`: one to a translated request is translated back."""
        translation, dialect = memo.get(TRANSLATION), memo.get(_DIALECT)
        found = inner if translation is None else translate.handling(translation, status, fields)
        if memo.get(_MENDED):
            found = answer_repairs.handling(status, fields) or found
        return found if dialect is None else edits.handling(found, dialect, self._wanted, status, fields)


def estimated(body: bytes) -> Answer:
    """The answer to a client that counts the tokens of a request."""
    return Answer(200, token_estimate.answer(body), {"content-type": "application/json"}, (token_estimate.NOTE,))
