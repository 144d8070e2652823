"""Where people are."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kiebot.core.dialog.screen import Screen
from kiebot.core.users import UserId
from kiebot.ports.kie import InputFile


class Frontend(Protocol):
    """A place where people are met."""

    async def show(self, user_id: UserId, screen: Screen) -> None:
        """
        Show a screen that was not asked for, such as a result.

        Raises:
            FrontendRefusedError: The person cannot be reached here, now or later.
        """

    def open(self, reference: str) -> AbstractAsyncContextManager[InputFile]:
        """
        Read what a person attached.

        Raises:
            MediaError: It cannot be read.
        """

    async def run(self) -> None:
        """Serve people until they are done (the terminal) or until cancelled."""
