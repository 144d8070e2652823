"""The audit: each rule of the money has facts that break it, and those that do not."""

import pytest

from kiebot.core.audit import Fact, JobFact, StrayFact, TopUpFact, WalletFact, judge


def wallet_fact(**fields: int | None) -> WalletFact:
    standard: dict[str, int | None] = {
        "user_id": -1,
        "balance_kop": 700,
        "hold_kop": 300,
        "ledger_balance_kop": 700,
        "ledger_hold_kop": 300,
        "open_jobs_kop": 300,
        "entries": 2,
    }
    return WalletFact(**{**standard, **fields})  # type: ignore[arg-type]


def job_fact(status: str, counts: tuple[int, int, int, int], foreign: int = 0) -> JobFact:
    held, charges, releases, refunds = counts
    return JobFact(
        job_id="j1",
        status=status,
        holds=held,
        charges=charges,
        releases=releases,
        refunds=refunds,
        foreign=foreign,
    )


def topup_fact(status: str, credited: int, foreign: int = 0) -> TopUpFact:
    return TopUpFact(topup_id="t1", status=status, credits=credited, foreign=foreign)


RIGHT: list[Fact] = [
    wallet_fact(),
    job_fact("draft", (0, 0, 0, 0)),
    job_fact("cancelled", (0, 0, 0, 0)),
    job_fact("queued", (1, 0, 0, 0)),
    job_fact("running", (1, 0, 0, 0)),
    job_fact("succeeded", (1, 1, 0, 0)),
    job_fact("failed", (1, 0, 1, 0)),
    job_fact("refunded", (1, 1, 0, 1)),
    topup_fact("approved", 1),
    topup_fact("pending", 0),
]

WRONG: list[tuple[str, Fact]] = [
    ("a wallet equals the sum of its ledger", wallet_fact(ledger_balance_kop=699)),
    ("a wallet equals the sum of its ledger", wallet_fact(ledger_hold_kop=0)),
    (
        "nobody is below zero",
        wallet_fact(balance_kop=-1, ledger_balance_kop=-1),
    ),
    ("what is reserved is the price of the open jobs", wallet_fact(open_jobs_kop=0)),
    ("who has entries has a wallet", wallet_fact(balance_kop=None)),
    ("a queued or running job holds its price", job_fact("running", (0, 0, 0, 0))),
    (
        "a job that is not open holds nothing, and its entries fit its status",
        job_fact("failed", (1, 0, 0, 0)),
    ),
    ("a job has at most one hold", job_fact("queued", (2, 0, 0, 0))),
    ("a job has at most one of charge and release", job_fact("failed", (1, 1, 1, 0))),
    ("a refund only after a charge", job_fact("failed", (1, 0, 1, 1))),
    ("a job's entries have its price and its person", job_fact("succeeded", (1, 1, 0, 0), 1)),
    ("a job has a status of its machine", job_fact("lost", (0, 0, 0, 0))),
    ("an approved top-up has exactly one entry of its amount", topup_fact("approved", 0)),
    ("an approved top-up has exactly one entry of its amount", topup_fact("approved", 1, 1)),
    ("a top-up that is not approved has no entry", topup_fact("rejected", 1)),
    ("every entry is accounted for", StrayFact(ref="hold:x", why="no job")),
]


@pytest.mark.parametrize("fact", RIGHT)
def test_what_is_right_is_passed_over(fact: Fact) -> None:
    assert list(judge(fact)) == []


@pytest.mark.parametrize(("rule", "fact"), WRONG)
def test_what_is_wrong_is_named(rule: str, fact: Fact) -> None:
    assert rule in [problem.rule for problem in judge(fact)]
