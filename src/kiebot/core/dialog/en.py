"""English."""

from kiebot.core.acts import ActKind
from kiebot.core.dialog.texts import Notation, Texts
from kiebot.core.errors import AnswerProblem
from kiebot.core.jobs import JobStatus
from kiebot.core.language import Language
from kiebot.core.media import MediaKind
from kiebot.core.tasks import FailReason
from kiebot.core.topups import TopUpStatus
from kiebot.core.wallet import EntryKind

NOTATION = Notation(
    locale="en",
    thousands=",",
    decimal=".",
    moment="MMM d, HH:mm",
    day="MMM d, yyyy",
    day_and_time="MMM d, yyyy, HH:mm",
    seconds="s",
    minutes="min",
    hours="h",
)

_VERBS = {
    MediaKind.IMAGE: "is drawing",
    MediaKind.VIDEO: "is filming",
    MediaKind.AUDIO: "is recording",
    MediaKind.TEXT: "is writing",
    MediaKind.DOCUMENT: "is working",
}

_FILES = {
    MediaKind.IMAGE: ("picture", "pictures"),
    MediaKind.VIDEO: ("video", "videos"),
    MediaKind.AUDIO: ("recording", "recordings"),
    MediaKind.TEXT: ("text file", "text files"),
    MediaKind.DOCUMENT: ("file", "files"),
}


def _n(count: int, one: str, other: str) -> str:
    return NOTATION.plural(count, one=one, other=other)


def _chars(count: int) -> str:
    return _n(count, "character", "characters")


def _unit(count: int, one: str, other: str) -> str:
    """After "per": of one thing the word alone, "per minute"."""
    return one if count == 1 else _n(count, one, other)


def _lasts(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    words = [_n(minutes, "minute", "minutes")] if minutes else []
    if rest or not minutes:
        words.append(_n(rest, "second", "seconds"))
    return " ".join(words)


def _files_wanted(kind: MediaKind, least: int, most: int) -> str:
    one, other = _FILES[kind]
    if least == most:
        return f"Send {_n(most, one, other)}."
    if least > 1:
        return f"Send {least} to {most} {other}, one by one or all at once."
    return f"Send up to {_n(most, one, other)}, one by one or all at once."


def _up_to_seconds(seconds: int) -> str:
    if seconds > 60 and seconds % 60 == 0:
        return f"up to {_n(seconds // 60, 'minute', 'minutes')}"
    return f"up to {_n(seconds, 'second', 'seconds')}"


def _in_work(title: str, output: MediaKind) -> str:
    return f"⏳ {title} {_VERBS[output]}…"


def _problem(problem: AnswerProblem, limit: str, names: str) -> str:
    match problem:
        case AnswerProblem.EMPTY:
            return "That is empty. Write at least a word or two."
        case AnswerProblem.TOO_SHORT:
            return f"A little short: at least {limit} characters are needed."
        case AnswerProblem.TOO_LONG:
            return f"Too long: {limit} characters at most."
        case AnswerProblem.UNREADABLE:
            return "Some characters of this text cannot be read. Please type it again."
        case AnswerProblem.NOT_A_NUMBER:
            return "A number is needed here."
        case AnswerProblem.NOT_WHOLE:
            return "A whole number is needed here."
        case AnswerProblem.TOO_SMALL:
            return f"A little too small: at least {limit}."
        case AnswerProblem.TOO_LARGE:
            return f"A little too large: at most {limit}."
        case AnswerProblem.OFF_STEP:
            return f"The number goes in steps of {limit}."
        case AnswerProblem.NOT_A_CHOICE:
            return "There is no such option, choose one from the list."
        case AnswerProblem.NOT_A_FILE:
            return "I am waiting for a file or a direct link to one."
        case AnswerProblem.WRONG_KIND:
            return "This file will not do: another kind or format is needed."
        case AnswerProblem.FILE_TOO_LARGE:
            return f"The file is too large: {limit} MB at most."
        case AnswerProblem.TOO_FEW_FILES:
            return f"Not enough files yet: at least {limit} are needed."
        case AnswerProblem.TOO_MANY_FILES:
            return f"There is no room for more: {limit} files at most."
        case AnswerProblem.LASTS_TOO_LONG:
            return f"That is too long: {limit}. Trim it and send it again."
        case AnswerProblem.LENGTH_UNKNOWN:
            return (
                "I cannot tell how long this is: the file is damaged or of an unusual format."
                " Save it as MP3 or MP4 and send it again."
            )
        case AnswerProblem.FILE_GONE:
            return (
                "The file does not open. Send it again, or give a direct link from which it can be"
                " downloaded without a login."
            )
        case AnswerProblem.NOT_PUBLIC:
            return (
                "This link is not on the public Internet. I need an http or https link from"
                " which anybody can download the file, or the file itself."
            )
        case AnswerProblem.TOO_SLOW:
            return (
                "Reading the file takes too long. Try again, give another link, or send the file"
                " itself."
            )
        case AnswerProblem.MISSING:
            return "It cannot be done without this answer."
        case AnswerProblem.NOT_TOGETHER:
            return f"These do not work together: {names}."
        case AnswerProblem.ONE_OF:
            return f"Exactly one of these is needed: {names}."
        case AnswerProblem.UNKNOWN:
            return "The model does not ask this."


def _failed(price: str, reason: FailReason, label: str) -> str:
    return f"{price} is back on your balance: {_why(reason, label)}."


def _why(reason: FailReason, label: str) -> str:
    match reason:
        case FailReason.REFUSED_CONTENT:
            return "the model did not accept this description"
        case FailReason.BAD_INPUT:
            if label:
                return f"the model did not accept the answer to “{label}”"
            return "the model did not accept these answers"
        case FailReason.UNREADABLE_FILE:
            return "the file you sent could not be read"
        case FailReason.MODEL_FAILED:
            return "the model could not do it"
        case FailReason.NO_RESULT:
            return "the model sent no finished file"
        case FailReason.TIMED_OUT:
            return "the model ran out of time"
        case FailReason.NO_ANSWER:
            return "the connection to the model was lost"
        case FailReason.UNAVAILABLE:
            return "this model is temporarily unavailable"


def _deed_amount(kind: ActKind, what: str) -> str:
    verb = "taken back" if kind is ActKind.DEBIT else "given"
    return f"How much is to be {verb}? {what}\n\nWrite the roubles, such as 500 or 99.50."


def _deed_why(kind: ActKind, what: str, amount: str) -> str:
    match kind:
        case ActKind.GRANT:
            return (
                f"We give {amount}: {what}. What for? The person will see it in their transactions."
            )
        case ActKind.DEBIT:
            return (
                f"We take {amount}: {what}. What for? The person will see it in their transactions."
            )
        case ActKind.REFUND:
            return f"We refund {amount} for {what}. Why? The person will read these words."
        case ActKind.BLOCK:
            return (
                f"We close access: {what}. Why? Only administrators see the reason. Jobs that were"
                " started go on, and their results will come."
            )
        case ActKind.UNBLOCK:
            return f"We open access: {what}. Why? Only administrators see the reason."
        case ActKind.SWITCH_OFF:
            return (
                f"We take {what} off sale. Why? Only administrators see the reason. What was paid"
                " for goes on."
            )
        case ActKind.SWITCH_ON:
            return f"We put {what} back on sale. Why? Only administrators see the reason."
        case ActKind.APPROVE | ActKind.CORRECT | ActKind.REJECT:
            return "Why?"


def _deed_done(kind: ActKind, amount: str) -> str:
    match kind:
        case ActKind.GRANT:
            return f"✅ {amount} given."
        case ActKind.DEBIT:
            return f"✅ {amount} taken."
        case ActKind.REFUND:
            return f"✅ {amount} refunded."
        case ActKind.BLOCK:
            return "✅ Access is closed."
        case ActKind.UNBLOCK:
            return "✅ Access is open."
        case ActKind.SWITCH_OFF:
            return "✅ It is off sale."
        case ActKind.SWITCH_ON:
            return "✅ It is back on sale."
        case ActKind.APPROVE | ActKind.CORRECT | ActKind.REJECT:
            return "✅ Done."


EN = Texts(
    language=Language.EN,
    notation=NOTATION,
    # Everywhere
    button_menu="‹ Menu",
    button_back="‹ Back",
    button_create="🎨 Create",
    button_create_more="🎨 Create more",
    button_older="Older ›",
    button_newer="‹ Newer",
    button_cancel="✖️ Cancel",
    button_refresh="🔄 Refresh",
    quoted=lambda words: f"“{words}”",
    colon=lambda label, value: f"{label}: {value}",
    from_price=lambda price: f"from {price}",
    price_per=lambda price, unit: f"{price} per {unit}",
    unit_chars=lambda count: _unit(count, "character", "characters"),
    unit_files=lambda count: _unit(count, "file", "files"),
    unit_seconds=lambda count: _unit(count, "second", "seconds"),
    unit_minutes=lambda count: _unit(count, "minute", "minutes"),
    chars=lambda count: _n(count, "character", "characters"),
    files=lambda count: _n(count, "file", "files"),
    lasts=_lasts,
    counted=lambda amount, unit: (
        f"{amount}. The price is per {unit}, and a started one counts in full."
    ),
    soon="soon",
    yes_mark="✓",
    # Menu
    greeting=lambda name: (
        f"Hi, {name}! Pictures, videos, music and voices from the best AI models."
    ),
    greeting_nameless="Hi! Pictures, videos, music and voices from the best AI models.",
    promise="You pay only for what is ready: if it fails, the money comes back by itself.",
    balance_line=lambda balance: f"Balance: {balance}",
    receipt_awaited=lambda amount: f"Top-up of {amount}: waiting for your receipt.",
    receipt_checked=lambda amount: f"Top-up of {amount}: we are checking the receipt.",
    button_balance="💳 Balance",
    button_history="🕘 History",
    button_help="❓ Help",
    button_language="🌐 Русский",
    button_admin="🛠 Run the shop",
    button_jobs=lambda count: f"⏳ In progress: {count}",
    button_draft=lambda title: f"📝 Continue: {title}",
    categories="What shall we create?",
    nothing_sold_here="This section is still being prepared. Try the others in the meantime.",
    not_sold_yet=lambda names: f"Not on sale yet: {names}.",
    and_more=lambda count: f"and {count} more",
    help=lambda commands: (
        "How it works\n"
        "1. Choose a section and a model: you see the price at once.\n"
        "2. Write what to create, or send a file.\n"
        "3. Check it and press “Create”. Nothing is charged before that.\n"
        "4. The result comes here by itself, you may close the chat.\n\n"
        "The money for a job is first set aside, and charged only when the result is ready. If it"
        " fails, it is back on your balance at once.\n\n"
        f"Commands\n{commands}"
    ),
    commands=(
        "/menu — the menu\n"
        "/marketing — what can be created\n"
        "/balance — balance and top-up\n"
        "/history — your jobs\n"
        "/jobs — what is being made now\n"
        "/cancel — cancel what was begun\n"
        "/language — language\n"
        "/paysupport — questions about payment\n"
        "/help — this page"
    ),
    choose_language="Which language shall we speak?",
    language_chosen="Done, let us speak English.",
    paysupport=lambda number, contact: (
        "Questions about payment\n\n"
        "A job failed — its price is on your balance again, there is nothing to do.\n"
        "A job was paid for, but its result is not right — tell us which job, and what is wrong. We"
        " will look at it and, if the mistake is ours, return its price to your balance: you will"
        " see the refund in your transactions.\n"
        "A top-up has not arrived — check under “Balance” that the receipt was sent: without it we"
        " cannot know of the transfer.\n\n"
        + (
            f"Questions are answered by {contact}."
            if contact
            else "Questions are answered by the owner of this shop: see the bot's description."
        )
        + f" Tell them your number: {number}."
    ),
    blocked=lambda contact: (
        f"Access is closed. Questions: {contact}."
        if contact
        else "Access is closed. Please ask the owner of this shop."
    ),
    no_such_command="There is no such command. Help lists them all.",
    nothing_asked="Thank you, but I was not asking anything. Where shall we start?",
    nothing_asked_file="I see the file, but I do not need one now. Choose what to do with it.",
    no_such_button="I do not know this button. Here is the menu.",
    old_button="That was an old button. Here is how things stand now.",
    too_fast="Too fast. Please wait a little while I answer what came before.",
    went_wrong="Something went wrong, and this was not done. You paid nothing. Please try again.",
    not_found="You have no such thing: perhaps it is already gone.",
    not_on_sale=lambda title: f"{title} is not on sale now. Your money is untouched.",
    no_such_model="This model is gone. Here is what there is.",
    nothing_to_cancel="There is nothing to cancel: nothing has been started.",
    nothing_to_cancel_running=(
        "There is nothing to cancel: there are no drafts. A job that was started cannot be"
        " stopped, but if it fails, the money comes back by itself."
    ),
    draft_dropped="Cancelled, your money is untouched.",
    topup_dropped="The top-up is cancelled. If you have not sent the money yet, do not send it.",
    question_dropped="Cancelled.",
    # Generation
    usually=lambda time: f"Usually {time}.",
    text_wanted=lambda bounds: f"Write your answer: {bounds}.",
    asked_within=lambda asked, bounds: f"{asked} ({bounds}).",
    chars_up_to=lambda most: f"up to {_chars(most)}",
    chars_between=lambda least, most: f"{NOTATION.number(least)} to {_chars(most)}",
    number_wanted=lambda bounds: f"Write a number: {bounds}.",
    number_wanted_free="Write a number.",
    number_between=lambda low, high: f"from {low} to {high}",
    number_from=lambda low: f"from {low}",
    number_up_to=lambda high: f"up to {high}",
    number_whole="whole",
    number_step=lambda step: f"in steps of {step}",
    choice_wanted="Choose an option.",
    switch_wanted="Yes or no?",
    file_wanted={
        MediaKind.IMAGE: "Send a picture.",
        MediaKind.VIDEO: "Send a video.",
        MediaKind.AUDIO: "Send a recording.",
        MediaKind.TEXT: "Send a text file.",
        MediaKind.DOCUMENT: "Send a file.",
    },
    files_wanted=_files_wanted,
    file_formats=lambda formats: f"Format: {formats}",
    file_size=lambda size: f"up to {size} MB",
    file_seconds=_up_to_seconds,
    file_address="A direct link will do, too.",
    files_so_far=lambda count, most: f"{count} of {most} are here.",
    for_example=lambda value: f"For example: {value}.",
    default_is=lambda value: f"Default: {value}.",
    now_is=lambda value: f"Now: {value}.",
    optional="You may skip this.",
    button_default=lambda value: f"Default: {value}",
    button_default_long="Default",
    button_skip="Skip",
    button_without="Remove",
    button_files_done="✅ That is all",
    button_files_clear="↩️ Start over",
    price_more=lambda delta: f"+{delta}",
    price_less=lambda delta: f"−{delta}",
    to_pay=lambda price: f"To pay: {price}.",
    on_balance=lambda balance, left: f"Balance {balance}, {left} will be left.",
    lacking_line=lambda balance, lack: f"Balance {balance}, {lack} short.",
    button_pay=lambda price: f"✅ Create for {price}",
    button_other_text="✏️ Other text",
    button_other_file="📎 Other file",
    button_setting=lambda label, value: f"⚙️ {label}: {value}",
    button_settings="⚙️ All settings",
    settings=lambda title: f"{title}: settings. What shall we change?",
    not_set="not chosen",
    no_price="These answers have no price, so they cannot be bought. Your money is untouched.",
    no_price_sold=lambda sold: f"You can choose: {sold}.",
    no_length=lambda label: (
        f"The price depends on how long {label} lasts, and that could not be found out. Send the"
        " file again, or another one. Your money is untouched."
    ),
    no_amount=lambda label: (
        f"The price depends on {label}: answer that first. Your money is untouched."
    ),
    in_work=_in_work,
    in_work_elapsed=lambda time: f"{time} so far.",
    in_work_usual=lambda time, usual: f"{time} of the usual {usual}.",
    in_work_longer=lambda time: f"{time}, longer than usual.",
    in_work_leave="You may close the chat: the result will come here.",
    in_work_held=lambda price: f"{price} is set aside and charged only when all is ready.",
    not_enough=lambda lack, needed, available: (
        f"Your money is untouched. You are {lack} short: {needed} is needed, {available} is on your"
        " balance."
    ),
    draft_is_safe="Your draft is saved, we will come back to it after the top-up.",
    button_topup_by=lambda amount: f"Top up {amount}",
    button_other_amount="Another amount",
    too_many_jobs=lambda limit: (
        f"Your money is untouched: no more than {_n(limit, 'job', 'jobs')} can run at once. Wait"
        " for one to finish, your draft stays."
    ),
    price_changed=lambda before, now: (
        f"Your money is untouched: the price changed from {before} to {now}. Please check again."
    ),
    price_gone="Your money is untouched: these answers are no longer on sale.",
    offer_changed="The draft has changed since. Here it is, your money is untouched.",
    draft_cancelled="This draft was cancelled, nothing was charged for it.",
    problem=_problem,
    problem_file_for_text="A text is needed here, not a file.",
    problem_press="No file is needed here: choose an option by its button.",
    # Balance
    balance=lambda available: f"Balance: {available}",
    reserved=lambda held, count: f"Set aside: {held} — {_n(count, 'job', 'jobs')} in progress",
    no_movements="No transactions yet.",
    movement={
        EntryKind.TOPUP: "Top-up",
        EntryKind.GRANT: "A gift from the shop",
        EntryKind.DEBIT: "Taken back by the shop",
        EntryKind.HOLD: "Job",
        EntryKind.CHARGE: "Job",
        EntryKind.RELEASE: "Job",
        EntryKind.REFUND: "Job",
    },
    movement_job={
        EntryKind.TOPUP: lambda title: title,
        EntryKind.GRANT: lambda title: title,
        EntryKind.DEBIT: lambda title: title,
        EntryKind.HOLD: lambda title: f"{title} (set aside)",
        EntryKind.CHARGE: lambda title: title,
        EntryKind.RELEASE: lambda title: f"{title} (failed)",
        EntryKind.REFUND: lambda title: f"{title} (refund)",
    },
    movement_back=lambda amount: f"returned {amount}",
    button_topup="➕ Top up",
    button_topup_closed="➕ Top-up not available",
    button_all_movements="🕘 All transactions",
    topup="How much would you like to add?",
    topup_limits=lambda low, high: f"Anything from {low} to {high}.",
    topup_pending=lambda amount: (
        f"We are waiting for the receipt of {amount}. A new amount will replace it."
    ),
    topup_reviewed=lambda number, amount: f"Request {number} for {amount} is being checked.",
    button_topup_open="📎 Send the receipt",
    amount_wanted=lambda low, high: f"Write the amount in roubles: {low} to {high}.",
    not_an_amount=lambda low, high: (
        f"That amount will not do. Write roubles from {low} to {high}, such as 500 or 99.50."
    ),
    not_an_amount_file="An amount is needed here, as a number, not a file.",
    topup_closed=(
        "Top-up is not available now: the shop is not taking transfers. Your balance is safe, and"
        " you can come back later. If it is urgent, ask the owner of the shop."
    ),
    transfer=lambda amount: f"Transfer exactly {amount}",
    receipt_wanted="Then send the receipt here: a photo, a screenshot or a PDF.",
    receipt_not_a_text="I am waiting for the receipt as a file: a photo, a screenshot or a PDF.",
    receipt_taken=lambda number: (
        f"The receipt is here, request {number} is being checked. We will write as soon as it is."
    ),
    receipt_joined=lambda number: (
        f"Added to request {number}. We will write as soon as it is checked."
    ),
    receipt_full=lambda number: f"Request {number} has enough files, we are checking it.",
    button_topup_cancel="✖️ Cancel the request",
    topup_cancelled="This request was cancelled. You can make a new one.",
    # History
    jobs="Your jobs",
    no_jobs="Nothing created yet. A good time to begin!",
    job_refunded=lambda price: f"{price} was returned to your balance.",
    ledger="All transactions",
    open_jobs="Being made now",
    no_open_jobs="Nothing is being made now.",
    running_for=lambda time: f"{time} so far",
    running_of=lambda time, usual: f"{time} of the usual {usual}",
    running_longer=lambda time: f"{time}, longer than usual",
    # News
    result=lambda price, balance: f"Charged {price}, {balance} left",
    result_unpriced=lambda price: f"Charged {price}",
    result_expires="Links to files expire soon: keep a copy of the result.",
    button_again=lambda price: f"🔁 Again · {price}",
    button_again_unpriced="🔁 Again",
    button_edit="✏️ Change",
    button_edit_text="✏️ Change the text",
    button_original="📎 Original as a file",
    button_other_model="Another model",
    button_retry="🔁 Try again",
    failed=_failed,
    failed_why=_why,
    advice={
        FailReason.REFUSED_CONTENT: "It may touch on a forbidden topic. Try to put it differently.",
        FailReason.BAD_INPUT: "Change the answer and try again.",
        FailReason.UNREADABLE_FILE: "Send it again, or use another one.",
        FailReason.MODEL_FAILED: "It often helps to repeat, or to change the description a little.",
        FailReason.NO_RESULT: "This is rare, and repeating usually helps.",
        FailReason.TIMED_OUT: "It is overloaded now. Try later, or choose another one.",
        FailReason.NO_ANSWER: "Please try once more.",
        FailReason.UNAVAILABLE: "We are looking into it. Try later, or choose another one.",
    },
    refunded=lambda price, title: f"{price} is back on your balance: a refund for {title}.",
    refunded_why=lambda why: f"Reason: {why}",
    topup_approved=lambda amount: f"✅ {amount} is on your balance: the top-up is confirmed.",
    topup_approved_other=lambda amount, requested: (
        f"✅ {amount} is on your balance: that is what came for the request of {requested}."
    ),
    topup_rejected=lambda number, amount: (
        f"Your balance has not changed: the top-up of {amount} (request {number}) was not"
        " confirmed."
    ),
    topup_rejected_why=lambda why: f"Reason: {why}",
    topup_rejected_ask="If you did send the money, make a new request and send the receipt again.",
    draft_waits=lambda title: f"A draft is waiting for you: {title}.",
    draft_lacks=lambda title, price, lack: (
        f"The draft of {title} costs {price}: you still need {lack}. It is kept."
    ),
    button_draft_waits=lambda title, price: f"📝 {title} · {price}",
    # Administrators
    admin_topups=lambda count: f"To be checked: {_n(count, 'request', 'requests')}",
    admin_no_topups="No requests to check.",
    admin_request=lambda number, amount, person: f"Request {number} · {amount} · {person}",
    admin_person=lambda name, number: f"{name}, no. {number}" if name else f"No. {number}",
    admin_known_since=lambda day: f"since {day}",
    admin_topped_up=lambda count, total: (
        f"{_n(count, 'top-up', 'top-ups')} of {total}" if count else "no top-ups yet"
    ),
    admin_requested=lambda amount: f"The person named {amount}.",
    admin_receipts=lambda count: f"Receipt: {_n(count, 'file', 'files')}",
    admin_receipt_more=lambda number: f"One more file of the receipt, no. {number}",
    admin_seen=lambda number, status, day: (
        f"⚠️ The same receipt was in request {number} ({status}, {day})"
    ),
    topup_status={
        TopUpStatus.PENDING: "waiting for a receipt",
        TopUpStatus.MANUAL_REVIEW: "being checked",
        TopUpStatus.APPROVED: "confirmed",
        TopUpStatus.REJECTED: "rejected",
        TopUpStatus.CANCELLED: "cancelled",
    },
    admin_approved=lambda amount, who, when: f"✅ {amount} credited · {who}, {when}",
    admin_rejected=lambda who, when: f"🚫 Rejected · {who}, {when}",
    admin_rejected_why=lambda why: f"Reason: {why}",
    admin_pending="There is no receipt yet, so nothing to decide.",
    admin_cancelled="The person cancelled this request.",
    admin_corrected=lambda amount: f"The amount is corrected: {amount}. Please confirm it.",
    admin_amount_wanted=lambda low, high: (
        f"How much really came? Write the roubles: {low} to {high}."
    ),
    admin_reason_wanted=lambda number: (
        f"Why do we reject request {number}? The person will read these words."
    ),
    admin_reason_too_long=lambda most: f"Too long: {_chars(most)} fit.",
    admin_not_a_text="The reason is needed here, as a text.",
    admin_operator="the operator",
    admin_alert={
        401: "⚠️ Jobs are failing: kie.ai does not accept the access key.",
        402: "⚠️ Jobs are failing: the account at kie.ai is empty.",
        403: "⚠️ Jobs are failing: kie.ai has closed access.",
        433: "⚠️ Jobs are failing: the spending cap at kie.ai is used up.",
    },
    admin_alert_other=lambda code: f"⚠️ Jobs are failing: kie.ai refuses the shop (code {code}).",
    admin_alert_after="People get their money back by itself. Fix this, and jobs will go on.",
    admin_low_credits=lambda left, enough: (
        f"⚠️ kie.ai credits run low. Left: {left}. Enough: {enough}. Top up at kie.ai: without"
        " credits every job fails."
    ),
    admin_file_not_sent=lambda name, number: (
        f"The file {name} could not be sent to person {number} in any way: they got a link. The"
        " job is charged, the result is in their history."
    ),
    admin_late=lambda title, job, taken: (
        f"⚠️ kie.ai finished {title} after all (job {job}), when the person had their money back."
        f" It took {taken}."
    ),
    admin_late_unknown="an unknown number of credits",
    credits=lambda count: NOTATION.plural(float(count), one="credit", other="credits"),
    button_approve=lambda amount: f"✅ Credit {amount}",
    button_other_sum="✏️ Another amount",
    button_reject="🚫 Reject",
    button_no_reason="No reason",
    button_request=lambda number, amount, when: f"{number} · {amount} · {when}",
    button_requests="🧾 All requests",
    button_requests_one=lambda number: f"🧾 Request {number}",
    button_person=lambda name: f"👤 {name}",
    # Administrators: the desk
    admin_menu="Running the shop",
    button_admin_topups=lambda count: f"🧾 Requests: {count}" if count else "🧾 No requests",
    button_admin_person="👤 Find a person",
    button_admin_jobs="⏳ Jobs",
    button_admin_today="📊 Today",
    button_admin_credits="🔋 kie.ai credits",
    button_admin_models="🧩 Models",
    button_admin_acts="📜 Journal",
    button_admin_menu="‹ Running the shop",
    admin_only=lambda words: f"Only administrators see this: {words}",
    admin_whom="Who is it? Write a number or a @name, or forward one of their messages.",
    admin_whom_unclear=(
        "This is neither a number nor a @name. A forwarded message does not show the number of"
        " someone who hides it: ask them for it, /paysupport names it."
    ),
    admin_whom_nobody=lambda typed: f"Nobody with this number or name was ever here: {typed}.",
    admin_whom_several="Several people had this name. Who is it?",
    admin_wallet=lambda available, held: f"Balance: {available}, reserved: {held}",
    admin_blocked_since=lambda when: f"⛔ Access closed since {when}",
    admin_movements="Latest transactions",
    admin_acts_on="What administrators did",
    admin_jobs_of="The latest jobs are on the buttons.",
    admin_no_jobs_of="No jobs yet.",
    button_grant="➕ Give",
    button_debit="➖ Take back",
    button_block="⛔ Close access",
    button_unblock="✅ Open access",
    button_refund=lambda amount: f"↩️ Refund {amount}",
    button_switch_off="⛔ Take off sale",
    button_switch_on="✅ Put back on sale",
    admin_deed_amount=_deed_amount,
    admin_deed_why=_deed_why,
    admin_deed_done=_deed_done,
    admin_deed_over="This was done already, or cannot be done any more. This is how it is now.",
    admin_not_roubles="An amount of roubles above zero is needed here, such as 500 or 99.50.",
    admin_too_much=lambda available: f"That much cannot be taken: the balance is {available}.",
    admin_open_jobs="Being made now",
    admin_no_open_jobs="Nothing is being made now.",
    admin_failed_jobs="Latest failures",
    admin_task=lambda number: f"Task at kie.ai: {number}",
    job_status={
        JobStatus.DRAFT: "draft",
        JobStatus.QUEUED: "queued",
        JobStatus.RUNNING: "running",
        JobStatus.SUCCEEDED: "done, paid",
        JobStatus.FAILED: "failed, the money is back",
        JobStatus.REFUNDED: "done, the money was refunded",
        JobStatus.CANCELLED: "cancelled",
    },
    admin_today=lambda day: f"Today, {day}",
    admin_came=lambda count, new: f"Came: {_n(count, 'person', 'people')}, new: {new}",
    admin_made=lambda succeeded, failed, refunded, running: (
        f"Jobs: {succeeded} done, {failed} failed, {refunded} refunded, {running} running"
    ),
    admin_topped_up_sum=lambda amount: f"Top-ups: {amount}",
    admin_granted_sum=lambda amount: f"Given by administrators: {amount}",
    admin_income=lambda amount: f"Income from jobs: {amount}",
    admin_cost=lambda taken, amount: f"kie.ai took {taken}, which is {amount}",
    admin_cost_unknown=lambda taken: (
        f"kie.ai took {taken}. No rate is set, so roubles are not known, nor is the margin."
    ),
    admin_cost_untold=lambda count: (
        f"kie.ai did not say what it took for {_n(count, 'task', 'tasks')}: they are not in this."
    ),
    admin_margin=lambda amount: f"Margin: {amount}",
    admin_credits=lambda left, enough: f"Left at kie.ai: {left}. Enough: {enough}.",
    admin_credits_unknown="kie.ai does not say what is left right now.",
    admin_models=lambda sold, count: (
        f"Models: {sold} of {count} on sale\n✅ on sale · ⛔ taken off here · 💤 off in the catalog"
    ),
    admin_model_on=lambda price: f"✅ On sale: {price}",
    admin_model_off=lambda who, when, why: f"⛔ Taken off sale · {who}, {when}\nReason: {why}",
    admin_model_off_catalog=lambda why: f"💤 Off sale in the catalog: {why}",
    admin_acts="What administrators did",
    admin_no_acts="Administrators have done nothing yet.",
    act={
        ActKind.APPROVE: "credited",
        ActKind.CORRECT: "amount corrected",
        ActKind.REJECT: "rejected",
        ActKind.GRANT: "given",
        ActKind.DEBIT: "taken",
        ActKind.REFUND: "refunded",
        ActKind.BLOCK: "access closed",
        ActKind.UNBLOCK: "access opened",
        ActKind.SWITCH_OFF: "off sale",
        ActKind.SWITCH_ON: "back on sale",
    },
    # The terminal's own words
    terminal_demo=lambda balance: (
        f"kiebot · demo: stand-ins for the AI models, toy money · balance {balance}"
    ),
    terminal_live=lambda balance: f"kiebot · balance {balance}",
    terminal_intro="Answer with a number, in words or with a command (/help). Leave: Ctrl-D.",
    terminal_saved=lambda path: f"✓ Saved: {path}",
    terminal_not_saved=lambda folder, address: (
        f"The folder {folder} cannot be written to. The file is here: {address}"
    ),
    terminal_not_loaded=lambda address: (
        f"The file could not be loaded: {address}. The history can show it again."
    ),
    terminal_no_option=lambda typed, numbers: f"There is no option {typed}: choose {numbers}.",
    terminal_no_options=lambda typed: (
        f"There is no option {typed}: there is nothing to choose from here."
    ),
    terminal_no_file=lambda path: f"No such file: {path}",
    terminal_file_folder=lambda path: f"This is a folder, not a file: {path}",
    terminal_file_empty=lambda path: f"This file is empty: {path}",
    terminal_file_unreadable=lambda path: f"This file cannot be read: {path}",
    terminal_not_text="This line cannot be read: it must be UTF-8 text. Type it again.",
    terminal_too_long="This line is too long. Type a shorter one.",
    terminal_failed="That did not work: the database does not answer. Try again a little later.",
    terminal_left="The question is left. Jobs, if there are any, go on.",
    terminal_how_to_leave="Leave: Ctrl-D. No job is lost.",
    terminal_goodbye="See you!",
    terminal_leave_running=lambda count: (
        f"Still being made: {_n(count, 'job', 'jobs')}. It goes on at the next start."
    ),
    terminal_answer="The number of an option, or your answer",
    terminal_choose="The number of an option",
    terminal_bare_number="Your answer (options: /1, /2…)",
    terminal_file="Path of a file, or an address",
    terminal_progress=lambda title, time: (
        f"{title} · {time} · you can go on, the result will appear here"
    ),
    telegram_not_understood=(
        "I do not understand this yet. Words, buttons, photos, video, sound and files will do."
    ),
    telegram_result_file="result",
    telegram_links="Telegram did not accept the file. It is here:",
    telegram_not_loaded=lambda count: f"Files that could not be shown: {count}.",
    telegram_only_one="One file is needed here: the first was taken.",
)
