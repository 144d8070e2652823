"""
KIE: who generates.

Whoever implements this turns every way in which KIE can answer into the values of
`kiebot.core.tasks` and the errors named here. No call retries what could be paid twice.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Protocol

from kiebot.core.tasks import TaskId, TaskRequest, TaskStatus


class InputFile(Protocol):
    """A file being read."""

    @property
    def name(self) -> str:
        """Its file name."""

    @property
    def mime(self) -> str | None:
        """What its content is (`kiebot.core.media.sniff`), None where unknown."""

    @property
    def size(self) -> int | None:
        """Its bytes, None where that is known only at the end."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Its content, in order, once; MediaError where reading fails."""


class KieClient(Protocol):
    """kie.ai, or something that answers as it does."""

    async def create_task(self, request: TaskRequest) -> TaskId:
        """
        Have KIE start generating.

        Not idempotent: KIE bills every call it accepts.

        Raises:
            KieUnavailableError: KIE did not take it; try later.
            KieNoAnswerError: Nobody knows whether KIE took it.
            KieRejectedError: KIE will not do this; do not try again.
            KieOperatorError: KIE refuses the operator; do not try again.
        """

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:
        """
        How far a task is. The request is the one it was made from: its model says where to ask.

        Raises:
            KieUnavailableError: No answer this time; ask again.
            KieOperatorError: KIE refuses the operator; ask again when that is mended.
        """

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:
        """
        Whether KIE's own record of this task is of this request: its model, and where KIE shows
        it, the callback address. False, too, for a task that KIE does not know.

        Raises:
            KieUnavailableError, KieOperatorError: As in `task_status`.
        """

    async def upload(self, file: InputFile) -> str:
        """
        Hand KIE a file; the address from which a task reads it. Streamed, never whole in memory.

        Raises:
            KieUnavailableError: Not taken; try later.
            KieRejectedError: KIE will not take this file.
            KieOperatorError: KIE refuses the operator.
            MediaError: The file cannot be read.
        """

    async def credits(self) -> Decimal:
        """
        What the operator has left, in KIE's credits.

        Raises:
            KieUnavailableError: No answer.
            KieOperatorError: KIE refuses the operator.
        """

    def open_result(self, url: str) -> AbstractAsyncContextManager[InputFile]:
        """
        Read a file that a task made.

        Raises:
            MediaError: It is gone, too large, or at an address that is not read.
        """
