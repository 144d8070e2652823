"""
Inputs: the files that people name as answers, looked into before anything is paid.

Nothing is locked while a file is read, and each is waited for by nobody but who named it.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from attrs import evolve

from kiebot.core import files, pricing
from kiebot.core.catalog import Model
from kiebot.core.errors import AnswerProblem, InvalidAnswerError, MediaError, MediaTrouble
from kiebot.core.media import MAX_FILE_BYTES, Attachment
from kiebot.core.params import MB, Answers, FileParam, FilesParam, check_file, most_bytes
from kiebot.ports.media import Media, OpenFile

LOOK_S = 20.0
"""Seconds that a person waits for a file to be looked into. Our choice."""

_PROBLEMS = {
    MediaTrouble.GONE: AnswerProblem.FILE_GONE,
    MediaTrouble.NOT_NOW: AnswerProblem.TOO_SLOW,
    MediaTrouble.NOT_PUBLIC: AnswerProblem.NOT_PUBLIC,
    MediaTrouble.TOO_SLOW: AnswerProblem.TOO_SLOW,
    MediaTrouble.TOO_LARGE: AnswerProblem.FILE_TOO_LARGE,
}


class Inputs:
    """Looks into files: addresses through `media`, everything else as a frontend opens it."""

    def __init__(self, media: Media, *, look_s: float = LOOK_S) -> None:
        self._media = media
        self._look_s = look_s
        self._open_file: OpenFile | None = None

    def open_with(self, open_file: OpenFile) -> None:
        """How what people attach is read from now on; until then only addresses are."""
        self._open_file = open_file

    async def look(self, model: Model, name: str, file: Attachment) -> Attachment:
        """
        The file with what its content says, as far as this question needs to know it.

        A file that nobody can open here is taken as it is, unless its length matters.

        Raises:
            InvalidAnswerError: It is no answer to this question, or cannot be read.
        """
        param = files.file_param(model, name)
        if param is None or _is_known(model, param, file):
            return file
        open_file = self._media.fetch if files.is_address(file.reference) else self._open_file
        if open_file is None:
            if not pricing.is_timed(model, param):
                return file
            raise InvalidAnswerError(name, AnswerProblem.FILE_GONE, given=file.name)
        try:
            async with asyncio.timeout(self._look_s):
                seen = await self._seen(model, param, file, open_file)
        except TimeoutError:
            raise InvalidAnswerError(name, AnswerProblem.TOO_SLOW, given=file.name) from None
        except MediaError as error:
            raise _refusal(param, file, error) from error
        files.check(model, param, seen)
        return seen

    async def look_all(
        self, model: Model, name: str, given: Sequence[Attachment]
    ) -> Sequence[Attachment]:
        """Several files of one answer at once; the error of the first that is none."""
        try:
            async with asyncio.TaskGroup() as group:
                looks = [group.create_task(self.look(model, name, file)) for file in given]
        except* InvalidAnswerError as several:
            raise several.exceptions[0] from None
        return [look.result() for look in looks]

    async def measures(
        self,
        model: Model,
        answers: Answers,
        known: Mapping[str, Decimal],
        trusted: Collection[str] = (),
    ) -> dict[str, Decimal]:
        """
        How many seconds the files of answers last, by their references, where that matters.

        `known` was measured before. `trusted` files were answers to these questions before: they
        are looked into only where it is not known how long they last.

        Raises:
            InvalidAnswerError: A file is no answer to its question, or cannot be read.
        """
        found: dict[str, Decimal] = {}
        asked = [param for param in model.params if isinstance(param, FileParam | FilesParam)]
        for param in asked:
            is_timed = pricing.is_timed(model, param)
            for reference in files.references(answers, param.name):
                seconds = known.get(reference)
                if reference not in trusted or (is_timed and seconds is None):
                    file = Attachment(reference=reference, seconds=seconds)
                    seconds = (await self.look(model, param.name, file)).seconds
                if seconds is not None:
                    found[reference] = seconds
        return found

    async def _seen(
        self, model: Model, param: FileParam | FilesParam, file: Attachment, open_file: OpenFile
    ) -> Attachment:
        async with open_file(file.reference) as source:
            seen = evolve(file, mime=source.mime, size=source.size)
            # What its beginning shows is told before all of it is read.
            check_file(param, seen)
            is_timed = pricing.is_timed(model, param)
            if not is_timed and source.mime is not None and source.size is not None:
                return seen
            async with self._media.spool(
                source, max_bytes=most_bytes(param), timed=is_timed
            ) as spooled:
                measured = spooled.measured
                return evolve(
                    file, mime=measured.mime, size=measured.size, seconds=measured.seconds
                )


def _is_known(model: Model, param: FileParam | FilesParam, file: Attachment) -> bool:
    if file.mime is None or file.size is None:
        return False
    return file.seconds is not None or not pricing.is_timed(model, param)


def _refusal(
    param: FileParam | FilesParam, file: Attachment, error: MediaError
) -> InvalidAnswerError:
    limit = None
    if error.trouble is MediaTrouble.TOO_LARGE:
        most = min(error.most_bytes or MAX_FILE_BYTES, MAX_FILE_BYTES) // MB
        limit = min(param.max_mb or most, most)
    return InvalidAnswerError(param.name, _PROBLEMS[error.trouble], given=file.name, limit=limit)
