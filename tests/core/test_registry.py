"""One registry a kind: built-in entries, entries of other packages, and what is wrong with either."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from honed.core.errors import ConfigError
from honed.core.registry import Registry, instance_of
from honed.core.sections import limits, read_section

GROUP = "honed.test_numbers"
HALF, NONE = Fraction(1, 2), Fraction(0)


def numbers() -> Registry[Fraction]:
    built_in = {"half": "tests.core.test_registry:HALF", "none": NONE}
    return Registry("test number", group=GROUP, built_in=built_in, accepts=instance_of(Fraction))


def add_package(folder: Path, package: str, entries: dict[str, str], source: str = "") -> None:
    """Write what pip leaves of an installed package: its module, and the metadata that name its entry points."""
    folder.mkdir(exist_ok=True)
    (folder / f"{package}.py").write_text(source)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {place}" for name, place in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_names_are_the_built_in_ones_in_order_then_those_of_plugins(site: Path) -> None:
    add_package(site, "registry_a", {"z": "registry_a:X", "b": "registry_a:X"}, "")
    assert list(numbers()) == ["half", "none", "b", "z"]
    assert numbers().built_in == ("half", "none")
    assert numbers().packages() == {"b": "registry_a", "z": "registry_a"}
    assert len(numbers()) == 4


def test_an_entry_of_a_package_is_loaded(site: Path) -> None:
    add_package(site, "registry_b", {"third": "registry_b:X"}, "from fractions import Fraction\nX = Fraction(1, 3)")
    registry = numbers()
    assert registry["third"] == Fraction(1, 3)
    assert registry["half"] is HALF
    assert "third" in registry
    assert "fourth" not in registry
    assert 3 not in registry


def test_what_is_built_in_is_found_without_a_look_at_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: str) -> None:
        raise AssertionError("looked at the installed packages")

    monkeypatch.setattr("importlib.metadata.entry_points", refuse)
    registry = numbers()
    assert registry
    assert registry["none"] is NONE
    assert "half" in registry
    with pytest.raises(AssertionError, match="looked at"):
        assert "third" in registry


def test_an_unknown_name_is_an_error_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"test number: 'hafl' is not one of half, none; did you mean half\?"):
        numbers()["hafl"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("Y = 1", "AttributeError: module 'registry_c' has no attribute 'X'"),
        ("X = 'text'", "registry_c:X is a str, not an entry"),
    ],
)
def test_a_broken_plugin_is_one_error_that_names_its_package(
    site: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.delitem(sys.modules, "registry_c", raising=False)
    add_package(site, "registry_c", {"bad": "registry_c:X"}, source)
    with pytest.raises(ConfigError, match=f"test number 'bad' of the package registry_c.*{message}"):
        numbers()["bad"]
    assert numbers()["half"] is HALF


def test_a_name_that_is_taken_twice_is_an_error(site: Path) -> None:
    add_package(site, "registry_d", {"same": "registry_d:X"})
    add_package(site, "registry_e", {"same": "registry_e:X"})
    with pytest.raises(ConfigError, match=r"'same' is there twice: of the package registry_d and .* registry_e"):
        list(numbers())


def test_a_name_of_honed_cannot_be_taken(site: Path) -> None:
    add_package(site, "registry_f", {"half": "registry_f:X"})
    assert numbers()["half"] is HALF
    with pytest.raises(ConfigError, match="'half' is there twice: of honed and of the package registry_f"):
        numbers()["third"]


def test_a_key_of_a_section_can_name_an_entry(site: Path) -> None:
    from dataclasses import dataclass, field

    add_package(site, "registry_g", {"third": "registry_g:X"})

    @dataclass(frozen=True, kw_only=True)
    class Section:
        number: str = field(default="half", metadata=limits(one_of=numbers()))

    assert read_section(Section, {"number": "third"}, "s", "honed.toml").number == "third"
    with pytest.raises(ConfigError, match=r"s\.number: 'thid' is not one of half, none, third; did you mean third"):
        read_section(Section, {"number": "thid"}, "s", "honed.toml")


def test_importing_honed_looks_at_no_packages() -> None:
    code = "import sys, honed.core.registry\nprint('importlib.metadata' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
