"""
Drafts: from a chosen model to an offer that can be paid.

A draft is complete when nothing more must be asked and every rule of its model holds; it then
becomes an offer at once, because its confirmation is what the person sees next.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from attrs import evolve, frozen

from kiebot.core import jobs, params, pricing
from kiebot.core.billing import JobStep
from kiebot.core.catalog import Model
from kiebot.core.errors import AnswerProblem, InvalidAnswerError, PriceMissingError
from kiebot.core.expect import Answer, AnswerForm
from kiebot.core.jobs import Job
from kiebot.core.money import Money
from kiebot.core.params import (
    ChoiceParam,
    FileParam,
    FilesParam,
    JsonValue,
    NumberParam,
    Param,
    SwitchParam,
)
from kiebot.core.pricing import NO_MEASURES, Measures, Quote
from kiebot.core.users import UserId
from kiebot.core.wallet import JobId


@frozen(kw_only=True)
class Drafted:
    """
    A draft after an answer: the job as it is now, the steps that lead there, and the question that
    comes next (None: it is an offer, or no price fits its answers).
    """

    job: Job
    steps: tuple[JobStep, ...]
    question: Param | None

    @property
    def expect(self) -> Answer | None:
        """What the person's next typed answer is for."""
        return None if self.question is None else expecting(self.job, self.question)


def question(model: Model, answers: Mapping[str, JsonValue]) -> Param | None:
    """What must be asked next: what is missing, or what a rule of the model no longer allows."""
    missing = params.next_question(model, answers)
    if missing is not None:
        return missing
    try:
        params.verify(model, answers)
    except InvalidAnswerError as error:
        return params.param_for(model, answers, error.param)
    return None


def begin(
    id: JobId,  # noqa: A002 - the attribute's name
    user_id: UserId,
    model: Model,
    answers: Mapping[str, JsonValue],
    multiplier: Decimal,
    at: datetime,
    measures: Measures = NO_MEASURES,
) -> Drafted:
    """
    A new draft with these answers, and the model's defaults where there are none; `measures` are
    the lengths of the files among them.
    """
    job = Job(
        id=id,
        user_id=user_id,
        model_id=model.id,
        params={**params.defaults(model), **answers},
        measures=dict(measures),
        created_at=at,
        updated_at=at,
    )
    job, asked = _complete(_priced(job, model, multiplier), model, at)
    return Drafted(job=job, steps=(JobStep(job, None),), question=asked)


def answer(
    job: Job,
    model: Model,
    answers: Mapping[str, JsonValue],
    multiplier: Decimal,
    at: datetime,
    *,
    new_id: JobId,
    collecting: Param | None = None,
    measures: Measures = NO_MEASURES,
) -> Drafted:
    """
    The draft with other answers; in place of an offer, which never changes, a new draft.

    `measures` are the lengths of files that joined; those known before stay.

    `collecting` is a question that stays open although it has an answer: a list of files that is
    not declared complete.
    """
    if job.is_offer:
        draft = evolve(
            job, id=new_id, params=answers, offered_at=None, created_at=at, updated_at=at
        )
    else:
        draft = jobs.answer(job, answers, price=job.price, kie_price=job.kie_price, at=at)
    draft = evolve(draft, measures={**job.measures, **measures})
    draft = _priced(draft, model, multiplier)
    asked = collecting
    if asked is None:
        draft, asked = _complete(draft, model, at)
    return Drafted(job=draft, steps=_steps(job, draft, at), question=asked)


def reoffer(job: Job, model: Model, multiplier: Decimal, at: datetime, *, new_id: JobId) -> Drafted:
    """The same answers at today's price in a new draft, in place of an offer that was refused."""
    return answer(job, model, job.params, multiplier, at, new_id=new_id)


def expecting(job: Job, param: Param) -> Answer:
    """The expectation that a question of a draft sets."""
    return Answer(job_id=job.id, param=param.name, form=form(param))


def form(param: Param) -> AnswerForm:
    """How a question is answered."""
    match param:
        case NumberParam():
            return AnswerForm.NUMBER
        case FileParam() | FilesParam():
            return AnswerForm.FILE
        case ChoiceParam() | SwitchParam():
            return AnswerForm.CHOICE
        case _:
            return AnswerForm.TEXT


def quote_of(
    model: Model,
    answers: Mapping[str, JsonValue],
    multiplier: Decimal,
    measures: Measures = NO_MEASURES,
) -> Quote | None:
    """The price of these answers, None where no row of the price table fits them."""
    try:
        return pricing.quote(model, answers, multiplier, measures)
    except PriceMissingError:
        return None


def skipped(model: Model, answers: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    """The answers with the default of a question; without one, if it may be left out."""
    standard = params.defaults(model)
    if name in standard:
        return {**answers, name: standard[name]}
    if params.param_for(model, answers, name).required:
        raise InvalidAnswerError(name, AnswerProblem.MISSING)
    return cleared(model, answers, name)


def cleared(model: Model, answers: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    """The answers without this one."""
    params.param_for(model, answers, name)
    return {key: value for key, value in answers.items() if key != name}


def finished(model: Model, answers: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    """The answers, if this list of files is long enough."""
    param = params.param_for(model, answers, name)
    given = answers.get(name)
    count = len(given) if isinstance(given, list) else 0
    if isinstance(param, FilesParam) and 0 < count < param.min_items:
        raise InvalidAnswerError(name, AnswerProblem.TOO_FEW_FILES, limit=param.min_items)
    if count == 0 and param.required:
        raise InvalidAnswerError(name, AnswerProblem.MISSING)
    return answers


def price_now(
    model: Model,
    answers: Mapping[str, JsonValue],
    multiplier: Decimal,
    measures: Measures = NO_MEASURES,
) -> Money | None:
    """What these answers cost by today's catalog, None where they cannot be bought as they are."""
    quote = quote_of(model, answers, multiplier, measures)
    if quote is None or question(model, answers) is not None:
        return None
    return quote.price


def has_room(param: Param, answers: Mapping[str, JsonValue]) -> bool:
    """Whether one more file can join the answer to this question."""
    if not isinstance(param, FilesParam):
        return False
    given = answers.get(param.name)
    return not isinstance(given, list) or len(given) < param.max_items


def file_names(model: Model) -> tuple[str, ...]:
    """The questions of a model that are answered with files."""
    return tuple(p.name for p in model.params if isinstance(p, FileParam | FilesParam))


def summary(model: Model, answers: Mapping[str, JsonValue]) -> str:
    """What a job is about, in the person's own words: its prompt; empty where it has none."""
    param = params.primary(model)
    value = None if param is None else answers.get(param.name)
    return value if isinstance(value, str) and not isinstance(param, FileParam) else ""


def _priced(job: Job, model: Model, multiplier: Decimal) -> Job:
    quote = quote_of(model, job.params, multiplier, job.measures)
    if quote is None:
        return evolve(job, price=None, kie_price=None)
    return evolve(job, price=quote.price, kie_price=quote.kie_price)


def _complete(job: Job, model: Model, at: datetime) -> tuple[Job, Param | None]:
    asked = question(model, job.params)
    if asked is None and job.price is not None:
        return jobs.offer(job, at), None
    return job, asked


def _steps(before: Job, draft: Job, at: datetime) -> tuple[JobStep, ...]:
    if draft.id == before.id:
        return (JobStep(draft, before.status),)
    cancelled = jobs.cancel(before, at, replaced_by=draft.id)
    return (JobStep(draft, None), JobStep(cancelled, before.status))
