"""
kiebot: sells AI generations of kie.ai's model market out of a rouble wallet.

`compose(settings)` opens a shop; `Kiebot` is what it can do. What is not listed here is no public
name. Each is loaded when it is asked for, so that `import kiebot` costs nothing.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kiebot.adapters.kie.stub import StubKieClient
    from kiebot.adapters.storage.memory import MemoryStorage
    from kiebot.app import Kiebot
    from kiebot.compose import Runtime, compose, load_catalog
    from kiebot.config import DatabaseUrl, Settings
    from kiebot.conversation import Conversation
    from kiebot.core.catalog import Catalog, Model
    from kiebot.core.dialog.screen import Action, Attach, Button, Media, Press, Say, Screen
    from kiebot.core.errors import (
        CatalogError,
        ConfigError,
        DuplicateRefError,
        FrontendRefusedError,
        FrontendUnavailableError,
        InsufficientFundsError,
        InvalidAnswerError,
        KiebotError,
        KieError,
        KieNoAnswerError,
        KieOperatorError,
        KieRejectedError,
        KieUnavailableError,
        MediaError,
        NotFoundError,
        NotOnSaleError,
        PriceChangedError,
        PriceMissingError,
        RefusedByStatusError,
        StorageError,
        TooManyJobsError,
        UserError,
        WrongDatabaseError,
    )
    from kiebot.core.jobs import Job, JobStatus
    from kiebot.core.language import Language
    from kiebot.core.media import Attachment, MediaKind
    from kiebot.core.money import Money
    from kiebot.core.pricing import Quote
    from kiebot.core.tasks import (
        FailReason,
        Failure,
        Result,
        TaskFailed,
        TaskId,
        TaskPending,
        TaskRequest,
        TaskStatus,
        TaskSucceeded,
    )
    from kiebot.core.topups import TopUp, TopUpStatus
    from kiebot.core.users import User, UserId
    from kiebot.core.wallet import EntryKind, JobId, LedgerEntry, Wallet
    from kiebot.ports.frontend import Frontend
    from kiebot.ports.kie import InputFile, KieClient
    from kiebot.ports.storage import Storage, UnitOfWork
    from kiebot.ports.system import Clock, NewId

    __version__: str

_HOMES = {
    "kiebot.adapters.kie.stub": "StubKieClient",
    "kiebot.adapters.storage.memory": "MemoryStorage",
    "kiebot.app": "Kiebot",
    "kiebot.compose": "Runtime compose load_catalog",
    "kiebot.config": "DatabaseUrl Settings",
    "kiebot.conversation": "Conversation",
    "kiebot.core.catalog": "Catalog Model",
    "kiebot.core.dialog.screen": "Action Attach Button Media Press Say Screen",
    "kiebot.core.errors": "CatalogError ConfigError DuplicateRefError FrontendRefusedError"
    " FrontendUnavailableError InsufficientFundsError InvalidAnswerError KiebotError KieError"
    " KieNoAnswerError KieOperatorError KieRejectedError KieUnavailableError MediaError"
    " NotFoundError NotOnSaleError PriceChangedError PriceMissingError RefusedByStatusError"
    " StorageError TooManyJobsError UserError WrongDatabaseError",
    "kiebot.core.jobs": "Job JobStatus",
    "kiebot.core.language": "Language",
    "kiebot.core.media": "Attachment MediaKind",
    "kiebot.core.money": "Money",
    "kiebot.core.pricing": "Quote",
    "kiebot.core.tasks": "FailReason Failure Result TaskFailed TaskId TaskPending TaskRequest"
    " TaskStatus TaskSucceeded",
    "kiebot.core.topups": "TopUp TopUpStatus",
    "kiebot.core.users": "User UserId",
    "kiebot.core.wallet": "EntryKind JobId LedgerEntry Wallet",
    "kiebot.ports.frontend": "Frontend",
    "kiebot.ports.kie": "InputFile KieClient",
    "kiebot.ports.storage": "Storage UnitOfWork",
    "kiebot.ports.system": "Clock NewId",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Action",
    "Attach",
    "Attachment",
    "Button",
    "Catalog",
    "CatalogError",
    "Clock",
    "ConfigError",
    "Conversation",
    "DatabaseUrl",
    "DuplicateRefError",
    "EntryKind",
    "FailReason",
    "Failure",
    "Frontend",
    "FrontendRefusedError",
    "FrontendUnavailableError",
    "InputFile",
    "InsufficientFundsError",
    "InvalidAnswerError",
    "Job",
    "JobId",
    "JobStatus",
    "KieClient",
    "KieError",
    "KieNoAnswerError",
    "KieOperatorError",
    "KieRejectedError",
    "KieUnavailableError",
    "Kiebot",
    "KiebotError",
    "Language",
    "LedgerEntry",
    "Media",
    "MediaError",
    "MediaKind",
    "MemoryStorage",
    "Model",
    "Money",
    "NewId",
    "NotFoundError",
    "NotOnSaleError",
    "Press",
    "PriceChangedError",
    "PriceMissingError",
    "Quote",
    "RefusedByStatusError",
    "Result",
    "Runtime",
    "Say",
    "Screen",
    "Settings",
    "Storage",
    "StorageError",
    "StubKieClient",
    "TaskFailed",
    "TaskId",
    "TaskPending",
    "TaskRequest",
    "TaskStatus",
    "TaskSucceeded",
    "TooManyJobsError",
    "TopUp",
    "TopUpStatus",
    "UnitOfWork",
    "User",
    "UserError",
    "UserId",
    "Wallet",
    "WrongDatabaseError",
    "__version__",
    "compose",
    "load_catalog",
]


def __getattr__(name: str) -> Any:
    """Load a public name."""
    if name == "__version__":
        from importlib.metadata import version

        return version("kiebot")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps `kiebot.compose` the function, also once the module of that name was imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "compose" and isinstance(value, ModuleType):
            value = value.compose
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
