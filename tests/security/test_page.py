"""docs/security.md: what it names is there, and its holes can be planted."""

import re
from pathlib import Path

import pytest

from tests.plants import HOLES, ROOT, Plant

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


@pytest.mark.parametrize("plant", HOLES, ids=lambda plant: plant.name)
def test_every_hole_still_has_its_place(plant: Plant, tmp_path: Path) -> None:
    """Whether its tests find it takes longer: `nox -s plants -- security`."""
    file = tmp_path / plant.path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((ROOT / plant.path).read_text("utf-8"), "utf-8")

    plant.sow(tmp_path)

    assert file.read_text("utf-8") != (ROOT / plant.path).read_text("utf-8")
    for test in plant.tests:
        assert (ROOT / test.partition("::")[0]).exists(), test
