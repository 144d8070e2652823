"""
The commands, as the operator and their scripts use them: what they print, and how they end.

What reads standard input, and what is about the process, runs in a process of its own; the rest in
this one, with an environment and a working folder of the test's own.
"""

import asyncio
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from attrs import field, frozen
from click.testing import CliRunner

from kiebot.adapters.storage.sqlite import SqliteStorage
from kiebot.cli import COMMANDS, Commands, main
from kiebot.config import Settings
from tests.fakes import leaks
from tests.fakes.kie_server import kie_process
from tests.fakes.telegram_server import TelegramThread, telegram_thread

ROOT = Path(__file__).parent.parent
CATALOG = ROOT / "src" / "kiebot" / "catalog.json"
MODEL = "flux-2/pro-text-to-image"
GENERATION = ["mcat:visuals", f"mmodel:{MODEL}", "a red cat", "1"]
"""One picture, from the category to the confirmation."""


@frozen
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problems(self) -> list[str]:
        return self.err.splitlines()


@frozen
class Operator:
    """Somebody with a home and a working folder of their own, and no setting but those given."""

    home: Path
    database: str | None = None
    variables: dict[str, str] = field(factory=dict)

    @property
    def data(self) -> Path:
        return self.home / "data" / "kiebot"

    def runs(self, *arguments: str, **variables: str) -> Ran:
        """A command in this process."""
        os.chdir(self.work)
        result = CliRunner(env={**self._unset(), **self._environment(variables)}).invoke(
            main, self._complete(arguments)
        )
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def really_runs(
        self, *arguments: str, answers: list[str] | None = None, **variables: str
    ) -> Ran:
        """A command in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "kiebot", *self._complete(arguments)],
            input="".join(f"{answer}\n" for answer in answers or []),
            env={"PATH": os.defpath, **self._environment(variables)},
            cwd=self.work,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def chats(self, *answers: str, options: tuple[str, ...] = ()) -> Ran:
        return self.really_runs("chat", "--lang", "en", *options, answers=list(answers))

    @property
    def work(self) -> Path:
        folder = self.home / "work"
        folder.mkdir(exist_ok=True)
        return folder

    def _complete(self, arguments: tuple[str, ...]) -> list[str]:
        if self.database is None:
            return list(arguments)
        return [*arguments, "--database", self.database]

    def _environment(self, variables: dict[str, str]) -> dict[str, str]:
        own = {
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "data"),
            "LC_ALL": "C.UTF-8",
        }
        return {**own, **self.variables, **variables}

    def _unset(self) -> dict[str, str | None]:
        names = [attribute.name.upper() for attribute in attrs.fields(Settings)]
        return dict.fromkeys((*names, "KIE_API_KEY"))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    folder = Path.cwd()
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    os.chdir(folder)
    for handler in [known for known in root.handlers if known not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def shopkeeper(request: pytest.FixtureRequest, tmp_path: Path) -> Operator:
    """An operator who names the database; on each of the two."""
    if request.param == "sqlite":
        return Operator(tmp_path, f"sqlite:///{tmp_path / 'shop.db'}")
    dsn: str = request.getfixturevalue("postgres_dsn")
    return Operator(tmp_path, dsn)


def rows(operator: Operator, query: str, *values: object) -> list[tuple[Any, ...]]:
    assert operator.database is not None
    path = operator.database.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(query, values).fetchall()
        connection.commit()
    return found


# --- The command itself


def test_the_table_says_what_the_commands_say() -> None:
    """The help shows the table so that no command has to be loaded."""
    context = click.Context(main)
    for name, (_, about) in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(200).startswith(about.rstrip(".")), name


def test_help_lists_every_command(operator: Operator) -> None:
    ran = operator.runs("--help")

    assert ran.code == 0
    assert all(re.search(rf"^  {name} ", ran.out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(operator: Operator, name: str) -> None:
    ran = operator.runs(name, "--help")

    assert (ran.code, ran.err) == (0, "")
    assert f"Usage: kiebot {name}" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["sell"],
        ["chta"],
        ["--fast"],
        ["chat", "--fast"],
        ["chat", "--user", "5"],
        ["chat", "--user", "0"],
        ["chat", "--user", "me"],
        ["chat", "--lang", "de"],
        ["chat", "more"],
        ["chat", "--database", "mysql://localhost/kiebot"],
        ["audit", "--database", "shop.db"],
        ["admin", "wallet"],
        ["admin", "wallet", "--", "me"],
        ["admin", "wallet", "99999999999999999999"],
        ["admin", "grant", "-1", "100"],
        ["admin", "grant", "-1", "--why", "gift"],
        ["admin", "grant", "-1", "100", "--why", "  "],
        ["admin", "grant", "-1", "100", "--why", "two\nlines"],
        ["admin", "refund", "--why", "bad"],
        ["admin", "approve", "abc", "--amount", "much"],
        ["admin", "costs", "--since", "yesterday"],
        ["admin", "costs", "--since", "0"],
        ["admin", "costs", "--since", "2026-13-01"],
        ["admin", "costs", "--since", "20261101"],
        ["admin", "costs", "--rub-per-usd", "cheap"],
        ["admin", "costs", "--rub-per-usd", "0"],
        ["models", "--json", "show", MODEL],
        ["models", "quote", MODEL, "prompt"],
        ["models", "quote", MODEL, "aspect_ratio=9:99"],
        ["models", "quote", MODEL, "colour=red"],
        ["models", "check", "nowhere.json"],
    ],
)
def test_wrong_usage_is_one_line(operator: Operator, arguments: list[str]) -> None:
    ran = operator.runs(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert len(ran.problems) == 1
    assert ran.err.startswith("kiebot: ")


@pytest.mark.parametrize(
    "amount", ["0", "-100", "1e9", "abc", "1.234", "", "nan", "100 $", "1,000.00"]
)
def test_only_amounts_are_read_as_amounts(operator: Operator, amount: str) -> None:
    """A misread amount is somebody's money."""
    ran = operator.runs("admin", "grant", "-1", amount, "--why", "gift")

    assert (ran.code, len(ran.problems)) == (2, 1)
    assert "give roubles such as 100, 100,50 or 1 000" in ran.err


def test_a_mistyped_command_is_answered_with_the_nearest(operator: Operator) -> None:
    assert "did you mean 'models'?" in operator.runs("modles").err


def test_no_command_shows_the_help(operator: Operator) -> None:
    ran = operator.runs()

    assert ran.code == 2
    assert "Commands:" in ran.err


def test_every_wrong_setting_is_a_line_of_its_own(operator: Operator) -> None:
    ran = operator.runs("audit", TEST_MODE="perhaps", PORT="many", KIE_TIMEOUT="-1")

    assert (ran.code, ran.out) == (2, "")
    assert [line.split(":")[1].strip() for line in ran.problems] == [
        "KIE_TIMEOUT",
        "TEST_MODE",
        "PORT",
    ]


def test_settings_are_read_from_a_file_in_the_working_folder(operator: Operator) -> None:
    (operator.work / ".env").write_text("PRICE_MULTIPLIER=3\n")

    assert operator.runs("models", "quote", MODEL, "--json").json["price_kop"] == 4500


def test_a_reader_that_has_enough_is_no_error(operator: Operator) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m kiebot models --all --json | head -1; wait"],
        env={"PATH": os.defpath, "HOME": str(operator.home)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("[\n", "")


def test_a_folder_that_cannot_be_made_is_one_line(operator: Operator) -> None:
    operator.data.parent.mkdir(parents=True)
    operator.data.write_text("a file where the folder should be")

    ran = operator.really_runs("migrate")

    assert (ran.code, len(ran.problems)) == (1, 1)
    assert "Traceback" not in ran.err


class Broken(Commands):
    """The commands, all of them broken."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        @click.command(cmd_name)
        def broken() -> None:
            raise ExceptionGroup("several", [RuntimeError("first\nsecond")])

        return broken


def test_the_example_of_settings_is_what_the_command_writes(operator: Operator) -> None:
    """After a change of a setting: `kiebot settings --env > .env.example`."""
    written = operator.runs("settings", "--env")

    assert (written.code, written.err) == (0, "")
    assert written.out == (ROOT / ".env.example").read_text()


def test_every_setting_is_explained(operator: Operator) -> None:
    explained = operator.runs("settings")
    told = {one["name"]: one for one in operator.runs("settings", "--json").json}

    assert explained.code == 0
    assert list(told) == [attribute.name.upper() for attribute in attrs.fields(Settings)]
    for name, one in told.items():
        default = "" if one["default"] is None else f" = {one['default']}"
        assert f"  {name}{default}\n" in explained.out
        assert one["meaning"].endswith(".")
        assert one["takes"]
    assert max(len(line) for line in explained.out.splitlines()) <= 100


def test_settings_that_are_set_are_not_shown(operator: Operator) -> None:
    """What explains the settings may be shown to anybody."""
    environment = {"KIE_API_TOKEN": "do-not-show-me", "PORT": "wrong"}

    told = [operator.runs("settings", *form, **environment) for form in ([], ["--env"], ["--json"])]

    assert [one.code for one in told] == [0, 0, 0]
    assert "do-not-show-me" not in "".join(one.out + one.err for one in told)


def test_an_unexpected_error_is_one_line() -> None:
    ran = CliRunner().invoke(Broken("kiebot"), ["chat"])

    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr == (
        "kiebot: unexpected error: RuntimeError: first second; LOG_LEVEL=debug shows where\n"
    )


def test_ctrl_c_is_no_error(operator: Operator) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "kiebot", "chat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=operator.work,
        env={"PATH": os.defpath, "HOME": str(operator.home)},
        # A shell's background job, which these tests may be, is born deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as chat:
        assert chat.stdout is not None
        chat.stdout.readline()  # it is there
        chat.send_signal(signal.SIGINT)
        _, said = chat.communicate(timeout=30)

    assert (chat.returncode, said.strip()) == (130, b"")


# --- models


def test_models_lists_what_is_on_sale(operator: Operator) -> None:
    ran = operator.runs("models")

    assert (ran.code, ran.err) == (0, "")
    assert "🖼️ Visuals" in ran.out
    assert re.search(rf"Flux 2 Pro \(text\) +{MODEL} +30\s₽  picture from a description", ran.out)
    assert "23 on sale" in ran.out
    assert "\x1b" not in ran.out
    assert not re.search(" $", ran.out, re.MULTILINE)


@pytest.mark.parametrize("command", [["models"], ["models", "list"]])
def test_models_for_programs(operator: Operator, command: list[str]) -> None:
    models = operator.runs(*command, "--json").json

    assert {
        "id": MODEL,
        "key": MODEL,
        "title": "Flux 2 Pro (text)",
        "category": "visuals",
        "enabled": True,
        "price_kop": 3000,
    } in models
    assert len(models) == 23


def test_all_models_are_listed_with_the_disabled_ones(operator: Operator) -> None:
    models = operator.runs("models", "list", "--all", "--json").json

    assert len(models) == 89
    assert all((m["price_kop"] is None) == (not m["enabled"]) for m in models)


def test_models_of_one_category(operator: Operator) -> None:
    models = operator.runs("models", "list", "--category", "tools", "--json").json

    assert {model["category"] for model in models} == {"tools"}
    assert operator.runs("models", "list", "--category", "nothing").problems == [
        "kiebot: no category nothing"
    ]


def test_a_model_is_shown_with_its_questions_and_prices(operator: Operator) -> None:
    ran = operator.runs("models", "show", MODEL)

    assert re.search(r"prompt +text +required +3 to 5000 characters", ran.out)
    assert re.search(r"aspect_ratio +choice .*16:9.* 1:1$", ran.out, re.MULTILINE)
    assert re.search(r"30\s₽ +15\s₽ +any answers", ran.out)


def test_a_model_is_shown_for_programs(operator: Operator) -> None:
    model = operator.runs("models", "show", MODEL, "--json").json

    prompt, *_ = model["params"]
    assert (prompt["name"], prompt["kind"], prompt["required"]) == ("prompt", "text", True)
    assert (prompt["min_length"], prompt["max_length"]) == (3, 5000)
    assert [(row["kie_price_rub"], row["price_kop"]) for row in model["prices"]] == [(15, 3000)]


def test_a_disabled_model_says_why(operator: Operator) -> None:
    off = next(
        m for m in operator.runs("models", "list", "--all", "--json").json if not m["enabled"]
    )

    assert "not on sale: " in operator.runs("models", "show", off["id"]).out
    ran = operator.runs("models", "quote", off["id"])
    assert (ran.code, len(ran.problems)) == (1, 1)


def test_every_model_can_be_shown(operator: Operator) -> None:
    for model in operator.runs("models", "list", "--all", "--json").json:
        assert operator.runs("models", "show", model["id"]).code == 0
        assert operator.runs("models", "show", model["id"], "--json").json["id"] == model["id"]


def test_an_unknown_model_is_answered_with_the_nearest(operator: Operator) -> None:
    ran = operator.runs("models", "show", "flux-2/pro-text-to-imag")

    assert (ran.code, len(ran.problems)) == (1, 1)
    assert f"did you mean {MODEL}?" in ran.err


def test_a_quote(operator: Operator) -> None:
    ran = operator.runs("models", "quote", MODEL, "prompt=a red cat", "aspect_ratio=16:9")

    assert (ran.code, ran.out) == (0, "30\xa0₽ (KIE price 15\xa0₽)\n")


def test_a_quote_for_programs(operator: Operator) -> None:
    ran = operator.runs("models", "quote", MODEL, "--json")

    assert ran.json == {"kie_price_rub": 15, "price_kop": 3000}


def test_the_packaged_catalog_is_right(operator: Operator) -> None:
    ran = operator.runs("models", "check", str(CATALOG))

    assert (ran.code, ran.out) == (0, "ok: 7 categories, 89 models, 23 on sale\n")


def test_every_problem_of_a_catalog_is_a_line(operator: Operator) -> None:
    catalog = json.loads(CATALOG.read_text(encoding="utf-8"))
    catalog["models"][0]["prices"][0]["rub"] = "free"
    catalog["models"][1]["colour"] = "red"
    file = operator.work / "catalog.json"
    file.write_text(json.dumps(catalog))

    ran = operator.runs("models", "check", str(file))

    assert (ran.code, len(ran.out.splitlines())) == (1, 2)
    assert catalog["models"][0]["id"] in ran.out
    assert catalog["models"][1]["id"] in ran.out


def test_a_file_that_is_no_catalog_is_one_line(operator: Operator) -> None:
    file = operator.work / "catalog.json"
    file.write_text("{")

    ran = operator.runs("models", "check", str(file))

    assert (ran.code, len(ran.out.splitlines())) == (1, 1)


def test_what_a_catalog_changes(operator: Operator) -> None:
    catalog = json.loads(CATALOG.read_text(encoding="utf-8"))
    models = {model["id"]: model for model in catalog["models"]}
    models[MODEL]["prices"][0]["rub"] = "16"
    models["veo3"]["off"] = "too dear"
    catalog["models"].remove(models["suno/V5"])
    file = operator.work / "catalog.json"
    file.write_text(json.dumps(catalog))

    assert operator.runs("models", "diff", str(file), "--json").json == {
        "added": [],
        "removed": ["suno/V5"],
        "repriced": [MODEL],
        "switched_on": [],
        "switched_off": ["veo3"],
    }
    assert operator.runs("models", "diff", str(file)).out.replace("\xa0", " ").splitlines() == [
        "removed: suno/V5: 50 ₽",
        f"repriced: {MODEL}: 30 ₽ -> 32 ₽",
        "switched off: veo3: 360 ₽ (resolution 720p or 1080p) -> off",
    ]
    assert operator.runs("models", "diff", str(CATALOG)).out == "no difference\n"


def test_a_quote_of_what_lasts(operator: Operator) -> None:
    def costs(*answers: str) -> str:
        ran = operator.runs("models", "quote", "elevenlabs/audio-isolation", "--json", *answers)
        return str(ran.json["price_kop"]) if ran.code == 0 else ran.err

    assert costs("audio_url=90s") == costs("audio_url=1:30") == "1000"
    assert costs("audio_url=90.5s") == costs("audio_url=91 s") == "2000"
    assert "is priced by audio_url: give audio_url=its length, such as 95s" in costs()
    assert "give audio_url=its length" in costs("audio_url=https://example.org/a.mp3")
    assert "lasts too long (limit 1800)" in costs("audio_url=31:00")


def test_a_quote_counts_characters(operator: Operator) -> None:
    model = "elevenlabs/text-to-speech-turbo-2-5"

    quotes = [
        operator.runs("models", "quote", model, f"text={'я' * count}", "--json").json["price_kop"]
        for count in (1, 3000, 3001)
    ]

    assert quotes == [1000, 1000, 2000]


def test_answers_without_a_price_name_those_that_have_one(operator: Operator) -> None:
    ran = operator.runs("models", "quote", "veo3", "resolution=4k")

    assert ran.code == 2
    assert "sold with resolution: 720p, 1080p" in ran.err


def test_what_is_not_offered_is_shown(operator: Operator) -> None:
    ran = operator.runs("models", "show", "veo3")
    model = operator.runs("models", "show", "topaz/video-upscale", "--json").json

    assert "not offered: resolution 4k" in ran.out
    assert re.search(r"250 +137\.50\s₽ +resolution not given or 720p or 1080p", ran.out)
    (row,) = model["prices"]
    assert row["per"] == {"param": "video_url", "seconds": 15}
    (billed,) = model["credits"]
    assert (billed["credits"], billed["per"]) == (12, {"param": "video_url", "seconds": 1})
    assert model["params"][0]["max_seconds"] == 120


def test_a_price_below_cost_is_warned_of(operator: Operator) -> None:
    """A warning is no mistake: the owner may know better."""
    catalog = json.loads(CATALOG.read_text(encoding="utf-8"))
    models = {model["id"]: model for model in catalog["models"]}
    models["suno/V5"]["prices"][0]["rub"] = "3.29"
    del models["veo3"]["prices"][0]["when"]
    del models["recraft/crisp-upscale"]["credits"]
    file = operator.work / "catalog.json"
    file.write_text(json.dumps(catalog))

    ran = operator.runs("models", "check", str(file))

    assert ran.code == 0
    assert ran.out.splitlines() == [
        "warning: veo3: resolution 4k: the person pays 360.00 RUB, KIE takes nobody knows what",
        "warning: recraft/crisp-upscale: no credits rows, so nobody knows what it costs",
        "warning: suno/V5: any answers: the person pays 6.58 RUB, KIE takes 6.60 RUB",
        "ok: 7 categories, 89 models, 23 on sale",
    ]


def test_an_owner_prices_everything_at_a_rate(operator: Operator) -> None:
    ran = operator.runs("models", "price", "--rub-per-usd", "92.5", "--output", "mine.json")

    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"^veo3 +360\s₽ .* +231\.26\s₽", ran.out, re.MULTILINE)
    assert re.search(r"^google/imagen4 +off +7\.40\s₽$", ran.out, re.MULTILINE)
    assert "71 on sale" in ran.out
    assert ran.out.endswith("written: mine.json. To sell from it, set CATALOG_PATH=mine.json\n")
    file = str(operator.work / "mine.json")
    assert operator.runs("models", "check", file).out == (
        "ok: 7 categories, 89 models, 71 on sale\n"
    )
    quote = operator.runs("models", "quote", "google/imagen4", "--json", CATALOG_PATH=file).json
    assert quote == {"kie_price_rub": 3.7, "price_kop": 740}
    unknown = operator.runs(
        *("models", "quote", "hailuo/2.3", "resolution=1080P", "duration=10"), CATALOG_PATH=file
    )
    assert unknown.code == 2
    off = operator.runs("models", "quote", "sora-2-text-to-video", CATALOG_PATH=file)
    assert off.code == 1


def test_a_catalog_that_is_there_is_not_overwritten(operator: Operator) -> None:
    file = operator.work / "kiebot-catalog.json"
    file.write_text("mine")

    ran = operator.runs("models", "price", "--rub-per-usd", "92,5")

    assert (ran.code, ran.problems) == (
        1,
        ["kiebot: kiebot-catalog.json is there already; --yes overwrites it"],
    )
    assert file.read_text() == "mine"
    ran = operator.runs("models", "price", "--rub-per-usd", "80", "--yes", "--json")
    assert (ran.json["file"], ran.json["rub_per_usd"]) == ("kiebot-catalog.json", 80)
    prices = {m["id"]: (m["old_price_kop"], m["price_kop"]) for m in ran.json["models"]}
    assert prices["suno/V5"] == (5000, 960)
    assert prices["google/imagen4"] == (None, 640)
    assert prices["sora-2-text-to-video"] == (None, None)
    assert json.loads(file.read_text(encoding="utf-8"))["rub_per_usd"] == "80"


def test_an_owners_own_catalog_can_be_priced_anew(operator: Operator) -> None:
    """What is priced by hand and has no credits keeps its price."""
    catalog = json.loads(CATALOG.read_text(encoding="utf-8"))
    models = {model["id"]: model for model in catalog["models"]}
    by_hand = {"rub": "33.00", "source": "by hand", "date": "2026-11-22"}
    models["wan/2-6-text-to-video"]["prices"] = [by_hand]
    (operator.work / "base.json").write_text(json.dumps(catalog))

    ran = operator.runs(
        *("models", "price", "--rub-per-usd", "90", "--base", "base.json", "--output", "new.json")
    )

    assert "72 on sale" in ran.out
    written = json.loads((operator.work / "new.json").read_text(encoding="utf-8"))
    (kept,) = (m for m in written["models"] if m["id"] == "wan/2-6-text-to-video")
    assert kept["prices"] == [by_hand]


@pytest.mark.parametrize("rate", ["0", "-5", "5000", "1e3", "ninety", "NaN"])
def test_a_rate_that_cannot_be_meant_writes_nothing(operator: Operator, rate: str) -> None:
    ran = operator.runs("models", "price", f"--rub-per-usd={rate}")

    assert (ran.code, len(ran.problems)) == (2, 1)
    assert "roubles per US dollar such as 92.5" in ran.err
    assert not list(operator.work.glob("*.json"))


def test_the_operators_own_catalog_is_sold_from(operator: Operator) -> None:
    catalog = json.loads(CATALOG.read_text(encoding="utf-8"))
    next(m for m in catalog["models"] if m["id"] == MODEL)["prices"][0]["rub"] = "7.25"
    file = operator.work / "mine.json"
    file.write_text(json.dumps(catalog))

    quote = operator.runs("models", "quote", MODEL, "--json", CATALOG_PATH=str(file)).json

    assert quote == {"kie_price_rub": 7.25, "price_kop": 1450}


def test_ids_of_models_are_completed(operator: Operator) -> None:
    ran = operator.really_runs(
        COMP_WORDS="kiebot models show veo3", COMP_CWORD="3", _KIEBOT_COMPLETE="bash_complete"
    )

    assert set(ran.out.split()) == {"plain,veo3", "plain,veo3_fast"}


# --- Databases


def test_a_database_that_is_not_there_is_not_made(operator: Operator) -> None:
    for arguments in (["audit"], ["migrate", "--check"], ["admin", "jobs"], ["audit", "--live"]):
        ran = operator.runs(*arguments)

        assert (ran.code, ran.out) == (1, "")
        assert re.fullmatch(r"kiebot: no database at sqlite:///\S+: `kiebot migrate` .*\n", ran.err)
    assert not operator.data.exists()


def test_the_default_database_is_one_rule(operator: Operator) -> None:
    operator.runs("migrate")
    operator.runs("migrate", "--live")
    operator.runs("migrate", DATABASE_URL="sqlite:///mine.db")
    operator.runs("migrate", "--database", "sqlite:///other.db", DATABASE_URL="sqlite:///mine.db")

    assert {path.name for path in operator.data.glob("*.db")} == {"demo.db", "kiebot.db"}
    assert {path.name for path in operator.work.glob("*.db")} == {"mine.db", "other.db"}


def test_migrating(shopkeeper: Operator) -> None:
    first = shopkeeper.runs("migrate")
    again = shopkeeper.runs("migrate")
    check = shopkeeper.runs("migrate", "--check")

    assert (first.code, again.code, check.code) == (0, 0, 0)
    assert first.out.startswith("applied: 0001_initial\n")
    assert again.out.startswith("up to date: ")


def test_a_database_that_is_behind_is_told(postgres_dsn: str, tmp_path: Path) -> None:
    """A PostgreSQL database is there before kiebot has been in it."""
    operator = Operator(tmp_path, postgres_dsn)

    check, audit = operator.runs("migrate", "--check"), operator.runs("audit")

    missing = check.out.splitlines()
    assert (check.code, missing[:2]) == (1, ["missing: 0001_initial", "missing: 0002_tasks"])
    assert (audit.code, len(audit.problems)) == (1, 1)
    assert "run `kiebot migrate`" in audit.err


def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    operator = Operator(tmp_path, "postgresql://kiebot:top-secret@127.0.0.1:9/kiebot")

    ran = operator.runs("audit")

    assert (ran.code, len(ran.problems)) == (1, 1)
    assert "top-secret" not in ran.err


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    operator = Operator(tmp_path, f"sqlite:///{tmp_path / 'shop.db'}")
    operator.runs("migrate")
    (table,) = [
        name for (name,) in rows(operator, "select name from sqlite_master where type = 'table'")
        if "migration" in name
    ]  # fmt: skip
    rows(operator, f"update {table} set name = '9999_later' where name like '0002%'")

    ran = operator.runs("audit")

    assert (ran.code, len(ran.problems)) == (2, 1)
    assert "9999_later" in ran.err


# --- chat


def test_a_generation_with_nothing_configured(operator: Operator) -> None:
    ran = operator.chats(*GENERATION)

    assert (ran.code, ran.err) == (0, "")
    assert "\x1b" not in ran.out
    (picture,) = (operator.work / "kiebot-results").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.name in ran.out
    wallet = operator.runs("admin", "wallet", "-1", "--json").json
    assert (wallet["balance_kop"], wallet["hold_kop"]) == (970_00, 0)
    assert operator.runs("audit", "--json").json == {
        "ok": True,
        "problems": [],
        "wallets": 1,
        "entries": 3,
        "jobs": 1,
    }


def test_a_generation_on_each_database(shopkeeper: Operator) -> None:
    ran = shopkeeper.chats(*GENERATION, options=("--output", "made", "--user", "-7"))

    assert (ran.code, ran.err) == (0, "")
    assert len(list((shopkeeper.work / "made").iterdir())) == 1
    assert shopkeeper.runs("admin", "wallet", "-7", "--json").json["balance_kop"] == 970_00
    said = shopkeeper.runs("audit").out
    assert said.startswith("ok: 1 wallet, 3 entries, 1 job in ")
    assert re.search(r" in (sqlite:///\S+/shop\.db|postgresql://\S+)\n$", said)


def test_a_failed_generation_costs_nothing(shopkeeper: Operator) -> None:
    ran = shopkeeper.chats("mcat:visuals", f"mmodel:{MODEL}", "fail", "1")

    assert (ran.code, ran.err) == (0, "")
    wallet = shopkeeper.runs("admin", "wallet", "-1", "--json").json
    assert (wallet["balance_kop"], wallet["hold_kop"]) == (1000_00, 0)


def test_the_toy_money_is_given_once(operator: Operator) -> None:
    operator.chats("/balance")
    operator.chats("/balance")

    (entry,) = operator.runs("admin", "wallet", "-1", "--json").json["entries"]
    assert (entry["kind"], entry["amount_kop"], entry["ref"]) == ("grant", 1000_00, "demo:-1")


def test_a_demo_database_is_not_used_live(shopkeeper: Operator) -> None:
    shopkeeper.chats("/balance")

    ran = shopkeeper.chats("/balance", options=("--live",))

    assert (ran.code, ran.out) == (2, "")
    assert len(ran.problems) == 1
    assert "this database is demo, not live" in ran.err


def test_live_needs_a_key_and_makes_nothing_without_it(operator: Operator) -> None:
    ran = operator.chats(options=("--live",))

    assert (ran.code, len(ran.problems)) == (2, 1)
    assert "KIE_API_TOKEN" in ran.err
    assert not operator.data.exists()


def test_where_kie_refuses_the_key_the_money_is_back(tmp_path: Path) -> None:
    with kie_process(tmp_path, "--key", "another") as address:
        variables = {"KIE_API_TOKEN": leaks.KIE_KEY, "KIE_API_URL": address}
        operator = Operator(tmp_path, f"sqlite:///{tmp_path / 'live.db'}", variables)
        operator.chats("/balance", options=("--live",))
        operator.runs("admin", "grant", "-1", "100", "--why", "a test")

        ran = operator.chats(*GENERATION, options=("--live",))

    assert ran.code == 0
    assert "temporarily unavailable" in ran.out
    assert leaks.KIE_KEY not in ran.out + ran.err
    wallet = operator.runs("admin", "wallet", "-1", "--json").json
    assert (wallet["balance_kop"], wallet["hold_kop"]) == (100_00, 0)
    assert operator.runs("audit").code == 0


def test_test_mode_and_live_contradict_each_other(operator: Operator) -> None:
    ran = operator.runs("audit", "--live", TEST_MODE="1")

    assert (ran.code, len(ran.problems)) == (2, 1)
    assert "TEST_MODE" in ran.err


# --- admin


@pytest.fixture
def shop(tmp_path: Path) -> Operator:
    """A shop with one person, -1, who has 1000 ₽."""
    operator = Operator(tmp_path, f"sqlite:///{tmp_path / 'shop.db'}")
    assert operator.chats("/balance").code == 0
    return operator


def test_granting_and_taking_back(shop: Operator) -> None:
    granted = shop.runs("admin", "grant", "-1", "1 000,50", "--why", "a gift", "--json")
    taken = shop.runs("admin", "debit", "-1", "0.50", "--why", "too much", "--json")

    assert granted.json == {"user_id": -1, "balance_kop": 2000_50, "hold_kop": 0}
    assert taken.json == {"user_id": -1, "balance_kop": 2000_00, "hold_kop": 0}
    last, before, _ = shop.runs("admin", "wallet", "-1", "--json").json["entries"]
    assert (last["kind"], last["amount_kop"], last["why"]) == ("debit", 50, "too much")
    assert (before["kind"], before["amount_kop"], before["why"]) == ("grant", 1000_50, "a gift")
    assert before["by"].startswith("cli:")
    assert shop.runs("audit").code == 0


def test_a_wallet_is_shown(shop: Operator) -> None:
    ran = shop.runs("admin", "wallet", "-1")

    assert "available 1\xa0000\xa0₽, reserved 0\xa0₽" in ran.out
    assert re.search(r"grant +1\s000\s₽ +demo:-1", ran.out)


def test_nobody_is_debited_below_zero(shop: Operator) -> None:
    ran = shop.runs("admin", "debit", "-1", "1000.01", "--why", "all of it")

    assert (ran.code, len(ran.problems)) == (1, 1)
    assert shop.runs("admin", "wallet", "-1", "--json").json["balance_kop"] == 1000_00


@pytest.mark.parametrize("command", ["wallet", "grant", "debit"])
def test_an_unknown_person_is_one_line(shop: Operator, command: str) -> None:
    rest = [] if command == "wallet" else ["100", "--why", "gift"]

    ran = shop.runs("admin", command, "-5", *rest)

    assert (ran.code, ran.out, ran.err) == (1, "", "kiebot: no user -5\n")


def test_a_refund(shop: Operator) -> None:
    shop.chats(*GENERATION)
    ((job_id,),) = rows(shop, "select id from jobs where status = 'succeeded'")

    first = shop.runs("admin", "refund", job_id, "--why", "blurred", "--json")
    again = shop.runs("admin", "refund", job_id, "--why", "blurred", "--json")

    assert (first.json["status"], again.json["status"]) == ("refunded", "refunded")
    assert shop.runs("admin", "wallet", "-1", "--json").json["balance_kop"] == 1000_00
    assert shop.runs("audit").code == 0


def test_what_was_never_charged_is_not_refunded(shop: Operator) -> None:
    shop.chats(*GENERATION[:-1])
    ((job_id,),) = rows(shop, "select id from jobs where status = 'draft'")

    for job in (job_id, "nothing"):
        ran = shop.runs("admin", "refund", job, "--why", "blurred")
        assert (ran.code, len(ran.problems)) == (1, 1)


def test_nothing_to_do_is_said(shop: Operator) -> None:
    assert shop.runs("admin", "jobs").out == "nothing is being made\n"
    assert shop.runs("admin", "topups").out == "no top-up waits for a decision\n"
    assert shop.runs("admin", "jobs", "--json").json == []
    assert shop.runs("admin", "topups", "--json").json == []


@pytest.fixture
def asked(shop: Operator) -> tuple[Operator, str]:
    """A shop where person -1 sent a receipt for 500 ₽, and that request's id."""
    shop.variables["PAYMENT_CARD"] = "2200 7000 0000 0009"
    receipt = shop.work / "receipt.pdf"
    receipt.write_bytes(b"%PDF-1.4 a receipt")
    ran = shop.chats("/balance", "topup:500", str(receipt))
    assert ran.code == 0, ran.err
    (topup,) = shop.runs("admin", "topups", "--json").json
    assert (topup["amount_kop"], topup["status"]) == (500_00, "manual_review")
    return shop, topup["id"]


def test_approving_a_topup(asked: tuple[Operator, str]) -> None:
    """Its id may be typed as the person read it: in capitals."""
    shop, topup_id = asked

    approved = shop.runs("admin", "approve", topup_id.upper(), "--json")
    again = shop.runs("admin", "approve", topup_id)

    assert (approved.json["status"], approved.json["amount_kop"]) == ("approved", 500_00)
    assert (again.code, len(again.problems)) == (1, 1)
    assert shop.runs("admin", "wallet", "-1", "--json").json["balance_kop"] == 1500_00
    assert shop.runs("audit").code == 0


def test_approving_what_really_came(asked: tuple[Operator, str]) -> None:
    shop, topup_id = asked

    approved = shop.runs("admin", "approve", topup_id, "--amount", "450,50", "--json").json

    assert (approved["amount_kop"], approved["requested_kop"]) == (450_50, 500_00)
    assert shop.runs("admin", "wallet", "-1", "--json").json["balance_kop"] == 1450_50
    assert shop.runs("audit").code == 0


def test_rejecting_a_topup(asked: tuple[Operator, str]) -> None:
    shop, topup_id = asked

    assert shop.runs("admin", "topups").out.splitlines()[1].startswith(topup_id)
    rejected = shop.runs("admin", "reject", topup_id, "--why", "nothing came", "--json").json

    assert (rejected["status"], rejected["why"]) == ("rejected", "nothing came")
    assert shop.runs("admin", "wallet", "-1", "--json").json["balance_kop"] == 1000_00
    assert "nothing came" in shop.chats("/balance").out


def sell(shop: Operator, *microcredits: int) -> list[str]:
    """A picture for each of these, of which KIE said that it took that; the ids of the jobs."""
    sold = []
    for taken in microcredits:
        assert shop.chats(*GENERATION).code == 0
        ((job_id,),) = rows(shop, "select job_id from tasks order by created_at desc limit 1")
        rows(shop, "update tasks set microcredits = ? where job_id = ?", taken, job_id)
        sold.append(job_id)
    return sold


def test_costs_where_nothing_was_sold(shop: Operator) -> None:
    assert shop.runs("admin", "costs").out == "no job was confirmed yet\n"
    assert shop.runs("admin", "costs", "--json").json == []


def test_costs_for_programs(shopkeeper: Operator) -> None:
    """Of the failed one KIE took nothing, and a grant is no income."""
    shopkeeper.chats(*GENERATION)
    shopkeeper.chats("mcat:visuals", f"mmodel:{MODEL}", "fail", "1")
    sums = {"model_id": MODEL, "jobs": 2, "failed": 1, "refunded": 0, "income_kop": 3000}

    unrated = shopkeeper.runs("admin", "costs", "--json")
    rated = shopkeeper.runs("admin", "costs", "--json", "--rub-per-usd", "92.5")

    assert (unrated.code, rated.code) == (0, 0)
    assert unrated.json == [{**sums, "kie_credits": 5, "kie_cost_kop": None, "margin_kop": None}]
    # 5 credits are 0.025 dollars, and a started kopeck counts whole.
    assert rated.json == [{**sums, "kie_credits": 5, "kie_cost_kop": 232, "margin_kop": 2768}]


def test_a_refund_lowers_the_income(shop: Operator) -> None:
    job_id, _ = sell(shop, 400_000, 100_000)
    shop.runs("admin", "refund", job_id, "--why", "blurred")

    (line,) = shop.runs("admin", "costs", "--json").json

    assert (line["jobs"], line["refunded"], line["income_kop"]) == (2, 1, 3000)
    assert line["kie_credits"] == 0.5


def test_costs_are_a_table(shop: Operator) -> None:
    sell(shop, 5_000_000)

    ran = shop.runs("admin", "costs", "--rub-per-usd", "100")

    assert (ran.code, ran.err) == (0, "")
    heading, line, total, *notes = ran.out.splitlines()
    assert heading.split()[:4] == ["model", "jobs", "failed", "refunded"]
    cells = ["", MODEL, "1", "0", "0", "30\xa0₽", "5", "2.50\xa0₽", "27.50\xa0₽", "92%"]
    assert re.split(" +", line) == cells
    assert total.split()[0] == "all"
    assert notes == ["", "At 100 roubles per US dollar; 1 credit is 0.005 USD."]


def test_a_cost_that_nobody_knows_is_told(shop: Operator) -> None:
    sell(shop, 5_000_000)
    rows(shop, "update tasks set microcredits = null")

    ran = shop.runs("admin", "costs")

    assert re.search(rf"{MODEL} .* 0\+\? +\? +\?$", ran.out, re.MULTILINE)
    assert "No rate is known" in ran.out
    assert "for 1 of the tasks" in ran.out
    assert shop.runs("admin", "costs", "--json").json[0]["kie_credits"] == 0


def test_what_is_sold_at_a_loss_is_told_loudly(shop: Operator) -> None:
    """Without a rate it is looked for at the cautious one: 60 credits are 33 roubles of 110."""
    _, job_id, _ = sell(shop, 5_000_000, 60_000_000, 5_000_000)

    cautious = shop.runs("admin", "costs")
    rated = shop.runs("admin", "costs", "--rub-per-usd", "90")

    assert (cautious.code, rated.code) == (0, 0)
    assert re.search(rf"^✗ +{MODEL}", cautious.out, re.MULTILINE)
    assert (
        f"✗ {MODEL} is sold at a loss: for job {job_id} KIE took 60 credits, which are"
        " 33\xa0₽ at a cautious rate, and the person paid 30\xa0₽."
    ) in cautious.out
    assert "sold at a loss" not in rated.out


def test_what_is_dearer_than_the_catalog_says_is_told(shop: Operator) -> None:
    """The price still covers it; whoever prices by credits would price it too low."""
    (job_id,) = sell(shop, 7_000_000)

    ran = shop.runs("admin", "costs")

    assert re.search(rf"^! +{MODEL}", ran.out, re.MULTILINE)
    assert (
        f"! {MODEL} is dearer than the catalog says: for job {job_id} KIE took 7 credits, and"
        " 5 were expected."
    ) in ran.out
    assert "kiebot models price" in ran.out


def test_costs_of_a_while(shop: Operator) -> None:
    sell(shop, 5_000_000)

    of_a_day = shop.runs("admin", "costs", "--json", "--since", "1")
    of_a_year = shop.runs("admin", "costs", "--json", "--since", "2026-01-01")
    later = shop.runs("admin", "costs", "--since", "2999-01-01")

    assert len(of_a_day.json) == len(of_a_year.json) == 1
    assert later.out == "no job was confirmed since 2999-01-01 00:00 UTC\n"


def test_what_left_the_catalog_stays_in_the_books(shop: Operator) -> None:
    """At the owner's own rate, which stands in their catalog."""
    sell(shop, 60_000_000)
    catalog = json.loads(CATALOG.read_text(encoding="utf-8"))
    catalog["models"] = [model for model in catalog["models"] if model["id"] != MODEL]
    catalog["rub_per_usd"] = "100"
    file = shop.work / "mine.json"
    file.write_text(json.dumps(catalog))

    (line,) = shop.runs("admin", "costs", "--json", CATALOG_PATH=str(file)).json

    assert (line["model_id"], line["kie_cost_kop"], line["margin_kop"]) == (MODEL, 3000, 0)
    assert "✗" not in shop.runs("admin", "costs", CATALOG_PATH=str(file)).out


# --- audit


def test_an_audit_finds_what_is_wrong(shop: Operator) -> None:
    rows(shop, "update wallets set balance_kop = balance_kop + 1 where user_id = -1")

    ran, for_programs = shop.runs("audit"), shop.runs("audit", "--json")

    assert (ran.code, for_programs.code) == (1, 1)
    problem, verdict = ran.out.splitlines()
    assert problem.startswith("a wallet equals the sum of its ledger: user -1")
    assert verdict.startswith("1 wrong: 1 wallet, 1 entry, 0 jobs in ")
    assert for_programs.json["ok"] is False
    assert [set(found) for found in for_programs.json["problems"]] == [{"rule", "detail"}]


# --- doctor


def test_a_doctor_who_finds_nothing(operator: Operator) -> None:
    ran = operator.runs("doctor")

    assert (ran.code, ran.err) == (0, "")
    assert all(line.startswith("✓ ") for line in ran.out.splitlines())
    assert not operator.data.exists()


def test_a_doctor_for_programs(shopkeeper: Operator) -> None:
    shopkeeper.runs("migrate")

    found = shopkeeper.runs("doctor", "--json").json

    assert found["ok"] is True
    names = [check["name"] for check in found["checks"]]
    assert names == ["settings", "catalog", "database", "kie.ai", "results", "top-ups"]


def test_a_doctor_says_what_to_do(postgres_dsn: str, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.write_text("{}")
    operator = Operator(tmp_path, postgres_dsn, {"CATALOG_PATH": str(catalog)})

    ran = operator.runs("doctor", "--output", str(catalog))

    wrong = [line for line in ran.out.splitlines() if line.startswith("✗ ")]
    assert ran.code == 1
    assert [line.split()[1] for line in wrong] == ["catalog", "database", "results"]
    assert "run `kiebot migrate`" in ran.out


def test_a_doctor_prints_no_secret(tmp_path: Path) -> None:
    secrets = {
        "TELEGRAM_BOT_TOKEN": "123456:top-secret-one",
        "TELEGRAM_API_URL": "http://127.0.0.1:9",
        "KIE_API_TOKEN": "top-secret-two",
        "DATABASE_URL": "postgresql://kiebot:top-secret-three@127.0.0.1:9/kiebot",
        "PAYMENT_CARD": "2200 7000 0000 0009",
    }
    operator = Operator(tmp_path, None, secrets)

    for arguments in (["doctor"], ["doctor", "--live"], ["doctor", "--json"]):
        ran = operator.runs(*arguments)
        assert ran.code == 1
        assert "top-secret" not in ran.out + ran.err
        assert "2200" not in ran.out + ran.err


def test_a_doctor_asks_about_a_name_that_is_nearly_a_setting(operator: Operator) -> None:
    (operator.work / ".env").write_text("KIE_API_TOKE=x\nHTTP_PORT=1\nPORT=2\n")

    ran = operator.runs("doctor")

    asked = [line for line in ran.out.splitlines() if not line.startswith("✓ ")]
    assert ran.code == 0
    assert [" ".join(line.split()) for line in asked] == [
        "! settings .env: KIE_API_TOKE is no setting and means nothing; is KIE_API_TOKEN meant?"
    ]


def test_a_doctor_tells_every_wrong_setting(operator: Operator) -> None:
    ran = operator.runs("doctor", PORT="many", TEST_MODE="perhaps")

    assert (ran.code, len(ran.out.splitlines())) == (1, 2)
    assert all(line.startswith("✗ settings") for line in ran.out.splitlines())


@pytest.fixture
def kie(tmp_path: Path) -> Iterator[str]:
    """The address of a `kiebot stub-kie` in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "kiebot", "stub-kie", "--port", "0"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path)},
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


@pytest.mark.parametrize(
    ("left", "code", "line"),
    [
        ("1000000", 0, r"✓ kie\.ai +answers, 1000000 credits left"),
        ("12.5", 0, r"! kie\.ai +answers, 12\.5 credits left, \d+ would be enough: top up .*"),
        ("0", 1, r"✗ kie\.ai +answers, no credits left: every job fails .*"),
    ],
)
def test_a_doctor_warns_of_few_credits(
    operator: Operator, kie: str, left: str, code: int, line: str
) -> None:
    """What is low works still: it is no failure, and it is not hidden either."""
    body = json.dumps({"credits": float(left)}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{kie}/stub/balance", data=body)).close()
    live = {"KIE_API_URL": kie, "KIE_API_TOKEN": leaks.KIE_KEY}

    ran = operator.runs("doctor", "--live", **live)

    assert ran.code == code
    assert re.search(rf"^{line}$", ran.out, re.MULTILINE), ran.out
    (check,) = (
        one
        for one in operator.runs("doctor", "--live", "--json", **live).json["checks"]
        if one["name"] == "kie.ai"
    )
    assert (check["ok"], check["warns"]) == (code == 0, line.startswith("!"))


@pytest.fixture
def telegram() -> Iterator[TelegramThread]:
    with telegram_thread() as running:
        yield running


@pytest.fixture
def seller(operator: Operator, telegram: TelegramThread) -> Operator:
    """An operator with a bot."""
    bot = {"TELEGRAM_BOT_TOKEN": telegram.telegram.token, "TELEGRAM_API_URL": telegram.telegram.url}
    return attrs.evolve(operator, variables=bot)


def diagnosis(ran: Ran) -> list[str]:
    """The lines about Telegram, without the spaces of their columns."""
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    return [line for line in lines if line.split()[1] in {"telegram", "webhook"}]


HOOK = {"BOT_MODE": "webhook", "WEBHOOK_URL": "https://shop.example"}


def hooked(telegram: TelegramThread, url: str) -> None:
    telegram.do(lambda server: server.updates.set_hook({"url": url}))


def test_a_doctor_asks_telegram_who_the_bot_is(seller: Operator, telegram: TelegramThread) -> None:
    ran = seller.runs("doctor")

    assert (ran.code, diagnosis(ran)) == (
        0,
        [
            "✓ telegram answers, @kiebot_test_bot",
            "✓ webhook none, as BOT_MODE=polling wants it",
        ],
    )
    called = telegram.do(lambda server: {call.name for call in server.calls})
    assert called == {"getme", "getwebhookinfo"}


def test_a_doctor_says_whether_the_webhook_fits(seller: Operator, telegram: TelegramThread) -> None:
    assert diagnosis(seller.runs("doctor", **HOOK))[1:] == [
        "! webhook none yet: `kiebot serve` sets it"
    ]

    hooked(telegram, "https://shop.example/telegram/webhook")
    ran = seller.runs("doctor", **HOOK)
    assert (ran.code, diagnosis(ran)[1:]) == (0, ["✓ webhook set to shop.example"])
    assert diagnosis(seller.runs("doctor"))[1:] == [
        "! webhook set to shop.example, and BOT_MODE is polling: `kiebot serve` removes it"
    ]

    hooked(telegram, f"https://other.example/{telegram.telegram.token}")
    ran = seller.runs("doctor", **HOOK)
    assert diagnosis(ran)[1:] == [
        "! webhook set to other.example, not to WEBHOOK_URL: `kiebot serve` changes it"
    ]
    assert telegram.telegram.token not in ran.out


def test_a_doctor_says_what_telegram_says_of_the_webhook(
    seller: Operator, telegram: TelegramThread
) -> None:
    """Nobody is behind the address."""
    hooked(telegram, "https://shop.example/telegram/webhook")
    telegram.do(lambda server: server.person(7).types("/start"))
    server = telegram.telegram
    telegram.wait(server.until(lambda: server.updates.last_error is not None, "an error"))

    ran = seller.runs("doctor", **HOOK)

    (line,) = diagnosis(ran)[1:]
    assert ran.code == 0
    assert re.fullmatch(r"! webhook set to shop\.example, 1 waiting, Telegram says: \S.*", line)


def test_a_doctor_says_what_is_wrong_with_the_bot(
    seller: Operator, telegram: TelegramThread
) -> None:
    ran = seller.runs("doctor", TELEGRAM_BOT_TOKEN="1:wrong-token")
    (line,) = diagnosis(ran)
    assert ran.code == 1
    assert line.startswith("✗ telegram TELEGRAM_BOT_TOKEN: Telegram refuses what was given (not")
    assert "wrong-token" not in ran.out

    ran = seller.runs("doctor", TELEGRAM_API_URL="http://127.0.0.1:9")
    (line,) = diagnosis(ran)
    assert ran.code == 1
    assert line.startswith("✗ telegram no answer from TELEGRAM_API_URL: ")
    assert telegram.telegram.token.partition(":")[2] not in ran.out

    ran = seller.runs("doctor", BOT_MODE="webhook")
    assert ran.code == 1
    assert diagnosis(ran)[1].startswith("✗ webhook WEBHOOK_URL: ")


async def test_a_doctor_knows_a_database_of_another_bot(seller: Operator, tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "first.db")
    await storage.migrate()
    await storage.claim([("kind", "demo"), ("bot", "77")])
    await storage.close()
    address = f"sqlite:///{tmp_path / 'first.db'}"

    ran = await asyncio.to_thread(seller.runs, "doctor", DATABASE_URL=address, TEST_MODE="1")

    assert ran.code == 1
    assert "is the database of bot 77, not of yours: use another one" in ran.out
