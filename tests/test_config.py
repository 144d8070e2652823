"""Settings from the environment: what is read, what is refused, and what is never shown."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve, fields

from kiebot.config import (
    BotMode,
    DatabaseKind,
    DatabaseUrl,
    LogFormat,
    LogLevel,
    Settings,
    default_database,
    misspelt,
)
from kiebot.core.errors import ConfigError
from kiebot.core.money import Money

ROOT = Path(__file__).parent.parent
VARIABLES = [attribute.name.upper() for attribute in fields(Settings)]
BOT_TOKEN = "123456:top-secret"


def read(environ: Mapping[str, str] | None = None, **variables: str) -> Settings:
    return Settings.from_env({**(environ or {}), **variables})


def problems(environ: Mapping[str, str] | None = None, **variables: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(environ, **variables)
    return caught.value.problems


def with_dotenv(
    folder: Path, content: str | bytes, environ: Mapping[str, str] | None = None
) -> Settings:
    file = folder / ".env"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Settings.from_env(environ or {}, dotenv=file)


def dotenv_problems(folder: Path, content: str | bytes) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        with_dotenv(folder, content)
    return caught.value.problems


# --- What is read


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = read()

    assert settings == Settings(
        telegram_bot_token=None,
        telegram_api_url="https://api.telegram.org",
        database_url=None,
        kie_api_token=None,
        kie_api_url="https://api.kie.ai",
        kie_upload_url="https://kieai.redpandaai.co",
        kie_timeout=30.0,
        kie_poll_interval=3.0,
        job_timeout=3600.0,
        lease_seconds=15.0,
        kie_tasks_per_10s=20,
        kie_queries_per_s=10,
        kie_submissions_max=2,
        user_jobs_max=10,
        topup_min=Money.rub("10"),
        topup_max=Money.rub("100000"),
        draft_hours=24.0,
        test_mode=False,
        bot_mode=BotMode.POLLING,
        webhook_url=None,
        webhook_secret=None,
        kie_callback_secret=None,
        port=10000,
        host="0.0.0.0",
        payment_card=None,
        payment_bank=None,
        payment_holder=None,
        admin_ids=(),
        price_multiplier=Decimal(2),
        catalog_path=None,
        log_level=LogLevel.INFO,
        log_format=None,
    )


def test_every_variable_is_read(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.json"
    catalog.touch()
    environ = {
        "TELEGRAM_BOT_TOKEN": BOT_TOKEN,
        "TELEGRAM_API_URL": "http://127.0.0.1:8081/",
        "DATABASE_URL": "sqlite:///mine.db",
        "KIE_API_TOKEN": "kie-key",
        "KIE_API_URL": "http://localhost:8765",
        "KIE_UPLOAD_URL": "http://localhost:8766/up",
        "KIE_TIMEOUT": "0.5",
        "KIE_POLL_INTERVAL": ".25",
        "JOB_TIMEOUT": "90",
        "LEASE_SECONDS": "1.5",
        "KIE_TASKS_PER_10S": "5",
        "KIE_QUERIES_PER_S": "6",
        "KIE_SUBMISSIONS_MAX": "1",
        "USER_JOBS_MAX": "3",
        "TOPUP_MIN": "100,50",
        "TOPUP_MAX": "1 000 ₽",
        "DRAFT_HOURS": "0.5",
        "TEST_MODE": "yes",
        "BOT_MODE": "Webhook",
        "WEBHOOK_URL": "https://bot.example/shop/",
        "WEBHOOK_SECRET": "hook_secret-1",
        "KIE_CALLBACK_SECRET": "callback-secret!",
        "PORT": "0",
        "HOST": "::1",
        "PAYMENT_CARD": "2200 0000 0000 0000",
        "PAYMENT_BANK": "Банк",
        "PAYMENT_HOLDER": "О'Нил",
        "ADMIN_IDS": "1, 22,1 ,333",
        "SUPPORT_CONTACT": "@helper",
        "PRICE_MULTIPLIER": "1.75",
        "CATALOG_PATH": str(catalog),
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "json",
    }

    settings = read(environ)

    assert set(environ) == set(VARIABLES)
    assert settings == Settings(
        telegram_bot_token=BOT_TOKEN,
        telegram_api_url="http://127.0.0.1:8081",
        database_url=DatabaseUrl.sqlite(Path("mine.db")),
        kie_api_token="kie-key",
        kie_api_url="http://localhost:8765",
        kie_upload_url="http://localhost:8766/up",
        kie_timeout=0.5,
        kie_poll_interval=0.25,
        job_timeout=90.0,
        lease_seconds=1.5,
        kie_tasks_per_10s=5,
        kie_queries_per_s=6,
        kie_submissions_max=1,
        user_jobs_max=3,
        topup_min=Money(10050),
        topup_max=Money(100000),
        draft_hours=0.5,
        test_mode=True,
        bot_mode=BotMode.WEBHOOK,
        webhook_url="https://bot.example/shop",
        webhook_secret="hook_secret-1",
        kie_callback_secret="callback-secret!",
        port=0,
        host="::1",
        payment_card="2200 0000 0000 0000",
        payment_bank="Банк",
        payment_holder="О'Нил",
        admin_ids=(1, 22, 333),
        support_contact="@helper",
        price_multiplier=Decimal("1.75"),
        catalog_path=catalog,
        log_level=LogLevel.DEBUG,
        log_format=LogFormat.JSON,
    )


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_an_empty_variable_is_not_set(name: str, blank: str) -> None:
    assert read({name: blank}) == Settings()


def test_spaces_around_a_value_do_not_count() -> None:
    assert read(KIE_TIMEOUT=" 5\n").kie_timeout == 5.0


@pytest.mark.parametrize("word", ["1", "true", "yes", "on", "TRUE", "On"])
def test_words_for_true(word: str) -> None:
    assert read(TEST_MODE=word).test_mode is True


@pytest.mark.parametrize("word", ["0", "false", "no", "off", "False", "NO"])
def test_words_for_false(word: str) -> None:
    assert read(TEST_MODE=word).test_mode is False


def test_the_kie_key_has_two_names() -> None:
    assert read(KIE_API_KEY="second").kie_api_token == "second"
    assert read(KIE_API_KEY="second", KIE_API_TOKEN="first").kie_api_token == "first"
    assert read(KIE_API_KEY="second", KIE_API_TOKEN="").kie_api_token == "second"


def test_a_home_folder_is_found(tmp_path: Path) -> None:
    """A shell does not expand `~` in the middle of sqlite:///~/kiebot.db, so we do."""
    script = "from kiebot.config import DatabaseUrl; print(DatabaseUrl.parse('sqlite:///~/k.db'))"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == f"sqlite:///{tmp_path}/k.db"


# --- What is refused


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("TELEGRAM_API_URL", "api.telegram.org"),
        ("TELEGRAM_API_URL", "ftp://api.telegram.org"),
        ("TELEGRAM_API_URL", "https://"),
        ("KIE_API_URL", "https://host:port"),
        ("KIE_API_URL", "https://host:99999"),
        ("KIE_API_URL", "https://host/?key=1"),
        ("KIE_UPLOAD_URL", "https://ho st"),
        ("KIE_UPLOAD_URL", "https://[::1"),
        ("KIE_TIMEOUT", "soon"),
        ("KIE_TIMEOUT", "0"),
        ("KIE_TIMEOUT", "-1"),
        ("KIE_TIMEOUT", "nan"),
        ("KIE_TIMEOUT", "inf"),
        ("KIE_TIMEOUT", "1e3"),
        ("KIE_TIMEOUT", "1_0"),
        ("KIE_TIMEOUT", "٣"),
        ("KIE_TIMEOUT", "."),
        ("KIE_POLL_INTERVAL", "3,5"),
        ("JOB_TIMEOUT", "99999999999"),
        ("LEASE_SECONDS", "0.01"),
        ("KIE_TASKS_PER_10S", "0"),
        ("KIE_QUERIES_PER_S", "1.5"),
        ("KIE_SUBMISSIONS_MAX", "0"),
        ("USER_JOBS_MAX", "many"),
        ("TOPUP_MIN", "0"),
        ("TOPUP_MIN", "10.555"),
        ("TOPUP_MAX", "-5"),
        ("TOPUP_MAX", "1000000000.01"),
        ("DRAFT_HOURS", "0"),
        ("TEST_MODE", "2"),
        ("TEST_MODE", "enabled"),
        ("BOT_MODE", "push"),
        ("WEBHOOK_URL", "http://bot.example"),
        ("WEBHOOK_URL", "bot.example"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("HOST", "0.0.0.0/8"),
        ("PAYMENT_CARD", "1" * 201),
        ("PAYMENT_BANK", "one\ntwo"),
        ("PAYMENT_HOLDER", "bell\a"),
        ("PAYMENT_HOLDER", "\udcff"),
        ("ADMIN_IDS", "1;2"),
        ("ADMIN_IDS", "1,,2"),
        ("ADMIN_IDS", "@boss"),
        ("ADMIN_IDS", "-5"),
        ("ADMIN_IDS", "0"),
        ("PRICE_MULTIPLIER", "0"),
        ("PRICE_MULTIPLIER", "-2"),
        ("PRICE_MULTIPLIER", "2,5"),
        ("PRICE_MULTIPLIER", "NaN"),
        ("PRICE_MULTIPLIER", "1001"),
        ("CATALOG_PATH", "/no/such/file.json"),
        ("CATALOG_PATH", "/"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_value_is_one_line_with_name_value_and_what_it_takes(name: str, given: str) -> None:
    (problem,) = problems({name: given})

    assert re.fullmatch(rf"{name}: given .+, takes .+", problem)
    assert repr(given)[:60] in problem
    problem.encode()


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("TELEGRAM_BOT_TOKEN", "hunter2"),
        ("TELEGRAM_BOT_TOKEN", "123:hunter2/../"),
        ("DATABASE_URL", "mysql://user:hunter2@host/db"),
        ("DATABASE_URL", "postgresql://user:hunter2/x@host/db"),
        ("KIE_API_TOKEN", "hunter2 and more"),
        ("KIE_API_KEY", "хантер hunter2"),
        ("WEBHOOK_SECRET", "hunter2!"),
        ("WEBHOOK_SECRET", "hunter2" * 40),
        ("KIE_CALLBACK_SECRET", "hunter2\thunter2"),
    ],
)
def test_a_bad_secret_is_named_and_not_shown(name: str, given: str) -> None:
    (problem,) = problems({name: given})

    assert problem.startswith(f"{name}: ")
    assert "takes " in problem
    assert "hunter2" not in problem


def test_a_password_in_an_address_is_not_shown() -> None:
    (problem,) = problems(KIE_API_URL="https://me:hunter2@host")

    assert "hunter2" not in problem


def test_everything_wrong_is_said_at_once() -> None:
    found = problems(PORT="x", TEST_MODE="maybe", ADMIN_IDS="me", TOPUP_MIN="10", TOPUP_MAX="5")

    assert sorted(problem.split(":")[0] for problem in found) == [
        "ADMIN_IDS",
        "PORT",
        "TEST_MODE",
        "TOPUP_MIN",
    ]


def test_the_least_top_up_is_not_above_the_largest() -> None:
    assert problems(TOPUP_MIN="200000") == (
        "TOPUP_MIN: given 200000, takes at most TOPUP_MAX, which is 100000",
    )


def test_settings_made_by_hand_are_checked_too() -> None:
    with pytest.raises(ConfigError, match="PORT: given '-1', takes"):
        Settings(port=-1)
    with pytest.raises(ConfigError, match="TOPUP_MIN"):
        evolve(Settings(), topup_max=Money(1))


# --- Secrets


def test_no_secret_is_in_the_repr() -> None:
    settings = read(
        TELEGRAM_BOT_TOKEN="1:hunter2",
        DATABASE_URL="postgresql://me:hunter2@host/db?password=hunter2",
        KIE_API_TOKEN="hunter2",
        WEBHOOK_SECRET="hunter2",
        KIE_CALLBACK_SECRET="hunter2",
    )

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.database_url)
    assert "hunter2" not in str(settings.database_url)


def test_the_webhook_secret_is_derived_from_the_token() -> None:
    """All instances of a bot agree on it untold, and it does not give the token away."""
    first = Settings(telegram_bot_token=BOT_TOKEN).telegram_secret
    again = Settings(telegram_bot_token=BOT_TOKEN, port=1).telegram_secret
    other = Settings(telegram_bot_token="123456:other").telegram_secret

    assert first == again != other
    assert BOT_TOKEN not in first
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,256}", first)


def test_a_given_webhook_secret_is_used() -> None:
    settings = Settings(telegram_bot_token=BOT_TOKEN, webhook_secret="mine")

    assert settings.telegram_secret == "mine"


def test_no_webhook_secret_without_a_token() -> None:
    with pytest.raises(ConfigError, match="TELEGRAM_BOT_TOKEN"):
        _ = Settings().telegram_secret


# --- What a command needs


def test_serve_needs_token_key_and_webhook_address() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(bot_mode=BotMode.WEBHOOK).for_serve()

    names = [problem.split(":")[0] for problem in caught.value.problems]
    assert names == ["TELEGRAM_BOT_TOKEN", "KIE_API_TOKEN or KIE_API_KEY", "WEBHOOK_URL"]


def test_serve_with_the_stub_needs_no_kie_key() -> None:
    Settings(telegram_bot_token=BOT_TOKEN, test_mode=True).for_serve()


def test_serve_by_polling_needs_no_address() -> None:
    Settings(telegram_bot_token=BOT_TOKEN, kie_api_token="key").for_serve()


def test_live_needs_the_kie_key_only() -> None:
    with pytest.raises(ConfigError, match=r"^KIE_API_TOKEN or KIE_API_KEY: not set"):
        Settings().for_live()

    Settings(kie_api_token="key").for_live()


# --- Where the database is


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///relative.db", "relative.db"),
        ("sqlite:///folder/relative.db", "folder/relative.db"),
        ("sqlite:////absolute/file.db", "/absolute/file.db"),
        ("SQLite:///my%20file.db", "my%20file.db"),
        ("sqlite:///с пробелом.db", "с пробелом.db"),
    ],
)
def test_an_sqlite_address_is_a_path(url: str, path: str) -> None:
    database = DatabaseUrl.parse(url)

    assert database == DatabaseUrl.sqlite(Path(path))
    assert (database.kind, database.path) == (DatabaseKind.SQLITE, Path(path))
    assert DatabaseUrl.parse(str(database)) == database
    with pytest.raises(ValueError, match="SQLite"):
        _ = database.dsn


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgres://me@host:5433/db", "postgres://me@host:5433/db"),
        ("postgresql://me:p%40ss@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p@ss@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:@/db?host=/tmp/socket", "postgresql://me@/db?host=/tmp/socket"),
        ("postgresql://one:1,two:2/db", "postgresql://one:1,two:2/db"),
        ("postgresql://h/db?sslmode=require&password=x", "postgresql://h/db?sslmode=require"),
        ("postgresql:///db", "postgresql:///db"),
    ],
)
def test_a_postgres_address_is_kept_and_shown_without_its_password(url: str, shown: str) -> None:
    database = DatabaseUrl.parse(url)

    assert (database.kind, database.dsn, str(database)) == (DatabaseKind.POSTGRES, url, shown)
    with pytest.raises(ValueError, match="PostgreSQL"):
        _ = database.path


@pytest.mark.parametrize(
    "url",
    [
        "kiebot.db",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/file.db",
        "sqlite:///folder/",
        "sqlite:////",
        "sqlite:////tmp",
        "sqlite:///:memory:",
        "sqlite:///file.db?mode=ro",
        "sqlite+aiosqlite:///file.db",
        "postgresql://",
        "postgresql:///",
        "postgresql:host/db",
        "postgresql://host:port/db",
        "postgresql://me:pass/word@host/db",
        "postgresql://me:pass#word@host/db",
        "postgresql://me:1?word@host/db",
        "postgresql://ho st/db",
        "postgresql+asyncpg://host/db",
        "mysql://host/db",
    ],
)
def test_what_is_no_database_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"not a database address; takes postgresql://.*sqlite:"):
        DatabaseUrl.parse(url)


def test_by_default_the_database_is_in_the_user_data_folder(tmp_path: Path) -> None:
    """It is looked up when asked for, and nothing is created."""
    script = (
        "from kiebot.config import Settings, default_database\n"
        "print(Settings().database, default_database('demo.db'), sep='\\n')"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=True,
    )

    kiebot, demo = done.stdout.splitlines()
    assert kiebot.startswith(f"sqlite:///{tmp_path}")
    assert kiebot.endswith("/kiebot.db")
    assert demo == kiebot.replace("kiebot.db", "demo.db")
    assert list(tmp_path.iterdir()) == []


def test_a_given_database_is_used() -> None:
    settings = read(DATABASE_URL="sqlite:///mine.db")

    assert settings.database == DatabaseUrl.sqlite(Path("mine.db")) != default_database()


# --- The .env file


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings = with_dotenv(tmp_path, "PORT=1\nHOST=file\n", {"PORT": "2"})

    assert (settings.port, settings.host) == (2, "file")


def test_the_environment_wins_under_another_name_too(tmp_path: Path) -> None:
    settings = with_dotenv(tmp_path, "KIE_API_TOKEN=file\n", {"KIE_API_KEY": "environment"})

    assert settings.kie_api_token == "environment"


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    assert Settings.from_env({}, dotenv=tmp_path / ".env") == Settings()


def test_the_file_is_read_as_such_files_are(tmp_path: Path) -> None:
    content = (
        "\ufeff# a comment\r\n"
        "\r\n"
        "export PORT=1 # the port\r\n"
        "HOST = 'host'\r\n"
        'PAYMENT_BANK="Банк № 1"\r\n'
        "PAYMENT_HOLDER=${HOST}\r\n"
        "TEST_MODE=\r\n"
        "SOMETHING_ELSE=1\r\n"
        "ADMIN_IDS=7"
    )

    settings = with_dotenv(tmp_path, content)

    assert settings == Settings(
        port=1, host="host", payment_bank="Банк № 1", payment_holder="${HOST}", admin_ids=(7,)
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("PORT=1\nTELEGRAM_BOT_TOKEN hunter2\n", 2),
        ("PORT=1\n\n\nhunter2\n", 4),
        ("# comment\n\r\nKIE_API_TOKEN='hunter2\n", 3),
        ('KIE_API_TOKEN="hunter2\nPORT=1\n', 1),
        ("PORT=1\n=hunter2\n", 2),
        ("PORT=1\n\nKIE_API_TOKEN=\xff".encode("latin-1"), 3),
        ("PORT=1".encode("utf-16"), 1),
        ("# comment\nPORT=1".encode("utf-16-le"), 1),
    ],
)
def test_a_broken_file_is_one_line_with_its_place(
    tmp_path: Path, content: str | bytes, line: int
) -> None:
    """And without what stands there: it may be half a secret."""
    (problem,) = dotenv_problems(tmp_path, content)

    assert problem.startswith(f"{tmp_path / '.env'}, line {line}: ")
    assert "hunter2" not in problem


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env({}, dotenv=tmp_path)

    assert caught.value.problems == (f"{tmp_path}: is a folder, takes a file of NAME=value lines",)


def test_broken_file_and_bad_values_are_said_together(tmp_path: Path) -> None:
    first, second = dotenv_problems(tmp_path, "rubbish\nPORT=x\n")

    assert "line 1" in first
    assert second.startswith("PORT: given 'x', takes")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KIE_API_TOKE", "KIE_API_TOKEN"),
        ("kie_api_key", "KIE_API_KEY"),
        ("ADMIN_ID", "ADMIN_IDS"),
        ("TOPUPMIN", "TOPUP_MIN"),
        ("KIE_API_TOKEN", None),
        ("POSTGRES_PASSWORD", None),
        ("HTTP_PORT", None),
        ("TZ", None),
    ],
)
def test_a_name_that_is_nearly_a_setting_is_misspelt(
    tmp_path: Path, name: str, meant: str | None
) -> None:
    file = tmp_path / ".env"
    file.write_text(f"PORT=1\n{name}=x\n")

    assert misspelt(file) == ({} if meant is None else {name: meant})


def test_of_no_file_nothing_is_misspelt(tmp_path: Path) -> None:
    assert misspelt(tmp_path / ".env") == {}


# --- The example


def test_the_example_lists_every_variable_with_its_default(tmp_path: Path) -> None:
    """With every line switched on it says what is so anyway."""
    example = (ROOT / ".env.example").read_text()
    names = re.findall(r"^#?([A-Z0-9_]+)=", example, re.MULTILINE)
    switched_on = re.sub(r"^#([A-Z0-9_]+=)", r"\1", example, flags=re.MULTILINE)

    settings = with_dotenv(tmp_path, switched_on)

    assert names == VARIABLES
    assert settings == Settings()


def test_every_default_is_written_out_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()

    for attribute in fields(Settings):
        written = re.search(rf"^#?{attribute.name.upper()}=(.*)$", example, re.MULTILINE)
        assert written is not None
        assert bool(written[1]) == (attribute.default not in (None, ()))
