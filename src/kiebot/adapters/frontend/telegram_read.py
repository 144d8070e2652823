"""
What a person sent -> what they did. Pure: nothing is asked or downloaded here.
"""

from aiogram.types import Message, MessageOriginUnion, MessageOriginUser, PhotoSize
from attrs import frozen

from kiebot.core.dialog.screen import Attach, Did, Say
from kiebot.core.media import Attachment, MediaKind, SentFile

REFERENCE = "telegram:"
"""How a reference to a file of Telegram begins; its `file_id` follows."""

_HINTED = frozenset(
    {
        "location",
        "venue",
        "contact",
        "poll",
        "dice",
        "game",
        "story",
        "invoice",
        "paid_media",
        "checklist",
        "giveaway",
        "giveaway_winners",
    }
)
"""What a person sends on purpose and nobody here understands. All else is Telegram's own notes."""


@frozen
class NotUnderstood:
    """Something that is answered with a hint."""


def read(message: Message, *, is_more: bool = False) -> Did | NotUnderstood | None:
    """What was done; None where nobody waits for an answer."""
    if message.text is not None:
        return Say(message.text)
    file = attachment(message)
    if file is not None:
        return Attach(file, words=message.caption or "", is_more=is_more)
    return NotUnderstood() if message.content_type in _HINTED else None


def attachment(message: Message) -> Attachment | None:
    """
    The file of a message.

    What a sender says of a file is not taken for its content: `mime` is there only where Telegram
    made the file itself. The digest is Telegram's own mark of the same file, whoever sends it.
    """
    if message.photo:
        return _attachment(max(message.photo, key=_area), "photo.jpg", "image/jpeg")
    if message.sticker is not None:
        still = not message.sticker.is_animated and not message.sticker.is_video
        return _attachment(message.sticker, "sticker.webp", "image/webp" if still else None)
    if message.animation is not None:
        return _attachment(message.animation, message.animation.file_name or "animation.mp4")
    if message.video is not None:
        return _attachment(message.video, message.video.file_name or "video.mp4")
    if message.audio is not None:
        return _attachment(message.audio, message.audio.file_name or "audio.mp3")
    if message.voice is not None:
        return _attachment(message.voice, "voice.ogg")
    if message.video_note is not None:
        return _attachment(message.video_note, "video.mp4")
    if message.document is not None:
        return _attachment(message.document, message.document.file_name or "file")
    return None


def writer_of(origin: MessageOriginUnion) -> str:
    """The id of who wrote a forwarded message; empty where they do not want that to be known."""
    return str(origin.sender_user.id) if isinstance(origin, MessageOriginUser) else ""


def sent_file(message: Message) -> SentFile | None:
    """Under which id Telegram keeps the file that was sent, and as what."""
    if message.photo:
        file_id = max(message.photo, key=_area).file_id
        return SentFile(file_id=file_id, kind=MediaKind.IMAGE)
    if message.video is not None:
        return SentFile(file_id=message.video.file_id, kind=MediaKind.VIDEO)
    if message.audio is not None:
        return SentFile(file_id=message.audio.file_id, kind=MediaKind.AUDIO)
    if message.document is not None:
        return SentFile(file_id=message.document.file_id, kind=MediaKind.DOCUMENT)
    return None


def file_id_of(reference: str) -> str | None:
    """The `file_id` of a reference, None for any other reference."""
    return reference.removeprefix(REFERENCE) if reference.startswith(REFERENCE) else None


def _attachment(file: object, name: str, mime: str | None = None) -> Attachment:
    file_id: str = getattr(file, "file_id")  # noqa: B009 - every kind of file has these
    unique_id: str = getattr(file, "file_unique_id")  # noqa: B009
    return Attachment(
        reference=f"{REFERENCE}{file_id}",
        name=name,
        mime=mime,
        size=getattr(file, "file_size", None),
        digest=f"{REFERENCE}{unique_id}",
    )


def _area(photo: PhotoSize) -> int:
    return photo.width * photo.height
