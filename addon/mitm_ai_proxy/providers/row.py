"""A row of the table of providers that speak OpenAI's API, and the keys of their blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ..auth.bearer import bearer
from ..auth.header import Credential
from ..auth.secret import Secret
from ..chat.body_edits import BodyEdit
from ..chat.edits import REASONING_MODES, Edits, ReasoningMode
from ..chat.target import ANTHROPIC_MESSAGES, OPENAI_CHAT, Target
from ..config import custom_settings, values
from ..config.custom_settings import Setting
from ..config.keys import key
from ..wire.targets import Url
from . import fetches
from .common_keys import CommonKeys
from .conversions import Conversions
from .fetches import Context

if TYPE_CHECKING:
    from .compatible import Compatible

Style: TypeAlias = Callable[[Secret], Credential]
"""Makes the credential of a token."""

_NO_PATHS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class AddressKeys(CommonKeys):
    """The keys of every type of the table."""

    base_url: Url | None = key(
        values.base_url,
        extension=True,
        help="What an SDK calls `base_url` (`https://api.moonshot.ai/v1`): replaces scheme, host and base path of the"
        " type.",
    )
    send_client_key: bool | None = key(
        values.flag,
        extension=True,
        help="Whether the client's own key is sent where `apiTokens` is missing. Default: true with one provider, false"
        " with several, for it may be the key of another.",
    )
    custom_settings: tuple[Setting, ...] = key(
        custom_settings.settings,
        (),
        mapping=True,
        help="Members that are set in JSON bodies: a list of `name`, `value`, `mode` (`auto`, `raw`) and `overwrite`.",
    )


_TIMEOUT: Final = 120_000
_REASONING_MODE: Final = values.one_of(*REASONING_MODES)


def _reasoning_mode(value: Any) -> ReasoningMode:
    """A word, in capitals too, as in the Higress ai-proxy plugin."""
    return _REASONING_MODE(value.lower() if isinstance(value, str) else value)


@dataclass(frozen=True, slots=True)
class ChatKeys(AddressKeys):
    """The keys of every type that has a chat API. They apply in both dialects, and to whole answers and streams."""

    context_cleanup_commands: tuple[str, ...] = key(
        values.texts,
        (),
        help="Texts of a user's message that begin the conversation anew: what stands before the last one is left out,"
        " but for instructions.",
    )
    merge_consecutive_messages: bool = key(
        values.flag, False, help="Whether neighbouring messages of the user's, or of the assistant's, become one."
    )
    promote_thinking_on_empty: bool = key(
        values.flag, False, help="Whether what was thought becomes the answer where there is no other text."
    )
    hiclaw_mode: bool = key(values.flag, False, help="Both `mergeConsecutiveMessages` and `promoteThinkingOnEmpty`.")
    reasoning_content_mode: ReasoningMode = key(
        _reasoning_mode,
        "passthrough",
        help="What becomes of `reasoning_content` in answers to OpenAI's clients: `passthrough`, `ignore`, or `concat`"
        " (put in front of the content, in `<think>`).",
    )

    context: Context | None = key(
        fetches.context,
        mapping=True,
        help="A text that is put behind the instructions of every chat: `fileUrl` (`http://`, `https://`, `file://`) is"
        " loaded with the configuration; `serviceName` and `servicePort` are accepted.",
    )

    @property
    def seconds_to_load(self) -> float:
        """How long the loading of a file may take: `timeout`, else the plugin's default for it."""
        return (self.timeout or _TIMEOUT) / 1000

    def chat_edits(self) -> Edits:
        """What these keys ask for."""
        edits = Edits(
            self.context_cleanup_commands,
            self.merge_consecutive_messages,
            self.promote_thinking_on_empty,
            self.reasoning_content_mode,
            self.context.text if self.context else "",
        )
        return edits.with_hiclaw() if self.hiclaw_mode else edits


@dataclass(frozen=True, slots=True)
class CompatibleKeys(ChatKeys):
    """The keys of every type that has OpenAI's chat API."""

    disable_stream_usage_stats: bool = key(
        values.flag, False, help="Whether streams are left without `stream_options.include_usage`, which is added else."
    )


@dataclass(frozen=True, slots=True)
class SchemaKeys(CompatibleKeys):
    """The keys of types whose answers can be given a schema."""

    response_json_schema: bytes = key(
        values.json_object, b"", help="The `response_format` of every chat, as OpenAI's API takes it."
    )


class Row(NamedTuple):
    """A type of provider that speaks OpenAI's API; `name` is its `type`.

    `host` and `base` make what an SDK calls `base_url`; `{cloudflareAccountId}` in the base is the value of that key,
    and `host` is "" where a key names it. `apis` are the names of the APIs below the base, `elsewhere` the paths of
    those that are not. `variable` is the environment variable of the key, which is used where `apiTokens` is missing,
    unless the key is optional; `key_instead` are keys in its place. `needs` are the keys of which a block has to have
    one, `addresses` those that say where the service is. `aliases` are other bases under which clients address it,
    `beside` are paths of clients, without an API, whose place is not below the base. `own` finds, in `GET /v1/files`,
    what is the service's own though it looks like an API of others. `native` has texts in a path that tell the API
    under `protocol: original`.
    `edits` are what the type changes in JSON bodies, by the name of the API. `domain` is the key that names another
    host of the service. `chat` and `messages` are what is particular about its chat APIs, OpenAI's and Anthropic's, for
    requests that are translated; a dialect that is not the API's own makes it the vendor's form of chats. `conversions`
    are its forms of other APIs. `kind` is the class of a type that is more than its row.
    """

    name: str
    host: str
    base: str
    apis: frozenset[str]
    about: str
    site: str = ""
    elsewhere: Mapping[str, str] = _NO_PATHS
    style: Style = bearer
    variable: str = ""
    is_key_optional: bool = False
    key_instead: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    beside: Mapping[str, str] = _NO_PATHS
    own: str = ""
    native: tuple[tuple[str, str], ...] = ()
    keeps_developer: bool = False
    edits: Mapping[str, tuple[BodyEdit, ...]] = MappingProxyType({})
    domain: str = ""
    chat: Target = OPENAI_CHAT
    messages: Target = ANTHROPIC_MESSAGES
    conversions: Conversions = MappingProxyType({})
    keys: type[AddressKeys] = CompatibleKeys
    kind: type[Compatible] | None = None

    @property
    def key_variable(self) -> str:
        """The environment variable of the key: `KILOCODE_API_KEY`."""
        return self.variable or f"{self.name.upper().replace('-', '_')}_API_KEY"
