"""Requests of clients and answers of providers, good ones and what becomes of them in hostile hands."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Sequence
from random import Random
from typing import Any, Final, NamedTuple

from mitm_ai_proxy.wire.header_fields import Fields
from tests.hostile.inputs import changed, mutated, words

CLIENT_KEY: Final = "cl1ent-key"
"""What each credential of a client holds."""
PICTURE: Final = b"\x89PNG\r\n\x1a\n\0--\r\n\xff" * 3
BASE64: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/1.0", b"HTTP/3")
METHODS: Final = words("POST GET GET DELETE HEAD PUT OPTIONS PATCH")
ODD_METHODS: Final = [*words(r"get POST\x20 GET\x20/x \0GET POST\r\nX:\x20y G(T \xff PRI TRACE"), b"", b"A" * 300]
CREATE_PATHS: Final = (
    "/v1/videos /v1/videos /v1/videos /v1/videos /v1/videos/edits /v1/videos/extensions /v1/videos/7/remix"
    " /v1/videos/characters /v1/videos/kling-t2v-8-o5/remix?kling_source=NQpodHRwczovL2EudGVzdC9hLm1wNA"
    " /v1/videos/extensions?kling_source=NQp2aWRlby0x /base/v1/videos /v1/videos/text2video"
    " /v1/videos?kling_task_type=x"
).split()
PATHS: Final = (
    "/v1/videos /v1/videos?limit=2&after=page-t2v-2 /v1/videos/7 /v1/videos/kling-t2v-8-o5"
    " /v1/videos/kling-i2v-9/content /v1/videos/kling-omni-1?kling_task_type=image /v1/videos/7?variant=thumbnail"
    " /v1/videos?after=page-tasks-aaaa /v1/videos/characters/5 /v1/videos/text2video/8 /v1/images/generations"
    " /v1/chat/completions /v1/responses /v1/messages"
    " /v1/messages?beta=true /v1/messages/count_tokens /v1beta/models/gemini:streamGenerateContent /v1/models"
    " /v1/files/f/content /v1/tasks /openai/v1/videos /v1/fine_tuning/jobs/a/events / /base/v1/videos"
    " /gateway/v1/videos/7 /v1/embeddings?a=b"
).split()
PATH_WORDS: Final = [
    *words(
        r"""/ // \\ .. /../ /./ %2e%2e %2f %5c %00 %0d%0a % %zz %ff %25 ? # & = ; @ : * \x20 \t \r\n \n \0 \x7f \xff é
        \xc2\x85 \xe2\x80\xa8 http://evil.test //evil.test/ kling-t2v- kling-i2v- -o /v1/videos/ /content /remix
        kling_source= limit= kling_task_type= after=page- variant= edits /gateway /base [ { {video_id} ..; %252e"""
    ),
    b"1" * 400,
]
CONTENT_TYPES: Final = (
    "application/json; charset=utf-8|text/plain|application/x-www-form-urlencoded|multipart/form-data|text/html"
    "|é|;||*/*|multipart/mixed; boundary=|application/octet-stream|application/JSON|text/event-stream"
    "|application/x-ndjson|image/png|video/mp4|multipart/form-data; boundary=x|application/json"
).split("|")
ENCODINGS: Final = "gzip|deflate|br|identity|GZIP|x-gzip|gzip, gzip|zstd||é".split("|")
CREDENTIALS: Final = "Authorization X-Api-Key api-key X-Goog-Api-Key Cookie Proxy-Authorization X-Authorization".split()
FIELDS: Final[Fields] = (
    *((b"User-Agent", agent) for agent in words(r"OpenAI/Python curl/8 Anthropic/JS litellm/1 \xff")),
    *((b"X-Stainless-Retry-Count", count) for count in (*words(r"0 1 -1 x \xc2\xb2"), b"9" * 5000)),
    *((b"Idempotency-Key", key) for key in (b"k", b"", b"\xff", b"k" * 3000)),
    *((b"Accept-Encoding", b"gzip"), (b"Expect", b"100-continue"), (b"Connection", b"X-Api-Key, close")),
    *((b"anthropic-version", b"2023-06-01"), (b"X-Forwarded-Host", b"evil.test"), (b"TE", b"trailers")),
    *((b"Upgrade", b"websocket"), (b"Range", b"bytes=0-1"), (b"OpenAI-Organization", b"o"), (b"X-Empty", b"")),
    *((b"Trailer", b"Authorization"), (b"X-Http-Method-Override", b"DELETE")),
)
PAGES: Final[Fields] = (
    *((b"Sec-Fetch-Site", site) for site in words(r"cross-site same-origin none Cross-Site,none \xff")),
    *(
        (b"Origin", origin)
        for origin in words(r"null https://app.example https://evil.test http://127.0.0.1:8123 \xff //")
    ),
    *((b"Access-Control-Request-Method", b"POST"), (b"Access-Control-Request-Headers", b"authorization, \xff")),
)
"""What browsers add."""
HOSTS: Final = [
    *words(r"""127.0.0.1:8123 localhost api.openai.com evil.test [::1]:8123 up.test:81 [ \xff a\x20b x:99999"""),
    b"",
]
FIELD_WORDS: Final = [
    *words(
        r"""\r \n \r\n \r\n\x20 \r\n\t \0 \x1b[2J \x7f \x85 \xff \x0b \x20 \t , ; : " = ( é
        \r\nAuthorization:\x20Bearer\x20x \r\n\r\nGET\x20/admin\x20HTTP/1.1\r\nX:\x20"""
    ),
    b"a" * 5000,
]
NAMES: Final = (
    "model model_name prompt seconds size input_reference metadata image image_tail duration mode aspect_ratio"
    " user n input negative_prompt cfg_scale sound element_list voice_list camera_control static_mask"
    " dynamic_masks multi_shot video external_task_id callback_url video_id video_list messages stream image_list"
    " tail_image_url name description watermark_info shot_type multi_prompt data code message id task_id"
    " task_status task_result videos url status_code created_at updated_at request_id status has_more next_cursor"
    " external_id billing type error outputs tasks fail_reason"
).split()
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 5, 10, 4.0, 8.5, 1e300, 10**30, "", " ", "x" * 3000, "a\0b", "\ud800", "\r\n", [],
    {},
    *"5 4 8 10 std pro on kling-v3 kling-v1-6 sora-2 sora-2-pro gpt-4o kling-3.0-omni ../x é😀 1280x720".split(),
    *f"720x1280 1x1 0x0 16:9 https://a.test/a.png data:image/png;base64,{BASE64} {BASE64} data:, ftp://x".split(),
    *"succeed succeeded failed processing submitted kling-i2v-7-o5 https://a.test/\\".split(),
    "https://a.test/\r\nX: y",
    "https://a.test/\ud800é x", [[]], [None], [1, "x"], {"a": 1}, {"file_id": "f"}, {"": {}},
    {"image_url": "https://a.test/a.png"}, {"id": "kling-t2v-7"}, [{"image": BASE64}], [{"element_id": 5}],
    {"type": "simple", "config": {"zoom": 5}}, {"seconds": "8"}, [{"url": "https://a.test/v"}],
)  # fmt: skip
BODY_WORDS: Final = words(
    r"""{ } [ ] : , " \\ null true NaN 1e999 -0 \\ud800 \\u0000 "model" "prompt" "image" "seconds":"4" "task_id":"7"
    "data" \0 \xff \xef\xbb\xbf \r\n \r\n--x\r\n --x--\r\n ;\x20filename="a.png" name="image[]" \x20 data:\x20
    \n\n"""
)
CREATES: Final[tuple[dict[str, Any], ...]] = (
    {"model": "sora-2", "prompt": "a cat", "seconds": "8", "size": "1280x720"},
    {"model": "kling-v3", "prompt": "a cat", "duration": "5", "mode": "std", "aspect_ratio": "16:9"},
    {"model_name": "kling-v2-6", "prompt": "a cat", "image": BASE64, "image_tail": "https://a.test/b.png"},
    {"prompt": "a cat", "input_reference": {"image_url": "https://a.test/a.png"}, "metadata": {"mode": "pro"}},
    {
        "model": "kling-3.0-omni",
        "prompt": "p",
        "image_list": [{"image": BASE64}],
        "element_list": [{"element_id": 1}],
        "sound": "on",
    },
    {"video": {"id": "kling-t2v-7-o5"}, "prompt": "darker", "seconds": "4"},
    {"name": "a cat", "video": {"id": "7"}, "description": "small"},
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": True},
    {"model": "a", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    {
        "prompt": "p",
        "camera_control": {"type": "simple", "config": {"zoom": 5}},
        "cfg_scale": 0.5,
        "external_task_id": "mine",
    },
)
TASK: Final[dict[str, Any]] = {
    "task_id": "837956373596947919",
    "task_status": "succeed",
    "task_status_msg": "",
    "task_info": {"external_task_id": "mine"},
    "task_result": {"videos": [{"id": "v1", "url": "https://a.test/v.mp4?sign=1", "duration": "5.1"}]},
    "created_at": 1795637359694,
    "updated_at": 1795637359694,
}
NEW_TASK: Final[dict[str, Any]] = {
    "id": "7",
    "status": "succeeded",
    "message": "",
    "outputs": [{"type": "video", "id": "v", "url": "https://a.test/v.mp4", "duration": "5"}],
    "create_time": 1795637359694,
    "external_id": "",
    "billing": [],
}
LINKS: Final = (
    "https://a.test/\r\nX: y",
    "https://a.test/\ud800é",
    "//evil.test",
    "javascript:x",
    "https://a.test/\0",
    " ",
)
ANSWERS: Final[tuple[dict[str, Any], ...]] = (
    *({"code": 0, "data": TASK | {"task_result": {"videos": [{"id": link, "url": link}]}}} for link in LINKS),
    {"code": 0, "message": "SUCCEED", "request_id": "r", "data": TASK},
    {"code": 0, "message": "SUCCEED", "request_id": "r", "data": {"task_id": "7", "task_status": "submitted"}},
    {"code": 0, "message": "SUCCEED", "request_id": "r", "data": [TASK, TASK]},
    {"code": 0, "request_id": "r", "data": [NEW_TASK]},
    {"code": 0, "request_id": "r", "data": {"tasks": [NEW_TASK, NEW_TASK], "has_more": True, "next_cursor": "é/+="}},
    {"code": 0, "data": TASK | {"task_status": "failed", "task_status_msg": "no", "task_result": {}}},
    {"code": 1201, "message": "Task already exists: external_task_id", "request_id": "r"},
    {"code": 1303, "message": "parallel task over resource pack limit", "request_id": "r"},
    {"code": 1002, "message": "access key not found"},
    {
        "code": "success",
        "message": "",
        "data": {"status": "SUCCESS", "data": TASK, "task_id": "t", "fail_reason": "no"},
    },
    {"task_id": "t", "status": "queued", "url": "https://a.test/v.mp4"},
    {"error": {"message": "no", "type": "invalid_request_error", "code": None}},
    {"id": "chatcmpl", "choices": [{"message": {"role": "assistant", "content": "hi"}}], "usage": {"total_tokens": 3}},
    {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
)


class Asked(NamedTuple):
    """A request: its version, method, target and authority, its header fields, and its body."""

    version: bytes
    method: bytes
    target: bytes
    authority: bytes
    fields: Fields
    body: bytes
    trailers: Fields = ()


class Answered(NamedTuple):
    """An answer: status, reason, header fields, and the body in the pieces in which it arrives."""

    version: bytes
    status: int
    reason: bytes
    fields: Fields
    pieces: Sequence[bytes]


def json_text(random: Random, documents: Sequence[dict[str, Any]], good: float = 0.3) -> bytes:
    """One of the documents as JSON, with some of its values changed, and then perhaps some of its bytes."""
    # A copy, for it is changed in place.
    document: Any = json.loads(json.dumps(random.choice(documents)))
    if random.random() > good:
        document = changed(random, document, VALUES, NAMES)
    try:
        text = json.dumps(document, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        # A value that contains itself, or one that Python does not write.
        text = b'{"prompt": ' + b"1" * 5000 + b"}"
    return text if random.random() < good + 0.4 else mutated(random, text, BODY_WORDS)


def form(random: Random) -> bytes:
    """A multipart form of a create with the boundary x."""
    parts = []
    for _ in range(random.choice((0, 1, 2, 3, 5))):
        name = random.choice(NAMES[:30])
        if random.random() < 0.2:
            name += random.choice(("[]", "[0]", "[a]", "[][image]", "[a][b]", "[", "]", "\x1b[2J", "[\u2028]]"))
        head = f'Content-Disposition: form-data; name="{name}"'
        value = random.choice(VALUES)
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json_text(random, CREATES)
        if random.random() < 0.3:
            head += f'; filename="{random.choice(("cat.png", "", "é.png"))}"'
            data = random.choice((PICTURE, data, b""))
            head += random.choice(("\r\nContent-Type: image/png", "", "\r\nContent-Type: text/plain"))
        parts.append(b"--x\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n")
    whole = b"".join(parts) + b"--x--\r\n"
    return whole if random.random() < 0.6 else mutated(random, whole, BODY_WORDS)


def encoded(random: Random, body: bytes, encoding: str) -> bytes:
    """The body as its Content-Encoding says, or not."""
    how = encoding.lower() if random.random() < 0.8 else random.choice(ENCODINGS)
    if how in ("gzip", "x-gzip"):
        body = gzip.compress(body, 1)
    elif how == "deflate":
        body = zlib.compress(body, 1)
    return body if random.random() < 0.8 else mutated(random, body, BODY_WORDS, 2)


def request(random: Random) -> Asked:
    """A request: a create that is nearly good, or anything else."""
    is_create = random.random() < 0.5
    is_odd = random.random() < (0.1 if is_create else 0.4)
    method = b"POST" if is_create else random.choice(METHODS)
    target = random.choice(CREATE_PATHS if is_create else PATHS).encode()
    version = random.choice(VERSIONS)
    if is_odd and random.random() < 0.7:
        target = mutated(random, target, PATH_WORDS, 3)
    if is_odd and random.random() < 0.15:
        method = random.choice(ODD_METHODS)
    fields = [*random.sample(FIELDS, random.choice((0, 1, 1, 2))), *_credentials(random)]
    if random.random() < 0.1:
        fields += random.sample(PAGES, 2)
    if random.random() < 0.5:
        fields.append((b"User-Agent", b"OpenAI/Python 3.52.0"))
    body, content_type = _body(random)
    if content_type is not None:
        fields.append((b"Content-Type", content_type.encode()))
    if body and random.random() < 0.1:
        encoding = random.choice(ENCODINGS)
        fields.append((b"Content-Encoding", encoding.encode()))
        body = encoded(random, body, encoding)
    if is_odd:
        fields = [_mutated_field(random, field) for field in fields]
    has_host = version.startswith(b"HTTP/1")
    host = random.choice(HOSTS if random.random() < 0.1 else HOSTS[:2])
    if has_host and random.random() < 0.95:
        fields.append((b"Host", host))
        if random.random() < 0.03:
            fields.append((b"host", random.choice(HOSTS)))
    if body or method in (b"POST", b"PUT", b"PATCH"):
        is_chunked = version == b"HTTP/1.1" and random.random() < 0.3
        fields.append((b"Transfer-Encoding", b"chunked") if is_chunked else (b"Content-Length", b"%d" % len(body)))
    random.shuffle(fields)
    trailers: Fields = ((b"Authorization", b"Bearer " + CLIENT_KEY.encode()),) if random.random() < 0.03 else ()
    return Asked(version, method, target, b"" if has_host else host, tuple(fields), body, trailers)


def _credentials(random: Random) -> Fields:
    names = random.sample(CREDENTIALS, random.choice((0, 1, 1, 2)))
    made = []
    for number, name in enumerate(names):
        written = random.choice((name, name.lower(), name.upper()))
        scheme = random.choice(("Bearer ", "", "Basic "))
        made.append((written.encode(), f"{scheme}{CLIENT_KEY}-{number}".encode()))
    return tuple(made)


def _mutated_field(random: Random, field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    name, value = field
    # A credential under another name is none that can be known.
    is_credential = CLIENT_KEY.encode() in value
    if random.random() < 0.05 and not is_credential:
        name = mutated(random, name, FIELD_WORDS, 1)
    if random.random() < 0.1:
        value = value + random.choice(FIELD_WORDS) if is_credential else mutated(random, value, FIELD_WORDS, 2)
    return name, value


def _body(random: Random) -> tuple[bytes, str | None]:
    kind = random.random()
    if kind < 0.15:
        return b"", None
    if kind < 0.7:
        body, content_type = json_text(random, CREATES), "application/json"
    elif kind < 0.9:
        body, content_type = form(random), "multipart/form-data; boundary=x"
    elif kind < 0.95:
        body, content_type = b"prompt=a+cat&seconds=8&model=sora-2&a%5B%5D=%ff", "application/x-www-form-urlencoded"
    else:
        body, content_type = random.choice((PICTURE, b"", b"[" * 20_000, b'{"a":' * 20_000, b"\xef\xbb\xbf{}")), ""
    return body, content_type if random.random() < 0.85 else random.choice(CONTENT_TYPES)


def answer(random: Random) -> Answered:
    """An answer, in half of the cases one that Kling could give."""
    is_good = random.random() < 0.5
    status = random.choice((200, 200, 200, 201, 400, 401, 429, 500, 503)) if is_good else random.randint(200, 599)
    kind = random.random()
    content_type = "application/json"
    if kind < 0.8:
        body = json_text(random, ANSWERS, 0.6 if is_good else 0.1)
    elif kind < 0.9:
        body, content_type = (
            b"".join(b"data: " + json_text(random, ANSWERS) + b"\n\n" for _ in range(3)),
            "text/event-stream",
        )
    elif kind < 0.95:
        body, content_type = b"<html>\xff</html>", "text/html"
    else:
        body = random.choice((b"", b"null", b"[]", b"[" * 20_000, b"\xff", PICTURE, b"0", b'"x"'))
    if random.random() < 0.15:
        content_type = random.choice(CONTENT_TYPES)
    fields = [(b"Content-Type", content_type.encode())]
    if random.random() < 0.15:
        encoding = random.choice(ENCODINGS)
        fields.append((b"Content-Encoding", encoding.encode()))
        body = encoded(random, body, encoding)
    more = (
        (b"Retry-After", b"\xff"),
        (b"Location", b"https://a.test/x"),
        (b"Vary", b"*"),
        (b"Access-Control-Allow-Origin", b"*"),
    )
    fields += random.sample(
        (*more, (b"Set-Cookie", b"a=b"), (b"x-request-id", b"\xff"), (b"Date", b"x"), (b"Vary", b"\xff")), 2
    )
    is_chunked = random.random() < 0.3
    fields.append((b"Transfer-Encoding", b"chunked") if is_chunked else (b"Content-Length", b"%d" % len(body)))
    version = random.choice((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/2.0"))
    return Answered(version, status, random.choice((b"OK", b"", b"\xff")), tuple(fields), pieces(random, body))


def pieces(random: Random, body: bytes) -> list[bytes]:
    """The body, cut anywhere."""
    cuts = sorted(random.choices(range(len(body) + 1), k=random.choice((0, 0, 1, 2, 5))))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True) if start < end]
