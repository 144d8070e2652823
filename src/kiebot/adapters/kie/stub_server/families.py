"""
kie.ai's families as the stub server speaks them: paths, status words, records, callbacks.

Each family is one class, with the fields in the order and spelling of kie.ai's pages. /jobs is the
rule; the others are older and each has words of its own.
"""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from kiebot.adapters.kie.stub import TRANSCRIPT
from kiebot.adapters.kie.stub_server.faults import FaultKind
from kiebot.adapters.kie.stub_server.tasks import Phase, StubTask, prompt_of

ODD_WORD = "dreaming"
"""A state that nobody knows."""

ODD_FLAG = 7
"""The same where states are numbers."""

_HALF_JSON = '{"resultUrls":["http'

Body = dict[str, Any]


class Family(Protocol):
    """What differs from family to family."""

    name: str
    create: str
    status: str

    def new_id(self) -> str:
        """A task id that looks like theirs."""

    def record(self, task: StubTask, now_ms: int) -> Body:
        """The `data` of a status answer."""

    def callback(self, task: StubTask, now_ms: int, left: Decimal) -> Body:
        """The body that tells the end of a task; `left` is the balance."""


class Jobs:
    """Most models: createTask and recordInfo."""

    name = "jobs"
    create = "/api/v1/jobs/createTask"
    status = "/api/v1/jobs/recordInfo"

    def new_id(self) -> str:
        return secrets.token_hex(16)

    def record(self, task: StubTask, now_ms: int) -> Body:
        phase = task.phase(now_ms)
        ended = phase in {Phase.SUCCESS, Phase.FAIL}
        # All three are seen: null in the queue, "" and 0 elsewhere.
        empty = None if phase is Phase.QUEUING else ""
        nothing = None if phase is Phase.QUEUING else 0
        moment = task.ends_ms if ended else now_ms
        if phase in {Phase.WAITING, Phase.QUEUING}:
            moment = task.created_ms
        failed = phase is Phase.FAIL
        record: Body = {
            "taskId": task.id,
            "model": task.model.name,
            "state": _word(task, phase),
            "param": _text(task.body),
            "resultJson": _result_json(task) if phase is Phase.SUCCESS else empty,
            "failCode": str(task.fail_code) if failed else empty,
            "failMsg": task.fail_text if failed else empty,
            "costTime": _took(task) if ended else nothing,
            "completeTime": task.ends_ms if ended else nothing,
            "createTime": task.created_ms,
            "updateTime": moment,
        }
        if phase is Phase.SUCCESS and task.has(FaultKind.NO_RESULT):
            del record["resultJson"]
        if task.model.name.startswith("sora-2"):
            record["progress"] = progress(task, now_ms)
        if ended and not task.has(FaultKind.NO_CREDITS):
            record["creditsConsumed"] = number(task.taken)
        return record

    def callback(self, task: StubTask, now_ms: int, left: Decimal) -> Body:
        record = self.record(task, now_ms)
        failed = task.fails
        data: Body = {
            "taskId": task.id,
            "model": task.model.name,
            "state": record["state"],
            "param": record["param"],
            "resultJson": None if failed else record.get("resultJson"),
            "failCode": record["failCode"] or None,
            "failMsg": record["failMsg"] or None,
            # Seconds here, as in kie.ai's own sample.
            "costTime": _took(task) // 1000,
            "createTime": record["createTime"],
            "updateTime": record["updateTime"],
            "completeTime": record["completeTime"],
        }
        if not task.has(FaultKind.NO_CREDITS):
            data["consumeCredits"] = number(task.taken)
        data["remainedCredits"] = number(left)
        if failed:
            return {"code": 501, "msg": "Playground task failed.", "data": data}
        return {"code": 200, "msg": "Playground task completed successfully.", "data": data}


class Veo:
    """Veo 3.1: a flag in place of a state."""

    name = "veo"
    create = "/api/v1/veo/generate"
    status = "/api/v1/veo/record-info"

    def new_id(self) -> str:
        return f"veo_task_{secrets.token_hex(16)}"

    def record(self, task: StubTask, now_ms: int) -> Body:
        phase = task.phase(now_ms)
        ended = phase in {Phase.SUCCESS, Phase.FAIL}
        failed = phase is Phase.FAIL
        response: Body = {
            "taskId": task.id,
            "resultUrls": task.urls(),
            "originUrls": [],
            "fullResultUrls": [],
            "resolution": task.body.get("resolution", "720p"),
        }
        return {
            "taskId": task.id,
            "paramJson": _text(_parameters(task)),
            "successFlag": _flag(task, phase, failed=3),
            "response": _response(task, phase, response, "resultUrls"),
            "createTime": task.created_ms,
            "completeTime": task.ends_ms if ended else None,
            "errorCode": task.fail_code if failed else None,
            "errorMessage": task.fail_text if failed else "" if ended else None,
            "fallbackFlag": False,
        }

    def callback(self, task: StubTask, now_ms: int, left: Decimal) -> Body:  # noqa: ARG002 - as Jobs
        if task.fails:
            return {
                "code": task.fail_code,
                "msg": task.fail_text,
                "data": {"taskId": task.id, "fallbackFlag": False},
            }
        info: Body = {
            "resultUrls": task.urls(),
            "originUrls": [],
            "resolution": task.body.get("resolution", "720p"),
        }
        return {
            "code": 200,
            "msg": "Veo3.1 video generated successfully.",
            "data": {
                "taskId": task.id,
                "promptJson": _text(_parameters(task)),
                "info": _response(task, Phase.SUCCESS, info, "resultUrls"),
                "fallbackFlag": False,
            },
        }


class Suno:
    """Suno: two tracks, told of three times, in words in capitals."""

    name = "suno"
    create = "/api/v1/generate"
    status = "/api/v1/generate/record-info"

    def new_id(self) -> str:
        return secrets.token_hex(16)

    def record(self, task: StubTask, now_ms: int) -> Body:
        phase = task.phase(now_ms)
        failed = phase is Phase.FAIL
        response: Body = {"taskId": task.id, "sunoData": self.tracks(task, snake=False)}
        return {
            "taskId": task.id,
            "parentMusicId": "",
            "param": _text(_parameters(task)),
            "status": self._status(task, phase, now_ms),
            "type": "GENERATE",
            "operationType": "generate",
            "response": _response(task, phase, response, "sunoData"),
            "errorCode": task.fail_code if failed else None,
            "errorMessage": task.fail_text if failed else None,
        }

    def callback(self, task: StubTask, now_ms: int, left: Decimal) -> Body:  # noqa: ARG002 - as Jobs
        if task.fails:
            data = {"callbackType": "error", "task_id": task.id, "data": None}
            return {"code": task.fail_code, "msg": task.fail_text, "data": data}
        return self.news(task, "complete")

    def news(self, task: StubTask, kind: str) -> Body:
        """A callback that says how far it is: `text`, `first` or `complete`."""
        tracks = self.tracks(task, snake=True)
        shown = {"text": [], "first": tracks[:1]}.get(kind, tracks)
        if kind == "complete":
            if task.has(FaultKind.NO_RESULT):
                shown = []
            if task.has(FaultKind.EMPTY_RESULT):
                shown = []
        told = {
            "text": "Text generation successful.",
            "first": "First track generated successfully.",
        }
        return {
            "code": 200,
            "msg": told.get(kind, "All generated successfully."),
            "data": {"callbackType": kind, "task_id": task.id, "data": shown},
        }

    def tracks(self, task: StubTask, *, snake: bool) -> list[Body]:
        """The tracks; the status answer writes their names in camel case, a callback in snake."""
        name, prompt = prompt_of(task.body)
        title = task.body.get("title") or prompt[:40].strip().capitalize() or "Untitled"
        made = []
        for place, url in enumerate(task.urls(), start=1):
            track: Body = {
                "id": f"{task.id[:8]}-{place}",
                "audioUrl": url,
                "streamAudioUrl": url.rsplit(".", 1)[0],
                "imageUrl": f"{url.rsplit('.', 1)[0]}.jpeg",
                name: prompt,
                "modelName": f"chirp-{task.model.name.lower().replace('_', '-')}",
                "title": title,
                "tags": task.body.get("style") or "",
                "createTime": task.created_ms,
                "duration": 2.0,
            }
            if snake:
                track = {_SNAKE.get(key, key): value for key, value in track.items()}
            made.append(track)
        return made

    def _status(self, task: StubTask, phase: Phase, now_ms: int) -> str:
        if task.has(FaultKind.ODD_STATE) and phase not in {Phase.SUCCESS, Phase.FAIL}:
            return _odd(task)
        match phase:
            case Phase.SUCCESS:
                odd = task.has(FaultKind.ODD_END)
                word = task.fault.word if task.fault is not None else None
                return (word or "CALLBACK_EXCEPTION") if odd else "SUCCESS"
            case Phase.FAIL if task.fail_code in {400, 430}:
                return "SENSITIVE_WORD_ERROR"
            case Phase.FAIL:
                return "GENERATE_AUDIO_FAILED"
            case Phase.GENERATING if progress(task, now_ms) < HALF:
                return "TEXT_SUCCESS"
            case Phase.GENERATING:
                return "FIRST_SUCCESS"
            case _:
                return "PENDING"


HALF = 70
"""Per cent of a Suno task after which its first track is there. Invented."""

_SNAKE = {
    "audioUrl": "audio_url",
    "streamAudioUrl": "stream_audio_url",
    "imageUrl": "image_url",
    "modelName": "model_name",
}


class Runway:
    """Runway: two words are spelled otherwise than in /jobs."""

    name = "runway"
    create = "/api/v1/runway/generate"
    status = "/api/v1/runway/record-detail"

    def new_id(self) -> str:
        return secrets.token_hex(16)

    def record(self, task: StubTask, now_ms: int) -> Body:
        phase = task.phase(now_ms)
        failed = phase is Phase.FAIL
        words = {Phase.WAITING: "wait", Phase.QUEUING: "queueing"}
        url = (task.urls() or [""])[0]
        video: Body = {
            "videoId": task.id[:12],
            "taskId": task.id,
            "videoUrl": url,
            "imageUrl": f"{url.rsplit('.', 1)[0]}.png",
        }
        ended_at = datetime.fromtimestamp((task.ends_ms or 0) / 1000, UTC)
        return {
            "taskId": task.id,
            "parentTaskId": "",
            "generateParam": {
                "prompt": task.body.get("prompt", ""),
                "imageUrl": task.body.get("imageUrl", ""),
                "expandPrompt": True,
            },
            "state": _word(task, phase, words),
            "generateTime": f"{ended_at:%Y-%m-%d %H:%M:%S}" if phase is Phase.SUCCESS else "",
            "videoInfo": _response(task, phase, video, "videoUrl"),
            "failCode": task.fail_code if failed else 0,
            "failMsg": task.fail_text if failed else "",
            "expireFlag": 0,
        }

    def callback(self, task: StubTask, now_ms: int, left: Decimal) -> Body:  # noqa: ARG002 - as Jobs
        if task.fails:
            data: Body = {"task_id": task.id, "video_id": "", "video_url": "", "image_url": ""}
            return {"code": task.fail_code, "msg": task.fail_text, "data": data}
        url = (task.urls() or [""])[0]
        lacks = task.has(FaultKind.NO_RESULT) or task.has(FaultKind.EMPTY_RESULT)
        data = {
            "task_id": task.id,
            "video_id": task.id[:12],
            "video_url": "" if lacks else url,
            "image_url": "" if lacks else f"{url.rsplit('.', 1)[0]}.png",
        }
        return {"code": 200, "msg": "All generated successfully.", "data": data}


class Gpt4oImage:
    """4o-image: a flag, a word and the progress as a text."""

    name = "gpt4o-image"
    create = "/api/v1/gpt4o-image/generate"
    status = "/api/v1/gpt4o-image/record-info"

    def new_id(self) -> str:
        return secrets.token_hex(16)

    def record(self, task: StubTask, now_ms: int) -> Body:
        phase = task.phase(now_ms)
        ended = phase in {Phase.SUCCESS, Phase.FAIL}
        failed = phase is Phase.FAIL
        running = {
            Phase.WAITING: "GENERATING",
            Phase.QUEUING: "GENERATING",
            Phase.GENERATING: "GENERATING",
            Phase.SUCCESS: "SUCCESS",
            Phase.FAIL: "GENERATE_FAILED",
        }
        return {
            "taskId": task.id,
            "paramJson": _text(_parameters(task)),
            "completeTime": task.ends_ms if ended else None,
            "response": _response(task, phase, {"resultUrls": task.urls()}, "resultUrls"),
            "successFlag": _flag(task, phase, failed=2),
            "status": _word(task, phase, running),
            "errorCode": task.fail_code if failed else None,
            "errorMessage": task.fail_text if failed else "" if ended else None,
            "createTime": task.created_ms,
            "progress": f"{progress(task, now_ms) / 100:.2f}",
        }

    def callback(self, task: StubTask, now_ms: int, left: Decimal) -> Body:  # noqa: ARG002 - as Jobs
        if task.fails:
            data: Body = {"taskId": task.id, "info": None}
            return {"code": task.fail_code, "msg": task.fail_text, "data": data}
        info = _response(task, Phase.SUCCESS, {"result_urls": task.urls()}, "result_urls")
        return {"code": 200, "msg": "success", "data": {"taskId": task.id, "info": info}}


class FluxKontext:
    """Flux Kontext: a flag, and one picture."""

    name = "flux-kontext"
    create = "/api/v1/flux/kontext/generate"
    status = "/api/v1/flux/kontext/record-info"

    def new_id(self) -> str:
        return f"fluxkontext_{secrets.token_hex(16)}"

    def record(self, task: StubTask, now_ms: int) -> Body:
        phase = task.phase(now_ms)
        ended = phase in {Phase.SUCCESS, Phase.FAIL}
        failed = phase is Phase.FAIL
        return {
            "taskId": task.id,
            "paramJson": _text(_parameters(task)),
            "completeTime": task.ends_ms if ended else None,
            "response": _response(task, phase, self._info(task), "resultImageUrl"),
            "successFlag": _flag(task, phase, failed=3),
            "errorCode": task.fail_code if failed else None,
            "errorMessage": task.fail_text if failed else "" if ended else None,
            "createTime": task.created_ms,
        }

    def callback(self, task: StubTask, now_ms: int, left: Decimal) -> Body:  # noqa: ARG002 - as Jobs
        if task.fails:
            data: Body = {"taskId": task.id, "info": None}
            return {"code": task.fail_code, "msg": task.fail_text, "data": data}
        info = _response(task, Phase.SUCCESS, self._info(task), "resultImageUrl")
        data = {"taskId": task.id, "info": info}
        return {"code": 200, "msg": "BFL image generated successfully.", "data": data}

    def _info(self, task: StubTask) -> Body:
        url = (task.urls() or [""])[0]
        return {"originImageUrl": url, "resultImageUrl": url}


FAMILIES: tuple[Family, ...] = (Jobs(), Veo(), Suno(), Runway(), Gpt4oImage(), FluxKontext())


def progress(task: StubTask, now_ms: int) -> int:
    """Per cent; all of it only at the end."""
    if task.ends_ms is None:
        return 50
    if now_ms >= task.ends_ms:
        return 100
    whole_ms = max(task.ends_ms - task.created_ms, 1)
    return min(99, max(0, 100 * (now_ms - task.created_ms) // whole_ms))


def number(amount: Decimal) -> int | float:
    """Credits as JSON: whole where they are."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _text(value: Mapping[str, Any]) -> str:
    """JSON inside a string."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parameters(task: StubTask) -> Body:
    """What a record shows of the request; the families outside /jobs keep the address back."""
    return {name: value for name, value in task.body.items() if name != "callBackUrl"}


def _took(task: StubTask) -> int:
    return 0 if task.ends_ms is None else task.ends_ms - task.created_ms


def _odd(task: StubTask) -> str:
    return (task.fault.word if task.fault is not None else None) or ODD_WORD


def _word(task: StubTask, phase: Phase, words: Mapping[Phase, str] | None = None) -> str:
    """The state, in a family's own words."""
    ended = phase in {Phase.SUCCESS, Phase.FAIL}
    if task.has(FaultKind.ODD_END if ended else FaultKind.ODD_STATE):
        return _odd(task)
    return (words or {}).get(phase, str(phase))


def _flag(task: StubTask, phase: Phase, *, failed: int) -> int:
    """0 while it runs, 1 done, else the family's number."""
    ended = phase in {Phase.SUCCESS, Phase.FAIL}
    if task.has(FaultKind.ODD_END if ended else FaultKind.ODD_STATE):
        word = _odd(task)
        return int(word) if word.isdecimal() else ODD_FLAG
    return {Phase.SUCCESS: 1, Phase.FAIL: failed}.get(phase, 0)


def _result_json(task: StubTask) -> str:
    if task.has(FaultKind.BROKEN_RESULT):
        return _HALF_JSON
    if task.extension is None:
        empty = task.has(FaultKind.EMPTY_RESULT)
        return _text({"resultObject": {} if empty else _transcript()})
    return _text({"resultUrls": [] if task.has(FaultKind.EMPTY_RESULT) else task.urls()})


def _response(task: StubTask, phase: Phase, whole: Body, files: str) -> Body | str | None:
    """The result of a family outside /jobs; `files` is where the addresses are in it."""
    if phase is not Phase.SUCCESS or task.has(FaultKind.NO_RESULT):
        return None
    if task.has(FaultKind.BROKEN_RESULT):
        return _HALF_JSON
    if task.has(FaultKind.EMPTY_RESULT):
        return {**whole, files: [] if isinstance(whole[files], list) else ""}
    return whole


def _transcript() -> Body:
    """What speech recognition answers; the first words carry their moments."""
    words: list[Body] = []
    at = 0.0
    for place, word in enumerate(TRANSCRIPT.split()[:6]):
        if place:
            words.append(_spoken(" ", at, at + 0.05, "spacing"))
            at = round(at + 0.05, 2)
        words.append(_spoken(word, at, at + 0.4, "word"))
        at = round(at + 0.4, 2)
    return {
        "text": TRANSCRIPT,
        "language_code": "rus",
        "language_probability": 0.99,
        "words": words,
    }


def _spoken(text: str, start: float, end: float, kind: str) -> Body:
    return {
        "text": text,
        "start": round(start, 2),
        "end": round(end, 2),
        "type": kind,
        "speaker_id": "speaker_0",
    }
