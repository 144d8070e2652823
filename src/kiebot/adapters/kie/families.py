"""
KIE's families: how each is asked, and how its answers are read. Values in, values out, no I/O.

The families have endpoints, words and shapes of their own; what they share is the envelope
(`Answer`). JSON is read with exact numbers: credits are Decimals from the first.

Source: KIE's documentation, and what its users saw where that says nothing or two things.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any, Self

from attrs import frozen

from kiebot.core.addresses import HostPort, host_port, may_be_public
from kiebot.core.catalog import Model
from kiebot.core.media import MediaKind
from kiebot.core.params import FileParam, FilesParam, JsonValue, is_answered
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

HARMLESS_CALLBACK = "https://callback.invalid/none"
"""
What a family that demands a callback address is told where there is none.

A name that can never exist (RFC 6761), so nobody is sent a person's words and results. KIE finds
that out at the delivery and has a status for it (CALLBACK_EXCEPTION), which is read as what it is.
"""

UNAVAILABLE_CODES = frozenset({429, 455, 524, 550})
"""Codes with which KIE says that it took nothing now: too many, maintenance, nobody there, full."""

OPERATOR_CODES = frozenset({401, 402, 403, 433})
"""Codes that are about the operator: key, balance, no access, spending cap."""

REFUSED_CODES = frozenset({501, 505, 531})
"""Codes beyond 4xx that are final: failed, switched off, failed and given back."""

NOT_FOUND_CODES = frozenset({400, 404, 422})
"""
Codes of a status answer about a task that KIE does not know: 422 was seen ("recordInfo is null"),
404 is documented, 400 is what an empty id gets.
"""

FAILED_CODES = frozenset({413, 451, 501, 531})
"""Codes that can only be about the task, also where they answer a question for its status."""

MAX_DETAIL = 300
"""Characters of KIE's own words that are kept, for the log."""

MAX_ADDRESS = 4096
"""Characters of a result's address. Our choice: twice what is common, signed ones are long."""

MAX_CREDITS = Decimal(10) ** 9
"""More credits than this (5 million USD) are a mistake, not a price."""

_REASONS = {
    400: FailReason.BAD_INPUT,
    401: FailReason.UNAVAILABLE,
    402: FailReason.UNAVAILABLE,
    403: FailReason.UNAVAILABLE,
    404: FailReason.UNAVAILABLE,  # no such endpoint any more
    405: FailReason.UNAVAILABLE,
    408: FailReason.TIMED_OUT,
    413: FailReason.REFUSED_CONTENT,  # Suno: the given sound matches a known work
    409: FailReason.MODEL_FAILED,  # Suno: the record exists already
    422: FailReason.BAD_INPUT,
    433: FailReason.UNAVAILABLE,
    451: FailReason.UNREADABLE_FILE,
    455: FailReason.UNAVAILABLE,
    505: FailReason.UNAVAILABLE,
    524: FailReason.TIMED_OUT,
}
"""What a code means to a person; every other is MODEL_FAILED."""

_WORDS = (
    # A model that KIE does not know, or withdrew.
    (FailReason.UNAVAILABLE, re.compile(r"page does not exist or is not published", re.IGNORECASE)),
    (
        FailReason.REFUSED_CONTENT,
        re.compile(
            r"content filter|polic(?:y|ies)\b|(?<!case.)sensitive|moderat|flagged|\bnsfw\b"
            r"|\bsafety\b|prohibited|inappropriate|violat|copyright|celebrit"
            r"|prominent (?:person|people)",
            re.IGNORECASE,
        ),
    ),
    (
        FailReason.UNREADABLE_FILE,
        re.compile(
            r"\b(?:fetch|download|read|open|decode|access|load)\w* (?:\w+ ){0,3}"
            r"(?:image|picture|photo|video|audio|file|media)"
            r"|(?:image|picture|photo|video|audio|file|media) (?:\w+ ){0,4}"
            r"(?:not readable|unreadable|corrupt|be (?:read|fetched|downloaded|opened|decoded))",
            re.IGNORECASE,
        ),
    ),
    (FailReason.TIMED_OUT, re.compile(r"tim(?:ed|e)[ -]?out", re.IGNORECASE)),
    (
        FailReason.BAD_INPUT,
        re.compile(
            r"(?:is|are) required|not within the range|must be (?:one of|between|at)"
            r"|invalid (?:param|value|input)",
            re.IGNORECASE,
        ),
    ),
)
"""
Words in KIE's text that say more than its code; the first that fits decides.

KIE's codes alone do not tell a refused prompt from a broken machine: both come as 500, 501 or 400.
"""


class BrokenJsonError(ValueError):
    """Text that is not JSON, or no JSON that we read."""


@frozen(kw_only=True)
class Answer:
    """
    What KIE answered: the HTTP status, and its envelope where the body is one.

    `code` is the envelope's, None where there is none; `msg` is KIE's text.
    """

    status: int
    code: int | None = None
    msg: str = ""
    data: Any = None

    @classmethod
    def read(cls, status: int, body: bytes) -> Self:
        """
        The answer that a body is. One that is no envelope is kept as text only, its begin.

        KIE mostly answers HTTP 200 and says in `code` what went wrong.
        """
        try:
            parsed = parse_json(body.decode("utf-8-sig"))
        except ValueError:
            return cls(status=status, msg=body[:MAX_DETAIL].decode(errors="replace"))
        if not isinstance(parsed, Mapping):
            return cls(status=status, msg=body[:MAX_DETAIL].decode(errors="replace"))
        # Older pages name the text `message`.
        said = parsed.get("msg") or parsed.get("message")
        return cls(
            status=status,
            code=_whole(parsed.get("code")),
            msg=said if isinstance(said, str) else "",
            data=parsed.get("data"),
        )

    @property
    def verdict(self) -> int | None:
        """
        The code that counts: the envelope's; without one an HTTP 4xx. None: nothing is known.
        """
        if self.code is not None:
            return self.code
        return self.status if 400 <= self.status < 500 else None


@frozen(kw_only=True)
class Family:
    """
    A group of models with endpoints of its own.

    `read` makes a status of a record; of what it finds only the addresses that are `allowed` or
    public count.
    """

    name: str
    create_path: str
    status_path: str
    needs_callback: bool = False
    read: Callable[[TaskRequest, Mapping[str, Any], Collection[HostPort]], TaskStatus]


# --- Asking


def family_of(model: Model) -> Family | None:
    """The family of a model, None where kiebot does not speak it."""
    return FAMILIES.get(model.family)


def callback_url(request: TaskRequest) -> str | None:
    """The callback address that KIE is told."""
    family = family_of(request.model)
    if request.callback_url is None and family is not None and family.needs_callback:
        return HARMLESS_CALLBACK
    return request.callback_url


def create_body(request: TaskRequest) -> dict[str, JsonValue]:
    """The JSON with which a task is asked for: what is answered, as it stands."""
    answered = {name: value for name, value in request.params.items() if is_answered(value)}
    model = request.model
    body: dict[str, JsonValue] = {"input": answered} if model.params_in == "input" else answered
    if model.api_model is not None:
        body["model"] = model.api_model
    callback = callback_url(request)
    if callback is not None:
        body["callBackUrl"] = callback
    return body


# --- Reading


def task_id_of(data: object) -> TaskId | None:
    """The id in the answer to a create, None where there is none."""
    found = data.get("taskId") if isinstance(data, Mapping) else None
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not found.strip() or not found.isprintable():
        return None
    return TaskId(found)


def status_of(
    request: TaskRequest, answer: Answer, allowed: Collection[HostPort] = frozenset()
) -> TaskStatus | None:
    """What an answer about a task says of it; None where it says nothing."""
    family = family_of(request.model)
    if family is None:
        return None
    if answer.code == 200:
        if answer.data is None:
            return TaskPending(MISSING)
        if not isinstance(answer.data, Mapping):
            return None
        return family.read(request, answer.data, allowed)
    # Only in KIE's envelope: a page that says 404 is a proxy's, or KIE_API_URL is wrong.
    if answer.code in FAILED_CODES:
        return TaskFailed(failure(request, answer.code, answer.msg))
    if answer.code in NOT_FOUND_CODES:
        refused = fail_reason(None, _without_answers(request, answer.msg))
        if refused is FailReason.REFUSED_CONTENT:
            return TaskFailed(failure(request, answer.code, answer.msg))
        return TaskPending(MISSING)
    return None


def is_record_of(request: TaskRequest, task_id: TaskId, data: Mapping[str, Any]) -> bool:
    """
    Whether a record is of a task that this request made.

    The model must be that of the request, and so must the callback address where KIE shows one.
    A family without model names, and a record that shows none, is told by its endpoint.
    """
    known_id = data.get("taskId")
    if isinstance(known_id, str) and known_id != task_id:
        return False
    asked = _mapping(data.get("param")) or _mapping(data.get("paramJson")) or {}
    wanted = request.model.api_model
    models = [found for found in (data.get("model"), asked.get("model")) if isinstance(found, str)]
    if wanted is not None and any(found != wanted for found in models):
        return False
    if request.model.family == "jobs" and not models:
        return False
    shown = asked.get("callBackUrl")
    return not isinstance(shown, str) or not shown or shown == callback_url(request)


def credits_of(record: Mapping[str, Any]) -> Decimal | None:
    """What KIE took, by either of its names; None where it does not say."""
    for name in ("creditsConsumed", "consumeCredits"):
        found = amount(record.get(name))
        if found is not None:
            return found
    return None


def amount(value: object) -> Decimal | None:
    """A number of credits, exactly; None where this is none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if number.is_finite() and 0 <= number <= MAX_CREDITS else None


def is_result_address(url: str, allowed: Collection[HostPort] = frozenset()) -> bool:
    """
    Whether a result may be read there: a public http(s) address, or a host that is allowed.

    What a name leads to is seen when it is read.
    """
    if len(url) > MAX_ADDRESS or not url.isprintable() or re.search(r"[\s\\]", url):
        return False
    found = host_port(url)
    return found is not None and (found in allowed or may_be_public(found[0]))


# --- Failing


def failure(request: TaskRequest, code: object, said: object) -> Failure:
    """
    A failure by KIE's code and text. The text is kept for the log only, without the person's
    words, which KIE likes to quote.
    """
    number = _whole(code)
    text = _without_answers(request, said if isinstance(said, str) else "")
    reason = fail_reason(number, text)
    param = None
    if reason in {FailReason.BAD_INPUT, FailReason.UNREADABLE_FILE}:
        param = named_param(request.model, text)
    if param is None and reason is FailReason.UNREADABLE_FILE:
        param = _only_file(request.model)
    detail = plain(f"{number}: {text}" if number is not None else text)
    return Failure(reason=reason, param=param, detail=detail)


def fail_reason(code: int | None, text: str) -> FailReason:
    """Why a task failed, by the words of KIE's text, else by its code."""
    for reason, words in _WORDS:
        if words.search(text):
            return reason
    return _REASONS.get(code or 0, FailReason.MODEL_FAILED)


def named_param(model: Model, text: str) -> str | None:
    """The param that a text names as a whole word, the first of several; None: it names none."""
    found = [
        (match.start(), -len(param.name), param.name)
        for param in model.params
        if (match := re.search(rf"(?<!\w){re.escape(param.name)}(?!\w)", text, re.IGNORECASE))
    ]
    return min(found)[2] if found else None


def plain(text: str) -> str:
    """Somebody else's text, fit for one line of a log."""
    one_line = " ".join("".join(char if _is_readable(char) else " " for char in text).split())
    return one_line if len(one_line) <= MAX_DETAIL else one_line[: MAX_DETAIL - 1] + "…"


def without_answers(request: TaskRequest, text: str) -> str:
    """KIE's text as it may stand in a log: one line, without the person's words."""
    return plain(_without_answers(request, text))


def _without_answers(request: TaskRequest, text: str) -> str:
    for value in _texts(request.params.values()):
        # A short answer ("fail", "16:9") is a word like others, and says nothing of a person.
        if len(value) >= 12:
            text = text.replace(value, "…")
    return text


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            yield from _texts(value)


def _only_file(model: Model) -> str | None:
    files = [param.name for param in model.params if isinstance(param, FileParam | FilesParam)]
    return files[0] if len(files) == 1 else None


# --- The families, one by one


def _read_jobs(
    request: TaskRequest, record: Mapping[str, Any], allowed: Collection[HostPort]
) -> TaskStatus:
    word = _word(record.get("state"))
    match word.lower():
        case "success":
            made = _parsed(record.get("resultJson"))
            return _succeeded(request, record, made, allowed)
        case "fail":
            return _failed(request, record, record.get("failCode"), record.get("failMsg"))
        case _:
            return TaskPending(word)


def _read_veo(
    request: TaskRequest, record: Mapping[str, Any], allowed: Collection[HostPort]
) -> TaskStatus:
    match _whole(record.get("successFlag")):
        case 1:
            # The quickstart page has the addresses one level higher, as JSON text.
            response = _mapping(record.get("response")) or {}
            made = response if _urls(response, allowed) else record
            return _succeeded(request, record, made, allowed)
        case 2 | 3:
            return _failed(request, record, record.get("errorCode"), record.get("errorMessage"))
        case _:
            return TaskPending("generating")


def _read_gpt4o_image(
    request: TaskRequest, record: Mapping[str, Any], allowed: Collection[HostPort]
) -> TaskStatus:
    flag = _whole(record.get("successFlag"))
    if flag is None:
        words = {"success": 1, "create_task_failed": 2, "generate_failed": 2}
        flag = words.get(_word(record.get("status")).lower())
    match flag:
        case 1:
            return _succeeded(request, record, _mapping(record.get("response")), allowed)
        case 2 | 3:
            return _failed(request, record, record.get("errorCode"), record.get("errorMessage"))
        case _:
            return TaskPending("generating")


def _read_flux_kontext(
    request: TaskRequest, record: Mapping[str, Any], allowed: Collection[HostPort]
) -> TaskStatus:
    match _whole(record.get("successFlag")):
        case 1:
            response = _mapping(record.get("response")) or {}
            made = {"resultUrls": response.get("resultImageUrl")}
            return _succeeded(request, record, made, allowed)
        case 2 | 3:
            return _failed(request, record, record.get("errorCode"), record.get("errorMessage"))
        case _:
            return TaskPending("generating")


def _read_runway(
    request: TaskRequest, record: Mapping[str, Any], allowed: Collection[HostPort]
) -> TaskStatus:
    word = _word(record.get("state"))
    match word.lower():
        case "success":
            info = _mapping(record.get("videoInfo")) or {}
            return _succeeded(request, record, {"resultUrls": info.get("videoUrl")}, allowed)
        case "fail":
            return _failed(request, record, record.get("failCode"), record.get("failMsg"))
        case _:
            return TaskPending(word)


def _read_suno(
    request: TaskRequest, record: Mapping[str, Any], allowed: Collection[HostPort]
) -> TaskStatus:
    word = _word(record.get("status"))
    response = _mapping(record.get("response")) or {}
    tracks = [track for track in _items(response.get("sunoData")) if isinstance(track, Mapping)]
    match word.lower():
        case "success":
            urls = [track.get("audioUrl") or track.get("streamAudioUrl") for track in tracks]
            return _succeeded(request, record, {"resultUrls": urls}, allowed)
        case "callback_exception":
            # Only a callback was not delivered, and it may have been that of the first track. So
            # it is a success when every track is whole, and a task at work until then.
            urls = [track.get("audioUrl") for track in tracks]
            if urls and all(isinstance(url, str) and url for url in urls):
                return _succeeded(request, record, {"resultUrls": urls}, allowed)
            return TaskPending(word)
        case "create_task_failed" | "generate_audio_failed":
            return _failed(request, record, record.get("errorCode"), record.get("errorMessage"))
        case "sensitive_word_error":
            said = failure(request, record.get("errorCode"), record.get("errorMessage"))
            refused = Failure(reason=FailReason.REFUSED_CONTENT, detail=said.detail or word)
            return TaskFailed(refused, credits=credits_of(record))
        case _:
            return TaskPending(word)


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="jobs",
            create_path="/api/v1/jobs/createTask",
            status_path="/api/v1/jobs/recordInfo",
            read=_read_jobs,
        ),
        Family(
            name="veo",
            create_path="/api/v1/veo/generate",
            status_path="/api/v1/veo/record-info",
            read=_read_veo,
        ),
        Family(
            name="suno",
            create_path="/api/v1/generate",
            status_path="/api/v1/generate/record-info",
            needs_callback=True,
            read=_read_suno,
        ),
        Family(
            name="runway",
            create_path="/api/v1/runway/generate",
            status_path="/api/v1/runway/record-detail",
            read=_read_runway,
        ),
        Family(
            name="gpt4o-image",
            create_path="/api/v1/gpt4o-image/generate",
            status_path="/api/v1/gpt4o-image/record-info",
            read=_read_gpt4o_image,
        ),
        Family(
            name="flux-kontext",
            create_path="/api/v1/flux/kontext/generate",
            status_path="/api/v1/flux/kontext/record-info",
            read=_read_flux_kontext,
        ),
    )
}
"""The families that kiebot speaks."""


# --- Their common parts


def _succeeded(
    request: TaskRequest, record: Mapping[str, Any], made: object, allowed: Collection[HostPort]
) -> TaskStatus:
    """A success, or a failure where it has nothing that can be used."""
    spent = credits_of(record)
    # A bare list is read as the list of addresses.
    found = made if isinstance(made, Mapping) else {"resultUrls": made}
    urls = _urls(found, allowed)
    text = _text(found) if request.model.output is MediaKind.TEXT else None
    if urls or text:
        return TaskSucceeded(Result(urls=urls, text=text), credits=spent)
    detail = plain(f"success without a result that can be used: {_shown(made)}")
    return TaskFailed(Failure(reason=FailReason.NO_RESULT, detail=detail), credits=spent)


def _failed(
    request: TaskRequest, record: Mapping[str, Any], code: object, said: object
) -> TaskFailed:
    return TaskFailed(failure(request, code, said), credits=credits_of(record))


def _urls(made: Mapping[str, Any], allowed: Collection[HostPort]) -> tuple[str, ...]:
    """The addresses that may be read, each once; those of other names (watermarked) are not."""
    for name in ("resultUrls", "result_urls", "resultUrl"):
        urls = [
            url.strip()
            for url in _items(made.get(name))
            if isinstance(url, str) and is_result_address(url.strip(), allowed)
        ]
        if urls:
            return tuple(dict.fromkeys(urls))
    return ()


def _text(made: Mapping[str, Any]) -> str | None:
    found = _parsed(made.get("resultObject"))
    said = found.get("text") if isinstance(found, Mapping) else made.get("resultObject")
    if not isinstance(said, str):
        return None
    return "".join(char for char in said if _is_readable(char)).strip() or None


def _is_readable(char: str) -> bool:
    """No control characters, of which databases and terminals know nothing good."""
    return char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cs"}


def _shown(made: object) -> str:
    """What came in place of a result, for the log: its names, and the hosts of its addresses."""
    if not isinstance(made, Mapping):
        return type(made).__name__
    return ", ".join(f"{name}={_host_shown(value)}" for name, value in made.items()) or "nothing"


def _host_shown(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_host_shown(item) for item in value[:3]) + "]"
    if isinstance(value, str):
        found = host_port(value)
        return f"{found[0]}:{found[1]}" if found else "no address"
    return type(value).__name__


def _word(value: object) -> str:
    return plain(value)[:40] if isinstance(value, str) and value.strip() else "unknown"


def _whole(value: object) -> int | None:
    """A number that KIE writes as one or as text."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, Decimal) and value == value.to_integral_value() and abs(value) < 10**9:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _items(value: object) -> list[Any]:
    """A list, also one that KIE wrote as JSON text; one thing is a list of it."""
    found = _parsed(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    if isinstance(found, list):
        return found
    return [] if found is None else [found]


def _mapping(value: object) -> Mapping[str, Any] | None:
    """An object, also one that KIE wrote as JSON text."""
    found = _parsed(value)
    return found if isinstance(found, Mapping) else None


def _parsed(value: object) -> Any:
    """JSON inside a text, or the value as it is; None where the text is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except BrokenJsonError:
        return None


def parse_json(text: str) -> Any:
    """
    JSON with exact numbers.

    Raises:
        BrokenJsonError: It is none, or one that nobody sends in good faith.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    # Numbers of thousands of digits are a ValueError, too deep a nesting is a RecursionError.
    except (ValueError, ArithmeticError, RecursionError) as exc:
        raise BrokenJsonError(str(exc)) from exc


def _no_number(name: str) -> None:
    raise BrokenJsonError(f"{name} is no JSON")
