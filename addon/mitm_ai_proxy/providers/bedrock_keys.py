"""The keys of a block of Amazon Bedrock. Sources: AWS General Reference, regions; Higress ai-proxy plugin, bedrock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..auth.secret import Secret
from ..chat import converse_cache, json_values
from ..config import values
from ..config.keys import Problem, Reading, key
from .row import ChatKeys

_REGION: Final = re.compile(r"[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}")


def _region(value: Any) -> str:
    found = values.text(value)
    if found and not _REGION.fullmatch(found):
        raise ValueError("expected a region of AWS, such as us-east-1")
    return found


def _access_key(value: Any) -> str:
    return values.trimmed_credential(value)


def _secret(value: Any) -> Secret:
    return Secret(values.trimmed_credential(value))


def _positions(value: Any) -> frozenset[str]:
    """A mapping of positions to whether there is a cache point, in any spelling."""
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping of {', '.join(converse_cache.POSITIONS)} to true or false")
    known = {name.lower(): name for name in converse_cache.POSITIONS}
    found = set()
    for name, is_on in value.items():
        word = re.sub("[_-]", "", str(name)).lower()
        if word not in known:
            raise ValueError(f"has no position {str(name)[:40]} (known: {', '.join(converse_cache.POSITIONS)})")
        if values.flag(is_on):
            found.add(known[word])
    return frozenset(found)


def _members(value: Any) -> Mapping[str, bytes]:
    body = values.json_object(value)
    return {name: bytes(raw) for name, raw in json_values.members(body).items()} if body else {}


@dataclass(frozen=True, slots=True)
class BedrockKeys(ChatKeys):
    """The keys of `type: bedrock`."""

    aws_region: str = key(_region, "", help="The region, such as `us-east-1`: a part of the host and of signatures.")
    aws_access_key: str = key(
        _access_key, "", secret=True, help="The id of an access key, in place of `apiTokens`: requests are signed."
    )
    aws_secret_key: Secret = key(_secret, Secret(""), secret=True, help="The secret of the access key.")
    aws_session_token: Secret = key(
        _secret, Secret(""), secret=True, extension=True, help="The token of an access key that is temporary."
    )
    bedrock_additional_fields: Mapping[str, bytes] = key(
        _members,
        {},
        mapping=True,
        help="Members of `additionalModelRequestFields` of every chat through Converse, such as `top_k`.",
    )
    prompt_cache_retention: str = key(
        lambda value: converse_cache.retention(values.text(value)),
        "",
        help="`in_memory` or `24h` (an hour, at Bedrock): cache points are put into prompts for Claude and Nova.",
    )
    bedrock_prompt_cache_point_positions: frozenset[str] | None = key(
        _positions,
        mapping=True,
        help="Where: `systemPrompt`, `lastUserMessage`, `lastMessage`, each `true` or `false`; without it, behind the"
        " system prompt.",
    )

    def problems(self, reading: Reading) -> Iterator[Problem]:
        """What is missing: one half of an access key, or its region."""
        if not self.aws_region and (self.aws_access_key or self.aws_secret_key):
            yield Problem("awsRegion", "is missing, such as us-east-1: signatures are for a region")
        elif not (self.aws_region or self.base_url):
            yield Problem("awsRegion", "is missing, such as us-east-1; or give baseUrl", ("baseUrl",))
        pair = {"awsAccessKey": self.aws_access_key, "awsSecretKey": self.aws_secret_key}
        for name, other in (("awsAccessKey", "awsSecretKey"), ("awsSecretKey", "awsAccessKey")):
            if pair[other] and not pair[name] and not reading.offline:
                yield Problem(name, f"is missing beside {other}", (name,))
        if self.aws_session_token and not self.aws_access_key and not reading.offline:
            yield Problem("awsSessionToken", "belongs to an awsAccessKey, which is missing", ("awsAccessKey",))
