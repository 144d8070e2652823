"""The README's way to try the shop live, without a key: as it is written there."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes.kie_server import kie_process

ROOT = Path(__file__).parents[2]
PICTURE = ("mcat:visuals", "mmodel:flux-2/pro-text-to-image", "a red cat", "1")


def _second_terminal() -> str:
    """What the README has people type in the second terminal."""
    section = (ROOT / "README.md").read_text("utf-8").partition("## Try it live")[2]
    first, second = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[:2]
    assert first.split() == [".venv/bin/kiebot", "stub-kie"]
    return str(second)


def _types(address: str, folder: Path, answers: Sequence[str]) -> str:
    """What is seen, with the answers given to its last command."""
    script = _second_terminal().replace("http://127.0.0.1:8765", address)
    script = script.replace(".venv/bin/kiebot", f"{sys.executable} -m kiebot")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        input="".join(f"{answer}\n" for answer in answers),
        env={"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _audit(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "kiebot", "audit", "--database", "sqlite:///trial.db"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_picture_is_bought_and_saved(tmp_path: Path) -> None:
    with kie_process(tmp_path, "--strict") as address:
        seen = _types(address, tmp_path, PICTURE)

    (picture,) = (tmp_path / "kiebot-results").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.name in seen
    assert "970" in seen
    _audit(tmp_path)


@pytest.mark.parametrize("prompt", ["refuse", "fail 422", "no result", "private"])
def test_what_goes_wrong_costs_nothing(tmp_path: Path, prompt: str) -> None:
    with kie_process(tmp_path) as address:
        seen = _types(address, tmp_path, (*PICTURE[:2], prompt, "1", "/balance"))

    assert "30 ₽" in seen
    assert not (tmp_path / "kiebot-results").exists()
    _audit(tmp_path)


def test_a_file_of_the_disk_is_uploaded_and_worked_on(tmp_path: Path) -> None:
    cat = tmp_path / "cat.png"
    cat.write_bytes(PNG)
    with kie_process(tmp_path, "--strict") as address:
        _types(address, tmp_path, ("mmodel:recraft/remove-background", str(cat), "1"))

    (picture,) = (tmp_path / "kiebot-results").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")
    _audit(tmp_path)


PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\x02\0\0\0\x90wS\xde"
    b"\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\1\1\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82"
)
