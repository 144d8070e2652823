"""
The stub server's tasks: what was asked for, how far it is, which files it makes.

A task knows its whole course when it is made. Nothing runs: how far it is follows from the moment.
"""

import hashlib
import json
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from attrs import define, field, frozen

from kiebot.adapters.kie.stub import files_asked_for
from kiebot.adapters.kie.stub_server.faults import PRIVATE_HOST, Fault, FaultKind
from kiebot.adapters.kie.stub_server.wire import WireModel

SLOW_S = 30.0
NULL_S = 2.0

EXTENSIONS = {"image": "png", "video": "mp4", "audio": "mp3"}
"""What is made of each kind of output; of the others, words."""

FAIL_CODE = 501
FAIL_TEXT = "Generation failed"


class Phase(StrEnum):
    """How far a task is; these are the words of /jobs."""

    WAITING = "waiting"
    QUEUING = "queuing"
    GENERATING = "generating"
    SUCCESS = "success"
    FAIL = "fail"


@frozen(kw_only=True)
class Timeline:
    """How long a task waits, is in the queue and is made."""

    waiting_s: float = 0.1
    queuing_s: float = 0.1
    generating_s: float = 0.3

    @classmethod
    def of(cls, whole_s: float) -> "Timeline":
        """One in which all of it takes so long."""
        return cls(waiting_s=0.2 * whole_s, queuing_s=0.2 * whole_s, generating_s=0.6 * whole_s)

    @property
    def whole_s(self) -> float:
        return self.waiting_s + self.queuing_s + self.generating_s


@define(kw_only=True, eq=False)
class StubTask:
    """
    One task. Moments are milliseconds since 1970, as kie.ai has them.

    `base` is the server's address as the client wrote it, where the result is; `ends_ms` is None
    for a task that never ends. `fault` says what is wrong with it, `telling` what is wrong with
    its callbacks, `looks` how the coming looks at it go wrong.
    """

    id: str
    model: WireModel
    body: Mapping[str, Any]
    base: str
    created_ms: int
    timeline: Timeline
    cost: Decimal
    fault: Fault | None = None
    telling: Fault | None = None
    looks: deque[Fault] = field(factory=deque)
    is_settled: bool = False

    @property
    def family(self) -> str:
        return self.model.family

    @property
    def callback_url(self) -> str | None:
        url = self.body.get("callBackUrl")
        return url if isinstance(url, str) and url else None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return parameters_of(self.body)

    @property
    def prompt(self) -> str:
        return prompt_of(self.body)[1]

    @property
    def ends_ms(self) -> int | None:
        if self.has(FaultKind.NEVER):
            return None
        whole_s = self.timeline.whole_s
        if self.fault is not None and self.fault.kind is FaultKind.SLOW:
            whole_s = SLOW_S if self.fault.seconds is None else self.fault.seconds
        return self.created_ms + round(1000 * whole_s)

    @property
    def fails(self) -> bool:
        return self.has(FaultKind.FAIL)

    @property
    def fail_code(self) -> int:
        code = None if self.fault is None else self.fault.code
        return FAIL_CODE if code is None else code

    @property
    def fail_text(self) -> str:
        if self.fault is None or (self.fault.code is None and self.fault.msg is None):
            return FAIL_TEXT
        return self.fault.text

    @property
    def taken(self) -> Decimal:
        """The credits that it took in the end."""
        return Decimal(0) if self.fails else self.cost

    def has(self, kind: FaultKind) -> bool:
        return self.fault is not None and self.fault.kind is kind

    def phase(self, now_ms: int) -> Phase:
        """How far it is."""
        if self.ends_ms is not None and now_ms >= self.ends_ms:
            return Phase.FAIL if self.fails else Phase.SUCCESS
        age_s = (now_ms - self.created_ms) / 1000
        if age_s < self.timeline.waiting_s:
            return Phase.WAITING
        if age_s < self.timeline.waiting_s + self.timeline.queuing_s:
            return Phase.QUEUING
        return Phase.GENERATING

    def is_hidden(self, now_ms: int) -> bool:
        """Whether kie.ai says that there is no such task."""
        if self.has(FaultKind.NULL_FOREVER):
            return True
        if self.fault is None or self.fault.kind is not FaultKind.NULL_RECORD:
            return False
        seconds = NULL_S if self.fault.seconds is None else self.fault.seconds
        return now_ms < self.created_ms + 1000 * seconds

    # --- Its files

    @property
    def count(self) -> int:
        """How many files it makes."""
        if self.model.files is not None:
            return self.model.files
        return files_asked_for(self.parameters)

    @property
    def extension(self) -> str | None:
        """That of its files; None where it makes words."""
        return EXTENSIONS.get(self.model.output)

    @property
    def seed(self) -> str:
        """Equal for equal requests: equal pictures come of them."""
        said = json.dumps([self.model.name, self.parameters], sort_keys=True)
        return hashlib.sha256(said.encode(errors="replace")).hexdigest()[:8]

    def urls(self) -> list[str]:
        """Where its files are."""
        if self.has(FaultKind.ADDRESS):
            return [self._elsewhere(number) for number in range(1, self.count + 1)]
        return [self.url(number) for number in range(1, self.count + 1)]

    def url(self, number: int) -> str:
        """Where one of its files is, the first being number 1."""
        return f"{self.base}/results/{self.id}/{number}.{self.extension}"

    def _elsewhere(self, number: int) -> str:
        address = self.fault.address if self.fault is not None else None
        return address or private_address(f"results/{number}.{self.extension}")


def private_address(path: str) -> str:
    """One that nobody should read."""
    return f"http://{PRIVATE_HOST}/{path}"


def parameters_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the model is asked with: under `input` in /jobs, the body itself elsewhere."""
    inner = body.get("input")
    return inner if isinstance(inner, Mapping) else body


def prompt_of(body: Mapping[str, Any]) -> tuple[str, str]:
    """The name of the field that is the prompt, and what it says; empty where there is none."""
    parameters = parameters_of(body)
    for name in ("prompt", "text"):
        value = parameters.get(name)
        if isinstance(value, str):
            return name, value
    return "prompt", ""
