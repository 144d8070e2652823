"""
Media: what a file is, told by its first bytes and never by its name.

Sources of the signatures: the formats' own specifications (PNG, JPEG/JFIF, RIFF, ISO base media,
Matroska, MPEG audio, Ogg, FLAC, ASF, PDF).
"""

import codecs
from decimal import Decimal
from enum import StrEnum

from attrs import frozen


class MediaKind(StrEnum):
    """What a file is to a person."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    DOCUMENT = "document"


@frozen(kw_only=True)
class Attachment:
    """
    A file a person gave as an answer.

    `reference` is what the frontend opens it by: `file:///absolute/path`, `https://...`, or a
    frontend's own. `mime` comes from the content and is None where it is not known yet; `size` is
    in bytes, None likewise. `seconds` is how long a sound or clip lasts, None where nobody
    measured it.
    """

    reference: str
    name: str = ""
    mime: str | None = None
    size: int | None = None
    digest: str | None = None
    seconds: Decimal | None = None


@frozen(kw_only=True)
class SentFile:
    """A file as a frontend keeps it: by an id of the frontend's own, as a file of this kind."""

    file_id: str
    kind: MediaKind


@frozen(kw_only=True)
class Measured:
    """
    What the content of a file says: `mime` as `sniff` does (`UNKNOWN_MIME` where that knows
    nothing), `size` in bytes, and how many `seconds` a sound or clip lasts (None: it has no
    duration, or none that can be read).

    `mime` is None where the content was not looked into at all.
    """

    mime: str | None
    size: int
    seconds: Decimal | None = None


UNKNOWN_MIME = "application/octet-stream"
"""What a file is that `sniff` does not know (RFC 2046)."""

MAX_FILE_BYTES = 200 * 1024 * 1024
"""
The largest file that is read, where nobody states a lower limit.

As much as the most generous model of KIE takes, and little enough for a small disk.
"""

SNIFF_BYTES = 64
"""How many leading bytes `sniff` wants."""

_ISO_BRANDS = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
}
_PREFIXES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "audio/x-ms-wma"),
    (b"%PDF-", "application/pdf"),
)
_RIFF_FORMS = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}


def sniff(head: bytes) -> str | None:
    """The MIME type that the first `SNIFF_BYTES` bytes of a file show, or None."""
    for prefix, mime in _PREFIXES:
        if head.startswith(prefix):
            return mime
    # Words can begin like these two ("BMW", "ID3 tags"), so the next fields count as well.
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "image/bmp"
    if head[:3] == b"ID3" and head[3:4] in {b"\x02", b"\x03", b"\x04"}:
        return "audio/mpeg"
    if head[:4] == b"RIFF":
        return _RIFF_FORMS.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _ISO_BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head else "video/x-matroska"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0x06:
        # An MPEG audio frame; layer bits 00 mean ADTS, which is AAC. Bits 11, layer I, nobody
        # uses; they are those of the mark that UTF-16 texts begin with.
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    if _is_text(head):
        return "text/plain"
    return None


def kind_of(mime: str | None) -> MediaKind:
    """The kind of a MIME type; a document where it is none of the others."""
    match (mime or "").split("/")[0]:
        case "image":
            return MediaKind.IMAGE
        case "video":
            return MediaKind.VIDEO
        case "audio":
            return MediaKind.AUDIO
        case "text":
            return MediaKind.TEXT
        case _:
            return MediaKind.DOCUMENT


EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/avif": "avif",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/x-ms-wma": "wma",
    "application/pdf": "pdf",
    "text/plain": "txt",
}
"""The file name extension of each type that `sniff` knows."""


def _is_text(head: bytes) -> bool:
    # The cut may be inside a character: bytes that only begin one do not count.
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(char.isprintable() or char in "\t\r\n" for char in text)
