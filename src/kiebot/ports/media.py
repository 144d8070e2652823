"""
Media: files that people name, looked into before anything is paid for them.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from kiebot.core.media import Measured
from kiebot.ports.kie import InputFile

OpenFile: TypeAlias = Callable[[str], AbstractAsyncContextManager[InputFile]]
"""Reads what a person attached, by its reference (MediaError)."""


class SpooledFile(InputFile, Protocol):
    """A file that was read to its end once; its `chunks` can be had as often as wanted."""

    @property
    def measured(self) -> Measured:
        """What its content is; `mime` and `size` are those of the file."""


class Media(Protocol):
    """Reads public addresses, and looks into files by their content."""

    @property
    def reads_addresses(self) -> bool:
        """False: there is no network; KIE is handed an address as it stands."""

    def fetch(self, url: str) -> AbstractAsyncContextManager[InputFile]:
        """
        Read a public http(s) address, streamed.

        Raises:
            MediaError: It is gone, too large, too slow, or at an address that is not read: one
                that is not public, also behind a redirect.
        """

    def spool(
        self, file: InputFile, *, max_bytes: int | None = None, timed: bool = False
    ) -> AbstractAsyncContextManager[SpooledFile]:
        """
        Read a file to its end, onto the disk for as long as the block lasts, and say what it is.

        So a file is checked and handed on as the same bytes, whatever its source would answer a
        second time. `max_bytes` may only lower the adapter's own limit. `timed`: the seconds of a
        sound or clip are measured, too, by its content and never by a header alone.

        Raises:
            MediaError: Reading it failed, or it is too large.
        """
