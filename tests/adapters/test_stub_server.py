"""The stub server: kie.ai's HTTP, on loopback, and what can be wrong with it."""

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import define, field, frozen

from kiebot.adapters.kie.stub_server.faults import (
    CODES,
    Call,
    Fault,
    FaultKind,
    from_json,
    in_words,
)
from kiebot.adapters.kie.stub_server.limits import Limits
from kiebot.adapters.kie.stub_server.server import StubServer
from kiebot.adapters.kie.stub_server.tasks import Timeline
from kiebot.core.callbacks import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from kiebot.core.media import sniff
from tests.fakes.clock import FakeClock
from tests.fakes.kie_server import CALLBACK_SECRET, NO_LIMITS, kie_server

CREATE = "/api/v1/jobs/createTask"
INFO = "/api/v1/jobs/recordInfo"
CREDIT = "/api/v1/chat/credit"

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

UNFINISHED = ("taskId", "model", "state", "param", "resultJson", "failCode", "failMsg", "costTime")
RECORD = (*UNFINISHED, "completeTime", "createTime", "updateTime")


@frozen(kw_only=True)
class Answer:
    """What came back."""

    http: int
    text: str
    mime: str
    content: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.text)
        return value

    @property
    def code(self) -> int:
        code: int = self.json["code"]
        return code

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.json["data"]
        return data


@define
class Client:
    """Anybody's client of kie.ai."""

    session: aiohttp.ClientSession

    async def get(self, url: str, **query: str) -> Answer:
        async with self.session.get(url, params=query or None, allow_redirects=False) as got:
            return await _answer(got)

    async def post(self, url: str, body: Any) -> Answer:
        async with self.session.post(url, json=body) as got:
            return await _answer(got)

    async def make(self, body: dict[str, Any], url: str = CREATE) -> str:
        """The id of a new task."""
        answer = await self.post(url, body)
        assert answer.code == 200, answer.text
        task_id: str = answer.data["taskId"]
        return task_id

    async def record(self, task_id: str, url: str = INFO) -> dict[str, Any]:
        return (await self.get(url, taskId=task_id)).data


async def _answer(got: aiohttp.ClientResponse) -> Answer:
    content = await got.read()
    text = content.decode(errors="replace")
    return Answer(http=got.status, text=text, mime=got.content_type, content=content)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def kie(clock: FakeClock) -> AsyncIterator[StubServer]:
    async with kie_server(clock, limits=NO_LIMITS) as server:
        yield server


@pytest.fixture
async def client(kie: StubServer) -> AsyncIterator[Client]:
    async with client_of(kie) as made:
        yield made


@asynccontextmanager
async def client_of(kie: StubServer, key: str = "any") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(kie.address, headers=headers) as session:
        yield Client(session)


def picture(**changes: Any) -> dict[str, Any]:
    return {**PICTURE, "input": {**PICTURE["input"], **changes}}  # type: ignore[dict-item]


def result_urls(record: dict[str, Any]) -> list[str]:
    urls: list[str] = json.loads(record["resultJson"])["resultUrls"]
    return urls


# --- /jobs


async def test_a_picture_is_made(client: Client, kie: StubServer, clock: FakeClock) -> None:
    created = await client.post(CREATE, {**PICTURE, "callBackUrl": "https://shop.invalid/cb/1"})
    task_id = created.data["taskId"]
    clock.advance(0.5)
    record = await client.record(task_id)

    assert created.http == 200
    assert created.json == {"code": 200, "msg": "success", "data": {"taskId": task_id}}
    assert tuple(record) == (*RECORD, "creditsConsumed")
    made_ms = round(1000 * clock().timestamp())
    assert {name: record[name] for name in RECORD if name not in {"param", "resultJson"}} == {
        "taskId": task_id,
        "model": "flux-2/pro-text-to-image",
        "state": "success",
        "failCode": "",
        "failMsg": "",
        "costTime": 500,
        "completeTime": made_ms,
        "createTime": made_ms - 500,
        "updateTime": made_ms,
    }
    assert json.loads(record["param"]) == {**PICTURE, "callBackUrl": "https://shop.invalid/cb/1"}
    assert record["creditsConsumed"] == 5
    (url,) = result_urls(record)
    assert url.startswith(f"{kie.address}/")
    file = await client.get(url)
    assert (file.http, file.mime, sniff(file.content)) == (200, "image/png", "image/png")


async def test_a_task_goes_through_its_states(client: Client, clock: FakeClock) -> None:
    task_id = await client.make(PICTURE)

    seen = []
    for _ in range(4):
        record = await client.record(task_id)
        empty = [record[name] for name in ("resultJson", "failCode", "costTime", "completeTime")]
        seen.append((record["state"], empty if record["state"] != "success" else None))
        clock.advance(0.19)

    assert seen == [
        ("waiting", ["", "", 0, 0]),
        ("queuing", [None, None, None, None]),
        ("generating", ["", "", 0, 0]),
        ("success", None),
    ]


async def test_a_running_task_says_nothing_of_credits(client: Client) -> None:
    task_id = await client.make(PICTURE)

    assert tuple(await client.record(task_id)) == RECORD


async def test_a_failed_task_gives_its_credits_back(
    client: Client, kie: StubServer, clock: FakeClock
) -> None:
    task_id = await client.make(picture(prompt="fail"))
    taken = (await client.get(CREDIT)).json["data"]
    clock.advance(1)
    record = await client.record(task_id)

    assert taken == 9995
    assert (record["state"], record["resultJson"], record["creditsConsumed"]) == ("fail", "", 0)
    assert (record["failCode"], record["failMsg"]) == (
        "501",
        "Generation failed",
    )
    assert kie.balance == 10_000


@pytest.mark.parametrize("code", [400, 413, 422, 500, 501, 531])
async def test_a_task_fails_with_a_code(client: Client, clock: FakeClock, code: int) -> None:
    task_id = await client.make(picture(prompt=f"fail {code}"))
    clock.advance(1)
    record = await client.record(task_id)

    assert (record["failCode"], record["failMsg"]) == (str(code), CODES[code])


async def test_a_transcript_stands_in_the_record(client: Client, clock: FakeClock) -> None:
    body = {
        "model": "elevenlabs/speech-to-text",
        "input": {"audio_url": "https://files.example.org/a.mp3"},
    }
    task_id = await client.make(body)
    clock.advance(1)
    record = await client.record(task_id)

    found = json.loads(record["resultJson"])["resultObject"]
    assert list(found) == ["text", "language_code", "language_probability", "words"]
    assert list(found["words"][0]) == ["text", "start", "end", "type", "speaker_id"]


async def test_six_pictures_come_of_grok(client: Client, clock: FakeClock) -> None:
    task_id = await client.make({"model": "grok-imagine/text-to-image", "input": {"prompt": "x"}})
    clock.advance(1)

    urls = result_urls(await client.record(task_id))

    assert len(set(urls)) == 6
    assert len({(await client.get(url)).content for url in urls}) > 1


async def test_as_many_pictures_as_asked_for(client: Client, clock: FakeClock) -> None:
    body = {
        "model": "bytedance/seedream-v4-text-to-image",
        "input": {"prompt": "a tram", "max_images": 3},
    }
    task_id = await client.make(body)
    clock.advance(1)

    assert len(result_urls(await client.record(task_id))) == 3


async def test_a_record_can_lack_its_credits(client: Client, clock: FakeClock) -> None:
    task_id = await client.make(picture(prompt="no credits"))
    clock.advance(1)

    assert tuple(await client.record(task_id)) == RECORD


@pytest.mark.parametrize("model", ["flux-9/pro", "V5", "veo3", ""])
async def test_an_unknown_model_is_refused(client: Client, model: str) -> None:
    answer = await client.post(CREATE, {**PICTURE, "model": model})

    assert answer.http == 200
    assert (answer.code, answer.json["data"]) == (422, None)
    if model:
        assert answer.json["msg"] == "The page does not exist or is not published"


async def test_an_unknown_task(client: Client) -> None:
    unknown = await client.get(INFO, taskId="task_none_1")
    unnamed = await client.get(INFO)

    assert unknown.json == {"code": 422, "msg": "recordInfo is null", "data": None}
    assert (unknown.http, unnamed.code) == (200, 400)


async def test_a_family_does_not_know_the_tasks_of_another(client: Client) -> None:
    task_id = await client.make(PICTURE)

    answer = await client.get("/api/v1/veo/record-info", taskId=task_id)

    assert answer.json["msg"] == "recordInfo is null"


# --- The other families


async def test_veo(client: Client, clock: FakeClock) -> None:
    url = "/api/v1/veo/record-info"
    task_id = await client.make(
        {"prompt": "a paper boat", "model": "veo3_fast"}, "/api/v1/veo/generate"
    )
    running = await client.record(task_id, url)
    clock.advance(1)
    done = await client.record(task_id, url)

    assert task_id.startswith("veo_task_")
    assert running == {
        "taskId": task_id,
        "paramJson": '{"prompt":"a paper boat","model":"veo3_fast"}',
        "successFlag": 0,
        "response": None,
        "createTime": running["createTime"],
        "completeTime": None,
        "errorCode": None,
        "errorMessage": None,
        "fallbackFlag": False,
    }
    assert list(done) == list(running)
    assert list(done["response"]) == [
        "taskId",
        "resultUrls",
        "originUrls",
        "fullResultUrls",
        "resolution",
    ]
    assert (done["successFlag"], done["errorMessage"]) == (1, "")
    (clip,) = done["response"]["resultUrls"]
    assert sniff((await client.get(clip)).content[:64]) == "video/mp4"


async def test_veo_fails(client: Client, clock: FakeClock) -> None:
    task_id = await client.make({"prompt": "fail 400"}, "/api/v1/veo/generate")
    clock.advance(1)
    record = await client.record(task_id, "/api/v1/veo/record-info")

    assert (record["successFlag"], record["response"]) == (3, None)
    assert (record["errorCode"], record["errorMessage"]) == (400, CODES[400])


async def test_suno(client: Client, clock: FakeClock) -> None:
    url = "/api/v1/generate/record-info"
    task_id = await client.make(MUSIC, "/api/v1/generate")
    words = []
    for _ in range(4):
        words.append((await client.record(task_id, url))["status"])
        clock.advance(0.2)
    record = await client.record(task_id, url)

    assert words == ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS"]
    assert list(record) == [
        "taskId",
        "parentMusicId",
        "param",
        "status",
        "type",
        "operationType",
        "response",
        "errorCode",
        "errorMessage",
    ]
    assert json.loads(record["param"]) == {k: v for k, v in MUSIC.items() if k != "callBackUrl"}
    tracks = record["response"]["sunoData"]
    assert [list(track) for track in tracks] == 2 * [
        [
            "id",
            "audioUrl",
            "streamAudioUrl",
            "imageUrl",
            "prompt",
            "modelName",
            "title",
            "tags",
            "createTime",
            "duration",
        ]
    ]
    for name, mime in (("audioUrl", "audio"), ("streamAudioUrl", "audio"), ("imageUrl", "image")):
        file = await client.get(tracks[1][name])
        assert str(sniff(file.content[:64])).startswith(mime), name


@pytest.mark.parametrize(
    ("code", "word"), [(501, "GENERATE_AUDIO_FAILED"), (400, "SENSITIVE_WORD_ERROR")]
)
async def test_suno_fails(client: Client, clock: FakeClock, code: int, word: str) -> None:
    task_id = await client.make({**MUSIC, "prompt": f"fail {code}"}, "/api/v1/generate")
    clock.advance(1)
    record = await client.record(task_id, "/api/v1/generate/record-info")

    assert (record["status"], record["response"], record["errorCode"]) == (word, None, code)


async def test_suno_could_not_tell_and_has_the_tracks(client: Client, clock: FakeClock) -> None:
    task_id = await client.make({**MUSIC, "prompt": "odd end"}, "/api/v1/generate")
    clock.advance(1)
    record = await client.record(task_id, "/api/v1/generate/record-info")

    assert record["status"] == "CALLBACK_EXCEPTION"
    assert len(record["response"]["sunoData"]) == 2


async def test_suno_wants_an_address(client: Client) -> None:
    body = {name: value for name, value in MUSIC.items() if name != "callBackUrl"}

    answer = await client.post("/api/v1/generate", body)

    assert answer.json == {"code": 422, "msg": "Please enter callBackUrl.", "data": None}


async def test_runway(client: Client, clock: FakeClock) -> None:
    url = "/api/v1/runway/record-detail"
    body = {"prompt": "a boat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}
    task_id = await client.make(body, "/api/v1/runway/generate")
    words = []
    for _ in range(3):
        words.append((await client.record(task_id, url))["state"])
        clock.advance(0.15)
    clock.advance(1)
    record = await client.record(task_id, url)

    assert words == ["wait", "queueing", "generating"]
    assert (record["state"], record["failCode"], record["expireFlag"]) == ("success", 0, 0)
    assert list(record["videoInfo"]) == ["videoId", "taskId", "videoUrl", "imageUrl"]
    assert sniff((await client.get(record["videoInfo"]["videoUrl"])).content[:64]) == "video/mp4"


async def test_4o_image(client: Client, clock: FakeClock) -> None:
    url = "/api/v1/gpt4o-image/record-info"
    body = {"prompt": "a boat", "size": "1:1", "nVariants": 2}
    task_id = await client.make(body, "/api/v1/gpt4o-image/generate")
    running = await client.record(task_id, url)
    clock.advance(1)
    done = await client.record(task_id, url)

    assert (running["successFlag"], running["status"], running["progress"]) == (
        0,
        "GENERATING",
        "0.00",
    )
    assert (done["successFlag"], done["status"], done["progress"]) == (1, "SUCCESS", "1.00")
    assert len(done["response"]["resultUrls"]) == 2


async def test_flux_kontext(client: Client, clock: FakeClock) -> None:
    url = "/api/v1/flux/kontext/record-info"
    body = {"prompt": "a boat", "model": "flux-kontext-max"}
    task_id = await client.make(body, "/api/v1/flux/kontext/generate")
    running = await client.record(task_id, url)
    clock.advance(1)
    done = await client.record(task_id, url)

    assert (running["successFlag"], running["response"]) == (0, None)
    assert done["successFlag"] == 1
    assert list(done["response"]) == ["originImageUrl", "resultImageUrl"]
    picture = await client.get(done["response"]["resultImageUrl"])
    assert sniff(picture.content[:64]) == "image/png"


# --- Who may, and where


async def test_the_key_is_asked_for(clock: FakeClock) -> None:
    async with kie_server(clock, key="right") as kie:
        async with client_of(kie, "wrong") as stranger:
            refused = await stranger.get(CREDIT)
        async with client_of(kie, "right") as owner:
            answered = await owner.get(CREDIT)
        async with aiohttp.request("GET", f"{kie.address}{CREDIT}") as nobody:
            missing = await nobody.json()

    assert refused.http == 200
    assert refused.json == {"code": 401, "msg": "You do not have access permissions"}
    assert missing == refused.json
    assert answered.json == {"code": 200, "msg": "success", "data": 10_000}


@pytest.mark.parametrize("agent", ["", "Python-urllib/3.12"])
async def test_who_does_not_say_who_it_is_is_turned_away(client: Client, agent: str) -> None:
    async with client.session.get(CREDIT, headers={"User-Agent": agent}) as got:
        answer = await _answer(got)

    assert (answer.http, answer.text) == (403, "error code: 1010")


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/api/v1/mj/generate", "/gemini-2.5-flash/v1/chat/completions"]
)
async def test_what_kie_does_not_have(client: Client, path: str) -> None:
    answer = await client.post(path, {})

    assert (answer.http, answer.code) == (404, 404)


async def test_a_wrong_method(client: Client) -> None:
    answer = await client.get("/api/file-stream-upload")

    assert answer.http == 405
    assert (answer.json["success"], answer.code) == (False, 405)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_object(client: Client, content: bytes) -> None:
    async with client.session.post(CREATE, data=content) as got:
        answer = await _answer(got)

    assert answer.code == 400


async def test_a_fresh_link(client: Client, clock: FakeClock) -> None:
    task_id = await client.make(PICTURE)
    clock.advance(1)
    (url,) = result_urls(await client.record(task_id))

    fresh = await client.post("/api/v1/common/download-url", {"url": url})
    foreign = await client.post("/api/v1/common/download-url", {"url": "https://example.org/a"})

    assert fresh.json["msg"] == "success"
    assert (await client.get(fresh.json["data"])).mime == "image/png"
    assert foreign.code == 422


# --- Strictness


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"aspect_ratio": "7:5"}, "aspect_ratio is not within the range of allowed options"),
        ({"prompt": 7}, "prompt has the wrong type: string is expected"),
        ({"prompt": "ab"}, "prompt is too short: at least 3 characters"),
        ({"prompt": "x" * 5001}, "prompt is too long: at most 5000 characters"),
        ({"nsfw_checker": "no"}, "nsfw_checker has the wrong type: boolean is expected"),
        ({"colour": "red"}, "colour is not a known parameter"),
    ],
)
async def test_a_wrong_value_is_refused(
    client: Client, kie: StubServer, changes: dict[str, Any], problem: str
) -> None:
    answer = await client.post(CREATE, picture(**changes))

    assert (answer.http, answer.json) == (200, {"code": 422, "msg": problem, "data": None})
    assert not kie.tasks
    assert kie.balance == 10_000


async def test_old_clients_are_borne(clock: FakeClock) -> None:
    """Old names of parameters, and null for what is not given."""
    async with kie_server(clock, strict=False) as kie, client_of(kie) as client:
        body = {"prompt": "x", "aspectRatio": "16:9", "seeds": 10_000, "watermark": None}
        veo = await client.post("/api/v1/veo/generate", body)
        jobs = await client.post(CREATE, picture(colour="red", nsfw_checker=None))
        wrong = await client.post(CREATE, picture(colour="red", resolution="8K"))

    assert (veo.code, jobs.code, wrong.code) == (200, 200, 422)


async def test_strict_wants_files_that_can_be_read(client: Client, kie: StubServer) -> None:
    answers = [
        await client.post(CREATE, {"model": "recraft/crisp-upscale", "input": {"image": address}})
        for address in (
            "https://files.example.org/a.png",
            "http://10.0.0.1/a.png",
            "http://localhost/a.png",
            f"{kie.address}/files/never/uploaded.png",
        )
    ]

    assert [answer.code for answer in answers] == [200, 422, 422, 422]
    assert answers[1].json["msg"] == "image: the file could not be fetched"


# --- Uploads


async def test_uploading_a_stream(client: Client) -> None:
    content = b"\x89PNG\r\n\x1a\n" + bytes(300_000)
    form = aiohttp.FormData()
    form.add_field("file", content, filename="in.png", content_type="image/png")
    form.add_field("uploadPath", "kiebot")
    form.add_field("fileName", "кот 1.png")

    async with client.session.post("/api/file-stream-upload", data=form) as got:
        answer = await _answer(got)

    assert (answer.http, answer.json["success"], answer.code) == (200, True, 200)
    assert answer.json["msg"] == "File uploaded successfully"
    url = answer.data["downloadUrl"]
    assert answer.data == {
        "fileName": "кот 1.png",
        "filePath": "kiebot/кот 1.png",
        "downloadUrl": url,
        "fileSize": len(content),
        "mimeType": "image/png",
        "uploadedAt": "2026-01-01T12:00:00.000Z",
    }
    assert (await client.get(url)).content == content
    upscale = {"model": "recraft/crisp-upscale", "input": {"image": url}}
    assert (await client.post(CREATE, upscale)).code == 200


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
async def test_uploading_base64(client: Client, prefix: str) -> None:
    data = prefix + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    body = {"base64Data": data, "uploadPath": "/kiebot/", "fileName": "a.png"}

    answer = await client.post("/api/file-base64-upload", body)

    assert (answer.data["filePath"], answer.data["fileSize"]) == ("kiebot/a.png", 8)
    assert (await client.get(answer.data["downloadUrl"])).mime == "image/png"


async def test_uploading_from_an_address(client: Client, clock: FakeClock) -> None:
    task_id = await client.make(PICTURE)
    clock.advance(1)
    (url,) = result_urls(await client.record(task_id))

    taken = await client.post("/api/file-url-upload", {"fileUrl": url, "uploadPath": "in"})
    body = {"fileUrl": f"{url}x", "uploadPath": "in"}
    missing = await client.post("/api/file-url-upload", body)

    assert (taken.data["filePath"], taken.data["mimeType"]) == ("in/1.png", "image/png")
    assert (missing.http, missing.code) == (400, 400)


async def test_an_upload_needs_a_folder(client: Client) -> None:
    answer = await client.post("/api/file-base64-upload", {"base64Data": "iVBORw0KGgo="})

    assert answer.http == 400
    assert answer.json == {
        "success": False,
        "code": 400,
        "msg": "Missing required parameter: uploadPath",
    }


async def test_an_upload_overwrites(client: Client) -> None:
    for content in (b"one", b"two"):
        data = base64.b64encode(content).decode()
        body = {"base64Data": data, "uploadPath": "in", "fileName": "a.txt"}
        answer = await client.post("/api/file-base64-upload", body)

    assert (await client.get(answer.data["downloadUrl"])).text == "two"


# --- The limits


async def test_twenty_tasks_in_any_ten_seconds(clock: FakeClock) -> None:
    async with kie_server(clock) as kie, client_of(kie) as client:
        first = [(await client.post(CREATE, PICTURE)).code for _ in range(19)]
        clock.advance(9.5)
        then = [await client.post(CREATE, PICTURE) for _ in range(2)]
        clock.advance(0.5)
        again = [(await client.post(CREATE, PICTURE)).code for _ in range(20)]

        assert first == 19 * [200]
        assert [answer.code for answer in then] == [200, 429]
        assert then[1].http == 429
        assert then[1].json == {"code": 429, "msg": CODES[429], "data": None}
        assert again == [*(19 * [200]), 429]
        assert len(kie.tasks) == 39
        assert kie.counts.creates == 41
        assert kie.counts.creates_refused == 2
        assert kie.counts.most_creates_in_10s == 22


async def test_ten_looks_in_any_second(clock: FakeClock) -> None:
    """Of all families together."""
    async with kie_server(clock) as kie, client_of(kie) as client:
        for _ in range(5):
            await client.get(INFO, taskId="a")
            await client.get("/api/v1/veo/record-info", taskId="b")
        over = await client.get(INFO, taskId="c")
        clock.advance(1)
        after = await client.get(INFO, taskId="c")

        assert (over.http, over.code, after.code) == (429, 429, 422)
        assert (kie.counts.queries, kie.counts.queries_refused) == (12, 1)
        assert kie.counts.most_queries_in_1s == 11


async def test_the_limits_can_be_others(clock: FakeClock) -> None:
    limits = Limits(creates_in_10s=1, queries_in_1s=1)
    async with kie_server(clock, limits=limits) as kie, client_of(kie) as client:
        codes = [(await client.post(CREATE, PICTURE)).code for _ in range(2)]

    assert codes == [200, 429]


async def test_what_was_asked_is_kept(client: Client, kie: StubServer) -> None:
    task_id = await client.make({**PICTURE, "callBackUrl": "https://shop.invalid/cb?job=j1"})
    await client.get(INFO, taskId=task_id)

    create, look = kie.asked
    assert (create.call, create.path, create.http, create.code) == (Call.CREATE, CREATE, 200, 200)
    assert (create.model, create.task_id) == (PICTURE["model"], task_id)
    assert create.body["input"] == PICTURE["input"]
    assert (look.call, look.task_id, dict(look.query)) == (
        Call.STATUS,
        task_id,
        {"taskId": task_id},
    )
    assert [task.id for task in kie.tasks_told_to("job=j1")] == [task_id]
    assert kie.calls(Call.STATUS) == [look]


# --- The balance


async def test_nothing_is_made_of_an_empty_balance(client: Client, kie: StubServer) -> None:
    kie.balance = Decimal("4.5")

    answer = await client.post(CREATE, PICTURE)

    assert answer.json == {
        "code": 402,
        "msg": "The current credits are insufficient",
        "data": None,
    }
    assert (await client.get(CREDIT)).json["data"] == 4.5
    assert kie.tasks == {}


async def test_a_task_can_take_what_is_said(
    client: Client, kie: StubServer, clock: FakeClock
) -> None:
    kie.script(Fault(call="task", kind="credits", credits=0.4))
    task_id = await client.make(PICTURE)
    clock.advance(1)

    assert (await client.record(task_id))["creditsConsumed"] == 0.4
    assert kie.balance == Decimal("9999.6")


# --- Prompts


async def test_the_prompts_of_the_table(client: Client, kie: StubServer, clock: FakeClock) -> None:
    refuse = await client.post(CREATE, picture(prompt=" Refuse "))
    broke = await client.post(CREATE, picture(prompt="broke"))
    busy = await client.post(CREATE, picture(prompt="busy"))
    clock.advance(3)
    free = await client.post(CREATE, picture(prompt="busy"))
    again = await client.post(CREATE, picture(prompt="busy"))
    made = len(kie.tasks)
    with pytest.raises(aiohttp.ClientError):
        await client.post(CREATE, picture(prompt="lost"))

    assert (refuse.code, refuse.json["msg"]) == (
        422,
        "prompt is not within the range of allowed options",
    )
    assert (broke.code, busy.code, free.code, again.code) == (402, 429, 200, 429)
    assert (made, len(kie.tasks)) == (1, 2)


async def test_slow_and_stalled(client: Client, clock: FakeClock) -> None:
    slow = await client.make(picture(prompt="slow"))
    short = await client.make(picture(prompt="slow 7"))
    stalled = await client.make(picture(prompt="stall"))

    clock.advance(7)
    early = [(await client.record(task))["state"] for task in (slow, short, stalled)]
    clock.advance(23)
    late = [(await client.record(task))["state"] for task in (slow, stalled)]
    clock.advance(10_000_000)

    assert early == ["generating", "success", "generating"]
    assert late == ["success", "generating"]
    assert (await client.record(stalled))["state"] == "generating"


async def test_the_text_is_the_prompt_where_there_is_no_other(client: Client) -> None:
    body = {"model": "elevenlabs/sound-effect-v2", "input": {"text": "refuse"}}

    answer = await client.post(CREATE, body)

    assert answer.json["msg"] == "text is not within the range of allowed options"


@pytest.mark.parametrize(
    "prompt",
    ["", "a red tram", "fail me", "code", "code 4222", "http", "gone fishing", "gone 5", "pass"],
)
def test_a_usual_prompt_is_no_fault(prompt: str) -> None:
    assert in_words(prompt) == []


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.PASS])
def test_every_fault_has_words(kind: FaultKind) -> None:
    """What a test can do, a person can: with a number where the fault needs one."""
    name = str(kind).replace("_", " ")

    spoken = [
        fault.kind
        for words in (name, f"{name} 500", f"callback {name}")
        for fault in in_words(words)
    ]

    assert kind in spoken


def test_every_prompt_of_the_document_is_understood() -> None:
    """`docs/stub.md` is what a person goes by."""
    text = (Path(__file__).parents[2] / "docs" / "stub.md").read_text(encoding="utf-8")
    part = text.split("## Faults by the prompt")[1].split("## Faults from outside")[0]
    cells = re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
    prompts = [prompt for cell in cells for prompt in re.findall(r"`(.*?)`", cell)]

    assert len(prompts) > 40
    for prompt in prompts:
        said = prompt.replace("N", "500").replace("…", "hang")
        assert in_words(said), prompt


# --- Answers that are wrong


@pytest.mark.parametrize("code", list(CODES))
async def test_every_code(client: Client, kie: StubServer, code: int) -> None:
    """As the code of an envelope under HTTP 200, and as a true status."""
    kie.script(
        Fault(call="create", kind="code", code=code),
        Fault(call="status", kind="code", code=code, http=code),
    )

    create = await client.post(CREATE, PICTURE)
    status = await client.get(INFO, taskId="a")

    assert (create.http, create.code, create.json.get("data")) == (200, code, None)
    assert (status.http, status.code) == (code, code)
    assert kie.tasks == {}
    assert (await client.post(CREATE, PICTURE)).code == 200


@pytest.mark.parametrize("status", [502, 503, 524])
async def test_a_page_of_a_proxy(client: Client, kie: StubServer, status: int) -> None:
    kie.script(Fault(call="credits", kind="page", http=status))

    answer = await client.get(CREDIT)

    assert (answer.http, answer.mime) == (status, "text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


async def test_a_proxy_that_turns_away(client: Client, kie: StubServer) -> None:
    kie.script(Fault(call="create", kind="forbidden"))

    answer = await client.post(CREATE, PICTURE)

    assert (answer.http, answer.text) == (403, "error code: 1010")


@pytest.mark.parametrize("taken", [False, True])
async def test_json_that_ends_early(client: Client, kie: StubServer, *, taken: bool) -> None:
    kie.script(Fault(call="create", kind="truncated", taken=taken))

    answer = await client.post(CREATE, PICTURE)

    assert (answer.http, answer.mime) == (200, "application/json")
    with pytest.raises(ValueError, match=r"char \d+"):
        json.loads(answer.text)
    assert len(kie.tasks) == taken


@pytest.mark.parametrize("kind", ["drop", "cut"])
@pytest.mark.parametrize("taken", [False, True])
async def test_a_connection_that_breaks(
    client: Client, kie: StubServer, kind: str, *, taken: bool
) -> None:
    kie.script(Fault(call="create", kind=kind, taken=taken))

    with pytest.raises(aiohttp.ClientError):
        await client.post(CREATE, PICTURE)

    assert len(kie.tasks) == taken
    assert kie.asked[-1].http is None
    assert (await client.post(CREATE, PICTURE)).code == 200


@pytest.mark.parametrize("taken", [False, True])
async def test_no_answer_at_all(client: Client, kie: StubServer, *, taken: bool) -> None:
    kie.script(Fault(call="create", kind="hang", taken=taken))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.post(CREATE, PICTURE)

    assert len(kie.tasks) == taken


async def test_who_waits_for_ever_does_not_keep_the_server(clock: FakeClock) -> None:
    async with kie_server(clock) as kie, client_of(kie) as client:
        kie.script(Fault(call="credits", kind="hang"))
        waiting = asyncio.create_task(client.get(CREDIT))
        while kie.coming:
            await client.get("/")
        await kie.close()

        with pytest.raises(aiohttp.ClientError):
            await waiting


async def test_faults_strike_once_in_their_order(client: Client, kie: StubServer) -> None:
    kie.script(
        Fault(call="create", kind="code", code=455),
        Fault(call="create", kind="pass"),
        Fault(call="create", kind="code", code=500, taken=True),
    )

    codes = [(await client.post(CREATE, picture(prompt="refuse"))).code for _ in range(4)]

    assert codes == [455, 200, 500, 422]
    assert len(kie.tasks) == 2


async def test_a_fault_for_one_model(client: Client, kie: StubServer) -> None:
    kie.script(Fault(call="create", kind="code", code=505, model="z-image", times=0))
    z_image = {"model": "z-image", "input": {"prompt": "x", "aspect_ratio": "1:1"}}

    codes = [(await client.post(CREATE, body)).code for body in (PICTURE, z_image, z_image)]
    kie.clear_script()
    codes.append((await client.post(CREATE, z_image)).code)

    assert codes == [200, 505, 505, 200]


async def test_a_status_goes_wrong_three_times_by_the_prompt(client: Client) -> None:
    task_id = await client.make(picture(prompt="status http 500"))

    answers = [(await client.get(INFO, taskId=task_id)).http for _ in range(4)]

    assert answers == [500, 500, 500, 200]


@pytest.mark.parametrize(
    ("words", "http"), [("code 422", 200), ("http 422", 422), ("taken code 500", 200)]
)
async def test_answers_by_the_prompt(
    client: Client, kie: StubServer, words: str, http: int
) -> None:
    answer = await client.post(CREATE, picture(prompt=words))

    assert (answer.http, answer.code) == (http, int(words[-3:]))
    assert len(kie.tasks) == words.startswith("taken")


async def test_an_upload_goes_wrong(client: Client, kie: StubServer) -> None:
    kie.script(Fault(call="upload", kind="code", code=500))
    form = aiohttp.FormData()
    form.add_field("file", b"x", filename="a.txt")
    form.add_field("uploadPath", "in")

    async with client.session.post("/api/file-stream-upload", data=form) as got:
        answer = await _answer(got)

    assert answer.json == {"success": False, "code": 500, "msg": CODES[500]}
    assert kie.uploads == 0


# --- Tasks that are wrong


async def test_a_task_that_is_not_there_for_a_moment(client: Client, clock: FakeClock) -> None:
    moment = await client.make(picture(prompt="null record"))
    never = await client.make(picture(prompt="null forever"))
    first = [(await client.get(INFO, taskId=task)).json for task in (moment, never)]
    clock.advance(2)
    then = [(await client.get(INFO, taskId=task)).code for task in (moment, never)]

    assert first == 2 * [{"code": 422, "msg": "recordInfo is null", "data": None}]
    assert then == [200, 422]


async def test_a_state_that_nobody_knows(client: Client, kie: StubServer, clock: FakeClock) -> None:
    odd = await client.make(picture(prompt="odd state"))
    kie.script(Fault(call="task", kind="odd_end", word="perfect"))
    end = await client.make(PICTURE)
    early = (await client.record(odd))["state"]
    clock.advance(1)

    assert early == "dreaming"
    assert (await client.record(odd))["state"] == "success"
    assert (await client.record(end))["state"] == "perfect"


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("no result", None),
        ("empty result", '{"resultUrls":[]}'),
        ("broken result", '{"resultUrls":["http'),
        ("private", '{"resultUrls":["http://10.0.0.1/results/1.png"]}'),
    ],
)
async def test_success_without_a_result(
    client: Client, clock: FakeClock, prompt: str, found: str | None
) -> None:
    task_id = await client.make(picture(prompt=prompt))
    clock.advance(1)
    record = await client.record(task_id)

    assert record["state"] == "success"
    assert record.get("resultJson") == found


@pytest.mark.parametrize(
    ("create", "status", "body", "place", "empty"),
    [
        ("/api/v1/veo/generate", "/api/v1/veo/record-info", {}, "resultUrls", []),
        ("/api/v1/generate", "/api/v1/generate/record-info", MUSIC, "sunoData", []),
        (
            "/api/v1/runway/generate",
            "/api/v1/runway/record-detail",
            {"duration": 5, "quality": "720p", "aspectRatio": "1:1"},
            "videoUrl",
            "",
        ),
        (
            "/api/v1/gpt4o-image/generate",
            "/api/v1/gpt4o-image/record-info",
            {"size": "1:1"},
            "resultUrls",
            [],
        ),
        (
            "/api/v1/flux/kontext/generate",
            "/api/v1/flux/kontext/record-info",
            {},
            "resultImageUrl",
            "",
        ),
    ],
)
async def test_success_without_a_result_elsewhere(
    client: Client,
    clock: FakeClock,
    create: str,
    status: str,
    body: dict[str, Any],
    place: str,
    empty: object,
) -> None:
    name = "videoInfo" if place == "videoUrl" else "response"
    found: dict[str, Any] = {}
    for prompt in ("no result", "empty result", "broken result"):
        task_id = await client.make({**body, "prompt": prompt}, create)
        clock.advance(1)
        found[prompt] = (await client.record(task_id, status))[name]

    assert found["no result"] is None
    assert found["empty result"][place] == empty
    assert found["broken result"] == '{"resultUrls":["http'


async def result_of(client: Client, clock: FakeClock, prompt: str) -> str:
    task_id = await client.make(picture(prompt=prompt))
    clock.advance(1)
    return result_urls(await client.record(task_id))[0]


@pytest.mark.parametrize(
    ("prompt", "target"),
    [
        ("redirect private", r"http://10\.0\.0\.1/1\.png"),
        ("redirect loop", r"/results/\w+/1\.png"),
        ("redirect", r"/results/\w+/1\.png\?moved=1"),
    ],
)
async def test_a_result_behind_a_redirect(
    client: Client, clock: FakeClock, prompt: str, target: str
) -> None:
    url = await result_of(client, clock, prompt)

    async with client.session.get(url, allow_redirects=False) as got:
        assert got.status == 302
        assert re.fullmatch(target, got.headers["Location"])
    if prompt == "redirect":
        async with client.session.get(url) as got:
            assert sniff(await got.read()) == "image/png"


async def test_a_redirect_leads_where_it_is_told_to(
    client: Client, kie: StubServer, clock: FakeClock
) -> None:
    kie.script(Fault(call="task", kind="redirect_private", address="http://[::1]:1/x"))
    url = await result_of(client, clock, "a tram")

    async with client.session.get(url, allow_redirects=False) as got:
        assert got.headers["Location"] == "http://[::1]:1/x"


async def test_a_huge_result(client: Client, clock: FakeClock) -> None:
    sized = await result_of(client, clock, "huge")
    unsized = await result_of(client, clock, "huge unsized")

    for url, length in ((sized, 500 * 1024 * 1024), (unsized, None)):
        async with client.session.get(url) as got:
            head = await got.content.readexactly(1_000_000)
            assert (got.content_length, sniff(head[:64])) == (length, "image/png")


async def test_a_result_of_another_kind(client: Client, clock: FakeClock) -> None:
    answer = await client.get(await result_of(client, clock, "wrong kind"))

    assert (answer.http, answer.mime) == (200, "image/png")
    assert answer.text.startswith("<!DOCTYPE html>")


async def test_a_result_that_is_gone(client: Client, clock: FakeClock) -> None:
    assert (await client.get(await result_of(client, clock, "gone"))).http == 404


async def test_a_result_that_drips(client: Client, clock: FakeClock) -> None:
    url = await result_of(client, clock, "drip")

    async with client.session.get(url) as got:
        first = await got.content.readany()

    assert first == b"\x89"
    assert (got.content_length or 0) > 100


async def test_a_result_is_not_there_before_its_time(client: Client, kie: StubServer) -> None:
    task_id = await client.make(PICTURE)

    assert (await client.get(kie.tasks[task_id].url(1))).http == 404


@pytest.mark.parametrize(
    ("fault", "http"), [({"kind": "page"}, 502), ({"kind": "code", "code": 403}, 403)]
)
async def test_reading_a_result_goes_wrong(
    client: Client, kie: StubServer, clock: FakeClock, fault: dict[str, Any], http: int
) -> None:
    kie.script(Fault(call="file", **fault))
    url = await result_of(client, clock, "a tram")

    answers = [(await client.get(url)).http for _ in range(2)]

    assert answers == [http, 200]


# --- Callbacks


@frozen(kw_only=True)
class Told:
    """A callback that came."""

    body: dict[str, Any]
    timestamp: str
    signature: str

    @property
    def task_id(self) -> str:
        data = self.body["data"]
        found: str = data.get("taskId") or data["task_id"]
        return found

    @property
    def is_signed(self) -> bool:
        return self.signature == sign(CALLBACK_SECRET, self.task_id, self.timestamp)


@define
class Shop:
    """Where callbacks come to; `answers` are the statuses to give, then 200."""

    url: str = ""
    told: list[Told] = field(factory=list)
    answers: list[int] = field(factory=list)

    async def hear(self, request: web.Request) -> web.Response:
        self.told.append(
            Told(
                body=await request.json(),
                timestamp=request.headers.get(TIMESTAMP_HEADER, ""),
                signature=request.headers.get(SIGNATURE_HEADER, ""),
            )
        )
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    app = web.Application()
    app.router.add_post("/kie/callback", shop.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}/kie/callback?job=j1"
        yield shop
    finally:
        await runner.cleanup()


async def test_the_end_is_told(
    client: Client, kie: StubServer, clock: FakeClock, shop: Shop
) -> None:
    body = {**PICTURE, "callBackUrl": shop.url}
    task_id = await client.make(body)
    await kie.told()
    early = list(shop.told)
    clock.advance(0.5)
    await kie.told()

    (told,) = shop.told
    record = await client.record(task_id)
    ended_ms = round(1000 * clock().timestamp())
    assert early == []
    assert told.is_signed
    assert told.timestamp == str(ended_ms // 1000)
    assert told.body == {
        "code": 200,
        "msg": "Playground task completed successfully.",
        "data": {
            "taskId": task_id,
            "model": PICTURE["model"],
            "state": "success",
            "param": record["param"],
            "resultJson": record["resultJson"],
            "failCode": None,
            "failMsg": None,
            "costTime": 0,
            "createTime": ended_ms - 500,
            "updateTime": ended_ms,
            "completeTime": ended_ms,
            "consumeCredits": 5,
            "remainedCredits": 9995,
        },
    }
    assert [(post.task_id, post.status) for post in kie.posts] == [(task_id, 200)]


async def test_a_bad_end_is_told(
    client: Client, kie: StubServer, clock: FakeClock, shop: Shop
) -> None:
    await client.make({**picture(prompt="fail 500"), "callBackUrl": shop.url})
    clock.advance(1)
    await kie.told()

    (told,) = shop.told
    data = told.body["data"]
    assert (told.body["code"], told.body["msg"]) == (501, "Playground task failed.")
    assert (data["state"], data["resultJson"], data["failCode"]) == ("fail", None, "500")
    assert (data["consumeCredits"], data["remainedCredits"]) == (0, 10_000)


async def test_nobody_is_told_who_did_not_ask(
    client: Client, kie: StubServer, clock: FakeClock
) -> None:
    await client.make(PICTURE)
    clock.advance(1)
    await kie.told()

    assert kie.posts == []


async def test_suno_tells_three_times(
    client: Client, kie: StubServer, clock: FakeClock, shop: Shop
) -> None:
    task_id = await client.make({**MUSIC, "callBackUrl": shop.url}, "/api/v1/generate")
    for _ in range(5):
        clock.advance(0.1)
        await kie.told()

    assert [told.body["data"]["callbackType"] for told in shop.told] == [
        "text",
        "first",
        "complete",
    ]
    assert {told.task_id for told in shop.told} == {task_id}
    assert [len(told.body["data"]["data"]) for told in shop.told] == [0, 1, 2]
    assert {"audio_url", "stream_audio_url", "image_url", "model_name", "createTime"} <= set(
        shop.told[2].body["data"]["data"][0]
    )
    assert all(told.is_signed for told in shop.told)


@pytest.mark.parametrize(
    ("create", "body", "found"),
    [
        ("/api/v1/veo/generate", {}, ["taskId", "promptJson", "info", "fallbackFlag"]),
        (
            "/api/v1/runway/generate",
            {"duration": 5, "quality": "720p", "aspectRatio": "1:1"},
            ["task_id", "video_id", "video_url", "image_url"],
        ),
        ("/api/v1/gpt4o-image/generate", {"size": "1:1"}, ["taskId", "info"]),
        ("/api/v1/flux/kontext/generate", {}, ["taskId", "info"]),
    ],
)
async def test_the_other_families_tell(
    client: Client,
    kie: StubServer,
    clock: FakeClock,
    shop: Shop,
    create: str,
    body: dict[str, Any],
    found: list[str],
) -> None:
    for prompt in ("a boat", "fail 400"):
        await client.make({**body, "prompt": prompt, "callBackUrl": shop.url}, create)
        clock.advance(1)
        await kie.told()

    good, bad = shop.told
    assert list(good.body["data"]) == found
    assert (good.body["code"], bad.body["code"]) == (200, 400)
    assert good.is_signed
    assert bad.is_signed


async def test_a_callback_is_tried_three_times(
    client: Client, kie: StubServer, clock: FakeClock, shop: Shop
) -> None:
    shop.answers = [500, 404, 503, 200]
    await client.make({**PICTURE, "callBackUrl": shop.url})

    for _ in range(6):
        clock.advance(1)
        await kie.told()

    assert [post.status for post in kie.posts] == [500, 404, 503]


async def test_who_listens_at_last_is_told_once(
    client: Client, kie: StubServer, clock: FakeClock, shop: Shop
) -> None:
    shop.answers = [500]
    await client.make({**PICTURE, "callBackUrl": shop.url})

    for _ in range(6):
        clock.advance(1)
        await kie.told()

    assert [post.status for post in kie.posts] == [500, 200]


async def test_an_address_that_can_never_be_is_not_looked_up(
    client: Client, kie: StubServer, clock: FakeClock
) -> None:
    await client.make({**PICTURE, "callBackUrl": "https://shop.invalid/cb"})
    for _ in range(4):
        clock.advance(1)
        await kie.told()

    assert [post.status for post in kie.posts] == [None, None, None]


@pytest.mark.parametrize(
    "kind", ["forged", "bad signature", "unsigned", "stale", "tampered", "repeated", "silent"]
)
async def test_a_callback_that_is_wrong(
    client: Client, kie: StubServer, clock: FakeClock, shop: Shop, kind: str
) -> None:
    body = {**picture(prompt=f"callback {kind}"), "callBackUrl": shop.url}
    task_id = await client.make(body)
    clock.advance(1)
    await kie.told()

    now_s = int(clock().timestamp())
    match kind:
        case "silent":
            assert shop.told == []
        case "repeated":
            assert len(shop.told) == 3
            assert all(told.is_signed and told.task_id == task_id for told in shop.told)
        case "forged":
            (told,) = shop.told
            assert told.task_id != task_id
            assert told.is_signed
        case "bad signature":
            (told,) = shop.told
            assert (told.task_id, told.is_signed) == (task_id, False)
            assert told.signature
        case "unsigned":
            (told,) = shop.told
            assert (told.signature, told.timestamp) == ("", "")
        case "stale":
            (told,) = shop.told
            assert told.is_signed
            assert told.timestamp == str(now_s - 3600)
        case "tampered":
            (told,) = shop.told
            assert told.is_signed
            assert told.task_id == task_id
            assert told.body["data"]["model"] != PICTURE["model"]


async def test_a_late_callback(
    client: Client, kie: StubServer, clock: FakeClock, shop: Shop
) -> None:
    await client.make({**picture(prompt="callback late"), "callBackUrl": shop.url})
    clock.advance(59)
    await kie.told()
    early = len(shop.told)
    clock.advance(2)
    await kie.told()

    assert (early, len(shop.told)) == (0, 1)


async def test_a_callback_of_a_task_whose_answer_was_lost(
    client: Client, kie: StubServer, clock: FakeClock, shop: Shop
) -> None:
    with pytest.raises(aiohttp.ClientError):
        await client.post(CREATE, {**picture(prompt="lost"), "callBackUrl": shop.url})
    clock.advance(1)
    await kie.told()

    (task_id,) = kie.tasks
    assert [told.task_id for told in shop.told] == [task_id]


async def test_a_callback_at_the_testers_word(client: Client, kie: StubServer, shop: Shop) -> None:
    task_id = await client.make({**picture(prompt="stall"), "callBackUrl": shop.url})
    forged = Fault(call="callback", kind="forged", task_id="other")

    statuses = [await kie.tell(task_id), await kie.tell(task_id, forged)]

    assert statuses == [200, 200]
    assert [told.task_id for told in shop.told] == [task_id, "other"]


# --- The control endpoint


async def test_faults_over_http(client: Client, kie: StubServer) -> None:
    put = await client.post(
        "/stub/faults",
        [{"call": "credits", "kind": "code", "code": 455}, {"words": "taken drop"}],
    )

    assert json.loads(put.text) == [
        {"call": "credits", "kind": "code", "code": 455},
        {"call": "create", "kind": "drop", "taken": True},
    ]
    assert (await client.get(CREDIT)).code == 455
    async with client.session.delete("/stub/faults") as got:
        assert await got.json() == []
    assert kie.coming == ()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("x", "give an object or a list of objects"),
        ({"kind": "hang"}, "call: give one"),
        ({"call": "status", "kind": "gone"}, "kind: gone does not fit the call status"),
        ({"call": "status", "kind": "sad"}, "'sad' is not a valid FaultKind"),
        ({"call": "create", "kind": "code"}, "code: give one, such as 400"),
        ({"call": "create", "kind": "code", "code": "422"}, "code: '422' is no int"),
        ({"call": "create", "kind": "hang", "colour": 1}, "colour: no such field"),
        ({"call": "status", "kind": "hang", "taken": True}, "taken: only a create"),
        ({"words": "a red tram"}, "words: 'a red tram' says no fault"),
    ],
)
async def test_a_fault_that_is_none(client: Client, body: Any, error: str) -> None:
    answer = await client.post("/stub/faults", body)

    assert answer.http == 400
    assert error in answer.json["error"]


def test_a_fault_for_one_model_in_words() -> None:
    assert from_json({"words": "gone", "model": "z-image"}) == [
        Fault(call="task", kind="gone", model="z-image")
    ]


async def test_seeing_what_happened(client: Client, kie: StubServer, clock: FakeClock) -> None:
    task_id = await client.make(picture(prompt="fail"))
    clock.advance(1)
    (task,) = json.loads((await client.get("/stub/tasks")).text)
    (call,) = json.loads((await client.get("/stub/calls")).text)
    counts = (await client.get("/stub/counts")).json
    about = await client.get("/")

    assert (task["id"], task["state"], task["fault"], task["credits"]) == (
        task_id,
        "fail",
        "fail",
        0,
    )
    assert (call["path"], call["code"], call["task_id"]) == (CREATE, 200, task_id)
    assert (counts["creates"], counts["tasks"], counts["balance"]) == (1, 1, 10_000)
    assert f"KIE_API_URL={kie.address}" in about.text


async def test_the_balance_over_http(client: Client) -> None:
    set_to = await client.post("/stub/balance", {"credits": 0})
    wrong = await client.post("/stub/balance", {"credits": "0"})

    assert (set_to.json, wrong.http) == ({"credits": 0}, 400)
    assert (await client.post(CREATE, PICTURE)).code == 402


async def test_a_timeline_of_ones_own(clock: FakeClock) -> None:
    timeline = Timeline(waiting_s=10, queuing_s=0, generating_s=5)
    async with kie_server(clock, timeline=timeline) as kie, client_of(kie) as client:
        task_id = await client.make(PICTURE)
        states = []
        for seconds in (9, 2, 4):
            clock.advance(seconds)
            states.append((await client.record(task_id))["state"])

    assert states == ["waiting", "generating", "success"]


# --- The command


@contextlib.contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    run = [sys.executable, "-m", "kiebot", "stub-kie", *arguments]
    with subprocess.Popen(
        run,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        # A shell's background job ignores Ctrl-C, and what it starts would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_command_says_where_it_is_and_what_happens() -> None:
    with command("--port", "0", "--key", "sesame", "--delay", "0") as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        answer = asyncio.run(_credits(address, "sesame"))
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    assert answer == {"code": 200, "msg": "success", "data": 10_000}
    assert re.fullmatch(r"\d\d:\d\d:\d\d GET /api/v1/chat/credit → 200\n", line)
    assert (process.returncode, errors.strip()) == (130, "")


async def _credits(address: str, key: str) -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.request("GET", f"{address}{CREDIT}", headers=headers) as got:
        return await got.json()


def test_the_command_ends_when_it_is_told_to() -> None:
    with command("--port", "0") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        _, errors = process.communicate()

    assert (process.returncode, errors) == (0, "")


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with command("--port", str(port)) as process:
            output, errors = process.communicate()

    assert (process.returncode, output) == (1, "")
    assert errors == (
        f"kiebot: cannot listen on port {port}: Address already in use;"
        " choose another with --port, 0 takes any\n"
    )
