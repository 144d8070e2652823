"""
What the stub server can do wrong, and how it is asked to.

A fault says at which call it strikes and what happens. Calls take their faults in the order in
which they were scripted, each fault once unless it says otherwise. What a person types as a prompt
says the same in words (`in_words`); `docs/stub.md` has the table.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import evolve, field, fields_dict, frozen

PRIVATE_HOST = "10.0.0.1"
"""An address that is in nobody's public network (RFC 1918)."""

CODES = {
    400: "Invalid request parameters",
    401: "You do not have access permissions",
    402: "The current credits are insufficient",
    404: "Not found",
    405: "Method not allowed",
    408: "Upstream timed out",
    409: "The record already exists",
    413: "The uploaded audio matches an existing work",
    422: "The request parameters are invalid",
    429: "Too many requests, please try again later",
    433: "The usage limit of this key has been exceeded",
    451: "The image could not be fetched",
    455: "The service is under maintenance",
    500: "Server exception, please try again later",
    501: "Generation failed",
    505: "This feature is disabled",
    524: "No upstream is available",
    531: "Generation failed, the credits were given back",
    550: "Connection refused, the queue is full",
}
"""kie.ai's codes. Most texts are ours: kie.ai's own are not known, and only the code matters."""


class Call(StrEnum):
    """Where a fault strikes."""

    CREATE = "create"
    STATUS = "status"
    UPLOAD = "upload"
    CREDITS = "credits"
    DOWNLOAD_URL = "download_url"
    FILE = "file"
    """Reading an uploaded or a generated file."""
    TASK = "task"
    """What becomes of the next task that is made."""
    CALLBACK = "callback"
    """How the end of the next task that is made is told."""


class FaultKind(StrEnum):
    """What happens. `seconds` and the like are fields of the fault."""

    PASS = "pass"
    """All goes its usual way; nor does the prompt change anything."""

    # Answers.
    CODE = "code"
    """JSON with `code` and `msg`, under HTTP status `http`."""
    PAGE = "page"
    """The HTML page of a proxy, under HTTP status `http` (502)."""
    FORBIDDEN = "forbidden"
    """HTTP 403 with the text `error code: 1010`."""
    HANG = "hang"
    """Nothing is answered until the other side gives up."""
    DROP = "drop"
    """The connection is reset without an answer."""
    CUT = "cut"
    """The connection ends in the middle of the answer."""
    TRUNCATED = "truncated"
    """The answer is complete for HTTP, its JSON is not."""
    BUSY = "busy"
    """429, in the first `seconds` (3) after this very request was first seen."""

    # Tasks.
    FAIL = "fail"
    """It fails with `code` (501) and `msg`."""
    NEVER = "never"
    """It never ends."""
    SLOW = "slow"
    """It takes `seconds` (30)."""
    ODD_STATE = "odd_state"
    """While it runs, its state is `word`, which nobody knows."""
    ODD_END = "odd_end"
    """At its end its state is `word`; of Suno CALLBACK_EXCEPTION, the tracks being there."""
    NULL_RECORD = "null_record"
    """`recordInfo is null` in its first `seconds` (2)."""
    NULL_FOREVER = "null_forever"
    """`recordInfo is null`, always."""
    NO_CREDITS = "no_credits"
    """The record does not say what it took."""
    CREDITS = "credits"
    """It takes `credits`."""
    NO_RESULT = "no_result"
    """Success, and no result at all."""
    EMPTY_RESULT = "empty_result"
    """Success, and a list of no files."""
    BROKEN_RESULT = "broken_result"
    """Success, and JSON inside that is none."""
    ADDRESS = "address"
    """Its result is at `address`, which is private unless given."""
    REDIRECT = "redirect"
    """Its result's address leads to the file by way of another."""
    REDIRECT_PRIVATE = "redirect_private"
    """Its result's address leads to `address`, which is private unless given."""
    REDIRECT_LOOP = "redirect_loop"
    """Its result's address leads to itself."""
    HUGE = "huge"
    """Its result has 500 MB, and says so."""
    HUGE_UNSIZED = "huge_unsized"
    """Its result has 500 MB, and does not say how many."""
    WRONG_KIND = "wrong_kind"
    """Its result is an HTML page that calls itself a picture."""
    GONE = "gone"
    """Its result is not there (404)."""
    DRIP = "drip"
    """Its result comes byte by byte, one a second."""

    # Callbacks.
    REPEATED = "repeated"
    """Told three times."""
    LATE = "late"
    """Told `seconds` (60) after the end."""
    FORGED = "forged"
    """Told of another task, `task_id`, signed for that one."""
    BAD_SIGNATURE = "bad_signature"
    """Signed with another key."""
    UNSIGNED = "unsigned"
    """Without the headers of a signature."""
    STALE = "stale"
    """Signed an hour ago."""
    TAMPERED = "tampered"
    """Signed well, and the rest of the body is a lie."""
    SILENT = "silent"
    """Not told."""


ANSWERS = frozenset(
    {
        FaultKind.PASS,
        FaultKind.CODE,
        FaultKind.PAGE,
        FaultKind.FORBIDDEN,
        FaultKind.HANG,
        FaultKind.DROP,
        FaultKind.CUT,
        FaultKind.TRUNCATED,
    }
)
CALLBACKS = frozenset(
    {
        FaultKind.PASS,
        FaultKind.REPEATED,
        FaultKind.LATE,
        FaultKind.FORGED,
        FaultKind.BAD_SIGNATURE,
        FaultKind.UNSIGNED,
        FaultKind.STALE,
        FaultKind.TAMPERED,
        FaultKind.SILENT,
    }
)
TASKS = (frozenset(FaultKind) - ANSWERS - CALLBACKS - {FaultKind.BUSY}) | {FaultKind.PASS}

FITTING = {
    Call.CREATE: ANSWERS | {FaultKind.BUSY},
    Call.TASK: TASKS,
    Call.CALLBACK: CALLBACKS,
}
"""What can happen at each call; at the others, `ANSWERS`."""


@frozen(kw_only=True)
class Fault:
    """
    What goes wrong at one call.

    `model` (kie.ai's id, or the family where requests name no model) says whose; None: anybody's.
    `times` is how often, 0: until the faults are cleared. `taken`, of a create: the task was made
    all the same. The other fields are explained at the kinds.
    """

    call: Call = field(converter=Call)
    kind: FaultKind = field(converter=FaultKind)
    model: str | None = None
    times: int = 1
    taken: bool = False
    code: int | None = None
    http: int | None = None
    msg: str | None = None
    seconds: float | None = None
    address: str | None = None
    credits: float | None = None
    word: str | None = None
    task_id: str | None = None

    def __attrs_post_init__(self) -> None:
        fitting = FITTING.get(self.call, ANSWERS)
        if self.kind not in fitting:
            known = ", ".join(sorted(fitting))
            raise ValueError(f"kind: {self.kind!s} does not fit the call {self.call!s}; {known} do")
        if self.kind is FaultKind.CODE and self.code is None:
            raise ValueError(f"code: give one, such as {', '.join(map(str, CODES))}")
        if self.times < 0:
            raise ValueError("times: give 0 (always) or more")
        if self.taken and self.call is not Call.CREATE:
            raise ValueError("taken: only a create can be taken")

    @property
    def text(self) -> str:
        """What kie.ai would say with its code."""
        return self.msg or CODES.get(self.code or 0, "Unknown error")


_TYPES: dict[str, tuple[type, ...]] = {
    "call": (str,),
    "kind": (str,),
    "model": (str,),
    "times": (int,),
    "taken": (bool,),
    "code": (int,),
    "http": (int,),
    "msg": (str,),
    "seconds": (int, float),
    "address": (str,),
    "credits": (int, float),
    "word": (str,),
    "task_id": (str,),
}


def from_json(value: object) -> list[Fault]:
    """
    Faults from what was posted: an object with the fields of a fault, `{"words": "..."}`, or a
    list of them.

    Raises:
        ValueError: What is wrong with it.
    """
    if isinstance(value, list):
        return [fault for entry in value for fault in from_json(entry)]
    if not isinstance(value, Mapping):
        raise ValueError("give an object or a list of objects")  # noqa: TRY004 - one error for all
    if "words" in value:
        found = in_words(str(value["words"]))
        if not found:
            raise ValueError(f"words: {value['words']!r} says no fault")
        return [evolve(fault, model=value.get("model")) for fault in found]
    for name, given in value.items():
        if name not in _TYPES:
            raise ValueError(f"{name}: no such field; there are {', '.join(_TYPES)}")
        wanted = _TYPES[name]
        if not isinstance(given, wanted) or (isinstance(given, bool) and bool not in wanted):
            raise ValueError(f"{name}: {given!r} is no {wanted[-1].__name__}")
    for name in ("call", "kind"):
        if name not in value:
            raise ValueError(f"{name}: give one")
    return [Fault(**value)]


def to_json(fault: Fault) -> dict[str, Any]:
    """A fault as it is posted; what is as usual is left out."""
    usual = fields_dict(Fault)
    return {
        name: str(value) if isinstance(value := getattr(fault, name), StrEnum) else value
        for name in _TYPES
        if getattr(fault, name) != usual[name].default
    }


class Script:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    @property
    def coming(self) -> tuple[Fault, ...]:
        return tuple(self._faults)

    def add(self, *faults: Fault) -> None:
        self._faults.extend(faults)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, call: Call, model: str | None) -> Fault | None:
        """The oldest fault for this call of this model, which then counts once less."""
        for place, fault in enumerate(self._faults):
            if fault.call is not call or fault.model not in {None, model}:
                continue
            if fault.times == 1:
                del self._faults[place]
            elif fault.times > 1:
                self._faults[place] = evolve(fault, times=fault.times - 1)
            return fault
        return None


# --- Prompts

LOOKS = 3
"""How many looks at a task the prompt `status …` spoils."""

_ANSWER = re.compile(
    r"(?P<call>taken |status )?"
    r"(?P<kind>code|http|page|forbidden|hang|drop|cut|truncated)(?: (?P<number>\d{3}))?"
)
_TASK = re.compile(r"(?P<kind>[a-z ]+?)(?: (?P<number>\d{1,5}(?:\.\d+)?))?")
_SHORT = {
    "stall": FaultKind.NEVER,
    "private": FaultKind.ADDRESS,
}
_NUMBERED = {FaultKind.FAIL, FaultKind.SLOW, FaultKind.NULL_RECORD, FaultKind.CREDITS}
_SPOKEN = TASKS - {FaultKind.PASS}


def in_words(prompt: str, *, name: str = "prompt") -> list[Fault]:
    """
    What a prompt asks for; nothing where it is a usual one. Only the whole of it counts.

    `name` is that of the field, for the refusal that names it.
    """
    words = " ".join(prompt.lower().replace("_", " ").split())
    match words:
        case "refuse":
            text = f"{name} is not within the range of allowed options"
            return [Fault(call=Call.CREATE, kind=FaultKind.CODE, code=422, msg=text)]
        case "broke":
            return [Fault(call=Call.CREATE, kind=FaultKind.CODE, code=402)]
        case "busy":
            return [Fault(call=Call.CREATE, kind=FaultKind.BUSY)]
        case "lost":
            return [Fault(call=Call.CREATE, kind=FaultKind.DROP, taken=True)]
    if words.startswith("callback "):
        kind = _member(words.removeprefix("callback "))
        known = kind is not None and kind in CALLBACKS and kind is not FaultKind.PASS
        return [Fault(call=Call.CALLBACK, kind=kind)] if kind is not None and known else []
    if found := _ANSWER.fullmatch(words):
        return _answer(found)
    found = _TASK.fullmatch(words)
    kind = _member(found["kind"]) if found else None
    if found is None or kind is None or kind not in _SPOKEN:
        return []
    number = found["number"]
    if number is None:
        return [Fault(call=Call.TASK, kind=kind)] if kind is not FaultKind.CREDITS else []
    if kind not in _NUMBERED:
        return []
    match kind:
        case FaultKind.FAIL:
            return [Fault(call=Call.TASK, kind=kind, code=int(float(number)))]
        case FaultKind.CREDITS:
            return [Fault(call=Call.TASK, kind=kind, credits=float(number))]
        case _:
            return [Fault(call=Call.TASK, kind=kind, seconds=float(number))]


def _answer(found: re.Match[str]) -> list[Fault]:
    where = (found["call"] or "").strip()
    call = Call.STATUS if where == "status" else Call.CREATE
    times = LOOKS if call is Call.STATUS else 1
    taken = where == "taken"
    number = int(found["number"]) if found["number"] else None
    match found["kind"]:
        case "code" | "http" if number is None:
            return []
        case "code":
            kind, code, http = FaultKind.CODE, number, None
        case "http":
            kind, code, http = FaultKind.CODE, number, number
        case "page":
            kind, code, http = FaultKind.PAGE, None, number
        case word:
            if number is not None:
                return []
            kind, code, http = FaultKind(word), None, None
    return [Fault(call=call, kind=kind, code=code, http=http, taken=taken, times=times)]


def _member(words: str) -> FaultKind | None:
    name = words.replace(" ", "_")
    if name in _SHORT:
        return _SHORT[name]
    return next((kind for kind in FaultKind if kind.value == name), None)
