"""`kiebot models`: what is on offer, and what it costs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kiebot.cli.options import Command, json_option
from kiebot.cli.printing import console, roubles, rub, show, show_json, table

if TYPE_CHECKING:
    from decimal import Decimal

    from click.shell_completion import CompletionItem
    from rich.table import Table

    from kiebot.core.catalog import Catalog, Model, PriceRow
    from kiebot.core.errors import InvalidAnswerError, PriceMissingError
    from kiebot.core.money import Money
    from kiebot.core.params import JsonValue, Param


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
        rows = table("", "price", "kie.ai takes", "for", right=("price", "kie.ai takes"))
        for row in model.prices:
            rows.add_row("", roubles(_price(row, multiplier)), roubles(row.kie_price), _for(row))
        blocks += ["", rows]
    show(*blocks)


@models.command("quote")
@click.argument("model_id", metavar="ID", type=MODEL_ID)
@click.argument("answers", metavar="[NAME=VALUE]...", nargs=-1)
@json_option
def quote(model_id: str, answers: tuple[str, ...], *, as_json: bool) -> None:
    """
    What these answers cost; the defaults stand for those not given.

    A value is what a person would answer: a text, a number, a choice or its label, yes or no, the
    address of a file. Several files are given by repeating the name.
    """
    from kiebot.core import params, pricing
    from kiebot.core.errors import InvalidAnswerError, NotOnSaleError, PriceMissingError

    catalog, multiplier = _shop()
    model = _find(catalog, model_id)
    if model.off is not None:
        raise NotOnSaleError(model.id, model.off)
    known: dict[str, JsonValue] = {}
    for pair in answers:
        name, equals, words = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is no answer; give NAME=VALUE, such as prompt=cat")
        try:
            before = {**params.defaults(model), **known}
            if name not in known:
                before.pop(name, None)
            known[name] = params.read(model, before, name, words)
        except InvalidAnswerError as error:
            raise click.UsageError(_refusal(error, model)) from None
    try:
        found = pricing.quote(model, {**params.defaults(model), **known}, multiplier)
    except PriceMissingError as error:
        raise click.UsageError(_no_price(error, model, known)) from None
    if as_json:
        show_json({"kie_price_rub": rub(found.kie_price), "price_kop": found.price.kopecks})
    else:
        show(f"{roubles(found.price)} (kie.ai takes {roubles(found.kie_price)})")


@models.command("check")
@click.argument("file", type=FILE)
@click.pass_context
def check(ctx: click.Context, file: Path) -> None:
    """Is this catalog right? Every problem on a line of its own."""
    from kiebot.compose import load_catalog
    from kiebot.core.errors import CatalogError

    try:
        catalog = load_catalog(file)
    except CatalogError as error:
        click.echo(str(error))
        ctx.exit(1)
    for problem in catalog.problems:
        click.echo(str(problem))
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
    for what, ids in asdict(changes).items():
        for model_id in ids:
            click.echo(f"{what.replace('_', ' ')}: {model_id}")


def _shop() -> "tuple[Catalog, Decimal]":
    """The catalog that is sold from, and the multiplier of its prices."""
    import os

    from kiebot.compose import load_catalog
    from kiebot.config import Settings

    settings = Settings.from_env(os.environ, dotenv=Path(".env"))
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


def _for(row: "PriceRow") -> str:
    """Which answers a row of the price table is for."""
    parts = [
        f"{name} {' or '.join(_value(value) or 'not given' for value in values)}"
        for name, values in row.when.items()
    ]
    if row.per is not None:
        parts.append(f"each {row.per.size} {row.per.param}" if row.per.size > 1 else row.per.param)
    return ", ".join(parts) or "any answers"


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
        case FileParam(media=media, accept=accept, max_mb=max_mb):
            about = {"media": str(media), "accept": list(accept), "max_mb": max_mb}
            return about, "file", _file_words(str(media), accept, max_mb)
        case FilesParam(media=media, accept=accept, max_mb=max_mb, min_items=least, max_items=most):
            about = {"media": str(media), "accept": list(accept), "max_mb": max_mb}
            return (
                {**about, "min_items": least, "max_items": most},
                "files",
                f"{least} to {most}: {_file_words(str(media), accept, max_mb)}",
            )


def _file_words(media: str, accept: tuple[str, ...], max_mb: int | None) -> str:
    kinds = ", ".join(mime.split("/")[-1] for mime in accept)
    size = f", at most {max_mb} MB" if max_mb else ""
    return f"{media} ({kinds}){size}" if kinds else f"{media}{size}"


def _plain(number: "Decimal") -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _value(value: "JsonValue") -> str:
    if value is None:
        return ""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


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
                "per": None if row.per is None else {"param": row.per.param, "size": row.per.size},
                "kie_price_rub": rub(row.kie_price),
                "price_kop": _price(row, multiplier).kopecks,
                "source": row.source,
                "date": row.date,
            }
            for row in model.prices
        ],
    }


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


def _no_price(error: "PriceMissingError", model: "Model", known: "Mapping[str, JsonValue]") -> str:
    """What is missing, or which answers have a price."""
    counted = [row.per.param for row in model.prices if row.per and row.per.param not in known]
    if counted:
        return f"{model.id} is priced by {counted[0]}: give {counted[0]}=VALUE"
    sold = "; ".join(f"{name}: {', '.join(values)}" for name, values in error.sold)
    return f"{error}" + (f"; sold with {sold}" if sold else "")
