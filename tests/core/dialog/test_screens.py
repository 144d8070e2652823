"""Screens of every model of the packaged catalog, in both languages."""

from collections.abc import Iterator, Mapping
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from attrs import evolve

from kiebot.adapters.catalog import load_catalog
from kiebot.core import drafts, params, pricing
from kiebot.core.catalog import Model, PriceRow, Unit
from kiebot.core.dialog import balance, generation, history, menu, news
from kiebot.core.dialog.en import EN
from kiebot.core.dialog.history import Going, Past
from kiebot.core.dialog.news import Background
from kiebot.core.dialog.ru import RU
from kiebot.core.dialog.screen import Screen
from kiebot.core.dialog.texts import Texts
from kiebot.core.errors import AnswerProblem, InvalidAnswerError, PriceMissingError
from kiebot.core.events import (
    JobFailed,
    JobSucceeded,
    LateSuccess,
    OperatorAlert,
    TopUpRejected,
)
from kiebot.core.jobs import Job
from kiebot.core.money import Money
from kiebot.core.params import ChoiceParam, JsonValue, SwitchParam, TextParam
from kiebot.core.tasks import FailReason, Result
from kiebot.core.terms import PaymentDetails, Terms
from kiebot.core.topups import TopUpId
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId
from tests.fakes.answers import good_answers
from tests.fakes.clock import START
from tests.fakes.values import topup

CATALOG = load_catalog()
TWICE = Decimal(2)
SOMEBODY = UserId(1)
JOB_ID = JobId("x" * 12)

MAX_TEXT = 4096
"""Characters of a message. Source: sendMessage in Telegram's Bot API."""

every_language = pytest.mark.parametrize("t", [RU, EN], ids=["ru", "en"])
every_model = pytest.mark.parametrize("model", CATALOG.models, ids=lambda model: model.id)
every_sold_model = pytest.mark.parametrize("model", CATALOG.on_sale, ids=lambda model: model.id)


def draft(model: Model, answers: Mapping[str, JsonValue] | None = None) -> Job:
    return Job(
        id=JOB_ID,
        user_id=SOMEBODY,
        model_id=model.id,
        params=params.defaults(model) if answers is None else answers,
        price=Money(30_00),
        created_at=START,
        updated_at=START,
    )


def offer(model: Model) -> Job:
    return evolve(draft(model, good_answers(model)), offered_at=START)


def check(screen: Screen) -> None:
    """What holds for each: it can be sent, and it is no dead end."""
    assert 0 < len(screen.text) <= MAX_TEXT
    assert screen.actions
    assert all(button.label.strip() and len(button.label) <= 100 for button in screen.actions)
    assert "kie" not in screen.text.lower()


def pages(t: Texts, job: Job, model: Model, param: params.Param) -> Iterator[Screen]:
    for page in range(1, 13):
        yield generation.question(t, CATALOG, model, job, param, TWICE, page=page)


@every_language
@every_model
def test_every_question_can_be_asked(model: Model, t: Texts) -> None:
    for job in (draft(model), draft(model, {}), evolve(draft(model), offered_at=START)):
        for known in model.params:
            param = params.param_for(model, job.params, known.name)
            for screen in pages(t, job, model, param):
                check(screen)
                assert screen.expects == drafts.expecting(job, param)


@every_language
@every_model
def test_every_option_that_is_sold_stands_on_some_page(model: Model, t: Texts) -> None:
    job = draft(model)
    for param in model.params:
        if not isinstance(param, ChoiceParam | SwitchParam):
            continue
        options = params.options(model, job.params, param.name, t.language)
        shown = {
            button.action.parts[3]
            for screen in pages(t, job, model, param)
            for button in screen.actions
            if button.action.parts[0] == "mparam"
        }

        sold = pricing.sold_values(model, job.params, param.name, [o.value for o in options])
        assert shown == {str(o.number) for o in options if params.is_one_of(o.value, sold)}


@every_language
@every_sold_model
def test_every_confirmation_names_the_price_once(model: Model, t: Texts) -> None:
    rich = generation.confirmation(t, model, offer(model), Money(30_00), Money(970_00))
    poor = generation.confirmation(t, model, offer(model), Money(30_00), Money(10_00))

    for screen in (rich, poor, generation.settings(t, model, offer(model))):
        check(screen)
    assert "940 ₽" in rich.text
    assert "20 ₽" in poor.text
    assert rich.actions[0].label.endswith("30 ₽")
    assert rich.actions[0].action.encode() == f"gen:confirm:{JOB_ID}"


@every_language
def test_every_shelf_shows_what_is_sold_and_nothing_else(t: Texts) -> None:
    check(menu.categories(t, CATALOG, TWICE))
    for category in CATALOG.categories:
        sold = {m.key for m in CATALOG.in_category(category.slug) if m.on_sale}
        shown = set()
        for page in range(1, 8):
            screen = menu.models(t, CATALOG, category, TWICE, page)
            check(screen)
            shown |= {b.action.parts[1] for b in screen.actions if b.action.parts[0] == "mmodel"}

        assert shown == sold


@every_language
def test_a_choice_that_changes_the_price_says_so(t: Texts) -> None:
    model = next(m for m in CATALOG.on_sale if any(p.name == "duration" for p in m.params))
    duration = next(p for p in model.params if p.name == "duration")
    assert isinstance(duration, ChoiceParam)
    short, long, *rest = (choice.value for choice in duration.choices)
    rows = [priced("10.00", duration=(short,)), priced("31.00", duration=(long,))]
    model = evolve(model, prices=tuple(rows))
    job = draft(model, {**params.defaults(model), "duration": short})

    screen = generation.question(t, CATALOG, model, job, duration, TWICE)

    labels = [b.label for b in screen.actions if b.action.parts[0] == "mparam"]
    assert labels[0].startswith("✓ ")
    assert labels[1].endswith(" · +42 ₽")
    assert all(label.endswith(f" · {t.soon}") for label in labels[2 : 2 + len(rest)])


@every_language
def test_answers_without_a_price_say_which_have_one(t: Texts) -> None:
    model = next(m for m in CATALOG.on_sale if any(p.name == "duration" for p in m.params))
    why = PriceMissingError(model.id, sold=[("duration", ("5", "10"))])

    screen = generation.no_price(t, model, offer(model), why)

    check(screen)
    assert "5, 10" in screen.text
    assert any(b.action.encode() == f"mopen:{JOB_ID}:duration" for b in screen.actions)


@every_language
@every_sold_model
def test_every_end_of_a_job_can_be_told(model: Model, t: Texts) -> None:
    job = evolve(offer(model), result=Result(urls=("https://files.example.org/1.png",)))
    past = Past(job=job, model=model, price=Money(30_00))
    now = Background(catalog=CATALOG, terms=Terms(), tz=UTC, available=Money(940_00), past=past)
    assert job.result is not None
    good = JobSucceeded(
        user_id=SOMEBODY,
        job_id=JOB_ID,
        model_id=model.id,
        title=model.title,
        output=model.output,
        summary="x" * 5000,
        price=Money(30_00),
        result=job.result,
    )

    for screen in (
        news.screen(t, good, now),
        history.job(t, past, CATALOG, TWICE, UTC, as_files=False),
        generation.in_work(t, model.title, model.output, job, timedelta(seconds=3), None),
    ):
        check(screen)
    for reason in FailReason:
        bad = JobFailed(
            user_id=SOMEBODY,
            job_id=JOB_ID,
            model_id=model.id,
            title=model.title,
            price=Money(30_00),
            reason=reason,
            param=model.params[0].name,
        )
        screen = news.screen(t, bad, now)
        check(screen)
        assert screen.text.startswith("30 ₽")
    media = news.screen(t, good, now).media
    assert [m.name.startswith("2026-01-01-") for m in media] == [True]


@every_language
def test_a_refused_answer_names_the_questions_it_is_about(t: Texts) -> None:
    model = next(m for m in CATALOG.models if len(m.params) > 1)
    names = tuple(param.name for param in model.params[:2])
    error = InvalidAnswerError(names[0], AnswerProblem.NOT_TOGETHER, names=names)

    told = generation.problem(t, model, error)

    assert all(t.of(param.label) in told for param in model.params[:2])


@every_language
@pytest.mark.parametrize("code", [401, 402, 403, 433, 500])
def test_an_alert_says_what_is_wrong_and_to_whom_nothing_is_lost(t: Texts, code: int) -> None:
    now = Background(catalog=CATALOG, terms=Terms(), tz=UTC, available=Money(0))
    event = OperatorAlert(user_id=SOMEBODY, code=code, detail="x" * 5000)

    screen = news.screen(t, event, now)

    assert len(screen.text) <= MAX_TEXT
    assert t.admin_alert_after in screen.text


@every_language
@pytest.mark.parametrize(
    ("taken", "shown"),
    [("0.96", "0{}96"), ("1", "1"), ("5", "5"), ("1200", "1{}200"), (None, "")],
)
def test_a_late_success_says_of_which_job_and_what_it_cost(
    t: Texts, taken: str | None, shown: str
) -> None:
    now = Background(catalog=CATALOG, terms=Terms(), tz=UTC, available=Money(0))
    event = LateSuccess(
        user_id=SOMEBODY,
        job_id=JobId("7q2k"),
        title="Flux 2",
        credits=None if taken is None else Decimal(taken),
    )

    screen = news.screen(t, event, now)

    assert screen.actions
    assert "7Q2K" in screen.text
    assert "Flux 2" in screen.text
    sign = t.notation.thousands if taken == "1200" else t.notation.decimal
    assert shown.format(sign) in screen.text
    assert (t.admin_late_unknown in screen.text) == (taken is None)


@every_language
def test_a_rejected_topup_says_first_what_happened_to_the_money(t: Texts) -> None:
    now = Background(catalog=CATALOG, terms=Terms(), tz=UTC, available=Money(0))
    event = TopUpRejected(
        user_id=SOMEBODY, topup_id=TopUpId("7q2k"), amount=Money(500_00), why="x" * 5000
    )

    screen = news.screen(t, event, now)

    check(screen)
    assert "7Q2K" in screen.text


@every_language
def test_the_lack_is_exact_and_one_press_cures_it(t: Texts) -> None:
    terms = Terms(payment=PaymentDetails(card="2200 7000 0000 0000"))

    near = generation.not_enough(t, Money(30_00), Money(10_00), None, terms)
    far = generation.not_enough(t, Money(9_000_00), Money(10_00), None, terms)
    closed = generation.not_enough(t, Money(30_00), Money(10_00), None, Terms())

    for screen in (near, far, closed, balance.topup_closed(t)):
        check(screen)
    assert t.money(Money(20_00)) in near.text
    assert near.actions[0].action.encode() == "topup:100"
    assert far.actions[0].action.encode() == "topup:main"
    assert closed.actions[0].action.encode() == "topup:main"


@every_language
def test_a_card_number_stands_as_on_the_card(t: Texts) -> None:
    for written in ("2200700000000000", "2200 7000 0000 0000", "220070000000 0000"):
        screen = balance.transfer(t, topup(), PaymentDetails(card=written))
        assert screen.copyable == ("2200 7000 0000 0000",)
        assert screen.copyable[0] in screen.text
    for written in ("+7 900 000-00-00", "40817810099910004312"):
        assert balance.transfer(t, topup(), PaymentDetails(card=written)).copyable == (written,)


@pytest.mark.parametrize(
    ("t", "told"),
    [
        (RU, ["12 с из обычных 20 с.", "20 с из обычных 20 с.", "21 с, дольше обычного."]),
        (EN, ["12 s of the usual 20 s.", "20 s of the usual 20 s.", "21 s, longer than usual."]),
    ],
    ids=["ru", "en"],
)
def test_what_takes_longer_than_usual_says_so(t: Texts, told: list[str]) -> None:
    usual = timedelta(seconds=20)

    for seconds, words in zip((12, 20.4, 21), told, strict=True):
        elapsed = timedelta(seconds=seconds)
        assert generation.running(t, elapsed, usual) == words
        listed = history.open_jobs(
            t, [Going(job=draft(LONG), title="Suno", elapsed=elapsed, usual=usual)]
        )
        assert listed.text.endswith(words.rstrip("."))


@pytest.mark.parametrize(
    ("model_id", "ru", "en"),
    [
        (
            "flux-2/pro-text-to-image",
            "Опишите, что нарисовать (до 5 000 знаков).",
            "Describe what to draw (up to 5,000 characters).",
        ),
        (
            "flux-2/pro-image-to-image",
            "Опишите, что изменить на картинке (до 5 000 знаков).",
            "Describe what to change in the picture (up to 5,000 characters).",
        ),
        (
            "hailuo/02-text-to-video-standard",
            "Опишите, что снять (до 1 500 знаков).",
            "Describe what to film (up to 1,500 characters).",
        ),
        (
            "elevenlabs/text-to-speech-turbo-2-5",
            "Напишите текст, который нужно озвучить (до 5 000 знаков).",
            "Write the text to be spoken (up to 5,000 characters).",
        ),
    ],
)
def test_a_prompt_is_asked_for_in_a_sentence(model_id: str, ru: str, en: str) -> None:
    model = CATALOG.model(model_id)
    (param,) = (p for p in model.params if p.is_primary)
    assert isinstance(param, TextParam)
    longer = evolve(param, min_length=20)

    for t, words in ((RU, ru), (EN, en)):
        first = generation.question(t, CATALOG, model, draft(model), param, TWICE, intro="Hi")
        again = generation.question(t, CATALOG, model, draft(model), param, TWICE)
        assert first.text.endswith(f"\n\n{words}")
        assert again.text.endswith(f"\n\n{words}")
        bounded = generation.question(t, CATALOG, model, draft(model), longer, TWICE)
        assert t.chars_between(20, param.max_length) in bounded.text


@every_language
@every_sold_model
def test_a_confirmation_speaks_of_nothing_technical(model: Model, t: Texts) -> None:
    job = offer(model)
    screen = generation.confirmation(t, model, job, Money(30_00), Money(970_00))

    opened = {b.action.parts[2] for b in screen.actions if b.action.parts[0] == "mopen"}
    technical = {param.name for param in model.params if param.is_technical}
    assert not opened & technical
    tuned = {b.action.parts[2] for b in generation.settings(t, model, job).actions[:-1]}
    every = {param.name for param in params.settings(model, job.params)}
    assert tuned == every
    assert (every <= opened) or any(b.action.parts[1] == "tune" for b in screen.actions)


@every_language
def test_a_failure_offers_what_helps_and_names_the_price(t: Texts) -> None:
    model = CATALOG.model("flux-2/pro-text-to-image")
    past = Past(job=offer(model), model=model, price=Money(30_00))

    lost = history.failure_rows(t, past, FailReason.MODEL_FAILED, None)
    refused = history.failure_rows(t, past, FailReason.BAD_INPUT, "prompt")
    other = history.failure_rows(t, past, FailReason.BAD_INPUT, "aspect_ratio")
    unpriced = history.failure_rows(t, evolve(past, price=None), FailReason.MODEL_FAILED, None)

    assert lost[0][0].label == t.button_again("30 ₽")
    assert unpriced[0][0].label == t.button_retry
    assert (refused[0][0].label, other[0][0].label) == (t.button_edit_text, t.button_edit)


def priced(kie_price: str, **when: tuple[JsonValue, ...]) -> PriceRow:
    return PriceRow(kie_price=Money.rub(kie_price), when=when, source="a test", date="2026-01-01")


LONG = CATALOG.model("elevenlabs/speech-to-text")
SPOKEN = CATALOG.model("elevenlabs/text-to-speech-turbo-2-5")


@pytest.mark.parametrize(
    ("t", "tags"),
    [
        (RU, ["от 6 ₽ за 3 минуты", "от 10 ₽ за 3 000 знаков", "от 10 ₽ за 90 секунд"]),
        (EN, ["from 6 ₽ per 3 minutes", "from 10 ₽ per 3,000 characters"]),
    ],
    ids=["ru", "en"],
)
def test_a_price_by_unit_says_what_the_unit_is(t: Texts, tags: list[str]) -> None:
    models = [LONG, SPOKEN, CATALOG.model("elevenlabs/audio-isolation")]

    for model, tag in zip(models, tags, strict=False):
        assert menu.price_tag(t, model, TWICE) == tag
        category = CATALOG.category(model.category)
        listed = menu.models(t, CATALOG, category, TWICE)
        assert any(button.label.endswith(tag) for button in listed.actions)
        assert tag in menu.headline(t, model, TWICE, None)


@pytest.mark.parametrize(
    ("t", "unit", "words"),
    [
        (RU, Unit(param="audio_url", size=1, in_seconds=True), "секунду"),
        (RU, Unit(param="audio_url", size=60, in_seconds=True), "минуту"),
        (RU, Unit(param="audio_url", size=90, in_seconds=True), "90 секунд"),
        (RU, Unit(param="audio_url", size=42, in_seconds=True), "42 секунды"),
        (EN, Unit(param="audio_url", size=1, in_seconds=True), "second"),
        (EN, Unit(param="audio_url", size=60, in_seconds=True), "minute"),
        (EN, Unit(param="audio_url", size=300, in_seconds=True), "5 minutes"),
    ],
)
def test_units_are_told_as_people_count(t: Texts, unit: Unit, words: str) -> None:
    assert menu.unit_words(t, LONG, unit) == words


@pytest.mark.parametrize(
    ("t", "line"),
    [
        (RU, "Аудио: 3 минуты 5 секунд. Цена — за 3 минуты, начатое считается целиком."),
        (EN, "Audio: 3 minutes 5 seconds. The price is per 3 minutes, and a started one counts"),
    ],
    ids=["ru", "en"],
)
def test_a_confirmation_tells_the_measured_length(t: Texts, line: str) -> None:
    answers = {"audio_url": "file:///voice.mp3"}
    job = evolve(draft(LONG, answers), measures={"file:///voice.mp3": Decimal("184.2")})
    (price,) = [drafts.quote_of(LONG, answers, TWICE, job.measures)]

    assert price is not None
    screen = generation.confirmation(t, LONG, job, price.price, Money(500_00))

    check(screen)
    assert line in screen.text
    assert t.money(Money(12_00)) in screen.text


@every_language
def test_a_length_that_nobody_knows_is_told(t: Texts) -> None:
    job = draft(LONG, {"audio_url": "file:///voice.mp3"})
    with pytest.raises(PriceMissingError) as caught:
        pricing.quote(LONG, job.params, TWICE)

    screen = generation.no_price(t, LONG, job, caught.value)

    check(screen)
    assert t.no_length(t.quoted(t.of(LONG.params[0].label))) in screen.text
    assert screen.actions[0].action.encode() == f"mopen:{JOB_ID}:audio_url"


@every_language
@pytest.mark.parametrize("model_id", ["veo3", "veo3_fast", "bytedance/seedance-1.5-pro"])
def test_what_has_no_price_is_no_option(t: Texts, model_id: str) -> None:
    model = CATALOG.model(model_id)
    (param,) = (p for p in model.params if p.name == "resolution")

    screen = generation.question(t, CATALOG, model, offer(model), param, TWICE)

    check(screen)
    chosen = [b.action.parts[-1] for b in screen.actions if b.action.parts[0] == "mparam"]
    assert chosen == ["1", "2"]
    assert not any("4K" in b.label or "1080p" in b.label for b in screen.actions[2:])


@every_language
def test_an_option_keeps_its_number_where_another_is_hidden(t: Texts) -> None:
    """The buttons of old messages count the choices of the catalog, not those that are shown."""
    veo = CATALOG.model("veo3")
    dear = evolve(veo, prices=(priced("1.00", resolution=("1080p",)),))
    (param,) = (p for p in dear.params if p.name == "resolution")

    screen = generation.question(t, CATALOG, dear, offer(dear), param, TWICE)

    chosen = [b.action.parts[-1] for b in screen.actions if b.action.parts[0] == "mparam"]
    assert chosen == ["2"]
