"""
What goes over the wire for every model that is sold, checked against schemas that know no catalog.

The live client asks the stub server, which is strict; what the server was asked is then validated
once more, field by field, by the schemas that were written from KIE's pages.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from attrs import evolve, frozen

from kiebot.adapters.catalog import load_catalog
from kiebot.adapters.kie import families
from kiebot.adapters.kie.live import LiveKieClient
from kiebot.adapters.kie.stub_server.faults import Call, Fault, FaultKind
from kiebot.adapters.kie.stub_server.server import Asked, StubServer
from kiebot.adapters.kie.stub_server.wire import wire_problems
from kiebot.adapters.media.fetch import Fetcher
from kiebot.core import params
from kiebot.core.addresses import host_port
from kiebot.core.catalog import SPOKEN, Model
from kiebot.core.errors import InvalidAnswerError, KieRejectedError
from kiebot.core.media import MediaKind, kind_of, sniff
from kiebot.core.params import (
    Choice,
    ChoiceParam,
    FileParam,
    FilesParam,
    JsonValue,
    NumberParam,
    Param,
    SwitchParam,
    TextParam,
)
from kiebot.core.tasks import (
    MISSING,
    FailReason,
    TaskFailed,
    TaskPending,
    TaskRequest,
    TaskStatus,
    TaskSucceeded,
)
from kiebot.core.wallet import JobId
from tests.fakes import leaks
from tests.fakes.answers import ADDRESSES, good_answer, good_answers
from tests.fakes.clock import FakeClock
from tests.fakes.kie_server import NO_LIMITS, kie_server

CATALOG = load_catalog(None)
SPOKEN_MODELS = [model for model in CATALOG.models if model.family in SPOKEN]
ON_SALE = pytest.mark.parametrize("model", CATALOG.on_sale, ids=lambda model: model.id)
CALLBACK = "https://bot.example.org/kie/callback?job=job1&key=0b77de"


@frozen
class Wire:
    """The live client, and the server that it speaks with."""

    client: LiveKieClient
    server: StubServer
    clock: FakeClock

    def created(self) -> Asked:
        """The one create that the server was asked for."""
        (asked,) = self.server.calls(Call.CREATE)
        return asked


@pytest.fixture
async def wire(clock: FakeClock) -> AsyncIterator[Wire]:
    async with kie_server(clock, limits=NO_LIMITS) as server:
        here = host_port(server.address)
        assert here is not None
        fetcher = Fetcher(allowed={here})
        client = LiveKieClient(
            api_url=server.address,
            upload_url=server.address,
            token=leaks.KIE_KEY,
            timeout_s=30,
            fetch=fetcher.fetch,
        )
        async with client:
            yield Wire(client, server, clock)
        await fetcher.close()


def asks(model: Model, answers: dict[str, JsonValue], callback: str | None = None) -> TaskRequest:
    return TaskRequest(job_id=JobId("job1"), model=model, params=answers, callback_url=callback)


def full_answers(model: Model) -> dict[str, JsonValue]:
    """An answer to every question that may be answered beside the others."""
    answers = good_answers(model)
    for param in model.params:
        if params.is_answered(answers.get(param.name)):
            continue
        try:
            question = params.param_for(model, answers, param.name)
            answers = params.verify(model, {**answers, param.name: good_answer(question)})
        except InvalidAnswerError:
            continue
    return answers


def problems(request: TaskRequest) -> list[str]:
    """What the schemas find in the body with which this would be asked for."""
    family = families.family_of(request.model)
    assert family is not None
    return wire_problems(f"POST {family.create_path}", families.create_body(request), strict=True)


# --- Every model on sale


@ON_SALE
@pytest.mark.parametrize("answered", ["needed", "all"])
async def test_the_request_is_as_kie_takes_it_and_the_result_comes(
    wire: Wire, model: Model, answered: str
) -> None:
    answers = good_answers(model) if answered == "needed" else full_answers(model)
    request = asks(model, answers, CALLBACK if answered == "all" else None)

    task_id = await wire.client.create_task(request)
    wire.clock.advance(1)
    status = await wire.client.task_status(request, task_id)

    asked = wire.created()
    assert wire_problems(f"{asked.method} {asked.path}", asked.body, strict=True) == []
    assert isinstance(status, TaskSucceeded)
    assert status.credits is None or status.credits > 0
    await assert_delivered(wire, model, status)


async def assert_delivered(wire: Wire, model: Model, status: TaskSucceeded) -> None:
    if model.output is MediaKind.TEXT:
        assert status.result.text
        return
    assert status.result.urls
    for url in status.result.urls:
        async with wire.client.open_result(url) as file:
            content = b"".join([chunk async for chunk in file.chunks()])
        assert kind_of(sniff(content[:64])) is model.output


@ON_SALE
async def test_all_that_is_answered_is_sent_and_nothing_else(wire: Wire, model: Model) -> None:
    answers = full_answers(model)

    await wire.client.create_task(asks(model, answers, CALLBACK))

    body = wire.created().body
    sent = body["input"] if model.params_in == "input" else body
    frame = {"model", "callBackUrl"} - {param.name for param in model.params}
    assert {name: value for name, value in sent.items() if name not in frame} == answers
    assert body["callBackUrl"] == CALLBACK
    assert body["model"] == model.api_model


@pytest.mark.parametrize("model", SPOKEN_MODELS, ids=lambda model: model.id)
def test_the_names_and_types_of_a_model_that_can_be_priced_are_kies(model: Model) -> None:
    """An owner may price any model of a family that kiebot speaks."""
    assert problems(asks(model, good_answers(model))) == []
    assert problems(asks(model, full_answers(model), CALLBACK)) == []


@ON_SALE
def test_every_answer_that_a_person_can_give_is_one_that_kie_takes(model: Model) -> None:
    """Each choice, and both ends of every range, with the other answers as they must then be."""
    wrong = [
        f"{param.name}={str(value)[:40]}: {problem}"
        for param in model.params
        for value in extremes(param)
        for request in possible(model, param, value)
        for problem in problems(request)
    ]

    assert wrong == []


def extremes(param: Param) -> Iterator[JsonValue]:
    match param:
        case TextParam(min_length=least, max_length=most):
            yield from ("x" * max(least, 1), "ж" * most)
        case NumberParam(lowest=lowest, highest=highest, whole=whole):
            for bound in (lowest, highest):
                if bound is not None:
                    yield int(bound) if whole else float(bound)
        case ChoiceParam(choices=choices):
            yield from (choice.value for choice in choices)
        case SwitchParam():
            yield from (True, False)
        case FileParam(media=media):
            yield ADDRESSES[media]
        case FilesParam(media=media, min_items=least, max_items=most):
            yield from ([ADDRESSES[media]] * least, [ADDRESSES[media]] * most)


def possible(model: Model, param: Param, value: JsonValue) -> Iterator[TaskRequest]:
    """The requests with this answer that the model's rules allow, fewest answers first."""
    for answers in (good_answers(model), full_answers(model)):
        try:
            together = params.verify(model, {**answers, param.name: value})
        except InvalidAnswerError:
            continue
        yield asks(model, together)


# --- Every family, when it does not go well

FAMILIES = pytest.mark.parametrize(
    "model",
    [next(m for m in SPOKEN_MODELS if m.family == name) for name in sorted(SPOKEN)],
    ids=lambda model: model.family,
)


async def ends(wire: Wire, model: Model, *faults: Fault) -> TaskStatus:
    """What is said of a task of this model after its time."""
    wire.server.script(*faults)
    request = asks(model, good_answers(model))
    task_id = await wire.client.create_task(request)
    wire.clock.advance(1)
    return await wire.client.task_status(request, task_id)


@FAMILIES
async def test_every_family_makes_what_it_sells(wire: Wire, model: Model) -> None:
    status = await ends(wire, model)

    assert isinstance(status, TaskSucceeded)
    await assert_delivered(wire, model, status)


@FAMILIES
@pytest.mark.parametrize(
    "kind",
    [FaultKind.NO_RESULT, FaultKind.EMPTY_RESULT, FaultKind.BROKEN_RESULT, FaultKind.ADDRESS],
)
async def test_a_success_with_nothing_to_read_is_a_failure(
    wire: Wire, model: Model, kind: FaultKind
) -> None:
    status = await ends(wire, model, Fault(call=Call.TASK, kind=kind))

    assert isinstance(status, TaskFailed)
    assert status.failure.reason is FailReason.NO_RESULT


@FAMILIES
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (422, FailReason.BAD_INPUT),
        (451, FailReason.UNREADABLE_FILE),
        (501, FailReason.MODEL_FAILED),
    ],
)
async def test_every_family_says_why_it_failed(
    wire: Wire, model: Model, code: int, reason: FailReason
) -> None:
    fault = Fault(call=Call.TASK, kind=FaultKind.FAIL, code=code, msg="Sorry.")

    status = await ends(wire, model, fault)

    assert isinstance(status, TaskFailed)
    assert (status.failure.reason, status.failure.detail) == (reason, f"{code}: Sorry.")


@FAMILIES
async def test_a_task_without_a_record_is_missing(wire: Wire, model: Model) -> None:
    fault = Fault(call=Call.TASK, kind=FaultKind.NULL_FOREVER)

    assert await ends(wire, model, fault) == TaskPending(MISSING)


@FAMILIES
async def test_a_task_that_never_ends_is_pending(wire: Wire, model: Model) -> None:
    fault = Fault(call=Call.TASK, kind=FaultKind.NEVER)

    assert isinstance(await ends(wire, model, fault), TaskPending)


async def test_a_callback_that_suno_cannot_deliver_loses_no_track(wire: Wire) -> None:
    fault = Fault(call=Call.TASK, kind=FaultKind.ODD_END, word="CALLBACK_EXCEPTION")

    assert isinstance(await ends(wire, CATALOG.model("suno/V5"), fault), TaskSucceeded)


async def test_a_task_is_known_by_the_callback_address_that_it_was_made_with(wire: Wire) -> None:
    """So a task whose create answer was lost finds its job, and no other."""
    model = CATALOG.model("recraft/crisp-upscale")
    request = asks(model, good_answers(model), CALLBACK)
    task_id = await wire.client.create_task(request)

    ours = await wire.client.is_task_of(request, task_id)
    another = await wire.client.is_task_of(
        evolve(request, callback_url=CALLBACK.replace("job1", "job2")), task_id
    )

    assert (ours, another) == (True, False)


@FAMILIES
async def test_a_task_is_known_by_its_model_where_kie_shows_no_more(
    wire: Wire, model: Model
) -> None:
    request = asks(model, good_answers(model), CALLBACK)
    task_id = await wire.client.create_task(request)

    assert await wire.client.is_task_of(request, task_id)
    for other in SPOKEN_MODELS:
        if other.api_model != model.api_model:
            assert not await wire.client.is_task_of(asks(other, {}), task_id)


# --- Planted mistakes


def renamed(model: Model, name: str, wrong: str) -> Model:
    return evolve(
        model,
        params=tuple(
            evolve(param, name=wrong) if param.name == name else param for param in model.params
        ),
        rules=(),
    )


def retyped(model: Model, name: str) -> Model:
    """The same choices, as numbers in place of text."""

    def wrong(param: Param) -> Param:
        if param.name != name or not isinstance(param, ChoiceParam):
            return param
        choices = tuple(Choice(value=int(c.value), label=c.label) for c in param.choices)
        return evolve(param, choices=choices, wire="integer", default=None, example=None)

    return evolve(model, params=tuple(wrong(param) for param in model.params))


PLANTED = {
    "a wrong name": renamed(CATALOG.model("flux-2/pro-text-to-image"), "prompt", "promt"),
    "an old name": renamed(CATALOG.model("veo3"), "aspect_ratio", "aspectRatio"),
    "a wrong type": retyped(CATALOG.model("hailuo/02-text-to-video-standard"), "duration"),
    "another place": evolve(CATALOG.model("recraft/crisp-upscale"), params_in="body"),
    "a wrong model": evolve(CATALOG.model("suno/V5"), api_model="suno/V5"),
    "another family": evolve(CATALOG.model("suno/V5"), family="veo"),
}


@pytest.mark.parametrize("model", PLANTED.values(), ids=PLANTED.keys())
async def test_a_mistake_planted_in_the_catalog_is_found(wire: Wire, model: Model) -> None:
    """Else all of the above would show nothing."""
    request = asks(model, full_answers(model))

    found = problems(request)
    with pytest.raises(KieRejectedError):
        await wire.client.create_task(request)

    assert found
