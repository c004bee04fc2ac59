"""What a process imports on its way to a first answer: every module there is paid for by every start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys
import numpy, tokenizers
before = set(sys.modules)
from honed import Searcher
assert Searcher.load(sys.argv[1]).search("university", k=2)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
# of other packages and of Python, beside what numpy and tokenizers import
OTHERS = {
    "Stemmer", "_ast", "_bisect", "_blake2", "_hashlib", "_opcode", "ast", "base64", "binascii", "bisect", "copy",
    "cython_runtime", "dataclasses", "dis", "errno", "fnmatch", "hashlib", "hmac", "honed", "importlib", "inspect",
    "ipaddress", "keyword", "linecache", "mmap", "ntpath", "numpy", "opcode", "pathlib", "threading", "token",
    "tokenize", "unicodedata", "urllib", "zlib",
}  # fmt: skip
CORE = {
    "errors", "filters", "fingerprint", "json", "optional", "plain", "protocols", "ranking", "records", "registry",
    "sections", "tensors", "text", "user_folder", "version",
}  # fmt: skip
ENCODE = {"architectures", "bulk_tokens", "numpy_encoder", "onnx_file", "static_encoder", "tokens"}
INDEX = {"blend", "clusters", "codes", "exact", "lists", "settings", "stored"}
HYBRID = {
    "_kernel", "analysis", "answers", "field_values", "fusion", "hybrid", "kernel", "languages", "mentions",
    "name_evidence", "name_forms", "other_scripts", "parts", "postings", "risk", "romanise", "translation", "windows",
}  # fmt: skip
BUNDLE = {"encoder", "layout", "load", "manifest", "names", "note", "reranker", "seal", "tokenizer"}
SEARCH = {"catalogue", "hits", "nearest", "request", "scores", "searcher", "source"}
ROOMS = {"core": CORE, "encode": ENCODE, "index": INDEX, "bundle": BUNDLE, "search": SEARCH}
WITH_HYBRID = {**ROOMS, "core": CORE | {"absence"}, "index": INDEX | HYBRID, "search": SEARCH | {"hybrid"}}


def imported(bundle: Path) -> list[str]:
    """The modules that a fresh process imports beside numpy and tokenizers until it has answered from a bundle."""
    usual = {name: value for name, value in os.environ.items() if name != "HONED_ENGINE"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(bundle)], capture_output=True, text=True, check=True, env=usual
    )
    names: list[str] = json.loads(done.stdout)
    return names


@pytest.mark.parametrize(("bundle", "rooms"), [("made", ROOMS), ("whole", WITH_HYBRID)])
def test_a_first_answer_imports_nothing_that_it_does_not_need(
    bundle: str, rooms: dict[str, set[str]], request: pytest.FixtureRequest
) -> None:
    names = imported(request.getfixturevalue(bundle))
    others = {name.split(".")[0] for name in names if not name.startswith("_cython_")}  # of Stemmer
    assert others <= OTHERS
    ours = {f"honed.{room}.{name}" for room, modules in rooms.items() for name in modules}
    assert {name for name in names if name.startswith("honed.") and name.count(".") == 2} <= ours
    assert "numpy.ma" not in names
