"""docs/security.md: what it names is there (and `tests/test_plants.py`: its holes)."""

import re

from tests.plants import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(test_[a-z_]+)`", PAGE))
    there = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(named) >= 30
    assert {name for name in named if f"def {name}(" not in there} == set()


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:tests|core|adapters)/[a-z_/]*(?:\.py)?)`", PAGE))

    assert named
    for name in named:
        place = ROOT if name.startswith("tests") else ROOT / "src" / "kiebot"
        assert (place / name).exists(), name
