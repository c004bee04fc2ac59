"""What serves needs no PyTorch: its modules import and a bundle answers where there is none."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import importlib, pkgutil, sys

from honed.core.errors import MissingPartError

for name in ("torch", "transformers", "sentence_transformers"):
    sys.modules[name] = None  # importing it is an ImportError from now on
for room in ("bundle", "search", "serve", "connect"):
    package = importlib.import_module(f"honed.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"honed.{room}."):
        try:
            importlib.import_module(module.name)
        except MissingPartError as error:  # of a framework that is not installed
            assert module.name.startswith("honed.connect."), error
from honed import Searcher

searcher = Searcher.load(sys.argv[1])
print(searcher.warm(), *(hit.rank for hit in searcher.search("university", k=3)))
"""


def test_what_serves_imports_and_answers_where_there_is_no_torch(made: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(made)], capture_output=True, text=True)
    assert done.stdout.split() == ["onnxruntime", "1", "2", "3"], done.stderr
