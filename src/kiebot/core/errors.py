"""
Every exception kiebot raises on purpose.

    KiebotError
      UserError                   a person can do something about it; it becomes a screen
        ReofferedError            a confirmation was refused; a new draft took its place
          InsufficientFundsError  the wallet has less available than is needed
          PriceChangedError       the price is no longer the one on the confirmation
          TooManyJobsError        the person has as many open jobs as one may have
        PriceMissingError         nobody knows what these answers cost
        NotOnSaleError            the model cannot be bought now
        NotFoundError             no such thing, or it belongs to someone else
        InvalidAmountError        not an amount of money we take
        InvalidAnswerError        not an answer to this question
        NotAllowedError           an administrator's act by someone else
        BlockedError              an administrator blocked the person
        TopUpClosedError          nobody takes top-ups here
        TopUpCorrectedError       the amount was corrected since
        RefusedByStatusError      the thing has moved on: this can no longer be done to it
      IllegalTransitionError      a step that a state machine does not have
      DuplicateRefError           this ledger ref was applied before
      StaleError                  what was to be changed is no longer as it was read
      UpdateDoneError             another instance has handled this update
      LeadLostError               another process leads now
      KieError
        KieUnavailableError       KIE did not take it; try later
        KieNoAnswerError          nobody knows whether KIE took it
        KieRejectedError          final: KIE will not do this
        KieOperatorError          final: KIE refuses the operator (key, balance, cap)
      MediaError                  a file that cannot be read, or is not what it should be
      FrontendRefusedError        the person cannot be reached there
      FrontendUnavailableError    the person cannot be reached there now; try later
      StorageError                the database failed; the driver's error is its cause
        StorageUnavailableError   it cannot be opened or reached
        SchemaBehindError         migrations are missing
        SchemaAheadError          made by a newer kiebot
        WrongDatabaseError        a demo database used live, the reverse, or another bot's
      CatalogError                a catalog file that is not one
      ConfigError                 settings that are missing or wrong: all of them at once

An error carries the values it is about as attributes. Its message is for the log, in English;
what a person reads is made from the attributes in `kiebot.core.dialog`.
"""

from collections.abc import Sequence
from enum import StrEnum

from kiebot.core.failures import FailReason
from kiebot.core.money import Money


class KiebotError(Exception):
    """The root of every error kiebot raises on purpose."""


class UserError(KiebotError):
    """A person can do something about it."""


class ReofferedError(UserError):
    """
    A confirmation was refused, and what was offered can never be paid again.

    `draft_id` is the new draft with the same answers that took its place; None where no
    confirmation was concerned.
    """

    draft_id: str | None = None


class InsufficientFundsError(ReofferedError):
    """The wallet has less available than is needed."""

    def __init__(self, needed: Money, available: Money, draft_id: str | None = None) -> None:
        super().__init__(f"needs {needed}, has {available}")
        self.needed = needed
        self.available = available
        self.draft_id = draft_id


class PriceChangedError(ReofferedError):
    """The price is no longer the one on the confirmation; `now` is None where none fits."""

    def __init__(self, offered: Money, now: Money | None, draft_id: str | None = None) -> None:
        super().__init__(f"offered for {offered}, now {now}")
        self.offered = offered
        self.now = now
        self.draft_id = draft_id


class TooManyJobsError(ReofferedError):
    """The person has as many open jobs as one person may have."""

    def __init__(self, limit: int, draft_id: str | None = None) -> None:
        super().__init__(f"{limit} jobs are open, no more are taken")
        self.limit = limit
        self.draft_id = draft_id


class PriceMissingError(UserError):
    """
    No row of the model's price table fits these answers.

    `sold` names, for each parameter that the table asks about, the values that have a price.
    `uncounted` is the parameter that a row counts by and that cannot be counted: it has no answer,
    or nobody measured how many seconds its file lasts.
    """

    def __init__(
        self,
        model_id: str,
        sold: Sequence[tuple[str, tuple[str, ...]]] = (),
        uncounted: str | None = None,
    ) -> None:
        why = f": {uncounted} cannot be counted" if uncounted else ""
        super().__init__(f"{model_id}: no price for these answers{why}")
        self.model_id = model_id
        self.sold = tuple(sold)
        self.uncounted = uncounted


class NotOnSaleError(UserError):
    """The model is listed and cannot be bought; `why` is the catalog's reason, for the operator."""

    def __init__(self, model_id: str, why: str) -> None:
        super().__init__(f"{model_id} is not on sale: {why}")
        self.model_id = model_id
        self.why = why


class NotFoundError(UserError):
    """There is no such thing, or it belongs to someone else; who asks cannot tell the two apart."""

    def __init__(self, what: str, id: object) -> None:  # noqa: A002 - the attribute's name
        super().__init__(f"no {what} {id}")
        self.what = what
        self.id = id


class InvalidAmountError(UserError):
    """Not an amount of roubles, or outside what is taken."""

    def __init__(
        self, given: str, lowest: Money | None = None, highest: Money | None = None
    ) -> None:
        limits = ""
        if lowest is not None and highest is not None:
            limits = f", {lowest} to {highest}"
        super().__init__(
            f"not an amount: {given[:40]!r}; give roubles such as 100, 100,50 or 1 000{limits}"
        )
        self.given = given
        self.lowest = lowest
        self.highest = highest


class AnswerProblem(StrEnum):
    """What is wrong with an answer; `InvalidAnswerError.limit` is the number it broke, if any."""

    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    UNREADABLE = "unreadable"  # control characters, NUL, broken Unicode
    NOT_A_NUMBER = "not_a_number"
    NOT_WHOLE = "not_whole"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    OFF_STEP = "off_step"
    NOT_A_CHOICE = "not_a_choice"
    NOT_A_FILE = "not_a_file"
    WRONG_KIND = "wrong_kind"
    FILE_TOO_LARGE = "file_too_large"
    TOO_FEW_FILES = "too_few_files"
    TOO_MANY_FILES = "too_many_files"
    LASTS_TOO_LONG = "lasts_too_long"  # a sound or clip of more seconds than are taken
    LENGTH_UNKNOWN = "length_unknown"  # nobody can say how many seconds it lasts
    FILE_GONE = "file_gone"  # it cannot be read, or its address leads nowhere
    NOT_PUBLIC = "not_public"  # an address that is not read: not one of the public Internet
    TOO_SLOW = "too_slow"  # reading it takes too long
    MISSING = "missing"
    NOT_TOGETHER = "not_together"
    ONE_OF = "one_of"
    UNKNOWN = "unknown"  # the model asks no such question; only a program can give one


class InvalidAnswerError(UserError):
    """
    Not an answer to this question.

    `limit` is the bound that was broken: characters, a number, megabytes, files or seconds; `names`
    are the parameters concerned where it is about more than one.
    """

    def __init__(
        self,
        param: str,
        problem: AnswerProblem,
        *,
        given: str = "",
        limit: int | float | None = None,
        names: Sequence[str] = (),
    ) -> None:
        about = f" (limit {limit})" if limit is not None else ""
        super().__init__(f"{param}: {problem}{about}")
        self.param = param
        self.problem = problem
        self.given = given
        self.limit = limit
        self.names = tuple(names)


class NotAllowedError(UserError):
    """An administrator's act by someone who is none."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"{user_id} is no administrator")
        self.user_id = user_id


class BlockedError(UserError):
    """Nothing is done for this person: an administrator blocked them."""

    def __init__(self, user_id: int) -> None:
        super().__init__(f"{user_id} is blocked")
        self.user_id = user_id


class TopUpClosedError(UserError):
    """No PAYMENT_CARD is set, so there is nowhere to send money to."""

    def __init__(self) -> None:
        super().__init__("top-up is not available: PAYMENT_CARD is not set")


class TopUpCorrectedError(UserError):
    """An administrator corrected the amount since; only the corrected one can be approved."""

    def __init__(self, topup_id: str, amount: Money) -> None:
        super().__init__(f"top-up {topup_id} was corrected to {amount}")
        self.topup_id = topup_id
        self.amount = amount


class RefusedByStatusError(UserError):
    """What was asked can no longer be done: the thing has another status by now."""

    def __init__(self, what: str, id: str, status: str) -> None:  # noqa: A002 - the attribute's name
        super().__init__(f"{what} {id} is {status}")
        self.what = what
        self.id = id
        self.status = status


class IllegalTransitionError(KiebotError):
    """A step that is not in the machine's table; nothing has happened."""

    def __init__(self, machine: str, now: str, to: str) -> None:
        super().__init__(f"{machine}: {now} cannot become {to}")
        self.machine = machine
        self.now = now
        self.to = to


class DuplicateRefError(KiebotError):
    """
    A ledger entry with this ref stands already.

    `same` tells whether it is the same movement (a repeat, harmless) or another amount, kind or
    person under the same ref (a mistake of the caller's).
    """

    def __init__(self, ref: str, *, same: bool) -> None:
        what = "applied before" if same else "stands for another amount, kind or person"
        super().__init__(f"ref {ref}: {what}")
        self.ref = ref
        self.same = same


class StaleError(KiebotError):
    """What was to be changed is no longer as it was read; nothing was written."""

    def __init__(self, what: str, id: str) -> None:  # noqa: A002 - the attribute's name
        super().__init__(f"{what} {id} was changed meanwhile")
        self.what = what
        self.id = id


class UpdateDoneError(KiebotError):
    """What this update asks for was done already, by another instance; nothing was written."""

    def __init__(self, update_id: int) -> None:
        super().__init__(f"update {update_id} was handled by another instance")
        self.update_id = update_id


class LeadLostError(KiebotError):
    """The lead under which this was to be written is no longer ours; nothing was written."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the lead of {scope} is held by another process")
        self.scope = scope


class KieError(KiebotError):
    """KIE did not do what it was asked to."""


class KieUnavailableError(KieError):
    """KIE did not take it (429, 455, connection refused); try later."""


class KieNoAnswerError(KieError):
    """Sent, and the answer was lost, late or unreadable: nobody knows whether KIE took it."""


class KieRejectedError(KieError):
    """
    Final: KIE will not do this. `why` and the parameter concerned are for the person, `reason` is
    KIE's own text, for the log only.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        param: str | None = None,
        why: FailReason = FailReason.BAD_INPUT,
    ) -> None:
        super().__init__(f"KIE refused ({code}): {reason}")
        self.code = code
        self.reason = reason
        self.param = param
        self.why = why


class KieOperatorError(KieError):
    """Final: KIE refuses the operator (401 key, 402 balance, 433 spending cap, HTTP 403)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"KIE refuses the operator ({code}): {reason}")
        self.code = code
        self.reason = reason


class MediaTrouble(StrEnum):
    """In which way a file cannot be read."""

    GONE = "gone"  # it is not there, or breaks off, or its place does not answer
    NOT_NOW = "not_now"  # who keeps it does not answer now, and will
    NOT_PUBLIC = "not_public"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"


class MediaError(KiebotError):
    """
    A file cannot be read, or is not what it should be; `reference` says which.

    `most_bytes` is how large it may be there, where it is too large.
    """

    def __init__(
        self,
        reference: str,
        why: str,
        trouble: MediaTrouble = MediaTrouble.GONE,
        most_bytes: int | None = None,
    ) -> None:
        super().__init__(f"{reference}: {why}")
        self.reference = reference
        self.why = why
        self.trouble = trouble
        self.most_bytes = most_bytes


class FrontendRefusedError(KiebotError):
    """The person cannot be reached there (blocked the bot, left)."""


class FrontendUnavailableError(KiebotError):
    """
    The person cannot be reached there now (no answer, or too much was sent); try later.

    `retry_s` is how many seconds the place asks for, None where it says nothing.
    """

    def __init__(self, why: str, retry_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_s = retry_s


class SilencedError(FrontendUnavailableError):
    """It is not for this instance to speak now: another one leads, or serves the person."""


class StorageError(KiebotError):
    """The database failed; the driver's error is the cause."""


class StorageUnavailableError(StorageError):
    """The database cannot be opened or reached."""


class SchemaBehindError(StorageError):
    """Migrations are missing: run `kiebot migrate`."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"the database lacks {', '.join(missing)}: run `kiebot migrate`")
        self.missing = tuple(missing)


class SchemaAheadError(StorageError):
    """The database was made by a newer kiebot, or a migration was changed after it was applied."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"the database has migration {name}: {why}")
        self.name = name


class WrongDatabaseError(StorageError):
    """A demo database used live, the reverse, or another bot's; `found` and `wanted` say which."""

    def __init__(self, what: str, found: str, wanted: str) -> None:
        is_, not_ = (f"bot {found}'s", f"bot {wanted}'s") if what == "bot" else (found, wanted)
        super().__init__(
            f"this database is {is_}, not {not_}: a database keeps the {what} of its first use;"
            f" use another DATABASE_URL"
        )
        self.what = what
        self.found = found
        self.wanted = wanted


class CatalogError(KiebotError):
    """A catalog file that cannot be read as one, or offers nothing."""


class ConfigError(KiebotError):
    """Settings that are missing or wrong; `problems` has a line for each, naming the variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
