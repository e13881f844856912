"""The APIs that clients call: name, method and path of each, and which one a request is for.

Sources: Higress ai-proxy plugin, API names; OpenAI's Videos API for the video rows that the plugin lacks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

VIDEOS: Final = "openai/v1/videos"
RETRIEVE_VIDEO: Final = "openai/v1/retrievevideo"

_POST, _GET, _DELETE, _ANY = "POST", "GET", "DELETE", None

# name, method (None: any), path
_ROWS: Final[tuple[tuple[str, str | None, str], ...]] = (
    ("openai/v1/chatcompletions", _ANY, "/v1/chat/completions"),
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


APIS: Final = tuple(Api(*row) for row in _ROWS)
BY_NAME: Final = {api.name: api for api in APIS}


def _pattern(path: str) -> str:
    # An empty id matches too, so that it is refused instead of passed on.
    return re.sub(r"\\\{([a-z_]+)\\\}", r"(?P<\1>[^/]*)", re.escape(path))


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
