"""
Callbacks: how KIE says that a task may be done, and how it is known to be KIE.

A callback is only a hint to look. KIE signs the task's id and a moment, not the body, so nothing
that the body says is believed but the id, and the result is read from KIE.

Source of the signature: "Webhook Verification" in KIE's documentation.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from attrs import field, frozen

from kiebot.core.tasks import TaskId
from kiebot.core.wallet import JobId

PATH = "/kie/callback"
"""Where KIE posts to, under the public address of the shop."""

SIGNATURE_HEADER = "X-Webhook-Signature"
TIMESTAMP_HEADER = "X-Webhook-Timestamp"

REPLAY_WINDOW_S = 300
"""How far a callback's moment may be from now; KIE documents no window, so this is ours."""

MAX_TASK_ID = 200
"""Characters of a task's id that are taken; those seen have about 40."""

_KEY_CHARS = 32
_TIMESTAMP = re.compile(r"\d{1,12}", re.ASCII)


@frozen(kw_only=True)
class Callbacks:
    """The public address (no slash at its end) at which KIE reaches this shop, and its secret."""

    address: str
    secret: str = field(repr=False)

    def url(self, job_id: JobId) -> str:
        """Where KIE posts what became of this job's task."""
        return f"{self.address}{PATH}?{urlencode({'job': job_id, 'key': self.key(job_id)})}"

    def key(self, job_id: JobId) -> str:
        """The secret of one job: who knows it was told it by us. Safe in an address."""
        # Whoever asks may name any job: half a character is no reason to break.
        named = f"job:{job_id}".encode(errors="replace")
        return hmac.new(self.secret.encode(), named, hashlib.sha256).hexdigest()[:_KEY_CHARS]

    def knows(self, job_id: str, key: str) -> bool:
        """Whether this is the key of that job."""
        return hmac.compare_digest(self.key(JobId(job_id)).encode(), key.encode(errors="replace"))

    def is_signed(self, task_id: TaskId, timestamp: str, signature: str, at: datetime) -> bool:
        """Whether KIE signed this task's id at that moment, not long ago."""
        if not _TIMESTAMP.fullmatch(timestamp):
            return False
        if abs(at.timestamp() - int(timestamp)) > REPLAY_WINDOW_S:
            return False
        wanted = sign(self.secret, task_id, timestamp)
        return hmac.compare_digest(wanted.encode(), signature.encode(errors="replace"))


def sign(secret: str, task_id: str, timestamp: str) -> str:
    """KIE's signature: base64 of HMAC-SHA256 over `<task id>.<Unix time in seconds>`."""
    message = f"{task_id}.{timestamp}".encode(errors="replace")
    return base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()


def task_id(body: object) -> TaskId | None:
    """The task that a callback's body is about, wherever KIE's pages put it; None: nowhere."""
    if not isinstance(body, Mapping):
        return None
    data = body.get("data")
    inner: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    for found in (inner.get("taskId"), inner.get("task_id"), body.get("taskId")):
        if not isinstance(found, str) or not 0 < len(found) <= MAX_TASK_ID:
            continue
        # Control characters and halves of characters are in no task's id, and no database's.
        if found.isprintable():
            return TaskId(found)
    return None
