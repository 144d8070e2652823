"""
What kie.ai takes on the wire: every create request checked against `schemas.json`.

The schemas were written from kie.ai's pages and not from the catalog, so that a wrong name or type
in the catalog, or in the client that follows it, is found by whoever asks `wire_problems`: the
stub server for every request, the tests for the live client's.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from attrs import field, frozen
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

UNKNOWN_MODEL = "The page does not exist or is not published"
"""Source: kie.ai's answer for an id that it does not serve."""

NO_CALLBACK = "Please enter callBackUrl."
"""Source: kie.ai's answer for Suno without an address."""

DEFAULT_CREDITS = Decimal(4)
"""What a task costs whose model has no price in the list. Invented."""


@frozen(kw_only=True)
class WireModel:
    """One model as kie.ai serves it. `files`: how many a task makes, None: one, or as asked."""

    name: str
    family: str
    output: str
    credits: Decimal
    files: int | None
    schema: Mapping[str, Any] = field(repr=False)


def wire_models() -> tuple[WireModel, ...]:
    """All models that are known."""
    return tuple(_models().values())


def model_of(call: str, body: Mapping[str, Any]) -> WireModel | None:
    """
    Whose request it is, None where kie.ai serves no such model there.

    `call` is a method and a path: `POST /api/v1/jobs/createTask`.
    """
    about = _document()["calls"][call]
    # Two families have one model each, and no field that names it.
    name = about.get("only") or body.get("model") or about.get("default")
    model = _models().get(name) if isinstance(name, str) else None
    return model if model is not None and model.family == about["family"] else None


def wire_problems(call: str, body: object, *, strict: bool = True) -> list[str]:
    """
    Why kie.ai would refuse this body, in its way of saying so; empty where it would not.

    Names that kie.ai's pages do not have are a problem only when `strict`: kie.ai ignores them.
    So it does with null, which stands for what is not given.
    """
    about = _document()["calls"].get(call)
    if about is None:
        return [f"no such call: {call}"]
    if not isinstance(body, Mapping):
        return ["The request body is not a JSON object"]
    if not strict:
        body = _without_nulls(body)
    if about["family"] == "suno" and not body.get("callBackUrl"):
        return [NO_CALLBACK]
    problems = _checked(_frame(call), body, strict=strict) if "body" in about else []
    if "model" not in body and "default" not in about and "only" not in about:
        return problems or [_missing("model")]
    model = model_of(call, body)
    if model is None:
        return [UNKNOWN_MODEL]
    if problems:
        return problems
    parameters = body["input"] if "body" in about else body
    return _checked(_validator(model.name), parameters, strict=strict)


def media_addresses(model: WireModel, parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The parameters that are addresses of files, each with one address."""
    for name, about in model.schema["properties"].items():
        value = parameters.get(name) if "media" in about else None
        for address in value if isinstance(value, list) else [value]:
            if isinstance(address, str):
                yield name, address


@cache
def _document() -> dict[str, Any]:
    schemas = files("kiebot.adapters.kie.stub_server").joinpath("schemas.json")
    text = schemas.read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@cache
def _models() -> dict[str, WireModel]:
    return {
        name: WireModel(
            name=name,
            family=about["family"],
            output=about["output"],
            credits=Decimal(str(about["credits"])) if "credits" in about else DEFAULT_CREDITS,
            files=about.get("files"),
            schema=about.get("input") or about["body"],
        )
        for name, about in _document()["models"].items()
    }


@cache
def _frame(call: str) -> Draft202012Validator:
    return Draft202012Validator(_document()["calls"][call]["body"])


@cache
def _validator(model: str) -> Draft202012Validator:
    return Draft202012Validator(_models()[model].schema)


def _checked(validator: Draft202012Validator, value: Any, *, strict: bool) -> list[str]:
    found: list[str] = []
    for error in validator.iter_errors(value):
        if strict or error.validator != "additionalProperties":
            found.extend(text for text in _told(error) if text not in found)
    return found


def _told(error: ValidationError) -> Iterator[str]:
    """The problem in words that begin with the name of the field."""
    name = ".".join(str(part) for part in error.absolute_path)
    limit: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "required":
            missing = [field for field in limit if field not in instance]
            yield from (_missing(field) for field in missing)
        case "additionalProperties":
            schema: Any = error.schema
            known = schema["properties"]
            yield from (
                f"{field} is not a known parameter" for field in instance if field not in known
            )
        case "enum" | "const":
            yield f"{name} is not within the range of allowed options"
        case "type":
            yield f"{name} has the wrong type: {limit} is expected"
        case "pattern":
            yield f"{name} is not an http(s) address"
        case "minLength":
            yield (
                f"{name} is too short: at least {limit} characters" if instance else _missing(name)
            )
        case "maxLength":
            yield f"{name} is too long: at most {limit} characters"
        case "minItems":
            yield f"{name} has too few entries: at least {limit}"
        case "maxItems":
            yield f"{name} has too many entries: at most {limit}"
        case "minimum" | "maximum":
            bound = "less" if error.validator == "minimum" else "greater"
            yield f"{name} must not be {bound} than {limit}"
        case "oneOf" | "anyOf":
            names = ", ".join(field for choice in limit for field in choice["required"])
            count = "exactly one" if error.validator == "oneOf" else "at least one"
            yield f"{count} of {names} is required"
        case "not":
            yield f"{', '.join(limit['required'])} do not go together with these values"
        case _:
            yield f"{name} is not valid"


def _missing(name: str) -> str:
    return f"{name}: This field is required"


def _without_nulls(body: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in body.items() if value is not None}
    if isinstance(given.get("input"), Mapping):
        given["input"] = {n: value for n, value in given["input"].items() if value is not None}
    return given
