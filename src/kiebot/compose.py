"""
The composition root: settings -> a running kiebot.

The only place that names adapters. Each is imported where it is chosen, so that nobody waits for a
driver that is not used; and so is the shop itself, which a list of prices can do without. What is
handed in replaces what the settings would have chosen, and stays the property of whoever made it:
it is not closed here.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from attrs import evolve, fields_dict, frozen

from kiebot.config import BotMode, DatabaseKind, DatabaseUrl, LogLevel, Settings, default_database
from kiebot.core.errors import (
    ConfigError,
    KieUnavailableError,
    MediaError,
    StorageUnavailableError,
)

if TYPE_CHECKING:
    from datetime import date, tzinfo
    from decimal import Decimal
    from pathlib import Path

    from kiebot.adapters.frontend.telegram_look import Standing as Standing
    from kiebot.adapters.frontend.terminal import TerminalFrontend
    from kiebot.adapters.kie.stub_server.server import StubServer
    from kiebot.app import Kiebot as Kiebot  # for the commands, which know no other room
    from kiebot.conversation import Conversation
    from kiebot.core.callbacks import Callbacks
    from kiebot.core.catalog import Catalog
    from kiebot.core.language import Language
    from kiebot.core.money import Money
    from kiebot.core.tasks import TaskId, TaskRequest, TaskStatus
    from kiebot.core.terms import Terms
    from kiebot.core.users import UserId
    from kiebot.ports.frontend import Frontend
    from kiebot.ports.kie import InputFile, KieClient
    from kiebot.ports.media import Media
    from kiebot.ports.storage import Storage
    from kiebot.ports.system import Clock, NewId
    from kiebot.service import Service
    from kiebot.worker import Worker

log = logging.getLogger(__name__)

MakeFrontend: TypeAlias = "Callable[[Conversation], Frontend]"
"""How a frontend is made: with the conversation it is the ears and mouth of."""

DatabaseRole: TypeAlias = Literal["demo", "live"]
"""What a database is from its first use on: money in it is a toy, or it is not."""

STUB_POLL_S = 0.2
"""Seconds between looks at a task of the stub, which is done in less than a second."""

_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o (nor u), so that an id can be read out."""

_ID_CHARS = 12
"""60 bits: not to be guessed, and never twice in one shop."""


def utc_now() -> datetime:
    """The clock of the machine."""
    return datetime.now(UTC)


def new_id() -> str:
    """An id from the system's source of chance."""
    import secrets

    return "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_CHARS))


@frozen(kw_only=True)
class Runtime:
    """A kiebot that is put together. `frontend` is None where people are met elsewhere."""

    kiebot: Kiebot
    conversation: Conversation
    worker: Worker
    frontend: Frontend | None
    settings: Settings

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work on jobs, and tell people at the frontend, while the block runs."""
        import asyncio

        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._work(), name="kiebot worker")
                yield
                work.cancel()
        except BaseExceptionGroup as several:
            # Whoever embeds kiebot catches the error itself, not a group around it.
            raise several.exceptions[0] from several.exceptions[0].__cause__

    async def _work(self) -> None:
        try:
            await self.worker.run()
        except BaseExceptionGroup as several:
            error = several.exceptions[0]
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from error.__cause__


@asynccontextmanager
async def compose(
    settings: Settings,
    *,
    frontend: MakeFrontend | None = None,
    audience: UserId | None = None,
    storage: Storage | None = None,
    kie: KieClient | None = None,
    media: Media | None = None,
    catalog: Catalog | None = None,
    clock: Clock = utc_now,
    new_id: NewId = new_id,
    callbacks: bool = False,
    demo_grant: Money | None = None,
    tz: tzinfo = UTC,
) -> AsyncIterator[Runtime]:
    """
    Put a kiebot together, and take it apart when the block ends.

    The database is made or migrated, and is demo (TEST_MODE) or live from then on. `audience` is
    the one person of a frontend that has only one; without it everybody is worked for whose id is
    not negative. `callbacks`: this process, or another on the same database, serves the callbacks
    that the settings allow for. `demo_grant` is given to each new person of a demo database. `tz`
    is the zone in which people read moments.

    Raises:
        ConfigError: A setting is missing.
        CatalogError: The catalog cannot be read, or has nothing on sale.
        WrongDatabaseError: A demo database is to be used live, or the reverse.
        StorageError: The database cannot be used.
    """
    from kiebot.app import Kiebot
    from kiebot.conversation import Conversation
    from kiebot.worker import Worker

    offers = load_catalog(settings.catalog_path) if catalog is None else catalog
    async with AsyncExitStack() as stack:
        if storage is None:
            if kie is None and not is_there(settings.database):
                # Before a file is made that nothing will be sold from.
                check_kie(settings)
            storage = await _open(settings.database, settings, clock)
            stack.push_async_callback(storage.close)
        role: DatabaseRole = "demo" if settings.test_mode else "live"
        if kie is None and await role_of(storage) in {None, role}:
            # Before it is migrated and claimed for settings that could not sell.
            check_kie(settings)
        await storage.migrate()
        await storage.claim([("kind", role)])
        if media is None:
            media = await stack.enter_async_context(reading(settings))
        is_stub = kie is None and settings.test_mode
        if kie is None:
            kie = await stack.enter_async_context(generating(settings, media, clock))
        shop = Kiebot(
            storage,
            kie,
            offers,
            terms(settings, demo_grant=demo_grant, is_stub=is_stub, callbacks=callbacks),
            media=media,
            clock=clock,
            new_id=new_id,
        )
        conversation = Conversation(shop, tz=tz, clock=clock)
        met_at = None if frontend is None else frontend(conversation)
        if met_at is not None:
            shop.open_with(met_at.open)
        worker = Worker(shop, met_at, conversation.news, audience=audience)
        if met_at is not None and audience is not None:
            conversation.told_by(worker.has_told)
        yield Runtime(
            kiebot=shop,
            conversation=conversation,
            worker=worker,
            frontend=met_at,
            settings=settings,
        )


@asynccontextmanager
async def serve(
    settings: Settings, *, clock: Clock = utc_now, new_id: NewId = new_id, tz: tzinfo = UTC
) -> AsyncIterator[Service]:
    """
    Put an instance of the Telegram deployment together, and take it apart when the block ends.

    The HTTP server runs from the beginning; all else begins with `Service.run`.

    Raises:
        ConfigError: A setting is missing, or nobody can listen on the port.
        CatalogError: The catalog cannot be read, or has nothing on sale.
        StorageError: The database cannot be opened, or is used as something else.
    """
    # What is missing is said before aiogram is loaded, which takes a while.
    settings.for_serve()
    from kiebot.adapters import http
    from kiebot.adapters.frontend import telegram_updates
    from kiebot.adapters.frontend.telegram import TelegramFrontend
    from kiebot.adapters.metrics import CONTENT_TYPE, MeteredKieClient, Metrics
    from kiebot.app import Kiebot
    from kiebot.conversation import Conversation
    from kiebot.reception import Reception
    from kiebot.service import Service
    from kiebot.worker import Worker

    assert settings.telegram_bot_token is not None
    offers = load_catalog(settings.catalog_path)
    async with AsyncExitStack() as stack:
        storage = await _open(settings.database, settings, clock)
        stack.push_async_callback(storage.close)
        media = await stack.enter_async_context(reading(settings))
        kie = await stack.enter_async_context(generating(settings, media, clock))
        # Each of these is asked only when all are there.
        metrics = Metrics(
            clock, figures=lambda: shop.inbox.figures(), is_leader=lambda: service.is_leading
        )
        shop = Kiebot(
            storage,
            MeteredKieClient(kie, metrics),
            offers,
            terms(settings, callbacks=True),
            media=media,
            clock=clock,
            new_id=new_id,
        )
        conversation = Conversation(shop, tz=tz, clock=clock)
        bot = telegram_updates.make_bot(
            settings.telegram_bot_token,
            settings.telegram_api_url,
            telegram_updates.Watch(lambda: service.may_speak(), metrics.telegram),
        )
        frontend = TelegramFrontend(conversation, bot, admins=shop.terms.admins)
        stack.push_async_callback(frontend.close)
        shop.open_with(frontend.open)
        bouncer = telegram_updates.Bouncer(bot, conversation.texts)
        reception = Reception(
            shop,
            frontend,
            where=conversation.where,
            went_wrong=conversation.went_wrong,
            turn_away=bouncer.turn_away,
            ask_to_wait=bouncer.ask_to_wait,
            lease_s=settings.lease_seconds,
            note=metrics.update,
        )
        is_webhook = settings.bot_mode is BotMode.WEBHOOK
        calling = hook = None
        if is_webhook:
            assert settings.webhook_url is not None
            secret = settings.telegram_secret
            calling = telegram_updates.Webhook(bot, settings.webhook_url, secret)

            async def take_in(raw: object) -> None:
                update = telegram_updates.read_update(raw)
                if update is not None:
                    await service.take_in(update)

            hook = http.Hook(secret=secret, take_in=take_in)
        service = Service(
            shop,
            storage,
            Worker(shop, frontend, conversation.news, audience=None),
            reception,
            frontend,
            facts=[
                ("kind", "demo" if settings.test_mode else "live"),
                ("bot", telegram_updates.bot_id(settings.telegram_bot_token)),
            ],
            asking=None if is_webhook else telegram_updates.Polling(bot, reception.take_in),
            calling=calling,
        )
        watching = http.Watching(
            ready=service.readiness, metrics=metrics.text, metrics_type=CONTENT_TYPE
        )
        app = http.application(shop, clock, watching=watching, hook=hook)
        await service.refuse_others()
        port = await stack.enter_async_context(http.serving(app, settings.host, settings.port))
        log.info("listening", extra={"host": settings.host, "port": port})
        yield service


def terminal(
    user_id: UserId, *, name: str, language: Language | None, output: Path
) -> Callable[[Conversation], TerminalFrontend]:
    """The terminal as a frontend, for one person; results are saved in the folder `output`."""
    from kiebot.adapters.frontend.terminal import TerminalFrontend

    def make(conversation: Conversation) -> TerminalFrontend:
        return TerminalFrontend(
            conversation,
            user_id,
            name=name,
            language=language,
            output=output,
            history_file=default_database("chat-history").path,
        )

    return make


# --- For commands that need no conversation


@asynccontextmanager
async def open_storage(settings: Settings, *, clock: Clock = utc_now) -> AsyncIterator[Storage]:
    """
    The database of the settings as it is: nothing is made, migrated or claimed.

    Raises:
        StorageUnavailableError: It is not there, or does not answer.
    """
    if not is_there(settings.database):
        raise StorageUnavailableError(
            f"no database at {settings.database}: `kiebot migrate` makes it,"
            " with the same --live or --database"
        )
    storage = await _open(settings.database, settings, clock)
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def make_storage(settings: Settings, *, clock: Clock = utc_now) -> AsyncIterator[Storage]:
    """The database of the settings; a file that is not there is made."""
    storage = await _open(settings.database, settings, clock)
    try:
        yield storage
    finally:
        await storage.close()


async def grant_to(settings: Settings, role: str, *, clock: Clock = utc_now) -> None:
    """
    Let a role of PostgreSQL serve this database, and change neither its schema nor its ledger.

    The settings are those of the owner of the tables.

    Raises:
        ConfigError: The database knows no roles.
        StorageError: There is no such role, it could still do more, or it cannot be given rights.
    """
    if settings.database.kind is not DatabaseKind.POSTGRES:
        raise ConfigError([f"--grant-to: {settings.database} knows no roles; PostgreSQL does"])
    from kiebot.adapters.storage.postgres import PostgresStorage

    storage = await PostgresStorage.open(settings.database.dsn, clock=clock)
    try:
        await storage.grant_to(role)
    finally:
        await storage.close()


@asynccontextmanager
async def operate(settings: Settings, *, clock: Clock = utc_now) -> AsyncIterator[Kiebot]:
    """
    A kiebot for the operator's commands, on a database that is there.

    Raises:
        StorageUnavailableError: It is not there, or does not answer.
        SchemaBehindError, SchemaAheadError: It is of another release.
    """
    from kiebot.app import Kiebot

    async with open_storage(settings, clock=clock) as storage:
        await check_schema(storage)
        # What the database is decides: who decides about top-ups names it, and not --live.
        settings = evolve(settings, test_mode=await role_of(storage) != "live")
        async with reading(settings) as media, _generating_if_it_can(settings, media, clock) as kie:
            yield Kiebot(
                storage,
                kie,
                load_catalog(settings.catalog_path),
                terms(settings),
                media=media,
                clock=clock,
                new_id=new_id,
            )


@asynccontextmanager
async def _generating_if_it_can(
    settings: Settings, media: Media, clock: Clock
) -> AsyncIterator[KieClient]:
    """Top-ups are decided and wallets looked at without a key of kie.ai, too."""
    try:
        check_kie(settings)
    except ConfigError as error:
        yield SilentKie(str(error))
        return
    async with generating(settings, media, clock) as kie:
        yield kie


async def check_schema(storage: Storage) -> None:
    """SchemaBehindError where migrations are missing, SchemaAheadError where there are others."""
    from kiebot.core.errors import SchemaBehindError

    missing = await storage.missing_migrations()
    if missing:
        raise SchemaBehindError(missing)


async def role_of(storage: Storage) -> DatabaseRole | None:
    """What a database is used as, None where it never was."""
    match (await storage.claimed()).get("kind"):
        case "demo":
            return "demo"
        case "live":
            return "live"
        case _:
            return None


async def bot_of(storage: Storage) -> str | None:
    """The id of the bot that a database belongs to, None where it belongs to none yet."""
    return (await storage.claimed()).get("bot")


async def look_at_bot(settings: Settings, patience_s: int) -> Standing:
    """
    How the bot of the settings stands at Telegram; there must be a token.

    Raises:
        ConfigError: Telegram does not know the token.
        FrontendUnavailableError: Telegram does not answer.
    """
    from kiebot.adapters.frontend import telegram_look

    assert settings.telegram_bot_token is not None
    return await telegram_look.look_at_bot(
        settings.telegram_bot_token, settings.telegram_api_url, patience_s
    )


class SilentKie:
    """The KieClient of who has no key of kie.ai: every call says so."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def create_task(self, request: TaskRequest) -> TaskId:  # noqa: ARG002 - the port's
        raise KieUnavailableError(self._why)

    async def task_status(self, request: TaskRequest, task_id: TaskId) -> TaskStatus:  # noqa: ARG002
        raise KieUnavailableError(self._why)

    async def is_task_of(self, request: TaskRequest, task_id: TaskId) -> bool:  # noqa: ARG002
        raise KieUnavailableError(self._why)

    async def upload(self, file: InputFile) -> str:  # noqa: ARG002
        raise KieUnavailableError(self._why)

    async def credits(self) -> Decimal:
        raise KieUnavailableError(self._why)

    @asynccontextmanager
    async def open_result(self, url: str) -> AsyncIterator[InputFile]:
        raise MediaError(url, self._why)
        yield  # a generator, as a context manager needs


def is_there(url: DatabaseUrl) -> bool:
    """Whether there may be a database: a file is there or not, a server has to be asked."""
    return url.kind is not DatabaseKind.SQLITE or url.path.exists()


def check_kie(settings: Settings) -> None:
    """ConfigError where nobody could generate by these settings."""
    if not settings.test_mode:
        settings.for_live()


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Media]:
    """What reads and measures files, by the settings: the stub reads no address."""
    if settings.test_mode:
        from kiebot.adapters.media.stub import StubMedia

        yield StubMedia()
        return
    from kiebot.adapters.media.live import LiveMedia
    from kiebot.core.addresses import host_port

    hosts = (host_port(url) for url in (settings.kie_api_url, settings.kie_upload_url))
    media = LiveMedia(allowed={found for found in hosts if found is not None})
    try:
        yield media
    finally:
        await media.close()


@asynccontextmanager
async def generating(
    settings: Settings, media: Media, clock: Clock = utc_now
) -> AsyncIterator[KieClient]:
    """
    Who generates, by the settings: kie.ai, whose results `media` reads, or the stub.

    Raises:
        ConfigError: Nobody could.
    """
    check_kie(settings)
    if settings.test_mode:
        from kiebot.adapters.kie.stub import StubKieClient

        yield StubKieClient(clock)
        return
    from kiebot.adapters.kie.live import LiveKieClient

    assert settings.kie_api_token is not None
    kie = LiveKieClient(
        api_url=settings.kie_api_url,
        upload_url=settings.kie_upload_url,
        token=settings.kie_api_token,
        timeout_s=settings.kie_timeout,
        fetch=media.fetch,
    )
    try:
        yield kie
    finally:
        await kie.close()


def stub_server(
    *,
    port: int,
    key: str | None,
    strict: bool,
    delay_s: float,
    callback_secret: str | None,
    limits: bool,
    say: Callable[[str], None],
) -> StubServer:
    """
    A server that answers as kie.ai does; the caller starts and closes it.

    `say` hears a line about every request and every callback.
    """
    from kiebot.adapters.kie.stub_server.limits import Limits
    from kiebot.adapters.kie.stub_server.server import StubServer
    from kiebot.adapters.kie.stub_server.tasks import Timeline

    return StubServer(
        utc_now,
        port=port,
        key=key,
        strict=strict,
        timeline=Timeline.of(delay_s),
        callback_secret=callback_secret,
        limits=Limits() if limits else Limits(creates_in_10s=None, queries_in_1s=None),
        say=say,
    )


# --- From settings to values


def load_catalog(path: Path | None) -> Catalog:
    """The catalog of a file, or the packaged one (CatalogError)."""
    from kiebot.adapters import catalog

    return catalog.load_catalog(path)


def price_catalog(
    rub_per_usd: Decimal, on: date, base: Path | None = None
) -> tuple[Catalog, Catalog, str]:
    """
    A catalog, the same priced from KIE's credits at this rate, and the second as its file has it
    (CatalogError).
    """
    from kiebot.adapters import catalog
    from kiebot.core import costs

    old = catalog.load_catalog(base)
    tables = {m.id: costs.priced(m, rub_per_usd, on.isoformat()) for m in old.models}
    text = catalog.priced_text(tables, rub_per_usd, base)
    return old, catalog.read_catalog(text), text


def save_catalog(path: Path, text: str) -> None:
    """Write the file of a catalog, whole or not at all (CatalogError)."""
    from kiebot.adapters import catalog

    catalog.save(path, text)


def read_rate(text: str) -> Decimal:
    """Roubles per US dollar; ValueError says what would be right."""
    from kiebot.adapters import catalog

    rate = catalog.parse_rate(text)
    if rate is None:
        bounds = f"from {catalog.LOWEST_RATE} to {catalog.HIGHEST_RATE}"
        raise ValueError(f"roubles per US dollar such as 92.5, {bounds}")
    return rate


def terms(
    settings: Settings,
    *,
    demo_grant: Money | None = None,
    is_stub: bool | None = None,
    callbacks: bool = False,
) -> Terms:
    """
    The conditions that the settings say. The stub is looked at sooner than kie.ai would be, and
    has no limits. `callbacks`: somebody serves them.
    """
    from kiebot.core.tasks import Pace
    from kiebot.core.terms import PaymentDetails, Terms
    from kiebot.core.users import UserId

    is_stub = settings.test_mode if is_stub is None else is_stub
    interval_s = settings.kie_poll_interval
    if is_stub and interval_s == fields_dict(Settings)["kie_poll_interval"].default:
        interval_s = STUB_POLL_S
    payment = None
    if settings.payment_card is not None:
        payment = PaymentDetails(
            card=settings.payment_card,
            bank=settings.payment_bank or "",
            holder=settings.payment_holder or "",
        )
    return Terms(
        price_multiplier=settings.price_multiplier,
        user_jobs_max=settings.user_jobs_max,
        submissions_max=settings.kie_submissions_max,
        job_timeout=timedelta(seconds=settings.job_timeout),
        call_timeout=timedelta(seconds=settings.kie_timeout),
        draft_age=timedelta(hours=settings.draft_hours),
        topup_min=settings.topup_min,
        topup_max=settings.topup_max,
        payment=payment,
        admins=frozenset(UserId(admin) for admin in settings.admin_ids),
        demo_grant=demo_grant if settings.test_mode else None,
        pace=Pace(interval_s=interval_s),
        callbacks=_callbacks(settings) if callbacks else None,
        creates_per_10s=None if settings.test_mode else settings.kie_tasks_per_10s,
        queries_per_s=None if settings.test_mode else settings.kie_queries_per_s,
        watches_credits=not settings.test_mode,
        support=settings.support_contact,
    )


def _callbacks(settings: Settings) -> Callbacks | None:
    if settings.webhook_url is None or settings.kie_callback_secret is None:
        return None
    from kiebot.core.callbacks import Callbacks

    return Callbacks(address=settings.webhook_url.rstrip("/"), secret=settings.kie_callback_secret)


def configure_logs(settings: Settings, *, quiet: bool = False, to_file: bool = False) -> None:
    """
    Have log lines written as the settings say.

    `quiet` leaves out what is no warning (LOG_LEVEL=debug still brings everything); `to_file` is
    for a screen that must not be disturbed: they go to `log_path()`.
    """
    from kiebot.adapters import logs

    level = settings.log_level
    if quiet and level is LogLevel.INFO:
        level = LogLevel.WARNING
    logs.configure(
        level=level,
        form=None if settings.log_format is None else settings.log_format.value,
        secrets=_secrets(settings),
        stream=sys.stderr,
        path=log_path() if to_file else None,
    )


def log_path() -> Path:
    """Where the terminal's log is: beside the databases of the user data folder."""
    return default_database("kiebot.log").path


def _secrets(settings: Settings) -> list[str]:
    found = [
        settings.telegram_bot_token,
        settings.kie_api_token,
        settings.webhook_secret,
        settings.kie_callback_secret,
        settings.payment_card,
    ]
    if settings.telegram_bot_token is not None:
        # Where none is set it is derived.
        found.append(settings.telegram_secret)
    url = settings.database_url
    if url is not None and url.kind is DatabaseKind.POSTGRES:
        found.append(url.dsn)
    return [secret for secret in found if secret]


async def _open(url: DatabaseUrl, settings: Settings, clock: Clock) -> Storage:
    match url.kind:
        case DatabaseKind.SQLITE:
            from kiebot.adapters.storage.sqlite import SqliteStorage

            return await SqliteStorage.open(url.path, clock=clock, lease_s=settings.lease_seconds)
        case DatabaseKind.POSTGRES:
            from kiebot.adapters.storage.postgres import PostgresStorage

            return await PostgresStorage.open(url.dsn, clock=clock, lease_s=settings.lease_seconds)
