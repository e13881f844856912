"""Holds requests against the types of Google's SDK, and calls Gemini with its client: {question, value}.

In a process of tests/sdk/process.py.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable
from typing import Any

auth_jwt: Any = importlib.import_module("google.auth.jwt")
oauth2: Any = importlib.import_module("google.oauth2.credentials")
genai: Any = importlib.import_module("google.genai")
types: Any = importlib.import_module("google.genai.types")
pydantic: Any = importlib.import_module("pydantic")

_MEMBERS = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "generationConfig": types.GenerationConfig,
    "safetySettings": list[types.SafetySetting],
}


@functools.cache
def _adapter(member: str) -> Any:
    return pydantic.TypeAdapter(_MEMBERS[member])


def request(value: Any) -> str:
    """Why the body of a generateContent is not of the SDK's types; "" if it is. They forbid unknown members."""
    if unknown := value.keys() - _MEMBERS.keys():
        return f"unknown {sorted(unknown)}"
    value = json.loads(json.dumps(value))
    # Only the SDK's own configuration has it, which knows no bodies.
    image = value.get("generationConfig", {}).pop("imageConfig", None)
    try:
        for name, member in value.items():
            _adapter(name).validate_python(member)
        if image is not None:
            types.ImageConfig.model_validate(image)
    except pydantic.ValidationError as error:
        return str(error)
    return ""


def client(value: Any) -> Any:
    """What Google's own client makes of a whole answer, of a stream, of a count, and of errors: theirs and ours."""
    options = types.HttpOptions(base_url=value, api_version="v1beta", timeout=20_000)
    sdk = genai.Client(api_key="sk-of-the-client", http_options=options)
    failures = [
        _error(lambda: sdk.models.generate_content(model="fail-429", contents="hi")),
        _error(lambda: sdk.models.generate_content(model="nobody", contents="hi")),
        _error(lambda: list(sdk.models.generate_content_stream(model="nobody", contents="hi"))),
    ]
    return [*_told(sdk), failures]


def vertex(value: Any) -> Any:
    """What Google's own client for Vertex AI makes of the same, with an account at the first URL, with a key at the
    others."""
    made = []
    for url in value:
        options = types.HttpOptions(base_url=url, timeout=20_000)
        if url == value[0]:
            account = oauth2.Credentials(token="ya29.of-the-client")
            sdk = genai.Client(
                vertexai=True, project="p", location="us-central1", credentials=account, http_options=options
            )
        else:
            sdk = genai.Client(vertexai=True, api_key="sk-of-the-client", http_options=options)
        refused = functools.partial(sdk.models.generate_content, model="fail-429", contents="hi")
        made.append([*_told(sdk), _error(refused)])
    return made


def _told(sdk: Any) -> list[Any]:
    """A whole answer, a stream, and a count of tokens."""
    asked: Any = {"model": "gemini-9", "contents": "hi é"}
    whole = sdk.models.generate_content(**asked)
    streamed = "".join(chunk.text or "" for chunk in sdk.models.generate_content_stream(**asked))
    return [whole.text, streamed, sdk.models.count_tokens(**asked).total_tokens]


def _error(call: Callable[[], object]) -> list[Any]:
    try:
        call()
    except genai.errors.APIError as error:
        return [type(error).__name__, error.code, error.status, error.message]
    return []


def simulated(value: Any) -> Any:
    """What Google's own client makes of the simulator, with a function that it calls itself."""
    options = types.HttpOptions(base_url=value, api_version="v1beta", timeout=20_000)
    sdk = genai.Client(api_key="sk-of-the-client", http_options=options)

    def weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    model = "gemini-3-pro"
    config = types.GenerateContentConfig(tools=[weather])
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_level="LOW")
    thought = sdk.models.generate_content(
        model=model, contents="hi é", config=types.GenerateContentConfig(thinking_config=thinking)
    )
    chat = sdk.chats.create(model=model, config=config)
    return {
        "whole": sdk.models.generate_content(model=model, contents="hi é").text,
        "stream": "".join(one.text or "" for one in sdk.models.generate_content_stream(model=model, contents="hi é")),
        "thoughts": [bool(part.thought) for part in thought.candidates[0].content.parts],
        "tools": chat.send_message('weather({"city": "Zürich"})').text,
        "count": sdk.models.count_tokens(model=model, contents="hi é").total_tokens > 0,
        "models": [one.name for one in sdk.models.list()],
        "error": _error(lambda: sdk.models.generate_content(model=model, contents="[simulate:429]")),
    }


def assertion(value: Any) -> Any:
    """The claims of a JWT that asks for an access token, as google-auth verifies it for its audience."""
    return auth_jwt.decode(value["assertion"], certs=value["public_key"], audience=value["audience"])


_QUESTIONS = {function.__name__: function for function in (request, client, vertex, simulated, assertion)}


def answer(asked: dict[str, Any]) -> Any:
    """What a question has to say of a value."""
    return _QUESTIONS[asked["question"]](asked["value"])
