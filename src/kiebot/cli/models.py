"""`kiebot models`: what is on offer, and what it costs."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kiebot.cli.options import Command, RateType, json_option, read_settings
from kiebot.cli.printing import console, number, roubles, rub, show, show_json, table

if TYPE_CHECKING:
    from decimal import Decimal

    from click.shell_completion import CompletionItem
    from rich.table import Table

    from kiebot.core.catalog import Catalog, CreditRow, Model, PriceRow, Unit
    from kiebot.core.errors import InvalidAnswerError, PriceMissingError
    from kiebot.core.media import Attachment
    from kiebot.core.money import Money
    from kiebot.core.params import FileParam, FilesParam, JsonValue, Param


class ModelIdType(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5
    """A model's id or key."""

    name = "model"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Those on sale that begin so."""
        from click.shell_completion import CompletionItem

        try:
            catalog, _ = _shop()
        except Exception:
            # A broken setting is told by the command, not while somebody types.
            return []
        return [
            CompletionItem(model.id, help=f"{model.title}: {model.purpose.en}")
            for model in catalog.on_sale
            if model.id.startswith(incomplete)
        ]


WIDE = 96
"""Columns of a window in which a list has a column for everything."""

OWN_CATALOG = Path("kiebot-catalog.json")
"""Where `price` writes unless told otherwise: in the working folder."""

MISSING = 5
"""Answers without a price that `show` names one by one."""

ROWS = 3
"""Rows of a price table that one line of a comparison can take."""

MODEL_ID = ModelIdType()
FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


def list_options(command: Command) -> Command:
    """What the list takes, with and without its name."""
    options = (
        click.option(
            "--all", "everything", is_flag=True, help="With those that are not on sale, and why."
        ),
        click.option("--category", metavar="SLUG", help="One category, such as visuals."),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@list_options
@click.pass_context
def models(ctx: click.Context, /, **options: Any) -> None:
    """List the models, their questions and prices. Without a command: `list`."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_models, **options)
    elif any(options.values()):
        raise click.UsageError(f"options go after the command: {ctx.invoked_subcommand} …", ctx)


@models.command("list")
@list_options
def list_models(*, everything: bool, category: str | None, as_json: bool) -> None:
    """
    What is on sale, by category, with its price.

    A price that depends on the answers is that of the defaults; `from` marks that of one unit
    (a second, a picture) or of the cheapest answers.
    """
    catalog, multiplier = _shop()
    shelves = [catalog.category(category)] if category else list(catalog.categories)
    offers = {
        shelf.slug: [m for m in catalog.in_category(shelf.slug) if everything or m.on_sale]
        for shelf in shelves
    }
    if as_json:
        show_json([_outline(m, multiplier) for ms in offers.values() for m in ms])
        return
    blocks: list[object] = []
    for shelf in shelves:
        found = offers[shelf.slug]
        blocks.append(f"{shelf.emoji} {shelf.title.en} · {shelf.description.en} [{shelf.slug}]")
        if not found:
            blocks += ["  nothing on sale", ""]
            continue
        blocks += [_shelf(found, multiplier), ""]
    blocks.append(_summary(catalog))
    show(*blocks)


def _shelf(models: "Iterable[Model]", multiplier: "Decimal") -> "Table":
    """The models of a category; in a narrow window the id stands under the title."""
    if console().width < WIDE:
        rows = table("", "model", "price", right=("price",))
        for model in models:
            rows.add_row("", f"{model.title}\n{model.id}", _price_cell(model, multiplier))
        return rows
    rows = table("", "model", "id", "price", "what for", right=("price",), whole=("id",))
    for model in models:
        rows.add_row("", model.title, model.id, _price_cell(model, multiplier), _about(model))
    return rows


@models.command("show")
@click.argument("model_id", metavar="ID", type=MODEL_ID)
@json_option
def show_model(model_id: str, *, as_json: bool) -> None:
    """One model: its questions, their limits and defaults, and its price table."""
    from kiebot.core.params import options

    catalog, multiplier = _shop()
    model = _find(catalog, model_id)
    if as_json:
        show_json(_whole(model, multiplier))
        return
    shelf = next((c for c in catalog.categories if c.slug == model.category), None)
    blocks: list[object] = [
        f"{model.title} · {model.vendor} · {_price_cell(model, multiplier)}",
        f"id {model.id}" + (f" · key {model.key}" if model.key != model.id else ""),
        f"{shelf.emoji} {shelf.title.en} · makes: {model.output}" if shelf else model.category,
        model.description.en,
    ]
    if model.off is not None:
        blocks.append(f"not on sale: {model.off}")
    if model.params:
        rows = table("", "question", "kind", "", "takes", "default", whole=("question",))
        for param in model.params:
            _, kind, takes = _described(param, [o.label for o in _options(model, param, options)])
            needed = "required" if param.required else ""
            rows.add_row("", param.name, kind, needed, takes, _value(param.default))
        blocks += ["", rows]
    if model.prices:
        rows = table("", "price", "KIE price", "for", right=("price", "KIE price"))
        for row in model.prices:
            price = roubles(_price(row, multiplier))
            rows.add_row("", price, roubles(row.kie_price), _for(model, row))
        blocks += ["", rows]
        blocks += [f"not offered: {answers}" for answers in _not_offered(model)]
    if model.credits:
        blocks += ["", *_credits(model, catalog)]
    show(*blocks)


@models.command("quote")
@click.argument("model_id", metavar="ID", type=MODEL_ID)
@click.argument("answers", metavar="[NAME=VALUE]...", nargs=-1)
@json_option
def quote(model_id: str, answers: tuple[str, ...], *, as_json: bool) -> None:
    """
    What these answers cost; the defaults stand for those not given.

    A value is what a person would answer: a text, a number, a choice or its label, yes or no, the
    address of a file. Several files are given by repeating the name. Where the price is for the
    seconds of a file, its length is given instead of it: audio_url=95s or audio_url=1:35.
    """
    from kiebot.core import params, pricing
    from kiebot.core.errors import InvalidAnswerError, NotOnSaleError, PriceMissingError

    catalog, multiplier = _shop()
    model = _find(catalog, model_id)
    if model.off is not None:
        raise NotOnSaleError(model.id, model.off)
    known: dict[str, JsonValue] = {}
    measures: dict[str, Decimal] = {}
    for pair in answers:
        name, equals, words = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is no answer; give NAME=VALUE, such as prompt=cat")
        try:
            before = {**params.defaults(model), **known}
            if name not in known:
                before.pop(name, None)
            given = _timed(model, name, words, len(measures))
            if not isinstance(given, str) and given.seconds is not None:
                measures[given.reference] = given.seconds
            known[name] = params.read(model, before, name, given)
        except InvalidAnswerError as error:
            raise click.UsageError(_refusal(error, model)) from None
    try:
        found = pricing.quote(model, {**params.defaults(model), **known}, multiplier, measures)
    except PriceMissingError as error:
        raise click.UsageError(_no_price(error, model)) from None
    if as_json:
        show_json({"kie_price_rub": rub(found.kie_price), "price_kop": found.price.kopecks})
    else:
        show(f"{roubles(found.price)} (KIE price {roubles(found.kie_price)})")


@models.command("check")
@click.argument("file", type=FILE)
@click.pass_context
def check(ctx: click.Context, file: Path) -> None:
    """
    Is this catalog right? Every problem on a line of its own.

    What could be sold below what kie.ai takes, at the catalog's rate and your multiplier, is warned
    of; it is no mistake.
    """
    from kiebot.compose import load_catalog
    from kiebot.core import costs
    from kiebot.core.errors import CatalogError

    multiplier = read_settings().price_multiplier

    try:
        catalog = load_catalog(file)
    except CatalogError as error:
        click.echo(str(error))
        ctx.exit(1)
    for problem in catalog.problems:
        click.echo(str(problem))
    for model in catalog.on_sale:
        if not model.credits:
            click.echo(f"warning: {model.id}: no credits rows, so nobody knows what it costs")
            continue
        for loss in costs.losses(model, catalog.cost_guard, multiplier):
            click.echo(f"warning: {loss}")
    if catalog.problems:
        ctx.exit(1)
    click.echo(f"ok: {_summary(catalog)}")


@models.command("diff")
@click.argument("file", type=FILE)
@json_option
def diff(file: Path, *, as_json: bool) -> None:
    """What a catalog changes for those who buy, against the packaged one."""
    from attrs import asdict

    from kiebot.compose import load_catalog
    from kiebot.core import catalog

    old, new = load_catalog(None), load_catalog(file)
    changes = catalog.diff(old, new)
    if as_json:
        show_json(asdict(changes))
        return
    if not changes:
        click.echo("no difference")
    multiplier = read_settings().price_multiplier
    for what, ids in asdict(changes).items():
        for model_id in ids:
            before, after = (_offer(shop.find(model_id), multiplier) for shop in (old, new))
            told = {"added": after, "removed": before}.get(what, f"{before} -> {after}")
            click.echo(f"{what.replace('_', ' ')}: {model_id}: {told}")


@models.command("price")
@click.option(
    "--rub-per-usd",
    "rate",
    type=RateType(),
    required=True,
    metavar="RATE",
    help="Roubles you pay for a US dollar, such as 92.5.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=OWN_CATALOG,
    show_default=True,
    help="The file to write.",
)
@click.option("--base", type=FILE, help="The catalog to price; the packaged one unless given.")
@click.option("--yes", is_flag=True, help="Do not ask, and overwrite the file if it is there.")
@json_option
def price(rate: "Decimal", output: Path, base: Path | None, *, yes: bool, as_json: bool) -> None:
    """
    Write a catalog of your own, priced from what KIE takes.

    Every model whose credits are known is priced from them, answer by answer; answers whose cost is
    not known are not sold. The others stay as they are. 1 credit is 0.005 USD.
    """
    from kiebot.compose import price_catalog, save_catalog, utc_now

    old, new, text = price_catalog(rate, utc_now().date(), base)
    multiplier = read_settings().price_multiplier
    if not as_json:
        show(_side_by_side(old, new, multiplier), "", _summary(new))
    _agree(output, yes=yes)
    save_catalog(output, text)
    if as_json:
        outlines = {m.id: _outline(m, multiplier)["price_kop"] for m in old.models}
        priced = [
            {**_outline(m, multiplier), "old_price_kop": outlines[m.id], "off": m.off}
            for m in new.models
        ]
        show_json({"file": str(output), "rub_per_usd": number(rate), "models": priced})
        return
    click.echo(f"written: {output}. To sell from it, set CATALOG_PATH={output}")


def _agree(output: Path, *, yes: bool) -> None:
    """Ask whether to write; where nobody can be asked, a file that is there stays."""
    import sys

    if yes:
        return
    if sys.stdin.isatty():
        what = f"overwrite {output}" if output.exists() else f"write {output}"
        click.confirm(f"{what[:1].upper()}{what[1:]}?", abort=True, err=True)
    elif output.exists():
        raise click.ClickException(f"{output} is there already; --yes overwrites it")


def _side_by_side(old: "Catalog", new: "Catalog", multiplier: "Decimal") -> "Table":
    """Every model that is or was on sale, with its price before and now."""
    rows = table("model", "old price", "new price", whole=("model",))
    for model in new.models:
        before = old.find(model.id)
        if before is None or not (model.on_sale or before.on_sale):
            continue
        rows.add_row(model.id, _offer(before, multiplier), _offer(model, multiplier))
    return rows


def _shop() -> "tuple[Catalog, Decimal]":
    """The catalog that is sold from, and the multiplier of its prices."""
    from kiebot.compose import load_catalog

    settings = read_settings()
    return load_catalog(settings.catalog_path), settings.price_multiplier


def _find(catalog: "Catalog", model_id: str) -> "Model":
    """By id or by key."""
    from difflib import get_close_matches

    from kiebot.core.errors import NotFoundError

    for model in catalog.models:
        if model_id in {model.id, model.key}:
            return model
    error = NotFoundError("model", model_id)
    near = get_close_matches(model_id, [model.id for model in catalog.models], n=1)
    if near:
        raise click.ClickException(f"{error}; did you mean {near[0]}?")
    raise error


def _summary(catalog: "Catalog") -> str:
    return (
        f"{len(catalog.categories)} categories, {len(catalog.models)} models,"
        f" {len(catalog.on_sale)} on sale"
    )


# --- Prices


def _listed(model: "Model", multiplier: "Decimal") -> "tuple[Money | None, bool]":
    """The price that a list shows, None where it cannot be bought; and whether it is a `from`."""
    from kiebot.core import params, pricing
    from kiebot.core.errors import PriceMissingError

    if model.off is not None:
        return None, False
    answers = params.defaults(model)
    for row in model.prices:
        wanted = row.when.items()
        if all(params.is_one_of(answers.get(name), values) for name, values in wanted):
            return _price(row, multiplier), row.per is not None
    try:
        return pricing.lowest(model, multiplier).price, True
    except PriceMissingError:
        return None, False


def _price(row: "PriceRow", multiplier: "Decimal") -> "Money":
    from kiebot.core import pricing

    return pricing.price(row.kie_price, multiplier)


def _price_cell(model: "Model", multiplier: "Decimal") -> str:
    price, is_from = _listed(model, multiplier)
    if price is None:
        return "off"
    return f"from {roubles(price)}" if is_from else roubles(price)


def _offer(model: "Model | None", multiplier: "Decimal") -> str:
    """The whole price table on a line, or that it is not sold."""
    if model is None or not model.on_sale:
        return "off"
    return _prices(model, lambda row: roubles(_price(row, multiplier)))


def _prices(model: "Model", told: "Callable[[PriceRow], str]") -> str:
    """Each row of a price table; of many rows the cheapest and the dearest."""
    rows = sorted(model.prices, key=lambda row: row.kie_price)
    if len(rows) > ROWS:
        units = {row.per for row in rows}
        (per,) = units if len(units) == 1 else (None,)
        each = f" per {_unit(model, per)}" if per is not None else ""
        return f"{told(rows[0])} to {told(rows[-1])}{each}, {len(rows)} prices"
    words = []
    for row in rows:
        each = f" per {_unit(model, row.per)}" if row.per is not None else ""
        when = _when(row, unasked=False)
        words.append(f"{told(row)}{each}" + (f" ({when})" if when else ""))
    return "; ".join(words)


def _for(model: "Model", row: "PriceRow | CreditRow") -> str:
    """Which answers a row is for, and what it counts."""
    parts = [_when(row)] if row.when else []
    if row.per is not None:
        parts.append(f"each {_unit(model, row.per)}")
    return ", ".join(parts) or "any answers"


def _when(row: "PriceRow | CreditRow", *, unasked: bool = True) -> str:
    """The answers that a row is for; without `unasked` those that are given."""
    parts = []
    for name, values in row.when.items():
        given = [value for value in values if unasked or value is not None]
        parts.append(f"{name} {' or '.join(_value(v) or 'not given' for v in given or values)}")
    return ", ".join(parts)


def _unit(model: "Model", unit: "Unit") -> str:
    """What one unit is: `3000 characters of text`, `90 s of audio_url`, `max_images`."""
    from kiebot.core.params import FilesParam, TextParam

    of = f"of {unit.param}"
    default = "" if unit.default is None else f" ({unit.default} where not given)"
    if unit.in_seconds:
        return f"{unit.size} s {of}{default}"
    match next((param for param in model.params if param.name == unit.param), None):
        case TextParam():
            return f"{unit.size} characters {of}{default}"
        case FilesParam():
            return f"{unit.size} files {of}{default}" if unit.size > 1 else f"file {of}{default}"
        case _:
            return f"{unit.size} {of}{default}" if unit.size > 1 else f"{unit.param}{default}"


def _not_offered(model: "Model") -> list[str]:
    """The answers without a price: values that no row has, and values that do not go together."""
    from itertools import product

    from kiebot.core import params
    from kiebot.core.params import ChoiceParam, SwitchParam

    asked = {name for row in model.prices for name in row.when}
    found: list[str] = []
    axes: list[list[tuple[str, JsonValue]]] = []
    for param in model.params:
        if param.name not in asked:
            continue
        values: list[JsonValue] = []
        match param:
            case ChoiceParam(choices=choices):
                values = [choice.value for choice in choices]
            case SwitchParam():
                values = [True, False]
            case _:
                found.append(f"{param.name}: other values")
        if not values:
            continue
        sold = [v for row in model.prices for v in row.when.get(param.name, tuple(values))]
        gone = [value for value in values if not params.is_one_of(value, sold)]
        found += [f"{param.name} {_value(value)}" for value in gone]
        axes.append([(param.name, v) for v in values if v not in gone])
    apart = [
        ", ".join(f"{name} {_value(value)}" for name, value in pairs)
        for pairs in product(*axes)
        if not any(
            all(params.is_one_of(v, row.when.get(n, (v,))) for n, v in pairs)
            for row in model.prices
        )
        and not _is_forbidden(model, dict(pairs))
    ]
    rest = [f"{len(apart) - MISSING} more"] if len(apart) > MISSING else []
    return [*found, *apart[:MISSING], *rest]


def _credits(model: "Model", catalog: "Catalog") -> list[object]:
    """What KIE was seen to take, in its credits and at the catalog's rate."""
    from kiebot.core import costs

    rate = catalog.rub_per_usd or catalog.cost_guard
    rows = table("", "credits", "in roubles", "for", "in KIE's list", right=("credits",))
    for row in model.credits:
        amount = roubles(costs.cost(row.credits, rate))
        rows.add_row("", str(row.credits), amount, _for(model, row), row.variant)
    (first, *_) = model.credits
    return [f"kie.ai takes, at {rate} RUB per USD ({first.source}; {first.date}):", rows]


def _timed(model: "Model", name: str, words: str, count: int) -> "str | Attachment":
    """An answer; a length such as 95s or 1:35 stands for a file that lasts so long."""
    import re
    from decimal import Decimal

    from kiebot.core.media import Attachment
    from kiebot.core.params import FileParam, FilesParam

    is_file = any(p.name == name and isinstance(p, FileParam | FilesParam) for p in model.params)
    found = re.fullmatch(r"(?:(?:(\d{1,2}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,3})?)( ?s)?", words)
    if not is_file or found is None or not (found[2] or found[4]):
        return words
    hours, minutes, rest = (Decimal(part or 0) for part in found.groups()[:3])
    seconds = hours * 3600 + minutes * 60 + rest
    return Attachment(reference=f"length:{count}", name=words, seconds=seconds)


# --- Questions


def _options(model: "Model", param: "Param", options: Any) -> Any:
    from kiebot.core.language import Language

    return options(model, {}, param.name, Language.EN)


def _described(param: "Param", labels: Iterable[str]) -> tuple[dict[str, Any], str, str]:
    """A question's own fields for JSON, its kind, and in words what it takes."""
    from kiebot.core.params import (
        ChoiceParam,
        FileParam,
        FilesParam,
        NumberParam,
        SwitchParam,
        TextParam,
    )

    match param:
        case TextParam(min_length=least, max_length=most):
            limits = {"min_length": least, "max_length": most}
            return limits, "text", f"{least or 1} to {most} characters"
        case NumberParam(lowest=lowest, highest=highest, step=step, whole=whole):
            bounds = {"lowest": lowest, "highest": highest, "step": step}
            numbers = {name: None if b is None else _plain(b) for name, b in bounds.items()}
            words = [
                *(["whole"] if whole else []),
                *([f"from {lowest}"] if lowest is not None else []),
                *([f"to {highest}"] if highest is not None else []),
                *([f"in steps of {step}"] if step is not None else []),
            ]
            return {**numbers, "whole": whole}, "number", " ".join(words)
        case ChoiceParam(choices=choices):
            values = [
                {"value": choice.value, "label": {"ru": choice.label.ru, "en": choice.label.en}}
                for choice in choices
            ]
            return {"choices": values}, "choice", ", ".join(labels)
        case SwitchParam():
            return {}, "switch", "yes or no"
        case FileParam():
            return _file_limits(param), "file", _file_words(param)
        case FilesParam(min_items=least, max_items=most):
            return (
                {**_file_limits(param), "min_items": least, "max_items": most},
                "files",
                f"{least} to {most}: {_file_words(param)}",
            )


def _file_limits(param: "FileParam | FilesParam") -> dict[str, Any]:
    return {
        "media": str(param.media),
        "accept": list(param.accept),
        "max_mb": param.max_mb,
        "max_seconds": param.max_seconds,
    }


def _file_words(param: "FileParam | FilesParam") -> str:
    kinds = ", ".join(mime.split("/")[-1] for mime in param.accept)
    bounds = [
        *([f"at most {param.max_mb} MB"] if param.max_mb else []),
        *([f"at most {param.max_seconds} s"] if param.max_seconds else []),
    ]
    return ", ".join([f"{param.media} ({kinds})" if kinds else str(param.media), *bounds])


def _plain(number: "Decimal") -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _value(value: "JsonValue") -> str:
    if value is None:
        return ""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _is_forbidden(model: "Model", answers: "Mapping[str, JsonValue]") -> bool:
    """Whether the model's own rules keep these answers apart already."""
    from kiebot.core import params
    from kiebot.core.errors import InvalidAnswerError

    try:
        for name, value in answers.items():
            params.read(model, answers, name, _value(value))
    except InvalidAnswerError:
        return True
    return False


def _about(model: "Model") -> str:
    return model.purpose.en if model.off is None else f"{model.purpose.en} · {model.off}"


# --- JSON


def _outline(model: "Model", multiplier: "Decimal") -> dict[str, Any]:
    price, _ = _listed(model, multiplier)
    return {
        "id": model.id,
        "key": model.key,
        "title": model.title,
        "category": model.category,
        "enabled": model.on_sale,
        "price_kop": None if price is None else price.kopecks,
    }


def _whole(model: "Model", multiplier: "Decimal") -> dict[str, Any]:
    return {
        **_outline(model, multiplier),
        "off": model.off,
        "vendor": model.vendor,
        "output": str(model.output),
        "purpose": {"ru": model.purpose.ru, "en": model.purpose.en},
        "description": {"ru": model.description.ru, "en": model.description.en},
        "params": [_question(param) for param in model.params],
        "prices": [
            {
                "when": {name: list(values) for name, values in row.when.items()},
                "per": None if row.per is None else _counted(row.per),
                "kie_price_rub": rub(row.kie_price),
                "price_kop": _price(row, multiplier).kopecks,
                "source": row.source,
                "date": row.date,
            }
            for row in model.prices
        ],
        "not_offered": _not_offered(model) if model.prices else [],
        "credits": [
            {
                "when": {name: list(values) for name, values in row.when.items()},
                "per": None if row.per is None else _counted(row.per),
                "credits": number(row.credits),
                "variant": row.variant,
                "source": row.source,
                "date": row.date,
            }
            for row in model.credits
        ],
    }


def _counted(unit: "Unit") -> dict[str, Any]:
    """A unit as the catalog's format has it."""
    size = {"seconds": unit.size} if unit.in_seconds else {"size": unit.size}
    default = {} if unit.default is None else {"default": unit.default}
    return {"param": unit.param, **size, **default}


def _question(param: "Param") -> dict[str, Any]:
    own, kind, _ = _described(param, ())
    return {
        "name": param.name,
        "kind": kind,
        "required": param.required,
        "primary": param.is_primary,
        "default": param.default,
        "label": {"ru": param.label.ru, "en": param.label.en},
        "hint": {"ru": param.hint.ru, "en": param.hint.en},
        **own,
    }


# --- What is wrong with an answer


def _refusal(error: "InvalidAnswerError", model: "Model") -> str:
    """One line that says what would be right."""
    from kiebot.core.errors import AnswerProblem
    from kiebot.core.params import options

    if error.problem is AnswerProblem.UNKNOWN:
        names = ", ".join(param.name for param in model.params)
        return f"{model.id} has no question {error.param!r}; it has {names}"
    param = next(param for param in model.params if param.name == error.param)
    _, kind, takes = _described(param, [o.label for o in _options(model, param, options)])
    what = str(error.problem).replace("_", " ")
    limit = "" if error.limit is None else f" (limit {error.limit})"
    others = f" beside {', '.join(error.names)}" if error.names else ""
    return f"{error.param}: {what}{limit}{others}; takes {kind}" + (f": {takes}" if takes else "")


def _no_price(error: "PriceMissingError", model: "Model") -> str:
    """What is missing, or which answers have a price."""
    name = error.uncounted
    if name is not None:
        unit = next(row.per for row in model.prices if row.per and row.per.param == name)
        value = "its length, such as 95s" if unit.in_seconds else "VALUE"
        return f"{model.id} is priced by {name}: give {name}={value}"
    sold = "; ".join(f"{name}: {', '.join(values)}" for name, values in error.sold)
    return f"{error}" + (f"; sold with {sold}" if sold else "")
