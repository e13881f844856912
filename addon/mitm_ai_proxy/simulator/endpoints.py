"""Kling's task endpoints as a table: path, validation of the create, and kind of result.

Source: Kling API documentation. Undocumented results are like those of the most similar endpoint.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from . import rules
from .fields import each, items, link, number, one_of, picture, sound, text, whole
from .rules import Rule

VIDEO, IMAGE, AUDIO, VIDEO_AND_AUDIO, ELEMENT, VOICE, SHOTS = (
    "video",
    "image",
    "audio",
    "both",
    "element",
    "voice",
    "shots",
)


class Endpoint(NamedTuple):
    """A family of tasks: its path, the rule for its creates, the kind of its result.

    `by_id_only`: a task is not found by its external_task_id.
    """

    path: str
    rule: Rule
    result: str
    by_id_only: bool = False


_EFFECT_SOUND: Final = {"sound_effect_prompt": text(200), "bgm_prompt": text(200)}
_FACE: Final = {
    "face_id": text(100, 1),
    "audio_id": text(200),
    "sound_file": sound,
    "sound_start_time": number(0, 1e7),
    "sound_end_time": number(0, 1e7),
    "sound_insert_time": number(0, 1e7),
    "sound_volume": number(0, 2),
    "original_audio_volume": number(0, 2),
}
_FACE_NEEDED: Final = "face_id audio_id|sound_file sound_start_time sound_end_time sound_insert_time"
_IMAGE_RATIOS: Final = one_of("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9")
_VOICE_FILE: Final = {"voice_name": text(20, 1), "voice_url": link, "video_id": text(200)}
_ELEMENT: Final = {
    "element_name": text(20, 1),
    "element_description": text(100),
    "reference_type": one_of("image_refer", "video_refer"),
    "element_image_list": each(
        "element_image_list",
        {"frontal_image": picture, "refer_images": items(1, 3, {"image_url": picture}, "image_url")},
        "frontal_image",
    ),
    "element_video_list": each(
        "element_video_list", {"refer_videos": items(1, 1, {"video_url": link}, "video_url")}, "refer_videos"
    ),
}

ENDPOINTS: Final = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint("/v1/videos/text2video", rules.text2video, VIDEO),
        Endpoint("/v1/videos/image2video", rules.image2video, VIDEO),
        Endpoint("/v1/videos/omni-video", rules.omni_video, VIDEO),
        Endpoint("/v1/videos/motion-control", rules.motion_control, VIDEO),
        Endpoint("/v1/videos/multi-image2video", rules.multi_image2video, VIDEO),
        Endpoint("/v1/videos/multi-elements", rules.multi_elements, VIDEO),
        Endpoint(
            "/v1/videos/video-extend",
            rules.fixed(
                "/v1/videos/video-extend",
                {"prompt": text(2500), "negative_prompt": text(2500), "cfg_scale": number(0, 1), "video_id": text(200)},
                "video_id",
            ),
            VIDEO,
        ),
        Endpoint("/v1/videos/lip-sync", rules.lip_sync, VIDEO),
        Endpoint(
            "/v1/videos/advanced-lip-sync",
            rules.fixed(
                "/v1/videos/advanced-lip-sync",
                {"session_id": text(200), "face_choose": items(1, 1, _FACE, _FACE_NEEDED)},
                "session_id",
                "face_choose",
            ),
            VIDEO,
            by_id_only=True,
        ),
        Endpoint("/v1/videos/avatar/image2video", rules.avatar, VIDEO),
        Endpoint("/v1/videos/effects", rules.effects, VIDEO),
        Endpoint(
            "/v1/images/generations",
            rules.image(
                "kling-v1",
                "kling-v1-5",
                "kling-v2",
                "kling-v2-new",
                "kling-v2-1",
                "kling-v3",
                default="kling-v3",
                known={
                    "negative_prompt": text(2500),
                    "image": picture,
                    "image_reference": one_of("subject", "face"),
                    "image_fidelity": number(0, 1),
                    "human_fidelity": number(0, 1),
                    "resolution": one_of("1k", "2k"),
                    "aspect_ratio": _IMAGE_RATIOS,
                },
            ),
            IMAGE,
        ),
        Endpoint(
            "/v1/images/omni-image",
            rules.image(
                "kling-image-o1",
                "kling-v3-omni",
                default="kling-image-o1",
                known={
                    "image_list": items(0, 10, {"image": picture}, "image"),
                    "resolution": one_of("1k", "2k", "4k"),
                    "result_type": one_of("single", "series"),
                    "aspect_ratio": one_of(*rules.RATIOS, "auto"),
                },
            ),
            IMAGE,
        ),
        Endpoint(
            "/v1/images/multi-image2image",
            rules.image(
                "kling-v2",
                "kling-v2-1",
                default="kling-v2-1",
                known={
                    "subject_image_list": items(1, 4, {"subject_image": picture}, "subject_image"),
                    "scene_image": picture,
                    "style_image": picture,
                    "aspect_ratio": _IMAGE_RATIOS,
                },
                needed=("subject_image_list",),
            ),
            IMAGE,
        ),
        Endpoint(
            "/v1/images/editing/expand",
            rules.fixed(
                "/v1/images/editing/expand",
                {
                    "image": picture,
                    "prompt": text(2500),
                    "n": whole(1, 9),
                    **{f"{side}_expansion_ratio": number(0, 2) for side in ("up", "down", "left", "right")},
                },
                "image",
                pack="image",
            ),
            IMAGE,
        ),
        Endpoint(
            "/v1/images/kolors-virtual-try-on",
            rules.fixed(
                "/v1/images/kolors-virtual-try-on",
                {
                    "model_name": one_of("kolors-virtual-try-on-v1", "kolors-virtual-try-on-v1-5"),
                    "human_image": picture,
                    "cloth_image": picture,
                },
                "human_image",
                "cloth_image",
                pack="image",
            ),
            IMAGE,
        ),
        Endpoint(
            "/v1/general/ai-multi-shot",
            rules.fixed(
                "/v1/general/ai-multi-shot",
                {"element_frontal_image": picture},
                "element_frontal_image",
                pack="image",
            ),
            SHOTS,
        ),
        Endpoint(
            "/v1/audio/text-to-audio",
            rules.fixed(
                "/v1/audio/text-to-audio", {"prompt": text(200), "duration": number(3, 10)}, "prompt", "duration"
            ),
            AUDIO,
        ),
        Endpoint(
            "/v1/audio/video-to-audio",
            rules.fixed(
                "/v1/audio/video-to-audio",
                {"video_id": text(200), "video_url": link, **_EFFECT_SOUND},
                "video_id|video_url",
            ),
            VIDEO_AND_AUDIO,
        ),
        *(
            Endpoint(
                path,
                rules.fixed(path, _ELEMENT, "element_name", model="elements"),
                ELEMENT,
            )
            for path in ("/v1/general/advanced-custom-elements", "/v1/general/custom-elements")
        ),
        Endpoint(
            "/v1/general/custom-voices",
            rules.fixed("/v1/general/custom-voices", _VOICE_FILE, "voice_name", "voice_url|video_id"),
            VOICE,
        ),
    )
}
"""By path. Each has POST (create), GET (list), and GET of path/id (retrieve)."""
