"""
Plants known mistakes into copies of kiebot and shows that the tests of the money find each.

    python -m tests.plants

A test that cannot fail proves nothing; these are the mistakes that such code is known for.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

ROOT = Path(__file__).parent.parent
STORAGE = "src/kiebot/adapters/storage"
TESTS = ("tests/core", "tests/contracts/test_storage.py", "tests/contracts/test_storage_races.py",
         "tests/acceptance/test_races.py")  # fmt: skip


@frozen(kw_only=True)
class Plant:
    """
    A mistake: in one file, pieces of text and what stands there instead. `tests` are to find it.
    """

    name: str
    path: str
    changes: Mapping[str, str] = field(factory=dict)
    tests: tuple[str, ...] = TESTS

    def sow(self, root: Path) -> None:
        """Make the mistake; ValueError where the file no longer has the place for it."""
        file = root / self.path
        text = file.read_text("utf-8")
        for old, new in self.changes.items():
            if text.count(old) != 1:
                raise ValueError(f"{self.name}: {old!r} stands {text.count(old)} times")
            text = text.replace(old, new)
        file.write_text(text, "utf-8")


PLANTS = (
    Plant(
        name="PostgreSQL: the wallet is updated, then the entry is inserted or does nothing",
        path=f"{STORAGE}/postgres.py",
        changes={
            "wallets.balance_kop + posted.amount_kop * $9": "wallets.balance_kop + $3 * $9",
            "wallets.hold_kop + posted.amount_kop * $10": "wallets.hold_kop + $3 * $10",
            '" from posted where wallets.user_id = posted.user_id"': (
                '" from locked where wallets.user_id = locked.user_id"'
            ),
        },
    ),
    Plant(
        name="SQLite: the wallet is updated although no entry was inserted",
        path=f"{STORAGE}/sqlite.py",
        changes={"    if not posted:\n        return False\n": ""},
    ),
    Plant(
        name="the status is missing in the where of a job's update",
        path=f"{STORAGE}/sql.py",
        changes={
            '" updated_at = $16, measures = $17"\n        " where id = $1 and status = $2': (
                '" updated_at = $16, measures = $17"\n'
                "        \" where id = $1 and coalesce($2, '') = $2"
            )
        },
    ),
    Plant(
        name="the status is missing in the where of a top-up's update",
        path=f"{STORAGE}/sql.py",
        changes={
            '" reviewed_at = $7, why = $8"\n            " where id = $1 and status = $2': (
                '" reviewed_at = $7, why = $8"\n'
                "            \" where id = $1 and coalesce($2, '') = $2"
            )
        },
    ),
    Plant(
        name="the unique key of the ledger's ref is missing",
        path=f"{STORAGE}/schema/0001_initial.sql",
        changes={"ref text not null constraint ledger_ref_once unique": "ref text not null"},
    ),
    Plant(
        name="prices are made with floats",
        path="src/kiebot/core/pricing.py",
        changes={
            "    return Money((2 * kie_price.kopecks * over + under) // (2 * under))": (
                "    return Money(int(kie_price.kopecks * (over / under)))"
            )
        },
    ),
    Plant(
        name="amounts are read with floats",
        path="src/kiebot/core/money.py",
        changes={
            '    kopecks = int(whole) * 100 + int((match["part"] or "").ljust(2, "0"))': (
                "    kopecks = int(float(f\"{whole}.{match['part'] or 0}\") * 100)"
            )
        },
    ),
    Plant(
        name="a repeated ref passes whatever it says",
        path=f"{STORAGE}/sql.py",
        changes={"same=stands.is_same_movement(entry)": "same=True"},
    ),
    Plant(
        name="a refused confirmation stays an offer",
        path="src/kiebot/core/drafts.py",
        changes={"    if job.is_offer:\n": "    if False:\n"},
    ),
    Plant(
        name="an answer that was lost on the way counts as never asked for",
        path="src/kiebot/adapters/kie/live.py",
        changes={
            "KieNoAnswerError(str(trouble)) if trouble.sent else ": "",
        },
        tests=("tests/acceptance/test_faults.py",),
    ),
    Plant(
        name="a callback's task is adopted without asking KIE whose it is",
        path="src/kiebot/engine.py",
        changes={"        if not is_ours:\n            return False\n": ""},
        tests=("tests/test_engine.py",),
    ),
    Plant(
        name="a call's turn may be taken again at once",
        path="src/kiebot/limits.py",
        changes={
            "self._give(taken, self.window + SLACK)": "self._give(taken, timedelta(0))",
        },
        tests=("tests/test_limits.py",),
    ),
    Plant(
        name="a redirect is followed without a look at where it leads",
        path="src/kiebot/adapters/media/fetch.py",
        changes={"        return self._checked(url, target)\n": "        return target\n"},
        tests=("tests/adapters/test_media_fetch.py",),
    ),
    Plant(
        name="the catalog has a wrong name of a parameter",
        path="src/kiebot/catalog.json",
        changes={'"name": "tag_audio_events"': '"name": "tag_events"'},
        tests=("tests/acceptance/test_wire.py",),
    ),
    Plant(
        name="a long text costs no more than a short one",
        path="src/kiebot/catalog.json",
        changes={'"rub": "5.00", "per": {"param": "text", "size": 1000},': '"rub": "5.00",'},
        tests=("tests/core/test_costs.py",),
    ),
)


def failures(plant: Plant | None, folder: Path) -> list[str]:
    """The tests of the money that fail on a copy, with this mistake or as it is."""
    for name in ("src", "tests", "docs", "pyproject.toml"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    tests = sorted({test for known in PLANTS for test in known.tests})
    if plant is not None:
        plant.sow(folder)
        tests = list(plant.tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    if not failed and done.returncode != 0:
        raise RuntimeError(f"the tests did not run:\n{done.stdout}\n{done.stderr}")
    return failed


def main() -> int:
    """Plant each; 1 where one is not found, or where tests fail without any."""
    missed = 0
    for plant in (None, *PLANTS):
        print("no mistake" if plant is None else plant.name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            failed = failures(plant, Path(folder))
        for line in failed:
            print(f"    {line}")
        if plant is None:
            print("    the tests pass" if not failed else "    THE TESTS FAIL", flush=True)
            missed += bool(failed)
        else:
            print("    found" if failed else "    NOT FOUND", flush=True)
            missed += not failed
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
