"""DashScope's own APIs of embeddings, reranking and pictures, in OpenAI's shapes.

Sources: Higress ai-proxy plugin, qwen; DashScope's API reference; its SDK for Python.
"""

from __future__ import annotations

import re
from typing import Final

from ..chat.json_values import Object
from ..exchange import Memo
from .conversions import Conversion, Converted, Json
from .openai_shapes import embeddings, texts_of

_SIZE: Final = re.compile(r"([0-9]{2,5})[x*]([0-9]{2,5})")


def _without(root: Object, *read: str) -> tuple[str, ...]:
    names = [name for name in root.members if name not in read and root.raw(name) is not None]
    return tuple(f"{name[:60]} left out: DashScope has no such member" for name in names)


# Embeddings


def _write_embeddings(root: Object) -> Converted:
    form = root.one_of("encoding_format", ("float", "base64"))
    parameters: Json = {}
    if (dimensions := root.whole("dimensions", 1)) is not None:
        parameters["dimension"] = dimensions
    document = {"model": root.need("model"), "input": {"texts": texts_of(root)}, "parameters": parameters}
    notes = _without(root, "model", "input", "encoding_format", "dimensions")
    return Converted(document, {"model": root.need("model"), "base64": form == "base64"}, notes)


def _read_embeddings(answer: Json, memo: Memo) -> Json:
    found = [(each["text_index"], each["embedding"]) for each in answer["output"]["embeddings"]]
    return embeddings(found, memo, (answer.get("usage") or {}).get("total_tokens") or 0)


# Reranking


def _write_rerank(root: Object) -> Converted:
    documents = [*root.texts("documents")]
    if not documents:
        raise root.wrong("documents", "is missing or empty")
    parameters: Json = {}
    if (top := root.whole("top_n", 1)) is not None:
        parameters["top_n"] = top
    if (shown := root.flag("return_documents")) is not None:
        parameters["return_documents"] = shown
    model = root.need("model")
    document = {"model": model, "input": {"query": root.need("query"), "documents": documents}}
    notes = _without(root, "model", "query", "documents", "top_n", "return_documents")
    return Converted({**document, "parameters": parameters}, {"model": model}, notes)


def _read_rerank(answer: Json, memo: Memo) -> Json:
    results = [
        {"index": each["index"], "relevance_score": each["relevance_score"], **_document(each)}
        for each in answer["output"]["results"]
    ]
    tokens = (answer.get("usage") or {}).get("total_tokens") or 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    id = answer.get("request_id") or ""
    return {"object": "list", "id": id, "model": memo["model"], "results": results, "usage": usage}


def _document(result: Json) -> Json:
    return {"document": result["document"]} if "document" in result else {}


# Pictures


def _write_picture(root: Object) -> Converted:
    if root.text("response_format") == "b64_json":
        raise root.wrong("response_format", "is b64_json: DashScope gives links, which are not fetched here")
    model = root.need("model")
    parameters: Json = {"watermark": False}
    if (count := root.whole("n", 1)) is not None:
        parameters["n"] = count
    if (size := root.text("size")) and size != "auto":
        found = _SIZE.fullmatch(size)
        if not found:
            raise root.wrong("size", "is no size such as 1024x1024")
        parameters["size"] = f"{found[1]}*{found[2]}"
    for name in ("negative_prompt", "prompt_extend", "watermark", "seed"):
        if (value := root.raw(name)) is not None:
            parameters[name] = value
    content = [{"text": root.need("prompt")}]
    document = {"model": model, "input": {"messages": [{"role": "user", "content": content}]}, "parameters": parameters}
    known = ("model", "prompt", "n", "size", "response_format", *parameters)
    return Converted(document, {"model": model}, _without(root, *known))


def _read_picture(answer: Json, memo: Memo) -> Json:
    choices = answer["output"]["choices"]
    urls = [part["image"] for choice in choices for part in choice["message"]["content"] if "image" in part]
    if not urls:
        raise ValueError("no picture")
    return {"created": memo["created"], "data": [{"url": url} for url in urls]}


EMBEDDINGS: Final = Conversion(_write_embeddings, _read_embeddings)
RERANK: Final = Conversion(_write_rerank, _read_rerank)
PICTURES: Final = Conversion(_write_picture, _read_picture)
