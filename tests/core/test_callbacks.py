"""Callbacks: who is believed, and which task is found in what is said."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from kiebot.core.callbacks import (
    MAX_TASK_ID,
    PATH,
    REPLAY_WINDOW_S,
    Callbacks,
    sign,
    task_id,
)
from kiebot.core.tasks import TaskId
from kiebot.core.wallet import JobId

SECRET = "kie-hmac-demo-key"
TASK = TaskId("8f1c2b7e5a904d3c9e6a1b2c3d4e5f60")
TIMESTAMP = "1765180634"
SIGNATURE = "AgWaXFTZtZ1Ff57lEUfTRejyQWtCQ4ka6C9JdMIzGIg="
AT = datetime.fromtimestamp(int(TIMESTAMP), UTC)
CALLBACKS = Callbacks(address="https://shop.example", secret=SECRET)
JOB = JobId("job1")


def test_a_signature_is_made_as_kie_makes_it() -> None:
    """A worked example: key, task, moment and what comes of them."""
    assert sign(SECRET, TASK, TIMESTAMP) == SIGNATURE
    assert CALLBACKS.is_signed(TASK, TIMESTAMP, SIGNATURE, AT)


@pytest.mark.parametrize("seconds", [0, 1, REPLAY_WINDOW_S, -REPLAY_WINDOW_S])
def test_a_callback_is_believed_for_a_while(seconds: float) -> None:
    assert CALLBACKS.is_signed(TASK, TIMESTAMP, SIGNATURE, AT + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [REPLAY_WINDOW_S + 1, -REPLAY_WINDOW_S - 1, 10**8])
def test_an_old_callback_is_not_believed(seconds: float) -> None:
    assert not CALLBACKS.is_signed(TASK, TIMESTAMP, SIGNATURE, AT + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("task", "timestamp", "signature"),
    [
        ("another", TIMESTAMP, SIGNATURE),
        (TASK, "1765180635", SIGNATURE),
        (TASK, f" {TIMESTAMP}", SIGNATURE),
        (TASK, f"+{TIMESTAMP}", SIGNATURE),
        (TASK, f"{TIMESTAMP}.0", SIGNATURE),
        (TASK, "١٧٦٥١٨٠٦٣٤", SIGNATURE),
        (TASK, "9" * 5000, SIGNATURE),
        (TASK, "", SIGNATURE),
        (TASK, TIMESTAMP, ""),
        (TASK, TIMESTAMP, SIGNATURE[:-1]),
        (TASK, TIMESTAMP, SIGNATURE.lower()),
        (TASK, TIMESTAMP, f"{SIGNATURE} "),
        (TASK, TIMESTAMP, "подпись \ud800"),
        ("задача\ud800", TIMESTAMP, SIGNATURE),
        (TASK, TIMESTAMP, sign("another key", TASK, TIMESTAMP)),
    ],
)
def test_what_kie_did_not_sign_is_not_believed(task: str, timestamp: str, signature: str) -> None:
    assert not CALLBACKS.is_signed(TaskId(task), timestamp, signature, AT)


def test_the_address_of_a_job_says_which_and_proves_that_it_came_from_here() -> None:
    url = urlsplit(CALLBACKS.url(JOB))
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}

    assert f"{url.scheme}://{url.netloc}{url.path}" == f"https://shop.example{PATH}"
    assert asked == {"job": JOB, "key": CALLBACKS.key(JOB)}
    assert CALLBACKS.knows(asked["job"], asked["key"])


def test_a_key_is_of_one_job_and_of_one_shop() -> None:
    other = Callbacks(address="https://shop.example", secret="another")

    assert len({CALLBACKS.key(JOB), CALLBACKS.key(JobId("job2")), other.key(JOB)}) == 3
    assert CALLBACKS.key(JOB) == Callbacks(address="https://moved.example", secret=SECRET).key(JOB)


@pytest.mark.parametrize(
    ("job_id", "key"),
    [
        (JOB, ""),
        (JOB, "0" * 32),
        (JOB, CALLBACKS.key(JobId("job2"))),
        (JOB, CALLBACKS.key(JOB).upper()),
        (JOB, CALLBACKS.key(JOB)[:-1]),
        (JOB, "ключ \ud800"),
        ("", ""),
        ("\ud800\0", CALLBACKS.key(JOB)),
    ],
)
def test_a_key_that_was_not_given_is_not_known(job_id: str, key: str) -> None:
    assert not CALLBACKS.knows(job_id, key)


def test_a_secret_stands_in_no_log() -> None:
    assert SECRET not in repr(CALLBACKS)


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"taskId": "t1"}},
        {"data": {"task_id": "t1"}},
        {"taskId": "t1"},
        {"taskId": "t1", "data": None},
        {"taskId": "t1", "data": []},
        {"taskId": "t3", "data": {"task_id": "t2", "taskId": "t1"}},
        {"taskId": "t2", "data": {"task_id": "t1"}},
        {"taskId": "t1", "data": {"taskId": None, "task_id": ""}},
        {"taskId": "t1", "data": {"taskId": 7}},
        {"data": {"callbackType": "complete", "task_id": "t1", "data": [{"id": "x"}]}},
    ],
    ids=json.dumps,
)
def test_the_task_is_found_wherever_kie_puts_it(body: object) -> None:
    assert task_id(body) == "t1"


@pytest.mark.parametrize(
    "body",
    [
        None,
        7,
        "t1",
        [],
        [{"taskId": "t1"}],
        {},
        {"data": {}},
        {"data": "t1"},
        {"data": {"taskId": {"taskId": "t1"}}},
        {"taskId": True},
        {"taskId": ""},
        {"taskId": "x" * (MAX_TASK_ID + 1)},
        {"taskId": "a\0b"},
        {"taskId": "a\nb"},
        {"taskId": "half a \ud800 sign"},
    ],
    ids=repr,
)
def test_rubbish_is_no_task(body: object) -> None:
    """Nor is what no database takes: it would be our error, and is theirs."""
    assert task_id(body) is None


def test_a_long_task_id_is_taken_whole() -> None:
    assert task_id({"taskId": "x" * MAX_TASK_ID}) == "x" * MAX_TASK_ID
