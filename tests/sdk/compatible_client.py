"""All kinds of requests to OpenAI's API with its SDK: {base_url, file}, in a process of tests/sdk/process.py.

The answer is an object: what came of each kind. Kinds are those of compatible_client.mjs, too.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

openai: Any = importlib.import_module("openai")
pydantic: Any = importlib.import_module("pydantic")

SAY = [{"role": "user", "content": "hi é"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def kinds(client: Any, path: str) -> dict[str, Callable[[], Any]]:
    """The kinds of requests by name."""
    chat, responses = client.chat.completions, client.responses

    class Person(pydantic.BaseModel):  # type: ignore[misc]
        name: str
        age: int

    def stream() -> list[Any]:
        chunks = list(chat.create(model="gpt-x", messages=SAY, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        return [text, chunks[-1].usage.total_tokens, len(chunks[-1].choices)]

    def tools() -> list[Any]:
        found = chat.create(model="gpt-x", messages=SAY, tools=[TOOL]).choices[0]
        return [found.finish_reason, found.message.content, json.loads(found.message.tool_calls[0].function.arguments)]

    def parse() -> list[Any]:
        person = chat.parse(model="gpt-x", messages=SAY, response_format=Person).choices[0].message.parsed
        return [person.name, person.age]

    def transcription() -> str:
        with Path(path).open("rb") as file:
            return str(client.audio.transcriptions.create(model="gpt-x", file=file).text)

    def files() -> list[Any]:
        with Path(path).open("rb") as file:
            made = client.files.create(file=file, purpose="batch")
        listed = [one.id for one in client.files.list(purpose="batch", limit=2)]
        content = client.files.content(made.id).read().decode()
        return [made.id, listed, content, client.files.retrieve(made.id).id, client.files.delete(made.id).deleted]

    def batches() -> list[Any]:
        window = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        made = client.batches.create(input_file_id="file-1", **window)
        return [made.status, client.batches.cancel(made.id).status, [one.id for one in client.batches.list()]]

    def errors() -> list[Any]:
        found = []
        for status in (400, 401, 404, 422):
            try:
                chat.create(model=f"fail-{status}", messages=SAY)
            except openai.APIStatusError as error:
                found.append([type(error).__name__, error.status_code, error.code, error.param])
        return found

    def timeout() -> str:
        try:
            chat.create(model="slow", messages=SAY, timeout=0.3)
        except openai.APITimeoutError as error:
            return type(error).__name__
        return "answered"

    def cancelled() -> int:
        with chat.create(model="endless", messages=SAY, stream=True) as events:
            for number, _ in enumerate(events):
                if number == 2:
                    break
        return 2

    return {
        "chat": lambda: chat.create(model="gpt-x", messages=SAY, temperature=0.0).choices[0].message.content,
        "stream": stream,
        "tools": tools,
        "parse": parse,
        "responses": lambda: responses.create(model="gpt-x", input="hi").output_text,
        "responses-stream": lambda: [event.type for event in responses.create(model="gpt-x", input="hi", stream=True)],
        "embeddings": lambda: client.embeddings.create(model="gpt-x", input="hi").data[0].embedding,
        "images": lambda: client.images.generate(model="gpt-x", prompt="a cat").data[0].b64_json,
        "transcription": transcription,
        "files": files,
        "batches": batches,
        "models": lambda: [one.id for one in client.models.list()],
        "model": lambda: client.models.retrieve("m-1").id,
        "errors": errors,
        "retry": lambda: (
            client.with_options(max_retries=2)
            .chat.completions.create(model="flaky", messages=SAY, extra_query={"sdk": "python"})
            .choices[0]
            .message.content
        ),
        "timeout": timeout,
        "cancelled": cancelled,
    }


def outcome(kind: Callable[[], Any]) -> Any:
    """What came of one kind; of an error of the API, its status and code."""
    try:
        return kind()
    except openai.APIStatusError as error:
        return {"status": error.status_code, "code": error.code}
    except Exception as error:
        return {"error": repr(error)}


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What came of each kind."""
    options = {"base_url": question["base_url"], "api_key": "sk-of-the-client", "organization": "org-of-the-client"}
    with openai.OpenAI(**options, max_retries=0, timeout=20) as client:
        return {name: outcome(kind) for name, kind in kinds(client, question["file"]).items()}
