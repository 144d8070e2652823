"""The page docs/adapters.md: what it shows is what runs, and the money is right."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kiebot.core.media import sniff
from tests.fakes.lines import call
from tests.fakes.terminal import Pipe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "adapters.md"
EXAMPLE = ROOT / "examples" / "frontend.py"
LINES = 100
"""Few enough to be read at once: some sixty of the class, and what starts it."""


def kiebot(folder: Path, env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "kiebot", *arguments],
        cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_the_example_as_it_is() -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )

    assert EXAMPLE.read_text("utf-8") in blocks
    assert len(EXAMPLE.read_text("utf-8").splitlines()) < LINES


@pytest.mark.parametrize("port", ["frontend", "kie", "media", "storage", "system"])
def test_the_page_names_every_class_of_a_port(port: str) -> None:
    source = (ROOT / "src" / "kiebot" / "ports" / f"{port}.py").read_text("utf-8")
    page = PAGE.read_text("utf-8")

    classes = re.findall(r"^class (\w+)\(.*Protocol\)", source, re.MULTILINE)

    assert [name for name in [f"ports/{port}.py", *classes] if name not in page] == []


def test_a_picture_is_paid_and_delivered(tmp_path: Path) -> None:
    """The example as it is started, a person at it, and the audit afterwards."""
    env = {"PATH": os.defpath, "HOME": str(tmp_path), "PORT": "0", "PYTHONUTF8": "1"}
    env["DATABASE_URL"] = f"sqlite:///{tmp_path / 'lines.db'}"
    shop = Pipe([sys.executable, str(EXAMPLE)], env, tmp_path)
    found = re.search(r"at port (\d+)", shop.sees("at port", "\n"))
    assert found is not None
    person = call(int(found[1]), tmp_path)
    person.sees("Hi, Anna!", "Balance: 1,000 ₽")
    for label in ("Create", "Visuals", "Flux 2 Pro (text)"):
        person.types(person.option(label))
    person.sees("Describe what to draw")

    person.types("a red cat on the moon")
    person.sees("To pay: 30 ₽")
    person.types(person.option("Create for 30 ₽"))
    said = person.sees("Charged 30 ₽, 970 ₽ left", ".png", "Again")

    # What was to be pressed before the news came still is.
    assert (person.option("Refresh"), person.option("Again")) == ("/1", "/4")
    (picture,) = (tmp_path / "results").iterdir()
    assert str(picture.relative_to(tmp_path)) in said
    assert sniff(picture.read_bytes()) == "image/png"
    person.types("/balance")
    person.sees("Balance: 970 ₽", "−30 ₽")
    assert person.ends() == 0
    shop.kill()
    audit = json.loads(kiebot(tmp_path, env, "audit", "--json"))
    assert audit == {"ok": True, "problems": [], "wallets": 1, "entries": 3, "jobs": 1}
