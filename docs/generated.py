"""What the scripts of this folder write from the code: a file, or only whether it is up to date."""

import sys
from pathlib import Path


def write(target: Path, text: str) -> None:
    """Write a generated file; with --check exit with 1 where it is out of date, and write nothing."""
    if "--check" in sys.argv:
        same = target.is_file() and target.read_text(encoding="utf-8") == text
        print(f"docs/{target.name} is {'up to date' if same else 'out of date: run  make docs'}")
        sys.exit(0 if same else 1)
    target.write_text(text, encoding="utf-8")
