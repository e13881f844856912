"""The APIs that clients call: name, method and path of each, which one a request is for, and which it is nearly for.

Sources: Higress ai-proxy plugin, API names; OpenAI's Videos API for the video rows that the plugin lacks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

VIDEOS: Final = "openai/v1/videos"
CHAT_PATH: Final = "/v1/chat/completions"
RETRIEVE_VIDEO: Final = "openai/v1/retrievevideo"

_POST, _GET, _DELETE, _ANY = "POST", "GET", "DELETE", None

# name, method (None: any), path
_ROWS: Final[tuple[tuple[str, str | None, str], ...]] = (
    ("openai/v1/chatcompletions", _ANY, CHAT_PATH),
    ("openai/v1/completions", _ANY, "/v1/completions"),
    ("openai/v1/embeddings", _ANY, "/v1/embeddings"),
    ("openai/v1/audiospeech", _ANY, "/v1/audio/speech"),
    ("openai/v1/audiotranscription", _ANY, "/v1/audio/transcriptions"),
    ("openai/v1/audiotranslation", _ANY, "/v1/audio/translations"),
    ("openai/v1/realtime", _ANY, "/v1/realtime"),
    ("openai/v1/imagegeneration", _ANY, "/v1/images/generations"),
    ("openai/v1/imagevariation", _ANY, "/v1/images/variations"),
    ("openai/v1/imageedit", _ANY, "/v1/images/edits"),
    ("openai/v1/batches", _ANY, "/v1/batches"),
    ("openai/v1/files", _ANY, "/v1/files"),
    ("openai/v1/models", _ANY, "/v1/models"),
    ("openai/v1/fine-tuningjobs", _ANY, "/v1/fine_tuning/jobs"),
    ("openai/v1/responses", _ANY, "/v1/responses"),
    (VIDEOS, _POST, "/v1/videos"),
    ("openai/v1/listvideos", _GET, "/v1/videos"),
    ("openai/v1/videoedits", _POST, "/v1/videos/edits"),
    ("openai/v1/videoextensions", _POST, "/v1/videos/extensions"),
    ("openai/v1/videocharacters", _POST, "/v1/videos/characters"),
    ("openai/v1/retrievevideocharacter", _GET, "/v1/videos/characters/{character_id}"),
    ("anthropic/v1/messages/count_tokens", _ANY, "/v1/messages/count_tokens"),
    ("anthropic/v1/messages", _ANY, "/v1/messages"),
    ("anthropic/v1/complete", _ANY, "/v1/complete"),
    ("cohere/v1/rerank", _ANY, "/v1/rerank"),
    ("qwen/v1/rerank", _ANY, "/v1/reranks"),
    ("qwen/v1/conversations", _ANY, "/v1/conversations"),
    ("openai/v1/retrievebatch", _ANY, "/v1/batches/{batch_id}"),
    ("openai/v1/cancelbatch", _ANY, "/v1/batches/{batch_id}/cancel"),
    ("openai/v1/retrievefile", _ANY, "/v1/files/{file_id}"),
    ("openai/v1/retrievefilecontent", _ANY, "/v1/files/{file_id}/content"),
    (RETRIEVE_VIDEO, _GET, "/v1/videos/{video_id}"),
    ("openai/v1/deletevideo", _DELETE, "/v1/videos/{video_id}"),
    ("openai/v1/retrievevideocontent", _GET, "/v1/videos/{video_id}/content"),
    ("openai/v1/videoremix", _POST, "/v1/videos/{video_id}/remix"),
    ("openai/v1/retrievefine-tuningjob", _ANY, "/v1/fine_tuning/jobs/{fine_tuning_job_id}"),
    ("openai/v1/fine-tuningjobsevents", _ANY, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/events"),
    ("openai/v1/fine-tuningjobcheckpoints", _ANY, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints"),
    ("openai/v1/cancelfine-tuningjob", _ANY, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel"),
    ("openai/v1/resumefine-tuningjob", _ANY, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/resume"),
    ("openai/v1/pausefine-tuningjob", _ANY, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/pause"),
    (
        "openai/v1/fine-tuningjobcheckpointpermissions",
        _ANY,
        "/v1/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions",
    ),
    (
        "openai/v1/deletefine-tuningjobcheckpointpermission",
        _ANY,
        "/v1/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions/{permission_id}",
    ),
    ("gemini/v1beta/generatecontent", _ANY, "/v1beta/models/{model}:generateContent"),
    ("gemini/v1beta/streamgeneratecontent", _ANY, "/v1beta/models/{model}:streamGenerateContent"),
)


# What stands before the path of an API, less its /v1; an id in that path; whether the API is meant for certain.
# `base` is what should stand before the /v1. Without a /v1, what looks like an id and has a dot is the name of a file.
_BASES: Final[tuple[tuple[str, str, bool], ...]] = (
    (r"(?P<base>.*)/v1", r"[^/]*", True),
    (r"(?P<base>)", r"[^/.]*", True),
    # AzureOpenAI, without and with `azure_deployment`.
    (r"(?P<base>/openai)", r"[^/.]*", True),
    (r"(?P<base>/openai/deployments/[^/]+)", r"[^/.]*", True),
    # Another version, another client's prefix, or the path of an API.
    (r"(?P<base>/.*)", r"[^/.]*", False),
)

# OpenAI's collections of which the rows above have a part at most, and that nobody else has. Source: OpenAI's API
# reference.
_COLLECTIONS: Final = frozenset(
    "assistants batches chat chatkit completions containers conversations embeddings evals files fine_tuning models"
    " moderations organization realtime responses skills threads uploads vector_stores".split()
)
_MAX_LENGTH: Final = 4096
"""Characters of a path that is looked at closely: an id has up to 256, each of which may be escaped."""
_COLLECTION: Final = re.compile(r".*(/v1/([a-z_]+))(?:/.*)?", re.DOTALL | re.IGNORECASE)


_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
RESPONSES: Final = "openai/v1/responses"
_ANSWERED_AT_ONCE: Final = frozenset(
    {
        "anthropic/v1/complete",
        "anthropic/v1/messages",
        "anthropic/v1/messages/count_tokens",
        "cohere/v1/rerank",
        "gemini/v1beta/generatecontent",
        "gemini/v1beta/streamgeneratecontent",
        "openai/v1/audiospeech",
        "openai/v1/audiotranscription",
        "openai/v1/audiotranslation",
        "openai/v1/chatcompletions",
        "openai/v1/completions",
        "openai/v1/embeddings",
        "openai/v1/models",
        "qwen/v1/rerank",
        RESPONSES,
    }
)
"""APIs whose whole result is the answer; a second request costs what the first did, and leaves nothing behind."""
CONVERSATIONS: Final = "qwen/v1/conversations"
_OF_CONSUMERS: Final = frozenset({CONVERSATIONS, RESPONSES}) | frozenset(
    f"openai/v1/{name}"
    for name in (
        "files retrievefile retrievefilecontent batches retrievebatch cancelbatch fine-tuningjobs"
        " retrievefine-tuningjob fine-tuningjobsevents fine-tuningjobcheckpoints cancelfine-tuningjob"
        " resumefine-tuningjob"
    ).split()
)
"""APIs about what a key has made, which no other key finds, with a key for each consumer. Source: Higress ai-proxy."""
_COLLECTIONS_OF_CONSUMERS: Final = frozenset(
    "/v1/responses /v1/files /v1/batches /v1/uploads /v1/vector_stores /v1/conversations /v1/containers"
    " /v1/assistants /v1/threads".split()
)
"""Those of their parts that have no name of their own."""
_JOBS: Final = ("video", "fine-tuning")


def is_of_consumer(name: str | None, path: str) -> bool:
    """Whether each consumer has a key of its own for a request. `name`: that of its API; None without one."""
    return collection(path) in _COLLECTIONS_OF_CONSUMERS if name is None else name in _OF_CONSUMERS


def is_stateful(name: str | None, path: str) -> bool:
    """Whether a request is about what a provider keeps: a file, a batch, a conversation, a job."""
    is_job = any(word in (name or path) for word in _JOBS) or "/fine_tuning/" in path
    return is_of_consumer(name, path) or is_job


def is_repeatable(method: str, name: str | None = None) -> bool:
    """Whether a request buys nothing that a second one would buy again. `name`: that of its API; None without one."""
    return method in _SAFE or name in _ANSWERED_AT_ONCE


class Api(NamedTuple):
    """An API as clients call it: its name, its method (None: any), and its path with ids as `{video_id}`."""

    name: str
    method: str | None
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}" if self.method else self.path


class Call(NamedTuple):
    """The API of a request, and the ids in its path, still percent-encoded."""

    api: Api
    ids: Mapping[str, str]


class Near(NamedTuple):
    """What a request is nearly for.

    `api` has the path; where the request has another method, `methods` are the APIs of that path, and else it is empty.
    `path` is how the client should have written it, "" if that is not certain. `has_ids`: there is an id in it.
    `has_version`: the client's path has the /v1.
    """

    api: Api
    path: str
    methods: tuple[Api, ...]
    has_ids: bool
    has_version: bool


APIS: Final = tuple(Api(*row) for row in _ROWS)
BY_NAME: Final = {api.name: api for api in APIS}


def _pattern(path: str, of_id: str = "[^/]*") -> str:
    # An empty id matches too, so that it is refused instead of passed on.
    return re.sub(r"\\\{([a-z_]+)\\\}", rf"(?P<\1>{of_id})", re.escape(path))


# Rows by the path segment that follows the version, so that a request is compared with few of them.
_PATTERNS: Final[dict[str, list[tuple[Api, re.Pattern[str]]]]] = {}
for _api in APIS:
    _PATTERNS.setdefault(_api.path.split("/")[2], []).append((_api, re.compile(rf".*{_pattern(_api.path)}", re.DOTALL)))


@functools.lru_cache(maxsize=256)  # creates all have one path, and a task is polled
def detect(method: str, path: str) -> Call | None:
    """The API of a method and a path (no query), which may have any prefix; None if there is none."""
    for word in dict.fromkeys(path.split("/")):
        for api, pattern in _PATTERNS.get(word, ()):
            if api.method in (None, method) and (match := pattern.fullmatch(path)):
                return Call(api, match.groupdict())
    return None


class _Form(NamedTuple):
    """A way to write the path of an API, and whether it is certain that the API is meant."""

    pattern: re.Pattern[str]
    is_certain: bool
    has_version: bool


_OPENAI_APIS: Final[dict[str, list[Api]]] = {}
for _api in APIS:
    if _api.name.startswith("openai/"):
        _OPENAI_APIS.setdefault(_api.path.split("/")[2], []).append(_api)


@functools.cache  # at its first use, for most APIs have none
def _forms(api: Api) -> list[_Form]:
    """All ways to write the path of an API, in the order of _BASES."""
    path = api.path.removeprefix("/v1")
    return [
        _Form(re.compile(base + _pattern(path, of_id), re.DOTALL | re.IGNORECASE), is_certain, base.endswith("/v1"))
        for base, of_id, is_certain in _BASES
    ]


@functools.lru_cache(maxsize=256)
def nearly(method: str, path: str) -> Near | None:
    """The API of OpenAI's that a request without an API is nearly for; None if there is none.

    Certain is a path without /v1, behind what AzureOpenAI writes, in capitals, with a slash at its end or slashes too
    many. Not certain is any other base, an escape in what is no id, and another method.
    """
    if len(path) > _MAX_LENGTH:
        return None
    tidy = re.sub("/{2,}", "/", path).removesuffix("/")
    ways = [(way, True) for way in dict.fromkeys((path, path.removesuffix("/"), tidy))]
    if "%" in path:
        ways.append((unquote(tidy, errors="replace"), False))
    found = [near for way, is_certain in ways for near in _nearly(method, way, is_certain)]
    # The right method first, for a wrong base URL that ends in an API has that of a longer path too.
    return min(found, key=lambda near: (bool(near.methods), not near.path), default=None)


def _nearly(method: str, path: str, is_certain: bool) -> Iterator[Near]:
    rows = [api for word in dict.fromkeys(path.lower().split("/")) for api in _OPENAI_APIS.get(word, ())]
    for api in rows:
        for form in _forms(api):
            if match := form.pattern.fullmatch(path):
                ids = match.groupdict()
                base = ids.pop("base")
                meant = base + api.path.format_map(ids) if is_certain and form.is_certain else ""
                has_method = api.method in (None, method)
                methods = () if has_method else tuple(other for other in rows if other.path == api.path)
                yield Near(api, meant, methods, bool(ids), form.has_version)


def collection(path: str) -> str | None:
    """The collection of OpenAI's that a path is in, as `/v1/threads`; None for others, and for videos and media."""
    match = _COLLECTION.fullmatch(path)
    word = match[2].lower() if match else ""
    return f"/v1/{word}" if word in _COLLECTIONS else None
