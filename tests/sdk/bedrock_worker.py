"""Questions about Bedrock to botocore, in a process of tests/sdk/process.py."""

from __future__ import annotations

import base64
import importlib
import io
import json
from typing import Any

session: Any = importlib.import_module("botocore.session").Session()
parsers: Any = importlib.import_module("botocore.parsers")
eventstream: Any = importlib.import_module("botocore.eventstream")
errors: Any = importlib.import_module("botocore.exceptions")
config_of: Any = importlib.import_module("botocore.config")
validate: Any = importlib.import_module("botocore.validate")
model: Any = session.get_service_model("bedrock-runtime")


def request(question: dict[str, Any]) -> str:
    """What is wrong with a request of an operation; "" for nothing."""
    shape = model.operation_model(question["operation"]).input_shape
    document = _with_bytes(question["document"], shape)
    report = validate.ParamValidator().validate({"modelId": question["model"], **document}, shape)
    return str(report.generate_report())


def _with_bytes(value: Any, shape: Any) -> Any:
    """A value of JSON with its blobs decoded, as botocore's validator wants them."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
        known = shape.members
        return {name: _with_bytes(one, known[name]) if name in known else one for name, one in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_with_bytes(one, shape.member) for one in value]
    return value


def whole(question: dict[str, Any]) -> Any:
    """What botocore reads in a whole answer."""
    shape = model.operation_model(question["operation"]).output_shape
    parser = parsers.create_parser("rest-json")
    response = {"status_code": 200, "headers": {}, "body": json.dumps(question["document"]).encode()}
    return _plain(parser.parse(response, shape))


def refused(question: dict[str, Any]) -> Any:
    """The name of the exception that botocore raises for an answer that is no success, and its message."""
    shape = model.operation_model("Converse").output_shape
    response = {"status_code": question["status"], "headers": {}, "body": question["body"].encode()}
    error = parsers.create_parser("rest-json").parse(response, shape)["Error"]
    client = session.create_client("bedrock-runtime", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    return [client.exceptions.from_code(error["Code"]).__name__, error["Code"], error["Message"]]


def events(question: dict[str, Any]) -> Any:
    """The events that botocore reads in a stream; the last one is its exception, if it raises one."""
    operation = model.operation_model(question["operation"])
    shape = operation.get_event_stream_output()
    parser = parsers.create_parser("rest-json")._event_stream_parser
    raw: Any = io.BytesIO(bytes.fromhex(question["data"]))
    raw.stream = lambda: iter(lambda: raw.read(64), b"")
    found: list[Any] = []
    try:
        found += (_plain(event) for event in eventstream.EventStream(raw, shape, parser, operation.name))
    except Exception as error:
        found.append({"error": str(error)})
    return found


def simulated(question: dict[str, Any]) -> Any:
    """What botocore's client makes of a simulated Bedrock."""
    keys = {"aws_access_key_id": "of-the-client", "aws_secret_access_key": "of-the-client"}
    config = config_of.Config(retries={"max_attempts": 1}, read_timeout=20)
    client = session.create_client("bedrock-runtime", "us-east-1", endpoint_url=question["url"], config=config, **keys)
    schema = {"json": {"type": "object", "properties": {"city": {"type": "string"}}}}
    offered = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": schema}}]}

    def ask(text: str, **more: Any) -> Any:
        return {"modelId": question["model"], "messages": [{"role": "user", "content": [{"text": text}]}], **more}

    whole = client.converse(**ask("hi é"))
    called = client.converse(**ask('weather({"city": "Oslo"})', toolConfig=offered))
    said = called["output"]["message"]
    id = said["content"][0]["toolUse"]["toolUseId"]
    result = {"toolResult": {"toolUseId": id, "content": [{"text": "sunny"}]}}
    turns = [*ask("weather")["messages"], said, {"role": "user", "content": [result]}]
    answered = client.converse(modelId=question["model"], messages=turns, toolConfig=offered)
    texts = [
        event["contentBlockDelta"]["delta"].get("text", "")
        for event in client.converse_stream(**ask("hi é"))["stream"]
        if "contentBlockDelta" in event
    ]
    failures = []
    for text in ("[simulate:429]", "one two three [simulate:accepted=503]"):
        try:
            list(client.converse_stream(**ask(text))["stream"])
        except errors.ClientError as error:
            failures.append(error.response["Error"]["Code"])
    return {
        "whole": whole["output"]["message"]["content"][0]["text"],
        "usage": whole["usage"]["outputTokens"],
        "input": said["content"][0]["toolUse"]["input"],
        "answered": answered["output"]["message"]["content"][0]["text"],
        "stream": "".join(texts),
        "failures": failures,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if name != "ResponseMetadata"}
    return [_plain(one) for one in value] if isinstance(value, list) else value


_QUESTIONS = {"request": request, "answer": whole, "events": events, "refused": refused, "simulated": simulated}


def answer(question: dict[str, Any]) -> Any:
    """What the function of a question returns."""
    return _QUESTIONS[question["question"]](question)
