"""
How each of KIE's families is asked and read.

The records are those of KIE's documentation, or were seen by its users, with our own values.
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from kiebot.adapters.catalog import load_catalog
from kiebot.adapters.kie import families
from kiebot.adapters.kie.families import Answer
from kiebot.core.catalog import SPOKEN, Model
from kiebot.core.params import JsonValue
from kiebot.core.tasks import (
    MISSING,
    FailReason,
    Failure,
    Result,
    TaskFailed,
    TaskId,
    TaskPending,
    TaskRequest,
    TaskStatus,
    TaskSucceeded,
)
from kiebot.core.wallet import JobId
from tests.fakes.answers import good_answers

CATALOG = load_catalog(None)
IMAGE = CATALOG.model("flux-2/pro-text-to-image")
SPEECH = CATALOG.model("elevenlabs/speech-to-text")
VEO = CATALOG.model("veo3_fast")
SUNO = CATALOG.model("suno/V5")
RUNWAY = CATALOG.model("runway")
GPT4O = CATALOG.model("gpt4o-image")
FLUX = CATALOG.model("flux-kontext-pro")
TRAM = "https://tempfile.aiquickdraw.com/x/tram.png"
BOAT = "https://tempfile.aiquickdraw.com/v/boat.mp4"
CALLBACK = "https://bot.example.org/kie/callback?job=job1&key=abc"


def asks(model: Model = IMAGE, callback_url: str | None = None, **params: JsonValue) -> TaskRequest:
    answers = {**good_answers(model), **params}
    return TaskRequest(job_id=JobId("job1"), model=model, params=answers, callback_url=callback_url)


def envelope(data: Any, code: Any = 200, status: int = 200, msg: str = "success") -> Answer:
    """An answer as it comes over the wire."""
    return Answer.read(status, json.dumps({"code": code, "msg": msg, "data": data}).encode())


def status(model: Model, /, **record: Any) -> TaskStatus:
    """What a record of this model's task says."""
    found = families.status_of(asks(model), envelope({"taskId": "t1", **record}))
    assert found is not None
    return found


def job(model: Model = IMAGE, **record: Any) -> TaskStatus:
    return status(model, **{"model": model.api_model, "state": "success", **record})


def reason(found: TaskStatus) -> FailReason:
    assert isinstance(found, TaskFailed)
    return found.failure.reason


def test_every_family_that_is_sold_is_spoken() -> None:
    assert set(families.FAMILIES) == SPOKEN


# --- Asking


def test_a_job_asks_with_its_answers_as_input() -> None:
    request = asks(IMAGE, CALLBACK, prompt="tram", aspect_ratio="16:9", resolution="1K")

    body = families.create_body(evolve(request, params={**request.params, "nsfw_checker": False}))

    assert body == {
        "model": "flux-2/pro-text-to-image",
        "callBackUrl": CALLBACK,
        "input": {
            "prompt": "tram",
            "aspect_ratio": "16:9",
            "resolution": "1K",
            "nsfw_checker": False,
        },
    }


def test_what_is_not_answered_is_not_sent() -> None:
    request = evolve(
        asks(SPEECH), params={"audio_url": TRAM, "language_code": "", "diarize": None, "x": []}
    )

    body = families.create_body(request)

    assert body == {"model": "elevenlabs/speech-to-text", "input": {"audio_url": TRAM}}


def test_other_families_have_their_answers_in_the_body() -> None:
    request = evolve(asks(VEO, CALLBACK), params={"prompt": "boat", "imageUrls": [TRAM]})

    assert families.create_body(request) == {
        "prompt": "boat",
        "imageUrls": [TRAM],
        "model": "veo3_fast",
        "callBackUrl": CALLBACK,
    }


@pytest.mark.parametrize("model", [RUNWAY, GPT4O], ids=lambda model: model.id)
def test_a_family_without_model_names_is_sent_none(model: Model) -> None:
    assert not {"model", "callBackUrl"} & set(families.create_body(asks(model)))


def test_suno_is_always_told_a_callback_address() -> None:
    """KIE demands one; without a public address of ours it is one that leads nowhere."""
    harmless = families.create_body(asks(SUNO))["callBackUrl"]
    ours = families.create_body(asks(SUNO, CALLBACK))["callBackUrl"]

    assert (harmless, ours) == ("https://callback.invalid/none", CALLBACK)


# --- The envelope


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"error code: 1010",
        b"<html>502</html>",
        b'{"code": 200, "data":',
        b"[1, 2]",
        b'"code"',
        b"null",
        b'{"code": NaN}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"code": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_envelope_is_text(body: bytes) -> None:
    answer = Answer.read(502, body)

    assert (answer.code, answer.data, answer.verdict) == (None, None, None)


def test_the_code_wins_over_the_http_status() -> None:
    assert envelope(None, code=402, status=200).verdict == 402
    assert envelope(None, code=429, status=500).verdict == 429
    assert envelope(None, code=200, status=404).verdict == 200
    assert Answer.read(404, b"<html>").verdict == 404
    assert Answer.read(301, b"").verdict is None


@pytest.mark.parametrize(
    ("written", "code"), [("422", 422), (422.0, 422), (True, None), ("x", None)]
)
def test_a_code_may_be_written_as_text(written: object, code: int | None) -> None:
    assert envelope(None, code=written).code == code


def test_older_pages_call_the_text_message() -> None:
    assert Answer.read(200, b'{"code": 422, "message": "no"}').msg == "no"


@pytest.mark.parametrize(
    ("data", "task_id"),
    [
        ({"taskId": "task_1"}, "task_1"),
        ({"taskId": 17, "recordId": "r"}, "17"),
        ({"taskId": ""}, None),
        ({"taskId": "  "}, None),
        ({"taskId": None}, None),
        ({"taskId": True}, None),
        ({"taskId": "a\ud800"}, None),
        ({}, None),
        (None, None),
        ("task_1", None),
    ],
)
def test_the_id_of_a_new_task_is_read(data: object, task_id: str | None) -> None:
    assert families.task_id_of(data) == task_id


# --- Market jobs


@pytest.mark.parametrize("word", ["waiting", "queuing", "generating", "pondering"])
def test_any_other_word_is_a_task_at_work(word: str) -> None:
    assert job(state=word, resultJson=None) == TaskPending(word)


def test_a_record_without_a_state_is_a_task_at_work() -> None:
    assert job(state=None) == TaskPending("unknown")


def test_a_picture_is_read() -> None:
    found = job(resultJson=json.dumps({"resultUrls": [TRAM]}), creditsConsumed=5)

    assert found == TaskSucceeded(Result(urls=(TRAM,)), credits=Decimal(5))


@pytest.mark.parametrize(
    "made",
    [
        {"resultUrls": [TRAM]},
        {"resultUrls": TRAM},
        {"resultUrls": json.dumps([TRAM])},
        {"result_urls": [TRAM]},
        {"resultUrl": TRAM},
        {"resultUrls": [], "result_urls": [TRAM]},
        {"resultUrls": [TRAM], "resultWaterMarkUrls": [BOAT], "firstFrameUrl": BOAT},
        {"resultUrls": [TRAM, TRAM, "", None, 7, "https://10.0.0.1/x.png"]},
        [TRAM],
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_addresses_are_found_by_any_name_of_theirs(made: object, as_text: bool) -> None:
    found = job(resultJson=json.dumps(made) if as_text else made)

    assert found == TaskSucceeded(Result(urls=(TRAM,)))


def test_several_pictures_stay_in_order() -> None:
    found = job(resultJson={"resultUrls": [BOAT, TRAM]})

    assert found == TaskSucceeded(Result(urls=(BOAT, TRAM)))


@pytest.mark.parametrize(
    "made", [{"text": "Добрый день."}, "Добрый день.", '{"text": "Добрый день."}']
)
def test_a_transcript_is_read(made: object) -> None:
    found = job(SPEECH, resultJson=json.dumps({"resultObject": made}), creditsConsumed=3.5)

    assert found == TaskSucceeded(Result(text="Добрый день."), credits=Decimal("3.5"))


def test_a_transcript_is_rid_of_what_no_database_takes() -> None:
    found = job(SPEECH, resultJson={"resultObject": {"text": "a\x00b\nc\ud800"}})

    assert found == TaskSucceeded(Result(text="ab\nc"))


@pytest.mark.parametrize(
    "made",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        {},
        {"resultUrls": []},
        {"resultUrls": None},
        {"resultUrls": [""]},
        {"resultUrls": ["nonsense", "ftp://example.org/x.png", "file:///etc/passwd"]},
        {"resultUrls": ["http://169.254.169.254/latest/meta-data"]},
        {"resultUrls": ["http://localhost/x.png", "http://[::1]/x.png", "http://0x7f.1/x.png"]},
        {"resultUrls": ["https://user:word@example.org/x.png"]},
        {"resultUrls": ["https://example.org:99999/x.png", "https://example.org:0/x.png"]},
        {"resultUrls": ["https://example.org/x y.png", "https://example.org\\@10.0.0.1/x"]},
        {"resultUrls": [f"https://example.org/{'x' * 5000}"]},
        {"resultWaterMarkUrls": [TRAM]},
        {"resultObject": {"text": "no picture of mine"}},
        '{"resultUrls": ' + "[" * 100_000,
    ],
)
def test_a_success_without_a_picture_is_a_failure(made: object) -> None:
    found = job(resultJson=made, creditsConsumed=5)

    assert reason(found) is FailReason.NO_RESULT
    assert isinstance(found, TaskFailed)
    assert found.credits == 5


@pytest.mark.parametrize(
    "made", [{"resultObject": None}, {"resultObject": {"text": " \x00"}}, {"resultObject": [1]}]
)
def test_a_success_without_a_text_is_a_failure(made: object) -> None:
    assert reason(job(SPEECH, resultJson=made)) is FailReason.NO_RESULT


def test_the_host_that_is_asked_is_allowed_wherever_it_is() -> None:
    record = {"state": "success", "resultJson": {"resultUrls": ["http://127.0.0.1:8765/f/1.png"]}}
    answer = envelope(record)

    here = families.status_of(asks(), answer, {("127.0.0.1", 8765)})
    other_port = families.status_of(asks(), answer, {("127.0.0.1", 80)})

    assert here == TaskSucceeded(Result(urls=("http://127.0.0.1:8765/f/1.png",)))
    assert isinstance(other_port, TaskFailed)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({"creditsConsumed": 0.96}, Decimal("0.96")),
        ({"consumeCredits": 0.5}, Decimal("0.5")),
        ({"creditsConsumed": None, "consumeCredits": 2}, Decimal(2)),
        ({"creditsConsumed": 0}, Decimal(0)),
        ({}, None),
        ({"creditsConsumed": "5"}, None),
        ({"creditsConsumed": True}, None),
        ({"creditsConsumed": -1}, None),
        ({"creditsConsumed": 10**12}, None),
    ],
)
def test_credits_are_exact_or_unknown(said: dict[str, Any], taken: Decimal | None) -> None:
    found = job(resultJson={"resultUrls": [TRAM]}, **said)

    assert found == TaskSucceeded(Result(urls=(TRAM,)), credits=taken)


def test_credits_of_a_failure_are_kept() -> None:
    found = job(state="fail", failCode="500", failMsg="Internal server error", creditsConsumed=0)

    detail = "500: Internal server error"
    failed = Failure(reason=FailReason.MODEL_FAILED, detail=detail)
    assert found == TaskFailed(failed, credits=Decimal(0))


# --- Why it failed


@pytest.mark.parametrize(
    ("code", "text", "why"),
    [
        (
            "501",
            "Generation failed: the prompt was refused by the content filter",
            "refused_content",
        ),
        ("400", "The prompt was flagged by the content policy", "refused_content"),
        (500, "Sensitive words detected", "refused_content"),
        (500, "your image violates our guidelines", "refused_content"),
        ("413", "The audio matches a known work", "refused_content"),
        ("422", "duration is not within the range of allowed options", "bad_input"),
        ("500", "This field is required", "bad_input"),
        ("400", "", "bad_input"),
        ("451", "", "unreadable_file"),
        ("500", "Failed to fetch the image", "unreadable_file"),
        ("500", "image could not be read", "unreadable_file"),
        ("408", "", "timed_out"),
        ("500", "The request timed out", "timed_out"),
        ("500", "Internal server error", "model_failed"),
        ("501", "Generation failed", "model_failed"),
        (531, "failed, credits returned", "model_failed"),
        ("402", "", "unavailable"),
        ("505", "", "unavailable"),
        (None, None, "model_failed"),
        ("", "", "model_failed"),
        ("oops", 7, "model_failed"),
        (500, "enable_safety_checker crashed", "model_failed"),
    ],
)
def test_a_failure_has_a_reason_for_the_person(code: object, text: object, why: str) -> None:
    assert reason(job(state="fail", failCode=code, failMsg=text)) == why


def test_a_failure_names_the_answer_it_is_about() -> None:
    found = job(state="fail", failCode="422", failMsg="aspect_ratio is not within the range")

    assert isinstance(found, TaskFailed)
    assert found.failure.param == "aspect_ratio"


def test_the_only_file_is_the_unreadable_one() -> None:
    found = job(SPEECH, state="fail", failCode="451", failMsg="gone")

    assert isinstance(found, TaskFailed)
    assert found.failure.param == "audio_url"


def test_the_detail_is_one_short_line_without_the_persons_words() -> None:
    """KIE quotes the prompt; it is nobody's business, and may have forbidden words in it."""
    prompt = "a nuclear policy of a sensitive tram"
    request = asks(prompt=prompt)
    said = f"cannot\n\x1b[31mmake '{prompt}'" + "!" * 1000

    record = {"state": "fail", "failCode": "500", "failMsg": said}
    found = families.status_of(request, envelope(record))

    assert isinstance(found, TaskFailed)
    assert found.failure.reason is FailReason.MODEL_FAILED
    assert found.failure.detail.startswith("500: cannot [31mmake '…'!!!")
    assert len(found.failure.detail) == families.MAX_DETAIL


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("aspect_ratio is not within the range of allowed options", "aspect_ratio"),
        ("Prompt is required", "prompt"),
        ("resolution or aspect_ratio", "resolution"),
        ("my_resolution is", None),
        ("promptly", None),
        ("The page does not exist", None),
    ],
)
def test_a_param_is_named_by_whole_words(text: str, name: str | None) -> None:
    assert families.named_param(IMAGE, text) == name


# --- What KIE says in place of a record


@pytest.mark.parametrize("code", [404, 422, 400])
def test_an_unknown_task_is_missing(code: int) -> None:
    answer = envelope(None, code=code, msg="recordInfo is null")

    assert families.status_of(asks(), answer) == TaskPending(MISSING)


def test_a_record_that_is_null_is_missing() -> None:
    assert families.status_of(asks(), envelope(None)) == TaskPending(MISSING)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (413, FailReason.REFUSED_CONTENT),
        (451, FailReason.UNREADABLE_FILE),
        (501, FailReason.MODEL_FAILED),
        (531, FailReason.MODEL_FAILED),
    ],
)
def test_a_code_that_can_only_be_about_the_task_ends_it(code: int, why: FailReason) -> None:
    found = families.status_of(asks(), envelope(None, code=code, msg=""))

    assert found is not None
    assert reason(found) is why


def test_a_content_policy_in_place_of_a_record_ends_the_task() -> None:
    found = families.status_of(asks(VEO), envelope(None, code=400, msg="violates content policies"))

    assert found is not None
    assert reason(found) is FailReason.REFUSED_CONTENT


@pytest.mark.parametrize("code", [408, 409, 429, 455, 500, 502, 505, 524, 550, 0])
def test_other_codes_say_nothing_of_the_task(code: int) -> None:
    assert families.status_of(asks(), envelope(None, code=code)) is None


@pytest.mark.parametrize("http", [404, 422, 501, 502])
def test_a_page_says_nothing_of_the_task(http: int) -> None:
    """It is a proxy's, or KIE_API_URL is wrong; a task is not lost by that."""
    assert families.status_of(asks(), Answer.read(http, b"<html>no</html>")) is None


@pytest.mark.parametrize("data", ["text", [1], 7, True])
def test_a_record_that_is_none_says_nothing(data: object) -> None:
    assert families.status_of(asks(), envelope(data)) is None


# --- Veo


def test_veo_works() -> None:
    assert status(VEO, successFlag=0, response=None) == TaskPending("generating")
    assert status(VEO, response=None) == TaskPending("generating")


@pytest.mark.parametrize(
    "record",
    [
        {"response": {"resultUrls": [BOAT], "originUrls": [TRAM], "resolution": "720p"}},
        {"response": json.dumps({"resultUrls": [BOAT]})},
        {"response": {"resultUrls": json.dumps([BOAT])}},
        {"resultUrls": json.dumps([BOAT])},
        {"response": None, "resultUrls": [BOAT]},
    ],
)
def test_veo_makes_a_clip(record: dict[str, Any]) -> None:
    assert status(VEO, successFlag=1, **record) == TaskSucceeded(Result(urls=(BOAT,)))


@pytest.mark.parametrize("flag", [2, 3, "3"])
def test_veo_refuses(flag: object) -> None:
    found = status(
        VEO,
        successFlag=flag,
        errorCode=400,
        errorMessage="The prompt was flagged by the content policy",
    )

    assert reason(found) is FailReason.REFUSED_CONTENT


def test_veo_without_a_clip_is_a_failure() -> None:
    found = status(VEO, successFlag=1, response={"originUrls": [BOAT]})

    assert reason(found) is FailReason.NO_RESULT


# --- Suno


def suno(word: str, *tracks: dict[str, Any], **record: Any) -> TaskStatus:
    return status(SUNO, status=word, response={"sunoData": list(tracks)}, **record)


WALTZ = {
    "id": "tr-1",
    "audioUrl": "https://tempfile.aiquickdraw.com/s/tr1.mp3",
    "streamAudioUrl": "https://tempfile.aiquickdraw.com/s/tr1",
    "imageUrl": TRAM,
}
POLKA = {"id": "tr-2", "audioUrl": "", "streamAudioUrl": "https://tempfile.aiquickdraw.com/s/tr2"}


@pytest.mark.parametrize("word", ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS"])
def test_suno_works(word: str) -> None:
    assert suno(word, WALTZ) == TaskPending(word)


def test_suno_makes_its_tracks() -> None:
    """The stream is better than nothing."""
    found = suno("SUCCESS", WALTZ, POLKA)

    urls = (WALTZ["audioUrl"], POLKA["streamAudioUrl"])
    assert found == TaskSucceeded(Result(urls=urls), credits=None)


def test_suno_without_a_track_is_a_failure() -> None:
    assert reason(suno("SUCCESS")) is FailReason.NO_RESULT
    assert reason(status(SUNO, status="SUCCESS", response=None)) is FailReason.NO_RESULT


def test_a_callback_that_suno_could_not_deliver_changes_nothing() -> None:
    """The address we give it without a public one leads nowhere."""
    done = suno("CALLBACK_EXCEPTION", WALTZ)
    at_work = suno("CALLBACK_EXCEPTION", WALTZ, POLKA)
    begun = suno("CALLBACK_EXCEPTION")

    assert done == TaskSucceeded(Result(urls=(WALTZ["audioUrl"],)))
    assert at_work == begun == TaskPending("CALLBACK_EXCEPTION")


@pytest.mark.parametrize(
    ("word", "code", "why"),
    [
        ("CREATE_TASK_FAILED", 500, FailReason.MODEL_FAILED),
        ("GENERATE_AUDIO_FAILED", 531, FailReason.MODEL_FAILED),
        ("GENERATE_AUDIO_FAILED", 408, FailReason.TIMED_OUT),
        ("GENERATE_AUDIO_FAILED", 413, FailReason.REFUSED_CONTENT),
        ("SENSITIVE_WORD_ERROR", 400, FailReason.REFUSED_CONTENT),
        ("SENSITIVE_WORD_ERROR", None, FailReason.REFUSED_CONTENT),
    ],
)
def test_suno_fails(word: str, code: int | None, why: FailReason) -> None:
    assert reason(suno(word, errorCode=code, errorMessage=None)) is why


# --- Runway, 4o-image, Flux Kontext


@pytest.mark.parametrize("word", ["wait", "queueing", "generating"])
def test_runway_works(word: str) -> None:
    assert status(RUNWAY, state=word) == TaskPending(word)


def test_runway_makes_a_clip() -> None:
    found = status(RUNWAY, state="success", videoInfo={"videoUrl": BOAT, "imageUrl": TRAM})

    assert found == TaskSucceeded(Result(urls=(BOAT,)))


def test_runway_fails() -> None:
    assert reason(status(RUNWAY, state="fail", failCode=500, failMsg="x")) == "model_failed"
    assert reason(status(RUNWAY, state="success", videoInfo=None)) == "no_result"


def test_4o_works() -> None:
    assert status(GPT4O, successFlag=0, progress="0.50") == TaskPending("generating")
    assert status(GPT4O, status="GENERATING") == TaskPending("generating")


@pytest.mark.parametrize(
    "record",
    [
        {"successFlag": 1, "response": {"resultUrls": [TRAM]}},
        {"successFlag": 1, "response": {"result_urls": [TRAM]}},
        {"successFlag": None, "status": "SUCCESS", "response": {"resultUrls": [TRAM]}},
    ],
)
def test_4o_makes_a_picture(record: dict[str, Any]) -> None:
    assert status(GPT4O, **record) == TaskSucceeded(Result(urls=(TRAM,)))


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"successFlag": 2, "errorCode": 451, "errorMessage": ""}, "unreadable_file"),
        ({"status": "GENERATE_FAILED", "errorCode": 500}, "model_failed"),
        ({"status": "CREATE_TASK_FAILED", "errorCode": 400}, "bad_input"),
        ({"successFlag": 1, "response": None}, "no_result"),
    ],
)
def test_4o_fails(record: dict[str, Any], why: str) -> None:
    assert reason(status(GPT4O, **record)) == why


def test_flux_kontext_works_and_makes_a_picture() -> None:
    made = {"originImageUrl": BOAT, "resultImageUrl": TRAM}

    assert status(FLUX, successFlag=0) == TaskPending("generating")
    assert status(FLUX, successFlag=1, response=made) == TaskSucceeded(Result(urls=(TRAM,)))


@pytest.mark.parametrize("flag", [2, 3])
def test_flux_kontext_fails(flag: int) -> None:
    found = status(FLUX, successFlag=flag, errorCode=501, errorMessage="failed")

    assert reason(found) is FailReason.MODEL_FAILED
    assert reason(status(FLUX, successFlag=1, response={"originImageUrl": TRAM})) == "no_result"


# --- Whose record it is


def record(model: Model, /, shown: str | None = None, **data: Any) -> dict[str, Any]:
    asked = {"model": model.api_model, **({"callBackUrl": shown} if shown else {})}
    name = "paramJson" if model.family in {"veo", "flux-kontext", "gpt4o-image"} else "param"
    own = {"model": model.api_model} if model.family == "jobs" else {}
    return {"taskId": "t1", name: json.dumps(asked), **own, **data}


def is_of(request: TaskRequest, data: dict[str, Any]) -> bool:
    return families.is_record_of(request, TaskId("t1"), data)


@pytest.mark.parametrize("model", [IMAGE, VEO, SUNO, FLUX], ids=lambda model: model.id)
def test_a_record_of_our_request_is_known(model: Model) -> None:
    assert is_of(asks(model, CALLBACK), record(model, CALLBACK))
    assert is_of(asks(model, CALLBACK), record(model))


@pytest.mark.parametrize("model", [IMAGE, VEO, SUNO, GPT4O, RUNWAY], ids=lambda model: model.id)
def test_a_record_of_another_job_is_not_ours(model: Model) -> None:
    other = record(model, f"{CALLBACK}d")

    assert not is_of(asks(model, CALLBACK), other)
    assert not is_of(asks(model), other)


@pytest.mark.parametrize("model", [IMAGE, VEO, SUNO], ids=lambda model: model.id)
def test_a_record_of_another_model_is_not_ours(model: Model) -> None:
    shown = json.dumps({"model": "another"})

    assert not is_of(asks(model), record(model, model="another"))
    assert not is_of(asks(model), {"taskId": "t1", "param": shown})


def test_a_record_of_another_task_is_not_ours() -> None:
    assert not is_of(asks(), record(IMAGE, taskId="t2"))


def test_a_job_without_a_model_is_not_ours() -> None:
    assert not is_of(asks(), {"taskId": "t1", "state": "waiting"})


def test_a_family_without_model_names_is_known_by_its_endpoint() -> None:
    assert is_of(asks(RUNWAY, CALLBACK), {"taskId": "t1", "state": "wait"})


def test_the_address_that_leads_nowhere_is_known_again() -> None:
    assert is_of(asks(SUNO), record(SUNO, families.HARMLESS_CALLBACK))
