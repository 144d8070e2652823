"""Where people are."""

from asyncio import Future
from collections.abc import Callable, Mapping
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
            FrontendUnavailableError: They cannot be reached now; try later, in the same order.
        """

    def open(self, reference: str) -> AbstractAsyncContextManager[InputFile]:
        """
        Read what a person attached.

        Raises:
            MediaError: It cannot be read.
        """

    async def run(self) -> None:
        """Serve people until they are done (the terminal) or until cancelled."""


class UpdateFrontend(Frontend, Protocol):
    """A frontend that is told in updates what people did; whoever receives them keeps them."""

    async def handle(
        self, update: Mapping[str, object], is_ours: Callable[[], bool] = lambda: True
    ) -> "Future[None] | None":
        """
        Do what an update asks for, to its end: the use-case, and the reply.

        A reply that cannot be delivered now is not waited for long: it is tried on while others
        are served, until a newer one replaces it. What is returned then is done when that is over
        (SilencedError, too); None where nothing is left. An update that makes no sense is over
        with. `is_ours` says whether no other instance may be handling it meanwhile: what was read
        then is answered by nobody but that one.

        Raises:
            StorageError: Nothing can be looked up or stored; try later.
            UpdateDoneError: Another instance did it, and replies.
            LeadLostError: Another instance leads, and does it.
            SilencedError: Nothing was said, as that may be for another instance to do.
            Exception: Whatever else goes wrong unexpectedly: it is tried again some times.
        """

    async def answer_press(self, update: Mapping[str, object]) -> None:
        """
        Let go of the button that was pressed, if this is about one, before anything else is done.

        Never raises; `handle` answers what was not answered here.
        """

    def share(self, instances: int) -> None:
        """So many send side by side, and the limits of the far side are for all of them."""

    async def close(self) -> None:
        """End what is still being delivered, and give everything back."""
