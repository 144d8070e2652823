"""What kie.ai takes on the wire, by schemas that know nothing of the catalog."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kiebot.adapters.kie.stub_server.wire import wire_models, wire_problems

CREATE = "/api/v1/jobs/createTask"

PICTURE = {
    "model": "flux-2/pro-text-to-image",
    "input": {"prompt": "a red tram", "aspect_ratio": "16:9", "resolution": "1K"},
}
MUSIC = {
    "prompt": "a slow waltz",
    "customMode": False,
    "instrumental": True,
    "model": "V5",
    "callBackUrl": "https://shop.invalid/kie",
}


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (CREATE, {**PICTURE, "callBackUrl": "https://shop.invalid/kie"}),
        (
            CREATE,
            {
                "model": "elevenlabs/sound-effect-v2",
                "input": {
                    "text": "an old door creaks open",
                    "duration_seconds": 4,
                    "output_format": "mp3_44100_128",
                },
            },
        ),
        (
            CREATE,
            {
                "model": "hailuo/02-text-to-video-standard",
                "input": {"prompt": "a boat", "duration": "6", "prompt_optimizer": True},
            },
        ),
        (
            CREATE,
            {
                "model": "recraft/crisp-upscale",
                "input": {"image": "https://files.example.org/in_42.png"},
            },
        ),
        ("/api/v1/veo/generate", {"prompt": "a paper boat", "model": "veo3_fast"}),
        ("/api/v1/generate", MUSIC),
        (
            "/api/v1/generate",
            {**MUSIC, "prompt": "x" * 5000, "customMode": True, "style": "waltz", "title": "W"},
        ),
    ],
)
def test_what_kie_takes(call: str, body: dict[str, Any]) -> None:
    """As in kie.ai's own examples."""
    assert wire_problems(f"POST {call}", body) == []


@pytest.mark.parametrize(
    ("call", "body", "problems"),
    [
        (CREATE, {"input": {}}, ["model: This field is required"]),
        (CREATE, {"model": "z-image"}, ["input: This field is required"]),
        (
            CREATE,
            {"model": "z-image", "input": []},
            ["input has the wrong type: object is expected"],
        ),
        (
            CREATE,
            {**PICTURE, "callBackUrl": "ftp://x"},
            ["callBackUrl is not an http(s) address"],
        ),
        (CREATE, {**PICTURE, "hook": "x"}, ["hook is not a known parameter"]),
        (
            CREATE,
            {"model": "recraft/crisp-upscale", "input": {"image": "file:///a.png"}},
            ["image is not an http(s) address"],
        ),
        (
            CREATE,
            {
                "model": "topaz/image-upscale",
                "input": {"image_url": "https://a.example/a.png", "upscale_factor": 2},
            },
            [
                "upscale_factor has the wrong type: string is expected",
                "upscale_factor is not within the range of allowed options",
            ],
        ),
        (
            CREATE,
            {
                "model": "bytedance/seedream-v4-text-to-image",
                "input": {"prompt": "x", "max_images": 7},
            },
            ["max_images must not be greater than 6"],
        ),
        (
            CREATE,
            {
                "model": "elevenlabs/sound-effect-v2",
                "input": {"text": "x", "duration_seconds": 0.4},
            },
            ["duration_seconds must not be less than 0.5"],
        ),
        (
            CREATE,
            {"model": "bytedance/seedream", "input": {"prompt": "x", "seed": "7"}},
            ["seed has the wrong type: integer is expected"],
        ),
        (
            CREATE,
            {
                "model": "flux-2/pro-image-to-image",
                "input": {
                    "prompt": "a tram",
                    "aspect_ratio": "auto",
                    "resolution": "1K",
                    "input_urls": [],
                },
            },
            ["input_urls has too few entries: at least 1"],
        ),
        (
            CREATE,
            {
                "model": "grok-imagine/image-to-video",
                "input": {"image_urls": ["https://a.example/a.png"], "task_id": "1"},
            },
            ["exactly one of image_urls, task_id is required"],
        ),
        (
            "/api/v1/veo/generate",
            {"prompt": "x", "model": "veo3", "generationType": "REFERENCE_2_VIDEO"},
            ["generationType is not within the range of allowed options"],
        ),
        (
            "/api/v1/veo/generate",
            {"prompt": "x", "imageUrls": [f"https://a.example/{n}" for n in range(4)]},
            ["imageUrls has too many entries: at most 3"],
        ),
        (
            "/api/v1/generate",
            {**MUSIC, "model": "V9"},
            ["The page does not exist or is not published"],
        ),
        (
            "/api/v1/generate",
            {**MUSIC, "prompt": "x" * 501},
            ["prompt is too long: at most 500 characters"],
        ),
        (
            "/api/v1/generate",
            {**MUSIC, "customMode": True},
            ["style: This field is required", "title: This field is required"],
        ),
        (
            "/api/v1/runway/generate",
            {"prompt": "x", "duration": 10, "quality": "1080p", "aspectRatio": "1:1"},
            ["quality is not within the range of allowed options"],
        ),
        (
            "/api/v1/runway/generate",
            {"prompt": "x", "duration": 5, "quality": "720p"},
            ["aspectRatio: This field is required"],
        ),
        (
            "/api/v1/gpt4o-image/generate",
            {"size": "1:1"},
            ["at least one of prompt, filesUrl is required"],
        ),
        (
            "/api/v1/flux/kontext/generate",
            {"prompt": "x", "inputImage": "https://a.example/a.png", "safetyTolerance": 3},
            ["safetyTolerance must not be greater than 2"],
        ),
    ],
)
def test_what_kie_would_refuse(call: str, body: dict[str, Any], problems: list[str]) -> None:
    assert wire_problems(f"POST {call}", body) == problems


def test_every_schema_is_one() -> None:
    """A mistake in a schema would let everything pass, or nothing."""
    for model in wire_models():
        Draft202012Validator.check_schema(dict(model.schema))
        assert set(model.schema["required"]) <= set(model.schema["properties"]), model.name


def test_every_documented_model_is_there() -> None:
    """77 of /jobs; Veo has three, Suno six versions, Flux Kontext two, the others one."""
    count: dict[str, int] = {}
    for model in wire_models():
        count[model.family] = count.get(model.family, 0) + 1

    assert count == {
        "jobs": 77,
        "veo": 3,
        "suno": 6,
        "flux-kontext": 2,
        "gpt4o-image": 1,
        "runway": 1,
    }


def test_names_that_kie_does_not_know_are_taken_unless_strict() -> None:
    body = {"prompt": "x", "aspectRatio": "16:9", "watermark": None}

    assert wire_problems("POST /api/v1/veo/generate", body, strict=False) == []
    assert wire_problems("POST /api/v1/veo/generate", body) == [
        "watermark has the wrong type: string is expected",
        "aspectRatio is not a known parameter",
    ]


@pytest.mark.parametrize("body", [None, [], "{}"])
def test_a_body_is_an_object(body: object) -> None:
    assert wire_problems(f"POST {CREATE}", body) == ["The request body is not a JSON object"]


def test_a_call_that_kie_does_not_have() -> None:
    assert wire_problems("POST /api/v1/nothing", {}) == ["no such call: POST /api/v1/nothing"]
