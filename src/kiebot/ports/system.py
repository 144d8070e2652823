"""Time and chance, handed in so that whoever tests can decide them."""

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""Now: aware, UTC."""

NewId = Callable[[], str]
"""A new id: 16 characters at most of `0-9a-z`, not to be guessed, never the same twice."""
