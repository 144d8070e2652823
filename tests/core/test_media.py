"""Files are known by their first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiebot.core.media import EXTENSIONS, SNIFF_BYTES, MediaKind, kind_of, sniff

HEADS = {
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "image/gif": b"GIF89a\x01\0\x01\0",
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "image/bmp": b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0",
    "image/heic": b"\0\0\0\x18ftypheic",
    "image/heif": b"\0\0\0\x18ftypmif1",
    "image/avif": b"\0\0\0\x18ftypavif",
    "video/mp4": b"\0\0\0\x18ftypisom",
    "video/quicktime": b"\0\0\0\x14ftypqt  ",
    "video/webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm",
    "video/x-matroska": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska",
    "video/x-msvideo": b"RIFF\x24\0\0\0AVI LIST",
    "audio/mpeg": b"ID3\x04\0\0\0\0\0\0",
    "audio/mp4": b"\0\0\0\x18ftypM4A ",
    "audio/aac": b"\xff\xf1\x50\x80",
    "audio/ogg": b"OggS\0\x02",
    "audio/wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "audio/flac": b"fLaC\0\0\0\x22",
    "audio/x-ms-wma": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa",
    "application/pdf": b"%PDF-1.7\n",
    "text/plain": "Привет, мир!\n".encode(),
}


@pytest.mark.parametrize(("mime", "head"), HEADS.items())
def test_a_file_is_known_by_its_first_bytes(mime: str, head: bytes) -> None:
    assert sniff(head) == mime


def test_every_known_type_has_an_extension() -> None:
    assert set(HEADS) == set(EXTENSIONS)


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"BMW for sale", "text/plain"),
        (b"ID3 tags explained", "text/plain"),
        ("\ufeffUTF-16".encode("utf-16-le"), None),
        (b"RIFF\x24\0\0\0ACON", None),
        (b"MZ\x90\0", None),
        (b"text\0with a NUL", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_what_only_looks_like_a_type_is_not_taken_for_it(head: bytes, mime: str | None) -> None:
    assert sniff(head) == mime


def test_a_text_cut_inside_a_letter_is_still_text() -> None:
    head = ("a" * (SNIFF_BYTES - 1) + "я").encode()[:SNIFF_BYTES]

    assert sniff(head) == "text/plain"


@given(st.binary(max_size=SNIFF_BYTES))
def test_any_bytes_have_a_known_type_or_none(head: bytes) -> None:
    assert sniff(head) in {None, *EXTENSIONS}


@pytest.mark.parametrize(
    ("mime", "kind"),
    [
        ("image/png", MediaKind.IMAGE),
        ("video/mp4", MediaKind.VIDEO),
        ("audio/ogg", MediaKind.AUDIO),
        ("text/plain", MediaKind.TEXT),
        ("application/pdf", MediaKind.DOCUMENT),
        (None, MediaKind.DOCUMENT),
    ],
)
def test_a_type_has_a_kind(mime: str | None, kind: MediaKind) -> None:
    assert kind_of(mime) is kind
