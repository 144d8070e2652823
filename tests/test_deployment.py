"""
The files that kiebot is deployed with: what they say has to fit the program, and each other.

The image's health check is run as the image runs it, and what docs/operating.md says of backups and
of the role of the database is done here as it is written there.
"""

import asyncio
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from attrs import fields, frozen
from ruamel.yaml import YAML

from kiebot.adapters.metrics import Metrics
from kiebot.cli import COMMANDS
from kiebot.compose import utc_now
from kiebot.config import Settings, variables
from kiebot.core.figures import Figures
from kiebot.service import CLOSE_S, FINISH_S
from tests.fakes.postgres import PostgresServer
from tests.fakes.served import served
from tests.fakes.telegram_server import TelegramServer

ROOT = Path(__file__).parent.parent
OPERATING = (ROOT / "docs" / "operating.md").read_text()
SECRETS = {variable.name for variable in variables() if variable.is_secret} | {
    "KIE_API_KEY",
    "PAYMENT_CARD",
    "POSTGRES_PASSWORD",
    "PGPASSWORD",
}
OURS = {name for variable in variables() for name in variable.names}
DEFAULT_PORT = fields(Settings).port.default
STOPPING_S = FINISH_S + CLOSE_S


@frozen
class Step:
    """One instruction of a Dockerfile."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """What it was given, as JSON or as a shell would split it."""
        if self.rest.startswith("["):
            found: list[str] = json.loads(self.rest)
            return found
        return shlex.split(self.rest)


def dockerfile() -> list[Step]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    joined = re.sub(r"\\\n", " ", text)
    return [Step(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def image() -> list[Step]:
    """What the stage that is shipped is made by."""
    steps = dockerfile()
    last = max(number for number, step in enumerate(steps) if step.name == "FROM")
    return steps[last:]


def one(name: str) -> Step:
    (found,) = [step for step in image() if step.name == name]
    return found


def image_variables() -> dict[str, str]:
    return dict(word.split("=", 1) for word in one("ENV").words)


def yaml(name: str) -> Any:
    return YAML(typ="safe", pure=True).load(ROOT / name)


def unit() -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign] # as the docs have it
    parser.read(ROOT / "deploy" / "kiebot.service")
    return parser


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def is_kiebot_serve(words: list[str]) -> bool:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    program, command = words
    return Path(program).name in scripts and command in COMMANDS and command == "serve"


# --- The image


def test_the_image_serves_and_is_not_root() -> None:
    users = [step.rest for step in image() if step.name == "USER"]

    assert is_kiebot_serve(one("ENTRYPOINT").words + one("CMD").words)
    assert users
    assert all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)
    assert one("STOPSIGNAL").rest == "SIGTERM"
    assert one("EXPOSE").rest == image_variables()["PORT"] == str(DEFAULT_PORT)


def test_the_image_has_a_python_that_kiebot_is_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bases = [step.words[0] for step in dockerfile() if step.name == "FROM"]

    assert len(set(bases)) == 1
    version = re.fullmatch(r"python:(3\.\d+)-slim", bases[0])
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in project["classifiers"]


def test_the_image_keeps_a_database_where_it_may_be_written() -> None:
    """Also where DATABASE_URL is there and empty, as a copied .env.example has it."""
    volume = one("VOLUME").rest

    assert one("WORKDIR").rest == image_variables()["XDG_DATA_HOME"] == volume
    assert any("install --directory --owner=kiebot" in step.rest for step in image())


def test_the_image_is_made_from_what_is_there_and_nothing_private() -> None:
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        word
        for step in dockerfile()
        if step.name == "COPY" and "--from=" not in step.rest
        for word in step.words[:-1]
    }

    assert rules[0] == "*"
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert not [name for name in (".env", ".git", "kiebot.db") if _is_let_in(name, let_in)]


def _is_let_in(name: str, let_in: set[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in let_in)


def health_check() -> list[str]:
    """As the image runs it, with the Python of the tests."""
    options, _, command = one("HEALTHCHECK").rest.partition("CMD ")
    assert "--start-period=" in options
    words = Step("CMD", command.strip()).words
    assert words[0] == "python"
    return [sys.executable, *words[1:]]


async def check(port: str, **variables: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *health_check(),
        env={"PATH": os.defpath, "PORT": port, **variables},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


async def test_who_stands_by_is_healthy(tmp_path: Path, telegram: TelegramServer) -> None:
    """A host that asked `/ready` would kill the new one, and wait for ever to stop the old one."""
    async with served(tmp_path, telegram, f"sqlite:///{tmp_path}/kiebot.db") as shop:
        first = await shop.start("first")
        second = await shop.start("second", ready=503)
        ports = [str(urlsplit(instance.address).port) for instance in (first, second)]

        # Through a proxy it would be the proxy that is asked.
        assert [await check(port, http_proxy="http://127.0.0.1:9") for port in ports] == [0, 0]
        second.kill()
        await second.ends()
        assert await check(ports[1]) != 0


# --- Compose


def test_compose_knows_all_that_is_in_its_file() -> None:
    """By the schema of the compose specification, which refuses what it does not know."""
    checking = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    done = subprocess.run(
        [*checking, str(ROOT / "compose.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_runs_the_image_with_a_database() -> None:
    services = yaml("compose.yaml")["services"]
    kiebot, postgres = services["kiebot"], services["postgres"]
    settings = Settings.from_env({**kiebot["environment"], "POSTGRES_PASSWORD": "x"})

    assert kiebot["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert urlsplit(settings.database.dsn).hostname == "postgres"
    assert urlsplit(settings.database.dsn).path == f"/{postgres['environment']['POSTGRES_DB']}"
    assert urlsplit(settings.database.dsn).username == postgres["environment"]["POSTGRES_USER"]
    assert kiebot["ports"][0].endswith(f":{settings.port}")
    assert kiebot["ports"][0].startswith("127.0.0.1:")
    assert kiebot["env_file"] == ".env"
    assert "command" not in kiebot
    # The image's own check, which asks /health.
    assert "healthcheck" not in kiebot
    assert postgres["healthcheck"]["test"][1] == "pg_isready"
    assert seconds(kiebot["stop_grace_period"]) > STOPPING_S
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}
    assert postgres["volumes"] == ["database:/var/lib/postgresql/data"]


# --- Render


def test_render_runs_the_image_with_a_database() -> None:
    blueprint = yaml("render.yaml")
    (service,), (database,) = blueprint["services"], blueprint["databases"]
    given = {entry["key"]: entry for entry in service["envVars"]}

    assert (service["type"], service["runtime"]) == ("web", "docker")
    assert service["healthCheckPath"] == "/health"
    assert service["plan"] != "free"
    assert service["region"] == database["region"]
    assert STOPPING_S < service["maxShutdownDelaySeconds"] <= 300
    assert given["DATABASE_URL"]["fromDatabase"] == {
        "name": database["name"],
        "property": "connectionString",
    }
    # One source each.
    assert all(len(entry) == 2 for entry in given.values())
    Settings.from_env({key: entry["value"] for key, entry in given.items() if "value" in entry})


def test_render_asks_for_what_serving_needs() -> None:
    (service,) = yaml("render.yaml")["services"]
    asked = {entry["key"] for entry in service["envVars"] if entry.get("sync") is False}

    assert {"TELEGRAM_BOT_TOKEN", "KIE_API_TOKEN", "ADMIN_IDS", "PAYMENT_CARD"} <= asked
    # What Render makes is base64, and Telegram takes no `+`, `/` and `=` in it.
    assert "WEBHOOK_SECRET" not in {entry["key"] for entry in service["envVars"]}


# --- systemd


def test_the_unit_serves_as_a_user_of_its_own() -> None:
    service = unit()["Service"]
    folder = service["WorkingDirectory"]

    assert is_kiebot_serve(service["ExecStart"].split())
    assert service["User"] == service["Group"] == "kiebot"
    # What the commands of the owner read in that folder is what the service reads.
    assert service["EnvironmentFile"] == f"{folder}/.env"
    assert service["StateDirectory"] == "kiebot"
    assert service["Restart"] == "always"
    assert seconds(service["TimeoutStopSec"]) > STOPPING_S
    assert service["KillSignal"] == "SIGTERM"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "true"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Environment"] == f"PORT={DEFAULT_PORT}"
    assert service["ExecStartPost"].endswith("http://127.0.0.1:${PORT}/health")
    assert unit()["Install"]["WantedBy"] == "multi-user.target"


# --- All of them


def named() -> Iterator[tuple[str, str, object]]:
    """Every variable that is given a value somewhere: file, name, value."""
    for step in dockerfile():
        if step.name in {"ENV", "ARG"}:
            for word in step.words:
                name, _, value = word.partition("=")
                yield "Dockerfile", name, value
    for service in yaml("compose.yaml")["services"].values():
        for name, value in service["environment"].items():
            yield "compose.yaml", name, value
    for service in yaml("render.yaml")["services"]:
        for entry in service["envVars"]:
            yield "render.yaml", entry["key"], entry.get("value")
    for name, value in unit()["Service"].items():
        if name == "Environment":
            yield "kiebot.service", value.partition("=")[0], value.partition("=")[2]
    for line in (ROOT / ".env.example").read_text().splitlines():
        if match := re.fullmatch(r"#?([A-Z0-9_]+)=(.*)", line):
            yield ".env.example", match[1], match[2]


def test_no_file_holds_a_secret() -> None:
    found = [
        (file, name)
        for file, name, value in named()
        if name in SECRETS and value and not _is_no_secret(str(value))
    ]

    assert found == []


def _is_no_secret(value: str) -> bool:
    """Asked for when it starts, or an address without a password."""
    return value.startswith("${") or (
        value.startswith("postgresql://") and ":" not in _login(value)
    )


def _login(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[0]


def test_every_variable_is_one_that_somebody_reads() -> None:
    """A misspelt one would be no setting, and nobody would say so."""
    others = {
        "PATH",
        "PYTHONUNBUFFERED",
        "XDG_DATA_HOME",
        "PGPASSWORD",
        "POSTGRES_DB",
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
    }

    assert {name for _, name, _ in named()} - OURS - others == set()


def test_all_ask_whether_it_lives_and_nobody_whether_it_is_ready() -> None:
    asked = [
        one("HEALTHCHECK").rest,
        json.dumps(yaml("render.yaml")["services"]),
        json.dumps(dict(unit()["Service"])),
    ]
    # It runs the image, which has its own check.
    compose = json.dumps(yaml("compose.yaml")["services"])

    assert [text for text in asked if "/health" not in text] == []
    assert [text for text in (*asked, compose) if "/ready" in text] == []


# --- What docs/operating.md says


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", OPERATING, re.MULTILINE | re.DOTALL)


def test_the_docs_name_commands_that_there_are() -> None:
    used = re.findall(r"(?:^|[\s/`])kiebot ([a-z][a-z-]+)", "\n".join(blocks("sh")), re.MULTILINE)

    assert {"serve", "doctor", "audit", "admin"} <= set(used)
    # A container is called kiebot too.
    assert set(used) - set(COMMANDS) - {"kiebot", "python"} == set()


async def test_the_docs_name_metrics_that_there_are() -> None:
    async def figures() -> Figures:
        return Figures()

    page = (await Metrics(utc_now, figures, lambda: True).text()).decode()
    known = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    told = set(re.findall(r"\bkiebot_[a-z_]+", OPERATING)) - {"kiebot_app"}

    assert told
    missing = {name for name in told if name not in known and _family(name) not in known}
    assert missing == set()
    # An owner finds every one of them explained.
    assert {name.removesuffix("_total") for name in known if not name.endswith("_created")} <= {
        name.removesuffix("_total") for name in told
    }


def _family(name: str) -> str:
    return re.sub(r"_(?:bucket|count|sum)$", "", name)


def test_the_docs_name_settings_that_there_are() -> None:
    told = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=\S+)?`", OPERATING))

    assert told - OURS - {"POSTGRES_PASSWORD", "HTTP_PORT"} == set()


def sold(database: str, folder: Path) -> None:
    """One generation in a demo database, by a pipe."""
    answers = ["mcat:visuals", "mmodel:flux-2/pro-text-to-image", "a red cat", "1"]
    kiebot("chat", "--database", database, cwd=folder, answers=answers)


def kiebot(
    *arguments: str, cwd: Path, answers: list[str] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kiebot", *arguments],
        input="".join(f"{answer}\n" for answer in answers or []),
        env={"PATH": os.defpath, "HOME": str(cwd), "LC_ALL": "C.UTF-8", **variables},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )


def audited(database: str, folder: Path) -> Mapping[str, Any]:
    report: Mapping[str, Any] = json.loads(
        kiebot("audit", "--json", "--database", database, cwd=folder).stdout
    )
    return report


def test_a_copy_of_an_sqlite_file_in_use_is_whole(tmp_path: Path) -> None:
    """Copied by `vacuum into`, while somebody else has it open."""
    (statement,) = set(re.findall(r"vacuum into '[^']+'", OPERATING))
    copy = tmp_path / "copy.db"
    sold(f"sqlite:///{tmp_path}/kiebot.db", tmp_path)

    with closing(sqlite3.connect(tmp_path / "kiebot.db")) as in_use:
        in_use.execute("select count(*) from ledger").fetchone()
        with closing(sqlite3.connect(tmp_path / "kiebot.db")) as connection:
            connection.execute(re.sub(r"'[^']+'", f"'{copy}'", statement))

    report = audited(f"sqlite:///{copy}", tmp_path)
    assert report == audited(f"sqlite:///{tmp_path}/kiebot.db", tmp_path)
    assert (report["ok"], report["jobs"]) == (True, 1)


def test_a_dump_of_postgresql_can_be_restored(
    tmp_path: Path, postgres_server: PostgresServer, postgres_dsn: str
) -> None:
    """The ledger refuses changes, and must not refuse to be filled again."""
    sold(postgres_dsn, tmp_path)
    other = postgres_server.create()
    try:
        postgres_server.copy(postgres_dsn, other)

        report = audited(other, tmp_path)
        assert report == audited(postgres_dsn, tmp_path)
        assert (report["ok"], report["jobs"]) == (True, 1)
        # And it goes on from there.
        sold(other, tmp_path)
        assert (audited(other, tmp_path)["ok"], audited(other, tmp_path)["jobs"]) == (True, 2)
    finally:
        postgres_server.drop(other)


async def test_a_role_that_may_not_change_the_schema_can_serve(
    tmp_path: Path,
    telegram: TelegramServer,
    postgres_dsn: str,
) -> None:
    """The statements of the docs, in a database that its owner has migrated."""
    (statements,) = blocks("sql")
    role = f"kiebot_app_{os.getpid()}"
    kiebot("migrate", "--database", postgres_dsn, cwd=tmp_path)
    owner = PostgresServer(postgres_dsn)
    try:
        for statement in statements.replace("kiebot_app", role).split(";"):
            if statement.strip():
                owner.execute(statement)
        parts = urlsplit(postgres_dsn)
        login = f"{role}:{'a-long-password'}@{parts.netloc.rpartition('@')[2]}"
        dsn = urlunsplit(parts._replace(netloc=login))

        async with served(tmp_path, telegram, dsn) as shop:
            instance = await shop.start()
            phone = telegram.person(7, "Аня", language_code="ru")
            phone.types("/start")
            await phone.sees("Баланс")
            money = ["admin", "grant", "7", "100", "--why", "a trial", "--database", postgres_dsn]
            await asyncio.to_thread(kiebot, *money, cwd=tmp_path)
            phone.forges("mmodel:flux-2/pro-text-to-image")
            await phone.sees("знаков")
            phone.types("a red cat")
            await phone.sees("К оплате 30 ₽")
            phone.presses("Создать за 30 ₽")
            await phone.sees_file()
            instance.terminate()
            assert await instance.ends(10) == 0
            assert "permission denied" not in instance.log
        report = await asyncio.to_thread(audited, postgres_dsn, tmp_path)
        assert (report["ok"], report["jobs"], report["entries"]) == (True, 1, 3)
    finally:
        owner.execute(f'drop owned by "{role}"')
        owner.execute(f'drop role "{role}"')
