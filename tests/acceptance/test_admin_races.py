"""Several administrators at once, on a real database, each in a process of their own."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from attrs import evolve

from kiebot.conversation import Conversation
from kiebot.core.acts import ActKind
from kiebot.core.dialog.screen import Press, Say, Screen
from kiebot.core.errors import BlockedError, NotOnSaleError, RefusedByStatusError
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import Attachment
from kiebot.core.money import Money
from kiebot.core.topups import TopUpStatus
from kiebot.core.users import UserId
from kiebot.core.wallet import EntryKind
from tests.fakes import databases
from tests.fakes.clock import FakeClock
from tests.fakes.databases import DATABASES
from tests.fakes.shop import PICTURE, TERMS, Shop, stub_shop
from tests.fakes.values import BUYER, wallet

ADMINS = (UserId(701), UserId(702), UserId(703), UserId(704))
ROUNDS = 12
PHOTO = Attachment(reference="tg:photo", name="r.jpg", mime="image/jpeg", digest="d1")


@pytest.fixture(params=DATABASES)
async def shops(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[list[Shop]]:
    """Four shops, as four processes would be, on one database."""
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None
    made = databases.make(request.param, tmp_path, dsn)
    opened = [await made.fresh(), *[await made.another() for _ in ADMINS[1:]]]
    terms = evolve(TERMS, admins=frozenset(ADMINS))
    several = [stub_shop(storage, clock, terms) for storage in opened]
    for number, shop in enumerate(several):
        shop.prefix = f"s{number}x"
    await several[0].meet(*ADMINS)
    yield several
    await made.close()


async def all_at_once(
    shops: list[Shop], act: Callable[[Shop, UserId, int], Awaitable[object]]
) -> Counter[str]:
    """Every administrator does it in their own process; how often it ended how."""
    outcomes = await asyncio.gather(
        *(act(shop, ADMINS[number], number) for number, shop in enumerate(shops)),
        return_exceptions=True,
    )
    return Counter(
        type(outcome).__name__ if isinstance(outcome, BaseException) else "done"
        for outcome in outcomes
    )


async def kinds(shop: Shop) -> Counter[ActKind]:
    done, _ = await shop.kiebot.acts(ADMINS[0], 1000)
    return Counter(act.kind for act in done if act.why != "a test")


def talks(shops: list[Shop]) -> list[Conversation]:
    return [Conversation(shop.kiebot, clock=shop.clock) for shop in shops]


async def test_however_many_decide_a_top_up_is_decided_once(shops: list[Shop]) -> None:
    """Approvals and rejections at once: every screen says the same decision, by the same person."""
    first = shops[0].kiebot
    await first.greet(BUYER, "Аня", Language.RU)
    conversations = talks(shops)

    credited = 0
    for _ in range(ROUNDS):
        topup = await first.start_topup(BUYER, "100")
        await first.submit_receipt(BUYER, topup.id, PHOTO)
        for admin, conversation in list(zip(ADMINS, conversations, strict=True))[2:]:
            await conversation.handle(admin, Press.of(f"admin:topup:reject:{topup.id}"))
        screens: list[Screen] = await asyncio.gather(
            *(
                conversation.handle(
                    admin,
                    Press.of(f"admin:topup:approve:{topup.id}") if number < 2 else Say("нет"),
                )
                for number, (admin, conversation) in enumerate(
                    zip(ADMINS, conversations, strict=True)
                )
            )
        )
        decided = await first.topup(BUYER, topup.id)
        credited += decided.status is TopUpStatus.APPROVED

        assert decided.status in {TopUpStatus.APPROVED, TopUpStatus.REJECTED}
        assert decided.reviewed_by in ADMINS
        again = [await c.handle(a, Press.of(f"admin:topup:show:{topup.id}")) for a, c in
                 zip(ADMINS, conversations, strict=True)]  # fmt: skip
        assert len({screen.text for screen in (*screens, *again)}) == 1

    assert await first.wallet(BUYER) == wallet(credited * 100_00)
    done = await kinds(shops[0])
    assert done[ActKind.APPROVE] == credited
    assert done[ActKind.APPROVE] + done[ActKind.REJECT] == ROUNDS
    assert (await first.audit()).problems == ()


async def test_an_amount_that_is_corrected_meanwhile_is_not_approved_unseen(
    shops: list[Shop],
) -> None:
    """Whatever the order: credited is the amount that was on the button, or the corrected one."""
    first = shops[0].kiebot
    await first.greet(BUYER, "Аня", Language.RU)
    conversations = talks(shops)

    expected = 0
    for _ in range(ROUNDS):
        topup = await first.start_topup(BUYER, "100")
        await first.submit_receipt(BUYER, topup.id, PHOTO)
        amount = Press.of(f"admin:topup:amount:{topup.id}")
        await conversations[1].handle(ADMINS[1], amount)
        await asyncio.gather(
            conversations[0].handle(ADMINS[0], Press.of(f"admin:topup:approve:{topup.id}")),
            conversations[1].handle(ADMINS[1], Say("90")),
        )
        now = await first.topup(BUYER, topup.id)
        if now.status is TopUpStatus.MANUAL_REVIEW:
            assert now.amount == Money(90_00)
            await conversations[0].handle(ADMINS[0], Press.of(f"admin:topup:approve:{topup.id}:90"))
            now = await first.topup(BUYER, topup.id)
        assert now.status is TopUpStatus.APPROVED
        expected += now.amount.kopecks

    assert await first.wallet(BUYER) == wallet(expected)
    assert (await first.audit()).problems == ()


async def test_one_deed_in_many_processes_is_done_once(shops: list[Shop]) -> None:
    first = shops[0].kiebot
    await first.greet(BUYER, "Аня", Language.RU)
    for _ in range(ROUNDS):
        deed = await first.prepare(ADMINS[0], ActKind.GRANT, str(BUYER))
        given = evolve(deed, amount=Money(1_00))

        outcomes = await all_at_once(
            shops,
            lambda shop, _admin, _n, given=given: shop.kiebot.perform(ADMINS[0], given, "дар"),  # type: ignore[misc]
        )

        assert outcomes == {"done": len(shops)}

    assert await first.wallet(BUYER) == wallet(ROUNDS * 1_00)
    assert await kinds(shops[0]) == {ActKind.GRANT: ROUNDS}


async def test_nobody_takes_more_than_there_is(shops: list[Shop]) -> None:
    await shops[0].meet(BUYER, roubles=25)

    outcomes = await all_at_once(
        shops,
        lambda shop, admin, _n: shop.kiebot.debit(BUYER, Money(10_00), by=str(admin), why="ошибка"),
    )

    assert outcomes == {"done": 2, "InsufficientFundsError": 2}
    assert await shops[0].kiebot.wallet(BUYER) == wallet(5_00)
    assert await kinds(shops[0]) == {ActKind.DEBIT: 2}


async def test_a_job_is_refunded_once(shops: list[Shop]) -> None:
    await shops[0].meet(BUYER, roubles=100)
    job = await shops[0].offer()
    await shops[0].kiebot.confirm(BUYER, job)
    await shops[0].work()

    outcomes = await all_at_once(
        shops, lambda shop, admin, _n: shop.kiebot.refund(job, by=str(admin), why="размыто")
    )

    assert outcomes == {"done": len(shops)}
    assert (await shops[0].job(job)).status is JobStatus.REFUNDED
    assert await shops[0].kiebot.wallet(BUYER) == wallet(100_00)
    assert await kinds(shops[0]) == {ActKind.REFUND: 1}


async def test_a_person_is_blocked_once_and_a_model_switched_off_once(shops: list[Shop]) -> None:
    await shops[0].meet(BUYER, roubles=100)

    blocks = await all_at_once(
        shops, lambda shop, admin, _n: shop.kiebot.block(admin, BUYER, "шумит")
    )
    switches = await all_at_once(
        shops, lambda shop, admin, _n: shop.kiebot.switch_off(admin, PICTURE, "дорого")
    )

    assert blocks == switches == {"done": 1, RefusedByStatusError.__name__: len(shops) - 1}
    assert await kinds(shops[0]) == {ActKind.BLOCK: 1, ActKind.SWITCH_OFF: 1}


async def test_what_one_process_does_all_others_keep_to_at_once(shops: list[Shop]) -> None:
    await shops[0].meet(BUYER, roubles=100)
    offers = [await shop.offer() for shop in shops]
    await shops[0].kiebot.switch_off(ADMINS[0], PICTURE, "дорого")
    for shop, offer in zip(shops, offers, strict=True):
        assert PICTURE not in {model.id for model in (await shop.kiebot.offers()).on_sale}
        with pytest.raises(NotOnSaleError):
            await shop.kiebot.confirm(BUYER, offer)

    await shops[1].kiebot.switch_on(ADMINS[1], PICTURE, "подешевела")
    await shops[2].kiebot.block(ADMINS[2], BUYER, "шумит")
    for shop, offer in zip(shops, offers, strict=True):
        with pytest.raises(BlockedError):
            await shop.kiebot.confirm(BUYER, offer)
    await shops[3].kiebot.unblock(ADMINS[3], BUYER, "договорились")
    await shops[0].kiebot.confirm(BUYER, offers[0])

    assert await shops[1].kiebot.wallet(BUYER) == wallet(70_00, 30_00)


async def test_a_block_and_a_confirmation_at_once_leave_every_rule_standing(
    shops: list[Shop],
) -> None:
    await shops[0].meet(BUYER, roubles=1000)

    for _ in range(ROUNDS):
        offer = await shops[0].offer()
        outcomes = await asyncio.gather(
            shops[1].kiebot.confirm(BUYER, offer),
            shops[2].kiebot.block(ADMINS[2], BUYER, "шумит"),
            return_exceptions=True,
        )
        assert not isinstance(outcomes[1], BaseException)
        assert not isinstance(outcomes[0], BaseException) or isinstance(outcomes[0], BlockedError)
        await shops[0].kiebot.unblock(ADMINS[0], BUYER, "договорились")
        await shops[0].work()

    assert (await shops[0].kiebot.audit()).problems == ()
    entries = await shops[0].kiebot.ledger(BUYER, 1000)
    assert {entry.kind for entry in entries} <= {EntryKind.GRANT, EntryKind.CHARGE}
