"""
Texts: every phrase that people read, one field each. A language is one value of it.

A phrase is a text, or a function of what it speaks about; a language that lacks one, or takes
other things, does not pass the type checker. How money, moments and numbers are written is at the
top: a language says its separators and patterns, everything else is the same for all.
"""

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from attrs import frozen
from babel import Locale
from babel.dates import format_datetime

from kiebot.core.acts import ActKind
from kiebot.core.errors import AnswerProblem
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language, Localized
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.tasks import FailReason
from kiebot.core.topups import TopUpStatus
from kiebot.core.wallet import EntryKind

QUOTE_CHARS = 300
"""How much of a person's own text is shown back to them."""

MINUTE_S = 60
HOUR_S = 3600


@frozen(kw_only=True)
class Notation:
    """
    How a language writes numbers, money and moments.

    Spaces in amounts are ordinary ones, so that what is read can be typed and searched for.
    """

    locale: str
    thousands: str
    decimal: str
    moment: str
    day: str
    day_and_time: str
    seconds: str
    minutes: str
    hours: str

    def number(self, value: int | float) -> str:
        """`1 000`, `0,5`: as short as it is exact."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        whole, _, part = format(value, ",").partition(".")
        whole = whole.replace(",", self.thousands)
        return f"{whole}{self.decimal}{part}" if part else whole

    def money(self, amount: Money) -> str:
        """`1 000 ₽`, `6,50 ₽`: kopecks only where there are some."""
        roubles = f"{amount.kopecks // 100:,}".replace(",", self.thousands)
        kopecks = amount.kopecks % 100
        return f"{roubles}{self.decimal}{kopecks:02} ₽" if kopecks else f"{roubles} ₽"

    def at(self, moment: datetime, tz: tzinfo) -> str:
        """Day and time, as in a list of what happened lately."""
        return format_datetime(moment, self.moment, tzinfo=tz, locale=self.locale)

    def on(self, moment: datetime, tz: tzinfo) -> str:
        """The whole date."""
        return format_datetime(moment, self.day, tzinfo=tz, locale=self.locale)

    def when(self, moment: datetime, tz: tzinfo) -> str:
        """The whole date and the time."""
        return format_datetime(moment, self.day_and_time, tzinfo=tz, locale=self.locale)

    def lasting(self, time: timedelta) -> str:
        """About how long: seconds up to two minutes, then minutes, then hours and minutes."""
        seconds = max(round(time.total_seconds()), 0)
        if seconds < 2 * MINUTE_S:
            return f"{seconds} {self.seconds}"
        minutes = round(seconds / MINUTE_S)
        if minutes < HOUR_S // MINUTE_S:
            return f"{minutes} {self.minutes}"
        hours, minutes = divmod(minutes, HOUR_S // MINUTE_S)
        rest = f" {minutes} {self.minutes}" if minutes else ""
        return f"{hours} {self.hours}{rest}"

    def plural(self, count: int | float, **forms: str) -> str:
        """The count and its word, by the plural categories of the language (CLDR)."""
        if isinstance(count, float) and count.is_integer():
            count = int(count)
        category = Locale.parse(self.locale).plural_form(count)
        return f"{self.number(count)} {forms.get(category, forms['other'])}"


def clock(time: timedelta) -> str:
    """A running time, as `0:03` or `1:02:03`."""
    minutes, seconds = divmod(max(int(time.total_seconds()), 0), MINUTE_S)
    hours, minutes = divmod(minutes, HOUR_S // MINUTE_S)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def shortened(text: str, most: int = QUOTE_CHARS) -> str:
    """On one line, and no longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


Words = str
Said = Callable[[str], str]
Said2 = Callable[[str, str], str]
Said3 = Callable[[str, str, str], str]
Counted = Callable[[int], str]


@frozen(kw_only=True, eq=False, repr=False)  # nobody compares or prints 300 phrases
class Texts:
    """
    Every phrase, in the order a person meets them.

    `button_*` are labels; `no_*` and `not_*` are what stands in the way. Amounts, moments and
    durations come as they are to be read, made by `notation`.
    """

    language: Language
    notation: Notation

    # Everywhere
    button_menu: Words
    button_back: Words
    button_create: Words
    button_create_more: Words
    button_older: Words
    button_newer: Words
    button_cancel: Words
    button_refresh: Words
    colon: Said2  # a label and its value
    quoted: Said  # a person's own words
    from_price: Said
    price_per: Said2  # a price, and what it is for
    unit_chars: Counted  # after "per": so many characters
    unit_files: Counted
    unit_seconds: Counted
    unit_minutes: Counted
    chars: Counted
    files: Counted
    lasts: Counted  # so many seconds, exactly
    counted: Said2  # what was counted for a price, and what one unit is
    soon: Words
    yes_mark: Words

    # Menu
    greeting: Said
    greeting_nameless: Words
    promise: Words
    balance_line: Said
    receipt_awaited: Said  # amount of a top-up
    receipt_checked: Said
    button_balance: Words
    button_history: Words
    button_help: Words
    button_language: Words  # the other language, in its own words
    button_admin: Words
    button_jobs: Counted
    button_draft: Said
    categories: Words
    nothing_sold_here: Words
    not_sold_yet: Said  # names of models
    and_more: Counted
    help: Said  # the commands
    commands: Words
    choose_language: Words
    language_chosen: Words
    paysupport: Said2  # the person's number, who answers (empty: nobody is named)
    blocked: Said  # who answers
    no_such_command: Words
    nothing_asked: Words
    nothing_asked_file: Words
    no_such_button: Words
    old_button: Words
    too_fast: Words
    takes_longer: Words  # 200 characters at most, as it answers a press
    went_wrong: Words
    not_found: Words
    not_on_sale: Said  # title
    no_such_model: Words
    nothing_to_cancel: Words
    nothing_to_cancel_running: Words
    draft_dropped: Words
    topup_dropped: Words
    question_dropped: Words

    # Generation
    usually: Said
    text_wanted: Said  # the bounds
    asked_within: Said2  # what is asked for, the bounds
    chars_up_to: Counted
    chars_between: Callable[[int, int], str]
    number_wanted: Said  # the bounds
    number_wanted_free: Words
    number_between: Said2
    number_from: Said
    number_up_to: Said
    number_whole: Words
    number_step: Said
    choice_wanted: Words
    switch_wanted: Words
    file_wanted: dict[MediaKind, str]
    files_wanted: Callable[[MediaKind, int, int], str]
    file_formats: Said
    file_size: Counted
    file_seconds: Counted  # how long a sound or clip may last
    file_address: Words
    files_so_far: Callable[[int, int], str]
    for_example: Said
    default_is: Said
    now_is: Said
    optional: Words
    button_default: Said
    button_default_long: Words  # where the value does not fit
    button_skip: Words
    button_without: Words
    button_files_done: Words
    button_files_clear: Words
    price_more: Said
    price_less: Said
    to_pay: Said
    on_balance: Said2  # balance, what is left
    lacking_line: Said2  # balance, lack
    button_pay: Said
    button_other_text: Words
    button_other_file: Words
    button_setting: Said2
    button_settings: Words
    settings: Said  # title
    not_set: Words
    no_price: Words
    no_price_sold: Said
    no_length: Said  # nobody knows how long this file is
    no_amount: Said  # the price hangs on this answer, which is not given
    in_work: Callable[[str, MediaKind], str]
    in_work_elapsed: Said
    in_work_usual: Said2
    in_work_longer: Said
    in_work_leave: Words
    in_work_held: Said
    not_enough: Said3  # lack, needed, available
    draft_is_safe: Words
    button_topup_by: Said
    button_other_amount: Words
    too_many_jobs: Counted
    price_changed: Said2  # before, now
    price_gone: Words
    offer_changed: Words
    draft_cancelled: Words
    problem: Callable[[AnswerProblem, str, str], str]  # limit, names of others
    problem_file_for_text: Words
    problem_press: Words  # a file where a button is to be pressed

    # Balance
    balance: Said
    reserved: Callable[[str, int], str]
    no_movements: Words
    movement: dict[EntryKind, str]
    movement_job: dict[EntryKind, Said]  # what stands beside the title
    movement_back: Said  # an amount that was never spent
    button_topup: Words
    button_topup_closed: Words
    button_all_movements: Words
    topup: Words
    topup_limits: Said2
    topup_pending: Said
    topup_reviewed: Said2  # id, amount
    button_topup_open: Words
    amount_wanted: Said2
    not_an_amount: Said2
    not_an_amount_file: Words
    topup_closed: Words
    transfer: Said  # amount
    receipt_wanted: Words
    receipt_not_a_text: Words
    receipt_taken: Said
    receipt_joined: Said
    receipt_full: Said
    button_topup_cancel: Words
    topup_cancelled: Words

    # History
    jobs: Words
    no_jobs: Words
    job_refunded: Said
    ledger: Words
    open_jobs: Words
    no_open_jobs: Words
    running_for: Said
    running_of: Said2
    running_longer: Said

    # News
    result: Said2  # price, balance
    result_unpriced: Said
    result_expires: Words
    button_again: Said
    button_again_unpriced: Words
    button_edit: Words
    button_edit_text: Words
    button_original: Words
    button_other_model: Words
    button_retry: Words
    failed: Callable[[str, FailReason, str], str]  # price, why, label of the param concerned
    failed_why: Callable[[FailReason, str], str]  # why, label
    advice: dict[FailReason, str]
    refunded: Said2  # price, title
    refunded_why: Said
    topup_approved: Said
    topup_approved_other: Said2  # amount, requested
    topup_rejected: Said2  # id, amount
    topup_rejected_why: Said
    topup_rejected_ask: Words
    draft_waits: Said
    draft_lacks: Said3  # title, price, lack
    button_draft_waits: Said2  # title, price

    # Administrators
    admin_topups: Counted
    admin_no_topups: Words
    admin_request: Said3  # id, amount, person
    admin_person: Said2  # name, number
    admin_known_since: Said
    admin_topped_up: Callable[[int, str], str]
    admin_requested: Said
    admin_receipts: Counted
    admin_receipt_more: Said  # the number of the file
    admin_seen: Said3  # id, status, day
    topup_status: dict[TopUpStatus, str]
    admin_approved: Said3  # amount, who, when
    admin_rejected: Said2
    admin_rejected_why: Said
    admin_pending: Words
    admin_cancelled: Words
    admin_corrected: Said
    admin_amount_wanted: Said2
    admin_reason_wanted: Said
    admin_reason_too_long: Counted
    admin_not_a_text: Words
    admin_operator: Words
    admin_alert: dict[int, str]
    admin_alert_other: Counted
    admin_alert_after: Words
    admin_low_credits: Said2  # what is left, what would be enough
    admin_file_not_sent: Said2  # name, the person's number
    admin_late: Said3
    admin_late_unknown: Words
    credits: Callable[[Decimal], str]
    button_approve: Said
    button_other_sum: Words
    button_reject: Words
    button_no_reason: Words
    button_request: Said3  # id, amount, when
    button_requests: Words
    button_requests_one: Said  # id
    button_person: Said

    # Administrators: the desk
    admin_menu: Words
    button_admin_topups: Counted
    button_admin_person: Words
    button_admin_jobs: Words
    button_admin_today: Words
    button_admin_credits: Words
    button_admin_models: Words
    button_admin_acts: Words
    button_admin_menu: Words
    admin_only: Said  # what only administrators read
    admin_whom: Words
    admin_whom_unclear: Words
    admin_whom_nobody: Said  # what was typed
    admin_whom_several: Words
    admin_wallet: Said2  # available, held
    admin_blocked_since: Said
    admin_movements: Words
    admin_acts_on: Words
    admin_jobs_of: Words
    admin_no_jobs_of: Words
    button_grant: Words
    button_debit: Words
    button_block: Words
    button_unblock: Words
    button_refund: Said
    button_switch_off: Words
    button_switch_on: Words
    admin_deed_amount: Callable[[ActKind, str], str]  # what is done, to whom
    admin_deed_why: Callable[[ActKind, str, str], str]  # what is done, to what, amount
    admin_deed_done: Callable[[ActKind, str], str]  # what was done, amount
    admin_deed_over: Words  # somebody did it meanwhile
    admin_not_roubles: Said  # the most
    admin_too_much: Said  # what there is
    admin_open_jobs: Words
    admin_no_open_jobs: Words
    admin_failed_jobs: Words
    admin_task: Said  # the supplier's id
    job_status: dict[JobStatus, str]
    admin_today: Said  # day
    admin_came: Callable[[int, int], str]  # people, new ones
    admin_made: Callable[[int, int, int, int], str]  # succeeded, failed, refunded, open
    admin_topped_up_sum: Said
    admin_granted_sum: Said
    admin_income: Said
    admin_cost: Said2  # credits, roubles
    admin_cost_unknown: Said  # credits
    admin_cost_untold: Counted  # tasks of which nobody knows what they cost
    admin_margin: Said
    admin_credits: Said2  # what is left, what would be enough
    admin_credits_unknown: Words
    admin_models: Callable[[int, int], str]  # on sale, all
    admin_model_on: Said  # price
    admin_model_off: Said3  # who, when, why
    admin_model_off_catalog: Said  # why
    admin_acts: Words
    admin_no_acts: Words
    act: dict[ActKind, str]

    # The terminal's own words. A frontend's needs are added at the end.
    terminal_demo: Said  # balance
    terminal_live: Said  # balance
    terminal_intro: Words
    terminal_saved: Said  # path
    terminal_not_saved: Said2  # folder, address
    terminal_not_loaded: Said  # address
    terminal_no_option: Said2  # what was typed, the numbers there are
    terminal_no_options: Said  # what was typed
    terminal_no_file: Said  # path
    terminal_file_folder: Said  # path
    terminal_file_empty: Said  # path
    terminal_file_unreadable: Said  # path
    terminal_not_text: Words  # a line that is not UTF-8
    terminal_too_long: Words  # a line
    terminal_failed: Words  # the database does not answer
    terminal_left: Words  # a question, by Ctrl-C
    terminal_how_to_leave: Words  # Ctrl-C where there is no question
    terminal_goodbye: Words
    terminal_leave_running: Counted  # Ctrl-D with open jobs
    terminal_answer: Words  # a number or a text
    terminal_choose: Words  # a number
    terminal_bare_number: Words  # options are /1, /2 here
    terminal_file: Words  # a path or an address
    terminal_progress: Said2  # title, running time

    # Telegram's own words
    telegram_not_understood: Words  # a place, a contact, a poll
    telegram_result_file: Words  # the name of a long text as a file
    telegram_links: Words  # before the addresses of files that could not be sent
    telegram_not_loaded: Counted  # files that could not be sent and have no address
    telegram_only_one: Words  # of several files

    def money(self, amount: Money) -> str:
        """An amount as this language writes it."""
        return self.notation.money(amount)

    def of(self, words: Localized) -> str:
        """The catalog's words in this language."""
        return words.to(self.language)
