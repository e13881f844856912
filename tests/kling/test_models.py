"""The table of Kling's models, compared with its documentation, and lookups in it."""

from __future__ import annotations

from mitm_ai_proxy.kling.models import (
    CAMERA,
    CFG,
    DEFAULT_MODEL,
    FIVE_OR_TEN,
    MASKS,
    MODELS,
    OUTPUT_SIZES,
    RESOLUTIONS,
    RESTRICTED,
    SHOTS,
    SIZES,
    SORA_SECONDS,
    SORA_SIZE,
    VOICES,
    rounded_up,
    sora_mode,
)
from tests.tables import table

# model | text | modes | last frame | mask | camera | sound | durations | cfg_scale | extends
TABLE = """
kling-v1         | yes | std pro    | std pro    | yes | yes | -          | 5 10 | yes | yes
kling-v1-5       | no  | std pro    | pro        | yes | yes | -          | 5 10 | yes | yes
kling-v1-6       | yes | std pro    | pro        | no  | no  | -          | 5 10 | yes | yes
kling-v2-master  | yes | -          | -          | no  | no  | -          | 5 10 | no  | no
kling-v2-1       | no  | std pro    | pro        | no  | no  | -          | 5 10 | no  | no
kling-v2-1-master| yes | -          | -          | no  | no  | -          | 5 10 | no  | no
kling-v2-5-turbo | yes | std pro    | pro        | no  | no  | -          | 5 10 | no  | no
kling-v2-6       | yes | std pro    | pro        | no  | no  | pro        | 5 10 | no  | no
kling-v3         | yes | std pro 4k | std pro 4k | no  | no  | std pro 4k | 3-15 | no  | no
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]


@table("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_model_takes_what_the_documentation_says(row: list[str]) -> None:
    name, text, modes, tail, mask, camera, sound, durations, cfg, extends = row
    model = MODELS[name]

    def words(cell: str) -> tuple[str, ...]:
        return () if cell == "-" else tuple(cell.split())

    assert model.text == (text == "yes")
    assert (model.modes, model.tail, model.sound) == (words(modes), words(tail), words(sound))
    assert model.durations == (FIVE_OR_TEN if durations == "5 10" else tuple(range(3, 16)))
    assert (model.only >= MASKS, model.only >= CAMERA) == (mask == "yes", camera == "yes")
    assert (model.only >= CFG, model.extends) == (cfg == "yes", extends == "yes")
    assert model.only <= RESTRICTED
    assert model.prompt == 2500
    assert model.typical > 0


def test_no_model_is_missing_and_only_the_newest_have_voices_and_shots() -> None:
    assert list(MODELS) == [row[0] for row in ROWS]
    assert [name for name, model in MODELS.items() if model.only >= VOICES] == ["kling-v2-6", "kling-v3"]
    assert [name for name, model in MODELS.items() if SHOTS & model.only] == ["kling-v3"]


@table(
    ("durations", "seconds", "length"),
    [
        ((5, 10), 1, 5),
        ((5, 10), 4, 5),
        ((5, 10), 5, 5),
        ((5, 10), 6, 10),
        ((5, 10), 8, 10),
        ((5, 10), 10, 10),
        ((5, 10), 11, None),
        ((5, 10), 12, None),
        (tuple(range(3, 16)), 4, 4),
        (tuple(range(3, 16)), 12, 12),
        (tuple(range(3, 16)), 1, 3),
        (tuple(range(3, 16)), 16, None),
        ((), 5, None),
    ],
)
def test_a_length_is_rounded_up_never_down(durations: tuple[int, ...], seconds: int, length: int | None) -> None:
    assert rounded_up(durations, seconds) == length


@table(
    ("model", "mode"),
    [
        ("sora-2", "std"),
        ("sora-2-2025-12-08", "std"),
        ("sora-2-pro", "pro"),
        ("sora-2-pro-2025-10-06", "pro"),
        *((name, None) for name in ("", "sora", "sora-20", "sora-2.1", "SORA-2", " sora-2", "kling-v3", "my-sora-2")),
        ("sora-2-professional", "std"),
    ],
)
def test_a_sora_model_is_known_with_its_date(model: str, mode: str | None) -> None:
    assert sora_mode(model) == mode


def test_the_model_in_place_of_sora_has_all_that_sora_has() -> None:
    model = MODELS[DEFAULT_MODEL]

    assert {4, 8, 12} <= set(model.durations)
    assert SORA_SIZE in SIZES
    assert int(SORA_SECONDS) in model.durations
    assert {"1280x720", "720x1280", "1792x1024", "1024x1792"} <= set(SIZES)


def test_sizes_agree_with_each_other() -> None:
    assert {mode for _, mode in SIZES.values()} == set(RESOLUTIONS)
    for (ratio, mode), size in OUTPUT_SIZES.items():
        assert SIZES[size] == (ratio, mode)
    for size, (ratio, _) in SIZES.items():
        width, height = map(int, size.split("x"))
        assert (width > height, width == height) == (ratio == "16:9", ratio == "1:1")
