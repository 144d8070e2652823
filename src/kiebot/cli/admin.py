"""`kiebot admin`: what the operator decides at the console."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kiebot.cli.options import (
    IdType,
    LineType,
    MoneyType,
    RateType,
    SinceType,
    UserIdType,
    WithNegatives,
    database_options,
    json_option,
    load_settings,
)
from kiebot.cli.printing import (
    duration,
    iso,
    moment,
    number,
    roubles,
    show,
    show_json,
    signed_roubles,
    table,
)

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from rich.table import Table
    from rich.text import Text

    from kiebot.compose import Kiebot
    from kiebot.core.jobs import Job
    from kiebot.core.margins import Margin, Misfit, ModelSums, Report
    from kiebot.core.money import Money
    from kiebot.core.topups import TopUp
    from kiebot.core.wallet import LedgerEntry, Wallet

T = TypeVar("T")

MOST = 1000
"""Top-ups or jobs in one listing."""

SHOWN = 10
"""Movements under a wallet."""

why_option = click.option(
    "--why", type=LineType(), required=True, metavar="TEXT", help="The reason, kept with it."
)


@click.group()
def admin() -> None:
    """Review top-ups, correct wallets, refund jobs. Amounts are roubles: 100, 100,50, 1 000."""


@admin.command("topups")
@database_options
@json_option
def topups(database: str | None, *, live: bool, as_json: bool) -> None:
    """The top-ups that wait for a decision, oldest first."""
    from kiebot.core.terms import OPERATOR

    waiting = _with(database, live, lambda kiebot: kiebot.topups_to_review(OPERATOR, MOST))
    if as_json:
        show_json([_topup(topup) for topup in waiting])
        return
    if not waiting:
        show("no top-up waits for a decision")
        return
    rows = table("id", "user", "amount", "since", "receipt", right=("amount",), whole=("id",))
    for topup in waiting:
        files = ", ".join(file.name or file.reference for file in topup.receipt)
        amount = roubles(topup.amount)
        if topup.is_corrected:
            amount += f" (asked {roubles(topup.requested)})"
        rows.add_row(topup.id, str(topup.user_id), amount, moment(topup.created_at), files)
    show(rows)


@admin.command("approve", cls=WithNegatives)
@click.argument("topup_id", metavar="ID", type=IdType())
@click.option(
    "--amount", type=MoneyType(), metavar="ROUBLES", help="What really came, if it is another sum."
)
@database_options
@json_option
def approve(
    topup_id: str, *, amount: "Money | None", database: str | None, live: bool, as_json: bool
) -> None:
    """Credit a top-up: the money came."""
    from kiebot.core.terms import OPERATOR
    from kiebot.core.topups import TopUpId

    async def work(kiebot: "Kiebot") -> "TopUp":
        found, _ = await kiebot.topup_to_review(OPERATOR, TopUpId(topup_id))
        if amount is not None and amount != found.amount:
            await kiebot.correct_topup(OPERATOR, found.id, f"{amount.roubles:f}")
        agreed = amount if amount is not None else found.amount
        return await kiebot.approve_topup(OPERATOR, found.id, agreed)

    topup = _with(database, live, work)
    if as_json:
        show_json(_topup(topup))
    else:
        show(f"approved {topup.id}: {roubles(topup.amount)} to user {topup.user_id}")


@admin.command("reject")
@click.argument("topup_id", metavar="ID", type=IdType())
@why_option
@database_options
@json_option
def reject(topup_id: str, why: str, database: str | None, *, live: bool, as_json: bool) -> None:
    """Turn a top-up down: the money did not come. The person is told why."""
    from kiebot.core.terms import OPERATOR
    from kiebot.core.topups import TopUpId

    topup = _with(
        database, live, lambda kiebot: kiebot.reject_topup(OPERATOR, TopUpId(topup_id), why)
    )
    if as_json:
        show_json(_topup(topup))
    else:
        show(f"rejected {topup.id} of user {topup.user_id}: {topup.why}")


@admin.command("wallet", cls=WithNegatives)
@click.argument("user_id", metavar="USER", type=UserIdType())
@database_options
@json_option
def wallet(user_id: int, database: str | None, *, live: bool, as_json: bool) -> None:
    """A person's money and their latest movements."""
    from kiebot.core.users import UserId

    async def work(kiebot: "Kiebot") -> "tuple[str, Wallet, Sequence[LedgerEntry]]":
        person = await kiebot.user(UserId(user_id))
        return (
            person.name,
            await kiebot.wallet(person.id),
            await kiebot.ledger(person.id, SHOWN),
        )

    name, money, entries = _with(database, live, work)
    if as_json:
        show_json({**_wallet(money), "name": name, "entries": [_entry(e) for e in entries]})
        return
    show(f"user {user_id}" + (f" · {name}" if name else ""), *_wallet_lines(money))
    if entries:
        rows = table("when", "kind", "amount", "ref", "by", "why", right=("amount",))
        for entry in entries:
            rows.add_row(
                moment(entry.at),
                str(entry.kind),
                roubles(entry.amount),
                entry.ref,
                entry.by or "",
                entry.why or "",
            )
        show("", rows)


@admin.command("grant", cls=WithNegatives)
@click.argument("user_id", metavar="USER", type=UserIdType())
@click.argument("amount", metavar="AMOUNT", type=MoneyType())
@why_option
@database_options
@json_option
def grant(
    user_id: int, amount: "Money", why: str, database: str | None, *, live: bool, as_json: bool
) -> None:
    """Give a person money. It is never counted as income."""
    _correct("grant", user_id, amount, why, database, live=live, as_json=as_json)


@admin.command("debit", cls=WithNegatives)
@click.argument("user_id", metavar="USER", type=UserIdType())
@click.argument("amount", metavar="AMOUNT", type=MoneyType())
@why_option
@database_options
@json_option
def debit(
    user_id: int, amount: "Money", why: str, database: str | None, *, live: bool, as_json: bool
) -> None:
    """Take money back from a person; never more than they have."""
    _correct("debit", user_id, amount, why, database, live=live, as_json=as_json)


@admin.command("refund")
@click.argument("job_id", metavar="JOB", type=IdType())
@why_option
@database_options
@json_option
def refund(job_id: str, why: str, database: str | None, *, live: bool, as_json: bool) -> None:
    """Give back what a job cost. A job is refunded once; the person is told."""
    from kiebot.core.wallet import JobId

    job = _with(database, live, lambda kiebot: kiebot.refund(JobId(job_id), by=_by(), why=why))
    if as_json:
        show_json(_job(job))
    else:
        price = "" if job.price is None else f"{roubles(job.price)} back "
        show(f"refunded {job.id}: {price}to user {job.user_id}")


@admin.command("jobs")
@database_options
@json_option
def jobs(database: str | None, *, live: bool, as_json: bool) -> None:
    """What is being made, for how long, and what KIE says."""

    async def work(kiebot: "Kiebot") -> "list[tuple[Job, str]]":
        found = await kiebot.all_open_jobs(MOST)
        some = asyncio.Semaphore(4)

        async def look(job: "Job") -> str:
            async with some:
                return await _kie_says(kiebot, job)

        return list(zip(found, await asyncio.gather(*map(look, found)), strict=True))

    found = _with(database, live, work)
    if as_json:
        show_json([{**_job(job), "kie": said, "age_s": _age(job)} for job, said in found])
        return
    if not found:
        show("nothing is being made")
        return
    rows = table("id", "user", "model", "status", "price", "for", "KIE", right=("price", "for"))
    for job, said in found:
        rows.add_row(
            job.id,
            str(job.user_id),
            job.model_id,
            str(job.status),
            "" if job.price is None else roubles(job.price),
            duration(timedelta(seconds=_age(job))),
            said,
        )
    show(rows)


@admin.command("costs")
@click.option(
    "--since",
    type=SinceType(),
    metavar="DAYS|DATE",
    help="Only jobs confirmed since then: 30 (days), or a day such as 2026-11-01 (UTC).",
)
@click.option(
    "--rub-per-usd",
    type=RateType(),
    metavar="N",
    help="The rate that KIE's credits are counted at. Else that of the catalog.",
)
@database_options
@json_option
def costs(
    *,
    since: "datetime | None",
    rub_per_usd: "Decimal | None",
    database: str | None,
    live: bool,
    as_json: bool,
) -> None:
    """What each model brought in, what KIE took for it, and where a price no longer fits."""
    report = _with(database, live, lambda kiebot: kiebot.costs(since, rub_per_usd))
    if as_json:
        show_json([_margin(line) for line in report.margins])
        return
    if not report.margins:
        show(f"no job was confirmed since {moment(since)}" if since else "no job was confirmed yet")
        return
    show(_margins_table(report), "", *_margin_notes(report))


def _with(
    database: str | None,
    live: bool,
    work: "Callable[[Kiebot], Awaitable[T]]",
) -> T:
    """Do something with the kiebot of a database that is there."""
    settings = load_settings(database, live=live)

    async def run() -> T:
        from kiebot.compose import operate

        async with operate(settings) as kiebot:
            return await work(kiebot)

    return asyncio.run(run())


def _correct(
    kind: str,
    user_id: int,
    amount: "Money",
    why: str,
    database: str | None,
    *,
    live: bool,
    as_json: bool,
) -> None:
    from kiebot.core.users import UserId

    async def work(kiebot: "Kiebot") -> "Wallet":
        # Who never came has no wallet: told by name, before anything is tried.
        person = (await kiebot.user(UserId(user_id))).id
        correct = kiebot.grant if kind == "grant" else kiebot.debit
        return await correct(person, amount, by=_by(), why=why)

    money = _with(database, live, work)
    if as_json:
        show_json(_wallet(money))
    else:
        show(
            f"{'gave' if kind == 'grant' else 'took'} {roubles(amount)}: user {user_id}",
            *_wallet_lines(money),
        )


def _by() -> str:
    """Who acts: the user of the system."""
    import getpass

    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError, ImportError):
        return "cli"


async def _kie_says(kiebot: "Kiebot", job: "Job") -> str:
    """In KIE's own word how far a task is."""
    from kiebot.core.errors import KieError, NotFoundError
    from kiebot.core.tasks import TaskFailed, TaskPending, TaskSucceeded

    if job.kie_task_id is None:
        return "not asked yet" if not job.submissions else f"submitted {job.submissions}×, no task"
    try:
        status = await kiebot.look(job)
    except (KieError, NotFoundError) as error:
        return str(error)
    match status:
        case TaskPending(state=state):
            return state
        case TaskSucceeded():
            return "success"
        case TaskFailed(failure=failure):
            return f"fail: {failure.detail or failure.reason}"


def _margins_table(report: "Report") -> "Table":
    amounts = ("jobs", "failed", "refunded", "income", "credits", "KIE cost", "margin", "%")
    rows = table("", "model", *amounts, right=amounts)
    for line in report.margins:
        sums = line.sums
        rows.add_row(
            _mark(line),
            sums.model_id,
            str(sums.jobs),
            str(sums.failed),
            str(sums.refunded),
            roubles(sums.income),
            *_cost_cells(sums, line.cost),
        )
    total = report.total
    rows.add_row(
        "",
        "all",
        str(total.jobs),
        str(total.failed),
        str(total.refunded),
        roubles(total.income),
        *_cost_cells(total, report.total_cost),
    )
    return rows


def _cost_cells(sums: "ModelSums", cost: "Money | None") -> tuple[str, str, str, str]:
    """Credits, their cost, the margin, and that in percent of the income."""
    more = "+?" if sums.untold else ""
    taken = f"{sums.credits:f}{more}"
    if cost is None:
        return taken, "?", "?", ""
    margin = sums.income.kopecks - cost.kopecks
    percent = f"{margin / sums.income.kopecks:.0%}" if sums.income else ""
    return taken, f"{roubles(cost)}{more}", signed_roubles(margin), percent


def _mark(line: "Margin") -> "Text":
    from rich.text import Text

    from kiebot.core.margins import SoldAtLoss

    if any(isinstance(misfit, SoldAtLoss) for misfit in line.misfits):
        return Text("✗", style="bold red")
    return Text("!" if line.misfits else "", style="bold yellow")


def _margin_notes(report: "Report") -> list[str]:
    """What the table leaves open, and first of all what is to be done about it."""
    notes = [_misfit(misfit, report) for misfit in report.misfits]
    if report.rub_per_usd is None:
        notes.append(
            "No rate is known, so no cost is: give --rub-per-usd N, or price the catalog at your"
            " rate with `kiebot models price`."
            f" Losses were looked for at {report.checked_at:f} roubles per US dollar."
        )
    else:
        notes.append(f"At {report.rub_per_usd:f} roubles per US dollar; 1 credit is 0.005 USD.")
    untold = report.total.untold
    if untold:
        notes.append(
            f"KIE did not say what it took for {untold} of the tasks: their cost is missing (+?),"
            " and the margin is smaller."
        )
    return notes


def _misfit(misfit: "Misfit", report: "Report") -> str:
    from kiebot.core.margins import DearerThanKnown, SoldAtLoss

    match misfit:
        case SoldAtLoss():
            rate = "" if report.rub_per_usd is not None else " at a cautious rate"
            return (
                f"✗ {misfit.model_id} is sold at a loss: for job {misfit.job_id} KIE took"
                f" {misfit.credits:f} credits, which are {roubles(misfit.costs)}{rate}, and the"
                f" person paid {roubles(misfit.paid)}. Raise its price in the catalog, or price"
                " it anew with `kiebot models price`."
            )
        case DearerThanKnown():
            return (
                f"! {misfit.model_id} is dearer than the catalog says: for job {misfit.job_id}"
                f" KIE took {misfit.credits:f} credits, and {misfit.expected:f} were expected."
                " Correct its credits in the catalog, then price it anew with"
                " `kiebot models price`."
            )


def _age(job: "Job") -> int:
    from kiebot.compose import utc_now

    return int((utc_now() - (job.confirmed_at or job.created_at)).total_seconds())


# --- JSON


def _topup(topup: "TopUp") -> dict[str, Any]:
    return {
        "id": topup.id,
        "user_id": topup.user_id,
        "amount_kop": topup.amount.kopecks,
        "requested_kop": topup.requested.kopecks,
        "status": str(topup.status),
        "receipt": [{"name": f.name, "reference": f.reference} for f in topup.receipt],
        "created_at": iso(topup.created_at),
        "reviewed_by": topup.reviewed_by,
        "reviewed_at": iso(topup.reviewed_at),
        "why": topup.why,
    }


def _wallet(money: "Wallet") -> dict[str, Any]:
    return {
        "user_id": money.user_id,
        "balance_kop": money.available.kopecks,
        "hold_kop": money.held.kopecks,
    }


def _wallet_lines(money: "Wallet") -> list[str]:
    return [f"available {roubles(money.available)}, reserved {roubles(money.held)}"]


def _entry(entry: "LedgerEntry") -> dict[str, Any]:
    return {
        "kind": str(entry.kind),
        "amount_kop": entry.amount.kopecks,
        "ref": entry.ref,
        "job_id": entry.job_id,
        "by": entry.by,
        "why": entry.why,
        "created_at": iso(entry.at),
    }


def _margin(line: "Margin") -> dict[str, Any]:
    return {
        "model_id": line.sums.model_id,
        "jobs": line.sums.jobs,
        "failed": line.sums.failed,
        "refunded": line.sums.refunded,
        "income_kop": line.sums.income.kopecks,
        "kie_credits": number(line.sums.credits),
        "kie_cost_kop": None if line.cost is None else line.cost.kopecks,
        "margin_kop": line.margin_kop,
    }


def _job(job: "Job") -> dict[str, Any]:
    return {
        "id": job.id,
        "user_id": job.user_id,
        "model_id": job.model_id,
        "status": str(job.status),
        "price_kop": None if job.price is None else job.price.kopecks,
        "submissions": job.submissions,
        "kie_task_id": job.kie_task_id,
        "confirmed_at": iso(job.confirmed_at),
        "updated_at": iso(job.updated_at),
    }
