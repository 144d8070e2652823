"""Which messages go on telling something, wherever they were said from."""

from collections.abc import Sequence

from kiebot.core.notices import About, Notice
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.ports.storage import Storage
from kiebot.ports.system import Clock


class NoticeBoard:
    """The notices of all people. All raise StorageError."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def of_person(self, user_id: UserId) -> Sequence[Notice]:
        """The messages of a person that go on telling something."""
        async with self._storage.read() as uow:
            return await uow.notices.of_person(user_id)

    async def of_topup(self, topup_id: TopUpId) -> Sequence[Notice]:
        """The messages that tell what became of a request."""
        async with self._storage.read() as uow:
            return await uow.notices.of(About.TOPUP, topup_id)

    async def of_jobs(self, limit: int) -> Sequence[Notice]:
        """The newest messages that tell how far a job is."""
        async with self._storage.read() as uow:
            return await uow.notices.newest(About.JOB, limit)

    async def put(self, notice: Notice) -> None:
        """A message tells this from now on, and of it no other message of that person."""
        async with self._storage.begin() as uow:
            await uow.notices.save(notice, self._clock())

    async def remove(self, user_id: UserId, message_ids: Sequence[int]) -> None:
        """These messages of a person tell it no more."""
        async with self._storage.begin() as uow:
            await uow.notices.remove(user_id, message_ids)
