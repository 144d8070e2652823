"""What every storage keeps of files that a frontend has: under which id, and as what."""

from datetime import UTC, datetime

import pytest

from kiebot.core.errors import StorageError
from kiebot.core.media import MediaKind, SentFile
from kiebot.ports.storage import Storage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADDRESS = "https://files.example.org/cat.png"
PHOTO = SentFile(file_id="AgAC-1", kind=MediaKind.IMAGE)
FILE = SentFile(file_id="BQAC-1", kind=MediaKind.DOCUMENT)


async def keep(storage: Storage, address: str, kind: MediaKind, sent: SentFile) -> None:
    async with storage.begin() as uow:
        await uow.sent.save(address, kind, sent, NOON)


async def kept(storage: Storage, address: str, kind: MediaKind) -> SentFile | None:
    async with storage.read() as uow:
        return await uow.sent.get(address, kind)


async def test_a_sent_file_is_found_by_its_address_and_what_it_was_to_be(storage: Storage) -> None:
    """A photo cannot be sent as a document: each has an id of its own."""
    await keep(storage, ADDRESS, MediaKind.IMAGE, PHOTO)
    await keep(storage, ADDRESS, MediaKind.DOCUMENT, FILE)
    await keep(storage, ADDRESS + "2", MediaKind.IMAGE, FILE)

    assert await kept(storage, ADDRESS, MediaKind.IMAGE) == PHOTO
    assert await kept(storage, ADDRESS, MediaKind.DOCUMENT) == FILE
    assert await kept(storage, ADDRESS + "2", MediaKind.IMAGE) == FILE
    assert await kept(storage, ADDRESS, MediaKind.VIDEO) is None
    assert await kept(storage, "https://files.example.org/", MediaKind.IMAGE) is None


async def test_a_later_one_takes_the_place_of_an_earlier(storage: Storage) -> None:
    await keep(storage, ADDRESS, MediaKind.IMAGE, PHOTO)
    await keep(storage, ADDRESS, MediaKind.IMAGE, FILE)

    assert await kept(storage, ADDRESS, MediaKind.IMAGE) == FILE


@pytest.mark.parametrize("address", ["x" * 100_000, "https://пример.рф/кот", "\ud800", ""])
async def test_any_address_can_be_kept(storage: Storage, address: str) -> None:
    """Signed addresses are longer than an index takes."""
    await keep(storage, address, MediaKind.VIDEO, FILE)

    assert await kept(storage, address, MediaKind.VIDEO) == FILE


async def test_a_snapshot_keeps_nothing(storage: Storage) -> None:
    with pytest.raises(StorageError):
        async with storage.read() as uow:
            await uow.sent.save(ADDRESS, MediaKind.IMAGE, PHOTO, NOON)
