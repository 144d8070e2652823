"""
Catalog files: JSON text -> core Catalog. `docs/catalog.md` describes the format.

A file that is no catalog at all is refused. An entry that is wrong is listed off sale, or left out
where it has not even an id, and the reason names entry and field; the others are sold. Fields that
the format does not have are wrong, too: a mistyped `when` would make a price stand for everything.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

from kiebot.core.catalog import (
    COST_GUARD,
    FAMILIES,
    NO_PRICE,
    Catalog,
    CatalogProblem,
    Category,
    CreditRow,
    Model,
    PriceRow,
    Unit,
)
from kiebot.core.errors import CatalogError
from kiebot.core.language import Localized
from kiebot.core.media import MediaKind
from kiebot.core.money import Money
from kiebot.core.params import (
    MAX_FILES,
    MAX_TEXT,
    NO_HINT,
    AnyOf,
    Choice,
    ChoiceParam,
    FileParam,
    FilesParam,
    Forbids,
    JsonValue,
    Limits,
    NumberParam,
    OneOf,
    Param,
    Requires,
    Rule,
    SwitchParam,
    TextParam,
    When,
)

FORMATS = ("kiebot-catalog-1",)
"""The versions of the format that this kiebot reads."""

LOWEST_RATE, HIGHEST_RATE = Decimal(10), Decimal(1000)
"""
Roubles per US dollar that can be meant. Our choice: the rate was last below 10 in 1998, and above
1,000 a digit is one too many.
"""

NO_QUESTION = ("list", "object", "objects")
"""Kinds of params that no one can be asked for: lists of texts, and anything made of parts."""

_PRICE = re.compile(r"\d{1,9}(?:\.\d{1,2})?", re.ASCII)
_RATE = re.compile(r"\d{1,6}(?:[.,]\d{1,6})?", re.ASCII)
_CREDITS = re.compile(r"\d{1,6}(?:\.\d{1,4})?", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d{2}(?:-\d{2})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_UNSET: Any = object()
_T = TypeVar("_T")


def load_catalog(path: Path | None = None) -> Catalog:
    """
    The catalog of a file, or the packaged one.

    Raises:
        CatalogError: It cannot be read, is no catalog, or has nothing on sale.
    """
    return read_catalog(_text_of(path), _name_of(path))


def read_catalog(text: str, name: str = "catalog") -> Catalog:
    """
    The catalog that a JSON text says; `name` is what messages call it.

    Raises:
        CatalogError: It is no catalog, or has nothing on sale.
    """
    try:
        # Prices and steps are exact, so no number of a catalog ever becomes a binary fraction.
        found = json.loads(
            text, parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=_object
        )
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise CatalogError(f"{name}: no JSON: {exc.msg} ({where})") from exc
    except (RecursionError, ValueError) as exc:
        raise CatalogError(f"{name}: no JSON that can be read: {exc}") from exc
    problems: list[CatalogProblem] = []
    try:
        top = _Entry(found, "the catalog")
        top.one_of("format", FORMATS)
        shelves = top.items("categories")
        offers = top.items("models")
        cost_guard = _rate(top, "cost_guard_rub_per_usd") or COST_GUARD
        rub_per_usd = _rate(top, "rub_per_usd")
        top.end()
    except _WrongError as exc:
        raise CatalogError(f"{name}: {exc.field}: {exc.why}") from exc
    categories = _each(shelves, "categories", _category, problems)
    models = _each(offers, "models", _model_or_outline(problems), problems)
    try:
        return Catalog.of(
            categories, models, problems, cost_guard=cost_guard, rub_per_usd=rub_per_usd
        )
    except CatalogError as exc:
        raise CatalogError(f"{name}: {exc}") from exc


def parse_rate(text: str) -> Decimal | None:
    """Roubles per US dollar, such as `92.5`, or None where it is no rate that can be meant."""
    if not _RATE.fullmatch(text.strip()):
        return None
    rate = Decimal(text.strip().replace(",", "."))
    return rate if LOWEST_RATE <= rate <= HIGHEST_RATE else None


def priced_text(
    tables: Mapping[str, Sequence[PriceRow]], rub_per_usd: Decimal, base: Path | None = None
) -> str:
    """
    A catalog as its file has it: the base (None: the packaged one) with these price tables, by
    model id, made at this rate.

    Everything else of the base stays, but its guard: it becomes the rate, which is what the owner
    vouches for.

    Raises:
        CatalogError: The base cannot be read, or is no catalog.
    """
    load_catalog(base)
    found = json.loads(_text_of(base))
    rate = format(rub_per_usd, "f")
    rates = {"rub_per_usd": rate, "cost_guard_rub_per_usd": rate}
    # A person who opens the file sees first what it is.
    top = {"format": found["format"], **rates, **{k: v for k, v in found.items() if k not in rates}}
    for entry in top["models"]:
        rows = tables.get(entry["id"]) if isinstance(entry, dict) and "id" in entry else None
        if rows:
            entry["prices"] = [_written(row) for row in rows]
    return json.dumps(top, ensure_ascii=False, indent=1) + "\n"


def save(path: Path, text: str) -> None:
    """
    Write a catalog. The file is there whole, or as it was: it is written beside, then put in place.

    Raises:
        CatalogError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as exc:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise CatalogError(f"{path}: cannot be written: {exc.strerror or exc}") from exc


class _WrongError(Exception):
    """A field is not what it should be."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


def _name_of(path: Path | None) -> str:
    return "the packaged catalog" if path is None else str(path)


def _text_of(path: Path | None) -> str:
    source = files("kiebot").joinpath("catalog.json") if path is None else path
    name = _name_of(path)
    try:
        return source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise CatalogError(f"{name}: not UTF-8 text (byte {exc.start})") from exc
    except OSError as exc:
        raise CatalogError(f"{name}: cannot be read: {exc.strerror or exc}") from exc


def _written(row: PriceRow) -> dict[str, Any]:
    """A price row as the format has it."""
    entry: dict[str, Any] = {
        "rub": f"{row.kie_price.kopecks // 100}.{row.kie_price.kopecks % 100:02}"
    }
    if row.when:
        entry["when"] = {name: list(values) for name, values in row.when.items()}
    if row.per is not None:
        size = {"seconds": row.per.size} if row.per.in_seconds else {"size": row.per.size}
        default = {} if row.per.default is None else {"default": row.per.default}
        entry["per"] = {"param": row.per.param, **size, **default}
    return {**entry, "source": row.source, "date": row.date}


class _Object(dict[str, Any]):
    """A JSON object that remembers the names it was given twice."""

    twice: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found.twice = tuple(name for name in found if names.count(name) > 1)
    return found


class _Entry:
    """The fields of one object; each is taken once, and `end` refuses what nobody took."""

    def __init__(self, value: Any, field: str) -> None:
        if not isinstance(value, dict):
            raise _WrongError(field, f"must be an object, not {_said(value)}")
        if isinstance(value, _Object) and value.twice:
            raise _WrongError(value.twice[0], "stands twice")
        self._values = dict(value)

    def take(self, name: str, default: Any = _UNSET) -> Any:
        value = self._values.pop(name, default)
        if value is _UNSET:
            raise _WrongError(name, "is missing")
        return value

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, default: str = _UNSET) -> str:
        return _text(name, self.take(name, default))

    def text_or_none(self, name: str) -> str | None:
        value = self.take(name, None)
        return None if value is None else _text(name, value)

    def one_of(self, name: str, allowed: Iterable[str], default: str = _UNSET) -> str:
        value = self.text(name, default)
        words = tuple(allowed)
        if value not in words:
            raise _WrongError(name, f"must be one of {', '.join(words)}, not {_said(value)}")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise _WrongError(name, f"must be true or false, not {_said(value)}")
        return value

    def whole(self, name: str, default: int = _UNSET) -> int:
        return _whole(name, self.take(name, default))

    def whole_or_none(self, name: str) -> int | None:
        value = self.take(name, None)
        return None if value is None else _whole(name, value)

    def number(self, name: str) -> Decimal | None:
        value = self.take(name, None)
        return None if value is None else _number(name, value)

    def words(self, name: str, default: Localized = _UNSET) -> Localized:
        value = self.take(name, default)
        if value is default:
            return value
        words = _Entry(value, name)
        try:
            found = Localized(ru=words.text("ru"), en=words.text("en"))
            words.end()
        except _WrongError as exc:
            raise _WrongError(f"{name}.{exc.field}", exc.why) from exc
        return found

    def items(self, name: str, default: Sequence[Any] = _UNSET) -> Sequence[Any]:
        value = self.take(name, default)
        if value is not default and not isinstance(value, list):
            raise _WrongError(name, f"must be a list, not {_said(value)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        found = tuple(self.items(name, ()))
        for item in found:
            if not isinstance(item, str) or not item:
                raise _WrongError(name, f"must be texts, not {_said(item)}")
        return found

    def table(self, name: str) -> dict[str, Any]:
        value = self.take(name, {})
        return dict(_Entry(value, name)._values)  # noqa: SLF001 - our own class

    def scalar(self, name: str) -> JsonValue:
        return _scalar(name, self.take(name, None))

    def end(self) -> None:
        for name in self._values:
            raise _WrongError(name, "is no field of this entry")


def _each(
    values: Iterable[Any],
    where: str,
    read: Callable[[Any], _T],
    problems: list[CatalogProblem],
) -> list[_T]:
    """All that can be read; a problem for each that cannot."""
    found: list[_T] = []
    for number, value in enumerate(values):
        try:
            found.append(read(value))
        except _WrongError as exc:
            place = f"{where}[{number}]{_called(value)}: {exc.field}"
            problems.append(CatalogProblem(where=place, why=exc.why))
        except (ValueError, TypeError) as exc:
            place = f"{where}[{number}]{_called(value)}"
            problems.append(CatalogProblem(where=place, why=str(exc)))
    return found


def _category(value: Any) -> Category:
    entry = _Entry(value, "category")
    category = Category(
        slug=entry.text("slug"),
        order=entry.whole("order"),
        title=entry.words("title"),
        emoji=entry.text("emoji"),
        description=entry.words("description"),
    )
    entry.end()
    return category


def _model_or_outline(problems: list[CatalogProblem]) -> Callable[[Any], Model]:
    def read(value: Any) -> Model:
        model_id = _Entry(value, "model").text("id")
        try:
            found: list[CatalogProblem] = []
            model = _model(value, found)
        except _WrongError as exc:
            found.append(CatalogProblem(where=exc.field, why=exc.why))
        except (ValueError, TypeError) as exc:
            found.append(CatalogProblem(where="model", why=str(exc)))
        if not found:
            return model
        problems.extend(
            CatalogProblem(where=f"{model_id}: {problem.where}", why=problem.why)
            for problem in found
        )
        return _outline(value, "; ".join(map(str, found)))

    return read


def _model(value: Any, problems: list[CatalogProblem]) -> Model:
    entry = _Entry(value, "model")
    model_id = entry.text("id")
    params: list[Param] = []
    unasked: list[str] = []
    for param, why_not in _each(entry.items("params"), "params", _param, problems):
        if param is not None:
            params.append(param)
        elif why_not:
            unasked.append(why_not)
    rules = _each(entry.items("rules", ()), "rules", _rules, problems)
    prices = _each(entry.items("prices"), "prices", _price, problems)
    billed = entry.items("credits", ())
    # Where the credits are from is said once for all rows of a model.
    source, date = _credits_from(entry, needed=bool(billed))
    billing = _each(billed, "credits", lambda row: _credit(row, source, date), problems)
    off = entry.text_or_none("off")
    reasons = [*([] if prices else [NO_PRICE]), *([off] if off else []), *unasked]
    entry.take("facts", None)
    model = Model(
        id=model_id,
        key=entry.text("key", model_id),
        title=entry.text("title"),
        vendor=entry.text("vendor"),
        category=entry.text("category"),
        output=MediaKind(entry.one_of("output", [kind.value for kind in MediaKind])),
        purpose=entry.words("purpose", NO_HINT),
        description=entry.words("description"),
        follow_up=entry.words("follow_up", NO_HINT),
        family=entry.text("family"),
        api_model=entry.text_or_none("api_model"),
        params_in=_params_in(entry.one_of("params_in", ("input", "body"))),
        params=tuple(params),
        rules=tuple(rule for several in rules for rule in several),
        prices=tuple(prices),
        credits=tuple(billing),
        deadline_s=entry.whole_or_none("deadline_s"),
        off="; ".join(reasons) or None,
    )
    entry.end()
    return model


def _outline(value: Any, off: str) -> Model:
    """
    A model that cannot be read, as far as a list of models shows it, and as far as KIE is asked by
    it about tasks that were made before the mistake.
    """

    def text(name: str, otherwise: str) -> str:
        found = value.get(name)
        return found if isinstance(found, str) and found else otherwise

    model_id = value["id"]
    family = text("family", "")
    output = text("output", "")
    return Model(
        id=model_id,
        key=text("key", model_id),
        title=text("title", model_id),
        vendor=text("vendor", "?"),
        category=text("category", ""),
        output=MediaKind(output) if output in set(MediaKind) else MediaKind.DOCUMENT,
        description=Localized(ru="", en=""),
        family=family if family in FAMILIES else "jobs",
        api_model=text("api_model", "") or None,
        params_in="body" if value.get("params_in") == "body" else "input",
        off=off,
        is_outline=True,
    )


def _param(value: Any) -> tuple[Param | None, str]:
    """A question; or None, with the reason if the model cannot be sold without it."""
    entry = _Entry(value, "param")
    kind = entry.one_of(
        "kind", ("text", "number", "choice", "switch", "file", "files", *NO_QUESTION)
    )
    name = entry.text("name")
    if entry.has("never_asked"):
        entry.text("never_asked")
        return None, ""
    required = entry.flag("required")
    if kind in NO_QUESTION:
        return None, f"nobody can be asked for {name} ({kind})" if required else ""
    common: dict[str, Any] = {
        "name": name,
        "label": entry.words("label"),
        "hint": entry.words("hint", NO_HINT),
        "required": required,
        "default": entry.scalar("default"),
        "example": entry.scalar("example"),
        "is_primary": entry.flag("primary"),
        "is_technical": entry.flag("technical"),
    }
    param = _PARAM_KINDS[kind](entry, common)
    entry.end()
    return param, ""


def _text_param(entry: _Entry, common: dict[str, Any]) -> Param:
    return TextParam(
        **common,
        min_length=entry.whole("min_length", 0),
        max_length=entry.whole("max_length", MAX_TEXT),
    )


def _number_param(entry: _Entry, common: dict[str, Any]) -> Param:
    return NumberParam(
        **common,
        lowest=entry.number("lowest"),
        highest=entry.number("highest"),
        step=entry.number("step"),
        whole=entry.flag("whole"),
    )


def _choice_param(entry: _Entry, common: dict[str, Any]) -> Param:
    wires: dict[str, Literal["string", "integer", "number"]] = {
        "string": "string",
        "integer": "integer",
        "number": "number",
    }
    return ChoiceParam(
        **common,
        choices=tuple(_choice(item) for item in entry.items("choices")),
        wire=wires[entry.one_of("wire", wires, "string")],
    )


def _choice(value: Any) -> Choice:
    if not isinstance(value, dict):
        plain = _choice_value(value)
        return Choice(value=plain, label=Localized(ru=str(plain), en=str(plain)))
    entry = _Entry(value, "choices")
    choice = Choice(
        value=_choice_value(entry.take("value")),
        label=Localized(ru=entry.text("ru"), en=entry.text("en")),
    )
    entry.end()
    return choice


def _choice_value(value: Any) -> str | int | float:
    plain = _scalar("choices", value)
    if isinstance(plain, bool) or not isinstance(plain, str | int | float):
        raise _WrongError("choices", f"must be texts or numbers, not {_said(value)}")
    return plain


def _switch_param(_: _Entry, common: dict[str, Any]) -> Param:
    return SwitchParam(**common)


def _file_param(entry: _Entry, common: dict[str, Any]) -> Param:
    return FileParam(**common, **_file_fields(entry))


def _files_param(entry: _Entry, common: dict[str, Any]) -> Param:
    return FilesParam(
        **common,
        **_file_fields(entry),
        min_items=entry.whole("min_items", 1),
        max_items=entry.whole("max_items", MAX_FILES),
    )


def _file_fields(entry: _Entry) -> dict[str, Any]:
    return {
        "media": MediaKind(entry.one_of("media", [kind.value for kind in MediaKind])),
        "accept": entry.texts("accept"),
        "max_mb": entry.whole_or_none("max_mb"),
        "max_seconds": entry.whole_or_none("max_seconds"),
    }


_PARAM_KINDS: dict[str, Callable[[_Entry, dict[str, Any]], Param]] = {
    "text": _text_param,
    "number": _number_param,
    "choice": _choice_param,
    "switch": _switch_param,
    "file": _file_param,
    "files": _files_param,
}


def _rules(value: Any) -> tuple[Rule, ...]:
    """The rules of one entry, which may have several effects under one condition."""
    entry = _Entry(value, "rule")
    if entry.has("any_of") or entry.has("one_of"):
        name = "any_of" if entry.has("any_of") else "one_of"
        names = entry.texts(name)
        entry.end()
        return (AnyOf(names=names) if name == "any_of" else OneOf(names=names),)
    when = When(
        equals={name: _values(name, given) for name, given in entry.table("when").items()},
        given=entry.texts("given"),
        missing=entry.texts("missing"),
    )
    required = entry.texts("required")
    lengths = {name: _whole(name, given) for name, given in entry.table("max_length").items()}
    bounds = {name: _number(name, given) for name, given in entry.table("highest").items()}
    forbidden = {name: _values(name, given) for name, given in entry.table("forbid").items()}
    entry.end()
    rules: list[Rule] = []
    if required:
        rules.append(Requires(when=when, names=required))
    if lengths or bounds:
        rules.append(Limits(when=when, max_length=lengths, highest=bounds))
    if forbidden:
        rules.append(Forbids(when=when, values=forbidden))
    if not rules:
        raise _WrongError("rule", "has no effect: required, max_length, highest or forbid")
    return tuple(rules)


def _price(value: Any) -> PriceRow:
    entry = _Entry(value, "price")
    roubles = entry.take("rub")
    if not isinstance(roubles, str) or not _PRICE.fullmatch(roubles):
        raise _WrongError("rub", f'must be roubles as a text, "12.50", not {_said(roubles)}')
    when = _conditions(entry)
    per = _unit(entry)
    date = entry.text("date")
    if not _DATE.fullmatch(date):
        raise _WrongError("date", f"must be a day such as 2026-11-22, not {_said(date)}")
    source = entry.text("source")
    entry.end()
    return PriceRow(kie_price=Money.rub(roubles), when=when, per=per, source=source, date=date)


def _credits_from(entry: _Entry, *, needed: bool) -> tuple[str, str]:
    """The source and the month of a model's credits; without rows both may be left out."""
    if not needed:
        return entry.text_or_none("credits_source") or "", entry.text_or_none("credits_date") or ""
    source, date = entry.text("credits_source"), entry.text("credits_date")
    if not _MONTH.fullmatch(date):
        why = f"must be a month or a day such as 2025-12 or 2025-12-23, not {_said(date)}"
        raise _WrongError("credits_date", why)
    return source, date


def _credit(value: Any, source: str, date: str) -> CreditRow:
    entry = _Entry(value, "credits")
    amount = entry.take("credits")
    if not isinstance(amount, str) or not _CREDITS.fullmatch(amount):
        raise _WrongError("credits", f'must be credits as a text, "3.5", not {_said(amount)}')
    when = _conditions(entry)
    per = _unit(entry)
    variant = entry.text_or_none("variant") or ""
    entry.end()
    return CreditRow(
        credits=Decimal(amount), when=when, per=per, variant=variant, source=source, date=date
    )


def _conditions(entry: _Entry) -> dict[str, tuple[JsonValue, ...]]:
    return {name: _values(name, given) for name, given in entry.table("when").items()}


def _unit(entry: _Entry) -> Unit | None:
    """What a row counts: `size` of an answer, or `seconds` of the files it names."""
    if not entry.has("per"):
        return None
    unit = _Entry(entry.take("per"), "per")
    in_seconds = unit.has("seconds")
    param = unit.text("param")
    size = unit.whole("seconds") if in_seconds else unit.whole("size", 1)
    default = unit.whole_or_none("default")
    unit.end()
    return Unit(param=param, size=size, in_seconds=in_seconds, default=default)


def _rate(entry: _Entry, name: str) -> Decimal | None:
    given = entry.take(name, None)
    if given is None:
        return None
    rate = parse_rate(given) if isinstance(given, str) else None
    if rate is None:
        wanted = f'roubles per US dollar as a text, "92.5", {LOWEST_RATE} to {HIGHEST_RATE}'
        raise _WrongError(name, f"must be {wanted}, not {_said(given)}")
    return rate


def _params_in(value: str) -> Literal["input", "body"]:
    return "input" if value == "input" else "body"


def _values(name: str, given: Any) -> tuple[JsonValue, ...]:
    """One value, or a list of them."""
    values = given if isinstance(given, list) else [given]
    if not values:
        raise _WrongError(name, "an empty list of values")
    return tuple(_scalar(name, value) for value in values)


def _scalar(name: str, value: Any) -> JsonValue:
    if isinstance(value, Decimal):
        return float(_number(name, value))
    if value is None or isinstance(value, str | int):
        return value
    raise _WrongError(name, f"must be a text, a number or true or false, not {_said(value)}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _WrongError(name, f"must be a text, not {_said(value)}")
    return value


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _WrongError(name, f"must be a whole number, not {_said(value)}")
    return value


def _number(name: str, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _WrongError(name, f"must be a number, not {_said(value)}")
    number = Decimal(value)
    if not number.is_finite():
        raise _WrongError(name, f"must be a number, not {value}")
    return number


def _said(value: Any) -> str:
    """A wrong value as a message quotes it."""
    text = json.dumps(value, ensure_ascii=False, default=str) if value is not None else "null"
    text = text.strip('"') if isinstance(value, Decimal) else text
    return text if len(text) <= 40 else text[:37] + "..."


def _called(value: Any) -> str:
    name = (
        value.get("id") or value.get("name") or value.get("slug") if isinstance(value, dict) else ""
    )
    return f" {name}" if isinstance(name, str) and name else ""
