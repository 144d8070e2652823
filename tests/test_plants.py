"""The known mistakes of `tests/plants.py` can still be made: the code has the place for each."""

import shutil
from pathlib import Path

import pytest

from tests.plants import HOLES, PLANTS, ROOT, Plant


@pytest.mark.parametrize("plant", [*PLANTS, *HOLES], ids=lambda plant: plant.name)
def test_there_is_still_a_place_for_it(tmp_path: Path, plant: Plant) -> None:
    copy = tmp_path / plant.path
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / plant.path, copy)

    plant.sow(tmp_path)

    assert copy.read_text("utf-8") != (ROOT / plant.path).read_text("utf-8")


@pytest.mark.parametrize("plant", [*PLANTS, *HOLES], ids=lambda plant: plant.name)
def test_its_tests_are_there(plant: Plant) -> None:
    for test in plant.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists()
        assert not name or f"def {name}(" in (ROOT / path).read_text("utf-8")
