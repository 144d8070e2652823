"""What `import kiebot` offers: the list, what is there and what the types say are the same."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kiebot

SOURCE = Path(kiebot.__file__)


def typed_names() -> dict[str, str]:
    """The names that a type checker sees, and the module each comes from."""
    return {
        alias.name: node.module
        for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kiebot.")
        for alias in node.names
        if node.module is not None
    }


def test_what_is_listed_is_what_the_types_say() -> None:
    assert set(kiebot.__all__) == {*typed_names(), "__version__"}


def test_the_list_is_sorted_and_says_nothing_twice() -> None:
    assert kiebot.__all__ == sorted(set(kiebot.__all__))


@pytest.mark.parametrize("name", kiebot.__all__)
def test_a_listed_name_is_the_one_the_types_mean(name: str) -> None:
    value = getattr(kiebot, name)

    if name != "__version__":
        assert value is getattr(importlib.import_module(typed_names()[name]), name)


@pytest.mark.parametrize(
    "first", ["import kiebot.compose", "from kiebot.compose import terminal", "kiebot.Runtime", ""]
)
def test_compose_is_the_function_whoever_imported_its_module(first: str) -> None:
    script = f"import kiebot\n{first}\nfrom kiebot import compose\nprint(type(compose).__name__)"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "function\n"


def test_a_name_that_is_not_there_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = kiebot.Nothing


def test_every_public_name_says_what_it_is() -> None:
    """`help(kiebot.X)` must not be empty."""
    silent = [
        name
        for name in kiebot.__all__
        if isinstance(getattr(kiebot, name), type) and not getattr(kiebot, name).__doc__
    ]

    assert silent == []


def test_importing_kiebot_loads_nothing_else() -> None:
    script = "import json, sys, kiebot; print(json.dumps(sorted(sys.modules)))"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    loaded = [name for name in json.loads(done.stdout) if name.startswith("kiebot")]
    # An editable install has a finder of its own, which is no part of the package.
    assert [name for name in loaded if name.split(".")[0] == "kiebot"] == ["kiebot"]


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert kiebot.__version__ == version("kiebot")
