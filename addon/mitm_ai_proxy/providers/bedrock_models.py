"""OpenAI's embeddings and pictures of the models of Amazon Bedrock, which have a form of their own each (InvokeModel).

Sources: Amazon Bedrock's user guide, inference parameters of Titan, Nova, Cohere and Stability AI.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ..chat import converse_answers, vendor_errors
from ..chat.json_values import Object
from ..chat.model import Fault
from ..exchange import Memo
from . import openai_shapes
from .conversions import Conversion, Converted, Json

EMBEDDINGS: Final = "openai/v1/embeddings"
IMAGES: Final = "openai/v1/imagegeneration"

_Form: TypeAlias = tuple[Json, Json, str]
"""A body for a model, what its answer needs, and a note or ""."""


def _converted(api: str, root: Object) -> Converted:
    """A request of OpenAI's, as the model takes it. Raises Refusal (400)."""
    model = root.need("model")
    forms = _FORMS[api]
    form = next((form for word, form in forms.items() if word in model.lower()), None)
    if form is None:
        what = "embeddings" if api == EMBEDDINGS else "pictures"
        raise root.wrong("model", f"makes no {what} that are known here; those of {', '.join(forms)} are")
    document, memo, note = form(root)
    return Converted(document, {"model": model, **memo}, tuple(filter(None, (note, _rest(root, api)))))


_READ: Final = {
    EMBEDDINGS: frozenset({"model", "input", "dimensions", "encoding_format"}),
    IMAGES: frozenset({"model", "prompt", "size", "n", "quality", "seed", "response_format", "negative_prompt"}),
}


def _rest(root: Object, api: str) -> str:
    """A note on the members that are not sent on."""
    rest = [name[:60] for name in root.members if name not in _READ[api]]
    return f"left out, as Bedrock's models have no such member: {', '.join(rest)[:300]}" if rest else ""


# Embeddings


def _one_input(root: Object) -> str:
    texts = openai_shapes.texts_of(root)
    if len(texts) > 1:
        raise root.wrong("input", f"has {len(texts)} texts, and this model takes one in a request")
    return texts[0]


def _encoding(root: Object) -> Json:
    return {"base64": root.one_of("encoding_format", ("float", "base64")) == "base64"}


def _titan_embedding(root: Object) -> _Form:
    document: Json = {"inputText": _one_input(root)}
    if (size := root.whole("dimensions", 1)) is not None:
        document["dimensions"] = size
    return document, _encoding(root), ""


def _nova_embedding(root: Object) -> _Form:
    params: Json = {"embeddingPurpose": "GENERIC_INDEX"}
    if (size := root.whole("dimensions", 1)) is not None:
        params["embeddingDimension"] = size
    params["text"] = {"truncationMode": "NONE", "value": _one_input(root)}
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}, _encoding(root), ""


def _cohere_embedding(root: Object) -> _Form:
    document: Json = {"texts": openai_shapes.texts_of(root), "input_type": "search_document"}
    if (size := root.whole("dimensions", 1)) is not None:
        document["output_dimension"] = size
        document["embedding_types"] = ["float"]
    return document, _encoding(root), "input_type is search_document: OpenAI's API has no word for it"


def _vectors(document: Json) -> list[list[float]]:
    """The vectors in an answer of any of these models."""
    found = document.get("embedding")
    if found is None:
        found = document["embeddings"]
        if isinstance(found, dict):
            found = found["float"]
        found = [one["embedding"] if isinstance(one, dict) else one for one in found]
    else:
        found = [found]
    for vector in found:
        if not isinstance(vector, list) or not all(isinstance(number, int | float) for number in vector):
            raise TypeError
    return found


def _embeddings(document: Json, memo: Memo) -> Json:
    vectors = _vectors(document)
    tokens = vendor_errors.count(document.get("inputTextTokenCount")) or 0
    return openai_shapes.embeddings([*enumerate(vectors)], memo, tokens)


# Pictures


def _size(root: Object) -> tuple[int, int]:
    text = root.text("size")
    if text in (None, "auto"):
        return 1024, 1024
    assert text is not None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and len(text) < 12 and int(width) and int(height)):
        raise root.wrong("size", 'is not of the form "1024x1024"')
    return int(width), int(height)


def _as_link(root: Object) -> Json:
    return {"is_link": root.one_of("response_format", ("url", "b64_json")) == "url"}


def _amazon_picture(root: Object) -> _Form:
    width, height = _size(root)
    params: Json = {"text": root.need("prompt")}
    if negative := root.text("negative_prompt"):
        params["negativeText"] = negative
    settings: Json = {"width": width, "height": height, "numberOfImages": root.whole("n", 1) or 1}
    quality = root.text("quality")
    if quality in ("hd", "high", "premium"):
        settings["quality"] = "premium"
    elif quality in ("standard", "low", "medium"):
        settings["quality"] = "standard"
    if (seed := root.whole("seed")) is not None:
        settings["seed"] = seed
    document = {"taskType": "TEXT_IMAGE", "textToImageParams": params, "imageGenerationConfig": settings}
    return document, _as_link(root), ""


_RATIOS: Final = ("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")


def _stability_picture(root: Object) -> _Form:
    width, height = _size(root)
    if (root.whole("n", 1) or 1) > 1:
        raise root.wrong("n", "asks for several pictures, and this model makes one")

    def distance(ratio: str) -> float:
        across, _, down = ratio.partition(":")
        return abs(math.log(width / height) - math.log(int(across) / int(down)))

    document: Json = {"prompt": root.need("prompt"), "aspect_ratio": min(_RATIOS, key=distance), "output_format": "png"}
    if negative := root.text("negative_prompt"):
        document["negative_prompt"] = negative
    if (seed := root.whole("seed")) is not None:
        document["seed"] = seed
    return document, _as_link(root), f"size became the aspect ratio {document['aspect_ratio']}"


def _pictures(document: Json, memo: Memo) -> Json:
    images = document.get("images")
    if not isinstance(images, list) or not images or not all(isinstance(one, str) for one in images):
        raise KeyError
    if memo["is_link"]:
        data = [{"url": f"data:image/png;base64,{one}"} for one in images]
    else:
        data = [{"b64_json": one} for one in images]
    return {"created": memo["created"], "data": data}


_FORMS: Final[Mapping[str, Mapping[str, Callable[[Object], _Form]]]] = {
    EMBEDDINGS: {
        "amazon.titan-embed": _titan_embedding,
        "amazon.nova": _nova_embedding,
        "cohere.embed": _cohere_embedding,
    },
    IMAGES: {
        "amazon.nova-canvas": _amazon_picture,
        "amazon.titan-image": _amazon_picture,
        "stability.": _stability_picture,
    },
}
"""By API: words in the ids of models, and how each of these is asked."""


def _fault(document: Any) -> Fault | None:
    """Why an answer has no picture: a filter has taken it away."""
    if not isinstance(document, dict):
        return vendor_errors.broken("is no object")
    told = [document.get("error"), *(document.get("finish_reasons") or ())]
    reasons = [reason for reason in told if isinstance(reason, str) and reason]
    return Fault(400, reasons[0][:2000], "content_filter") if reasons else None


_ACCEPT: Final = {b"accept": b"application/json"}
CONVERSIONS: Final = {
    EMBEDDINGS: Conversion(
        functools.partial(_converted, EMBEDDINGS), _embeddings, _ACCEPT, converse_answers.read_error
    ),
    IMAGES: Conversion(functools.partial(_converted, IMAGES), _pictures, _ACCEPT, converse_answers.read_error, _fault),
}
"""By name of an API."""
