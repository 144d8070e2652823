"""
Plants known mistakes into copies of kiebot and shows that the tests find each.

    python -m tests.plants                       # all of them
    python -m tests.plants security              # the holes of docs/security.md; or: money
    python -m tests.plants security redirect     # those of them with this word in their name

A test that cannot fail proves nothing; these are the mistakes that such code is known for.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

ROOT = Path(__file__).parent.parent
STORAGE = "src/kiebot/adapters/storage"
GROUPS = {"money": False, "security": True}
TESTS = ("tests/core", "tests/contracts/test_storage.py", "tests/contracts/test_storage_races.py",
         "tests/acceptance/test_races.py")  # fmt: skip


@frozen(kw_only=True)
class Plant:
    """
    A mistake: in one file, pieces of text and what stands there instead. `tests` are to find it.

    `is_hole`: an attack of docs/security.md succeeds then; else it is money that goes wrong.
    """

    name: str
    path: str
    is_hole: bool = False
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
            "locked.balance_kop + posted.amount_kop * $9": "locked.balance_kop + $3 * $9",
            "locked.hold_kop + posted.amount_kop * $10": "locked.hold_kop + $3 * $10",
            "from locked, posted where wallets.user_id": "from locked where wallets.user_id",
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


HTTP = "src/kiebot/adapters/http.py"
FETCH = "src/kiebot/adapters/media/fetch.py"
MARKUP = "src/kiebot/adapters/frontend/telegram_markup.py"
RIGHTS = "src/kiebot/adapters/storage/postgres_rights.py"
LEDGER_RIGHTS = '    "ledger": ("select", "insert"),\n'


def hole(name: str, path: str, old: str, new: str, *tests: str) -> Plant:
    """A plant by which an attack succeeds."""
    return Plant(name=name, path=path, changes={old: new}, tests=tests, is_hole=True)


HOLES = (
    hole(
        "webhook: the secret token is not asked for",
        HTTP,
        "        if not hmac.compare_digest(given, secret):\n",
        "        if False:\n",
        "tests/adapters/test_http.py",
    ),
    hole(
        "webhook: the beginning of the secret token is enough",
        HTTP,
        "        if not hmac.compare_digest(given, secret):\n",
        "        if not secret.startswith(given):\n",
        "tests/adapters/test_http.py",
    ),
    hole(
        "webhook: a body may be of any size",
        HTTP,
        "client_max_size=MAX_BODY_BYTES",
        "client_max_size=0",
        "tests/adapters/test_http.py",
    ),
    hole(
        "callback: the signature is not looked at",
        HTTP,
        "    if not signed:\n",
        "    if False:\n",
        "tests/adapters/test_http.py",
    ),
    hole(
        "callback: an old signature is as good as a new one",
        "src/kiebot/core/callbacks.py",
        "abs(at.timestamp() - int(timestamp)) > REPLAY_WINDOW_S",
        "False",
        "tests/adapters/test_http.py",
    ),
    hole(
        "callback: the key may be that of another job",
        HTTP,
        '    if not secrets.knows(job_id, request.query.get("key", "")):\n',
        "    if False:\n",
        "tests/adapters/test_http.py",
    ),
    hole(
        "addresses: this machine is as good as any",
        "src/kiebot/core/addresses.py",
        '        "127.0.0.0/8",\n',
        "",
        *("tests/core/test_addresses.py", "tests/adapters/test_media_fetch.py"),
    ),
    hole(
        "addresses: other spellings of numbers are names",
        "src/kiebot/core/addresses.py",
        "    if _LAST_LABEL_IS_NUMBER.fullmatch(name):\n        return is_public_ip(name)\n",
        "",
        "tests/core/test_addresses.py",
    ),
    hole(
        "addresses: an IPv6 form of an IPv4 address is not looked into",
        "src/kiebot/core/addresses.py",
        "        return _is_public(address.ipv4_mapped)\n",
        "        return True\n",
        "tests/core/test_addresses.py",
    ),
    hole(
        "addresses: a dot at the end makes localhost another",
        "src/kiebot/core/addresses.py",
        '.lower().removesuffix(".")',
        ".lower()",
        "tests/core/test_addresses.py",
    ),
    hole(
        "addresses: a redirect is followed without a look at where it leads",
        FETCH,
        "        return self._checked(url, target)\n",
        "        return target\n",
        "tests/adapters/test_media_fetch.py",
    ),
    hole(
        "addresses: what a name server says is believed",
        FETCH,
        '[result for result in found if is_public_ip(result["host"])]',
        "found",
        "tests/adapters/test_media_fetch.py",
    ),
    hole(
        "addresses: the name is looked up once to check it and once more to connect",
        FETCH,
        "        found = await self._inner.resolve(host, port, family)\n",
        "        await self._inner.resolve(host, port, family)\n"
        "        found = await self._inner.resolve(host, port, family)\n",
        "tests/adapters/test_media_fetch.py",
    ),
    hole(
        "text: what people type is HTML",
        MARKUP,
        "    return html.escape(text, quote=False)\n",
        "    return text\n",
        "tests/adapters/test_telegram_markup.py",
    ),
    hole(
        "text: an entity is left as it was typed",
        MARKUP,
        "    return html.escape(text, quote=False)\n",
        '    return text.replace("<", "&lt;").replace(">", "&gt;")\n',
        "tests/adapters/test_telegram_markup.py",
    ),
    hole(
        "text: what is to be copied is not escaped",
        MARKUP,
        "<code>{_escaped(found[0])}</code>",
        "<code>{found[0]}</code>",
        "tests/adapters/test_telegram_markup.py",
    ),
    hole(
        "text: a name may turn a price around",
        MARKUP,
        '    text = _TURNS.sub("", text.replace',
        "    text = (text.replace",
        "tests/adapters/test_telegram_markup.py",
    ),
    hole(
        "buttons: whose job it is is not looked at",
        "src/kiebot/app.py",
        "    if thing.user_id != user_id:\n        raise NotFoundError(what, id)\n",
        "",
        "tests/acceptance/test_hostile.py",
    ),
    hole(
        "buttons: who presses an administrator's button is not looked at",
        "src/kiebot/conversation.py",
        "await self._desk.press(person, action) if person.is_admin else None",
        "await self._desk.press(person, action)",
        "tests/test_admin.py",
    ),
    hole(
        "administrators: who does something is not looked at once more",
        "src/kiebot/app.py",
        "        if not self.terms.is_admin(by):\n",
        "        if False:\n",
        "tests/test_admin.py",
    ),
    hole(
        "administrators: a deed that comes twice is done twice",
        "src/kiebot/app.py",
        '                    ref=f"{deed.kind}:{deed.id}",\n',
        "                    ref=None,\n",
        "tests/acceptance/test_admin_races.py::test_one_deed_in_many_processes_is_done_once",
    ),
    hole(
        "amounts: digits of any script are digits",
        "src/kiebot/core/money.py",
        '(?:[.,](?P<part>\\d{{1,2}}))?", re.ASCII\n',
        '(?:[.,](?P<part>\\d{{1,2}}))?"\n',
        "tests/security/test_amounts.py",
    ),
    hole(
        "amounts: a part of what was typed is enough",
        "src/kiebot/core/money.py",
        "    match = _ROUBLES.fullmatch(bare)\n",
        "    match = _ROUBLES.match(bare)\n",
        "tests/security/test_amounts.py",
    ),
    hole(
        "amounts: nothing is given, and it is an act",
        "src/kiebot/desk.py",
        "        if amount is None or not amount or amount > LARGEST_CORRECTION:\n",
        "        if amount is None or amount > LARGEST_CORRECTION:\n",
        "tests/security/test_amounts.py",
    ),
    hole(
        "amounts: an administrator may give any amount in the chat",
        "src/kiebot/desk.py",
        "        if amount is None or not amount or amount > LARGEST_CORRECTION:\n",
        "        if amount is None or not amount:\n",
        "tests/security/test_amounts.py",
    ),
    hole(
        "secrets: a prompt is logged",
        "src/kiebot/conversation.py",
        "            case Say(text=text):\n                return await self._say(person, text)\n",
        "            case Say(text=text):\n"
        '                __import__("logging").getLogger(__name__).warning("said: %s", text)\n'
        "                return await self._say(person, text)\n",
        "tests/acceptance/test_hostile.py",
    ),
    hole(
        "secrets: the token is not struck out of a line",
        "src/kiebot/adapters/logs.py",
        "            text = self._known.sub(STRUCK, text)\n",
        "            pass\n",
        "tests/adapters/test_logs.py",
    ),
    hole(
        "secrets: a field is written whatever its name",
        "src/kiebot/adapters/logs.py",
        "        if _SECRET_FIELDS.search(name) and",
        "        if False and",
        "tests/adapters/test_logs.py",
    ),
    hole(
        "receipts: what a sender says of a file is believed",
        "src/kiebot/adapters/frontend/telegram_read.py",
        '_attachment(message.document, message.document.file_name or "file")',
        '_attachment(message.document, message.document.file_name or "file",'
        " message.document.mime_type)",
        "tests/acceptance/test_hostile.py",
    ),
    hole(
        "receipts: a file seen before is not marked",
        "src/kiebot/app.py",
        "seen=topups.seen_before(topup, others),",
        "seen=None,",
        "tests/acceptance/test_hostile.py",
    ),
    hole(
        "receipts: a further file that was seen before is not marked",
        "src/kiebot/app.py",
        "seen_in=None if seen is None else seen.id",
        "seen_in=None",
        "tests/test_admin.py",
    ),
    hole(
        "database role: it may change the ledger",
        RIGHTS,
        LEDGER_RIGHTS,
        '    "ledger": ("select", "insert", "update", "delete"),\n',
        "tests/security/test_database_role.py",
    ),
    hole(
        "database role: it may make tables",
        RIGHTS,
        'f"revoke create, temporary on database {database} from public, {to};"',
        '"select 1;"',
        "tests/security/test_database_role.py",
    ),
    hole(
        "database role: what it could do before stays",
        RIGHTS,
        'f"revoke all on {tables} from public, {to};"',
        '"select 1;"',
        "tests/security/test_database_role.py",
    ),
    hole(
        "database role: a role that can do more is taken for one that cannot",
        RIGHTS,
        "    if too_much:\n",
        "    if False:\n",
        "tests/security/test_database_role.py",
    ),
    hole(
        "dependencies: the image takes what a registry gives it",
        "Dockerfile",
        "pip --python /opt/kiebot/bin/python install --no-cache-dir --require-hashes --only-binary"
        " :all:",
        "pip --python /opt/kiebot/bin/python install --no-cache-dir",
        "tests/test_deployment.py",
    ),
    hole(
        "dependencies: one is not locked",
        "pyproject.toml",
        '  "aiolimiter>=1.2,<2",\n',
        '  "aiolimiter>=1.2,<2",\n  "a-new-package>=1",\n',
        "tests/test_deployment.py",
    ),
)
"""Ways in, each of which a test of docs/security.md finds."""


COPIED = (
    *("src", "tests", "docs", "deploy", "pyproject.toml", "README.md", "LICENSE", "Dockerfile"),
    *("compose.yaml", "render.yaml", ".dockerignore", ".env.example"),
    *("requirements.lock", "requirements-build.lock"),
)
"""What the tests look at."""


def failures(plant: Plant | None, folder: Path, plants: Sequence[Plant]) -> list[str]:
    """The tests of these plants that fail on a copy, with this mistake or as it is."""
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    tests = sorted({test for known in plants for test in known.tests})
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
    # A test that is ended by what was heard in it is an error; one that cannot be read is none.
    failed = [
        line
        for line in done.stdout.splitlines()
        if line.startswith("FAILED") or (line.startswith("ERROR") and "::" in line)
    ]
    if not failed and done.returncode != 0:
        raise RuntimeError(f"the tests did not run:\n{done.stdout}\n{done.stderr}")
    return failed


def chosen(words: Sequence[str]) -> list[Plant]:
    """Those of a group, and of these those that have every further word in their name."""
    known = [*PLANTS, *HOLES]
    if words and words[0] in GROUPS:
        known, words = [plant for plant in known if plant.is_hole == GROUPS[words[0]]], words[1:]
    return [plant for plant in known if all(word in plant.name for word in words)]


def main(words: Sequence[str]) -> int:
    """Plant each; 1 where one is not found, or where tests fail without any."""
    plants = chosen(words)
    if not plants:
        print(f"no plant is called {' '.join(words)}")
        return 2
    missed = 0
    for plant in (None, *plants):
        print("no mistake" if plant is None else plant.name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            failed = failures(plant, Path(folder), plants)
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
    sys.exit(main(sys.argv[1:]))
