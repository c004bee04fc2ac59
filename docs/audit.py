"""Check the versions of packages: floors that matter for security, and known holes where a network is there.

    python docs/audit.py                  floors of docs/security.md in pyproject.toml and in this environment
    python docs/audit.py --tools FOLDER   and ask the advisory database by pip-audit, installed into FOLDER
    python docs/audit.py --tools FOLDER --sbom FILE   write the packages of this environment in CycloneDX's form

Without a network what needs one is left out, and that is said.
"""

import argparse
import json
import re
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"^\| ([a-z0-9-]+) \| ([0-9.]+) \|", re.MULTILINE)


def floors() -> dict[str, Version]:
    """Return the least version of packages, from the table of docs/security.md."""
    table = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").partition("## Versions")[2]
    return {name: Version(least) for name, least in _ROW.findall(table)}


def stated() -> dict[str, list[Version]]:
    """Return the floors of pyproject.toml, of every extra that names a package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    found: dict[str, list[Version]] = {}
    for requirement in map(Requirement, names):
        lowest = [Version(part.version) for part in requirement.specifier if part.operator in (">=", "==")]
        found.setdefault(requirement.name.lower(), []).append(max(lowest, default=Version("0")))
    return found


def too_old() -> list[str]:
    """Return what is below its floor: what pyproject.toml allows, and what is installed here."""
    problems = []
    for name, least in floors().items():
        problems += [f"pyproject.toml allows {name} {low}, below {least}" for low in stated()[name] if low < least]
        try:
            if Version(version(name)) < least:
                problems.append(f"{name} {version(name)} is installed, below {least}")
        except PackageNotFoundError:
            continue
    return problems


def installed_tools(folder: Path) -> bool:
    """Install the tools of the group ``audit`` into an environment of their own; False where that cannot be."""
    if (folder / "bin" / "pip-audit").exists():
        return True
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--retries", "0", "--timeout", "10"]
    made = subprocess.run([sys.executable, "-m", "venv", folder], check=False).returncode == 0
    return made and subprocess.run([*pip, *groups["audit"]], check=False).returncode == 0


def known_holes(folder: Path) -> list[str] | None:
    """Return the known holes of the installed packages; None where nobody could be asked."""
    place = sysconfig.get_path("purelib")
    command = [folder / "bin" / "pip-audit", "--path", place, "--format", "json", "--progress-spinner", "off"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        packages = json.loads(answer.stdout)["dependencies"]
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        return None
    known = [package for package in packages if "skip_reason" not in package]
    print(f"the advisory database knows {len(known)} of {len(packages)} packages")
    if not known:
        return None
    return [
        f"{package['name']} {package['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or 'nothing'}"
        for package in known
        for hole in package["vulns"]
    ]


def main() -> int:
    """Return 1 when a version is too old or a hole is known."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--tools", type=Path)
    arguments.add_argument("--sbom", type=Path)
    given = arguments.parse_args()
    problems = too_old()
    print(f"{len(floors())} floors of versions: {'not held' if problems else 'held'}")
    if given.tools and not installed_tools(given.tools):
        print("no network: the advisory database was not asked")
    elif given.sbom:
        given.sbom.parent.mkdir(parents=True, exist_ok=True)
        tool = [given.tools / "bin" / "cyclonedx-py", "environment", sys.executable, "-o", given.sbom]
        subprocess.run([*tool, "--pyproject", ROOT / "pyproject.toml"], check=True)
    elif given.tools:
        holes = known_holes(given.tools)
        print(
            "nothing was learned from the advisory database: is there a network?"
            if holes is None
            else f"{len(holes)} known holes"
        )
        problems += holes or []
    for problem in problems:
        print(problem)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
