"""Terms: on what conditions a shop sells, as its operator set them."""

from datetime import timedelta
from decimal import Decimal

from attrs import field, frozen

from kiebot.core.callbacks import Callbacks
from kiebot.core.errors import InvalidAmountError
from kiebot.core.money import Money, parse_roubles
from kiebot.core.tasks import Pace
from kiebot.core.users import OPERATOR as OPERATOR
from kiebot.core.users import UserId


@frozen(kw_only=True)
class PaymentDetails:
    """Where people send money to, as it is shown to them."""

    card: str
    bank: str = ""
    holder: str = ""


@frozen(kw_only=True)
class Terms:
    """
    The conditions of a shop. The defaults are those of the settings.

    `demo_grant` is the toy money of a demo database. `payment` None: no top-ups. `callbacks` None:
    KIE cannot reach this shop. `files_timeout` is how long all files of a job may take to be handed
    to KIE: our choice, 200 MB at 5 Mbit/s. `creates_per_10s` and `queries_per_s` are the limits of
    the account at KIE; None: there are none. `watches_credits`: administrators are told when KIE's
    credits run low; those of a stub never do. `support` is whom people write to, None where
    nobody is named.
    """

    price_multiplier: Decimal = Decimal(2)
    user_jobs_max: int = 10
    submissions_max: int = 2
    job_timeout: timedelta = timedelta(seconds=3600)
    call_timeout: timedelta = timedelta(seconds=30)
    files_timeout: timedelta = timedelta(seconds=300)
    draft_age: timedelta = timedelta(hours=24)
    topup_min: Money = field(default=Money(10_00))
    topup_max: Money = field(default=Money(100_000_00))
    payment: PaymentDetails | None = None
    admins: frozenset[UserId] = frozenset()
    demo_grant: Money | None = None
    pace: Pace = field(factory=Pace)
    callbacks: Callbacks | None = None
    creates_per_10s: int | None = None
    queries_per_s: int | None = None
    watches_credits: bool = False
    support: str | None = None

    def topup_amount(self, text: str) -> Money:
        """
        The amount that a person wants to top up.

        Raises:
            InvalidAmountError: Not an amount, or outside the limits.
        """
        amount = parse_roubles(text)
        if amount is None or not self.topup_min <= amount <= self.topup_max:
            raise InvalidAmountError(text, self.topup_min, self.topup_max)
        return amount

    def is_admin(self, user_id: UserId) -> bool:
        """Whether who has this id may do what administrators do: one of them, or the console."""
        return user_id == OPERATOR or user_id in self.admins
