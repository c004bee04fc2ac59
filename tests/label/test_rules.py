"""Rules and lists: what they may do, what happens when they do anything else."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.core.errors import ConfigError, DataError
from honed.label.combine import combine
from honed.label.evidence import Evidence
from honed.label.lists import Matcher, TermList, check_lists, read_lists
from honed.label.run import RuleVotes, run_rules
from honed.label.statistics import rule_warnings
from tests.test_bad_inputs import FILE

ROWS = [{"id": f"r{number}", "title": "t", "text": "x" * number} for number in range(8)]
CLASSES = ["A", "B"]


def run(tmp_path: Path, code: str, *, rows: Any = ROWS, limit: float = 1.0) -> RuleVotes:
    (tmp_path / "rules.py").write_text(code)
    return run_rules(rows, CLASSES, [tmp_path / "rules.py"], [], time_limit=limit)


def test_decorated_functions_and_those_named_lf_vote(tmp_path: Path) -> None:
    code = (
        "from honed import rule\n@rule('A')\ndef long(row):\n    return len(row.text) > 5\n"
        "@rule\ndef either(row):\n    return 'B' if row['text'] == '' else None\n"
        "def lf_title(row):\n    return 'A' if row.title == 't' and row.get('none') == '' else None\n"
        "def helper(row):\n    return 'B'\n"
    )
    voted = run(tmp_path, code)
    assert voted.names == ["long", "either", "lf_title"]
    assert voted.problems == []
    assert voted.votes[:, 0].tolist() == [-1] * 6 + [0, 0]
    assert voted.votes[:, 1].tolist() == [1] + [-1] * 7
    assert (voted.votes[:, 2] == 0).all()


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("return 1 / 0 if row.id == 'r3' else None", "E_LF_RAISED", "lf_x at record r3: ZeroDivisionError"),
        ("exit(0)", "E_LF_RAISED", "SystemExit"),
        ("while row.id == 'r4': pass", "E_LF_TIMEOUT", "lf_x at record r4: took longer than 0.5 s"),
        ("import os; os._exit(7)", "E_LF_DIED", "ended its process (exit 7)"),
        ("return ['A']", "E_LF_TYPE", "got list ['A']"),
        ("return True", "E_LF_TYPE", "got bool"),
        ("return 'C'", "E_LF_LABEL", "'C' is not a class"),
        ("row.text = ''", "E_LF_MUTATION", "read-only"),
        ("row['text'] = ''", "E_LF_MUTATION", "read-only"),
        ("del row.text", "E_LF_MUTATION", "read-only"),
        ("import random; return random.choice('AB')", "E_LF_NONDETERMINISTIC", "asked again"),
        ("return sorted('AB', key=hash)[0]", "E_LF_NONDETERMINISTIC", "asked again"),
        ("seen.append(row.id); return 'A' if len(seen) % 2 else 'B'", "E_LF_NONDETERMINISTIC", "asked again"),
    ],
)
def test_a_broken_rule_is_named_with_its_record_and_the_others_vote(
    tmp_path: Path, body: str, code: str, said: str
) -> None:
    good = "seen = []\ndef lf_good(row):\n    return 'B'\ndef lf_after(row):\n    print('noise'); return 'A'\n"
    voted = run(tmp_path, f"{good}def lf_x(row):\n    {body}\n", limit=0.5)
    assert [problem.code for problem in voted.problems] == [code], voted.problems
    assert said in str(voted.problems[0])
    assert voted.names == ["lf_good", "lf_after", "lf_x"]
    assert voted.votes.tolist() == [[1, 0, -1]] * len(ROWS)


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("def lf_x(row)\n    return 1\n", "E_LF_SYNTAX", "rules.py, line 1"),
        ("import no_such_module\n", "E_LF_LOAD", "rules.py: ModuleNotFoundError"),
        ("import sys; sys.exit(1)\n", "E_LF_LOAD", "SystemExit"),
        ("import os; os._exit(1)\n", "E_LF_LOAD", "ended its process"),
        ("x = 1\n", "E_LF_NONE", "no rule"),
        ("from honed import rule\n@rule('C')\ndef a(row):\n    return True\n", "E_LF_LABEL", "'C' of rule a"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, code: str, error: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, code)
    assert caught.value.code == error
    assert said in caught.value.message


def test_rules_do_not_run_in_this_process(tmp_path: Path) -> None:
    voted = run(tmp_path, "import os\ndef lf_x(row):\n    os.environ['LF_WAS_HERE'] = '1'\n    return 'A'\n")
    assert voted.problems == []
    assert "LF_WAS_HERE" not in os.environ


def test_a_rule_that_splits_off_processes_does_not_confuse_or_outlive_the_run(tmp_path: Path) -> None:
    mark = f"{os.getpid()}.5"
    code = (
        "import os, subprocess\n"
        f"subprocess.Popen(['sleep', '{mark}'])\n"
        "def lf_x(row):\n    if row.id == 'r1': os.fork()\n    return 'A'\n"
    )
    voted = run(tmp_path, code)
    assert voted.problems == []
    assert (voted.votes[:, 0] == 0).all()
    for _ in range(50):
        alive = [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in _read(path)]
        if not alive:
            break
        time.sleep(0.1)
    assert alive == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_rules_may_use_modules_beside_them_and_dataclasses_and_not_hide_pythons_own(tmp_path: Path) -> None:
    (tmp_path / "types.py").write_text("raise RuntimeError('not this one')\n")
    (tmp_path / "words.py").write_text("LONG = 5\n")
    code = (
        "\ufefffrom __future__ import annotations\nfrom dataclasses import dataclass\nimport words\n"
        "@dataclass\nclass Limit:\n    n: int\n"
        "def lf_x(row):\n    return 'A' if len(row.text) > Limit(words.LONG).n else None\n"
    )
    voted = run(tmp_path, code)
    assert voted.problems == []
    assert voted.votes[:, 0].tolist() == [-1] * 6 + [0, 0]


def test_many_records_go_through_in_blocks(tmp_path: Path) -> None:
    rows = [{"id": str(number), "title": "", "text": str(number)} for number in range(5001)]
    voted = run(tmp_path, "def lf_x(row):\n    return 'A' if row.text.endswith('7') else None\n", rows=rows)
    assert np.flatnonzero(voted.votes[:, 0] >= 0).tolist() == list(range(7, 5001, 10))


# -- the collection of hostile inputs ---------------------------------------------------------------

CASES = (
    [case for line in FILE.read_text(encoding="utf-8").splitlines() if (case := json.loads(line))["area"] == "lf"]
    if FILE.is_file()
    else []
)


@pytest.mark.skipif(not CASES, reason=f"no collection of hostile inputs at {FILE}")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']}-{case['name']}")
def test_a_hostile_rule_has_its_outcome(case: dict[str, Any], tmp_path: Path) -> None:
    expected, path = case["expected"], tmp_path / case["filename"]
    path.write_text(case["payload"])
    rows = [{"id": f"r{number}", "title": "", "text": f"text {number}"} for number in range(3)]
    said = []
    try:
        voted = run_rules(rows, CLASSES, [path], [], time_limit=0.5)
        said = [f"{problem.code}: {problem}" for problem in voted.problems]
        said += [f"{warning.code}: {warning.message}" for warning in rule_warnings(voted)]
        if case["name"] == "lf_two_only":  # two votes can be counted; a model of two was asked for
            none = np.empty(0, dtype=np.int64)
            combine(Evidence(n_classes=2, votes=voted.votes, rows=none, classes=none), "label-model", 2)
    except DataError as error:
        said.append(str(error))
    assert any(expected["code"] in line and all(name in line for name in expected["names"]) for line in said), said
    assert (expected["outcome"] == "reject") == any(line.startswith("E_") for line in said)


# -- lists ------------------------------------------------------------------------------------------


def matches(text: str, **terms: Any) -> bool:
    return Matcher(TermList(label="A", name="l", **terms), "lists.toml")({"title": "", "text": text})


def test_words_stand_alone_and_ignore_case_and_line_breaks() -> None:
    assert matches("The NBA final", words=("nba",))
    assert not matches("inbalance", words=("nba",))
    assert matches("home\n run", words=("home run",))
    assert matches("written in C++!", words=("c++",))
    assert not matches("", words=("a",))
    assert not matches("anything")


@pytest.mark.parametrize(
    ("text", "word", "there"),
    [
        ("который", "кот", False),
        ("это кот.", "кот", True),
        ("Heizöl", "Öl", False),
        ("teures öl", "Öl", True),
        ("répétés", "été", False),
        ("cafe\u0301 noir", "café", True),
        ("new yorker", "new york", False),
        ("in New\nYork!", "new york", True),
        ("x c c", "c", True),
        ("C#", "C#", True),
        ("C#x", "C#", True),
    ],
)
def test_words_are_whole_in_any_script(text: str, word: str, there: bool) -> None:
    assert matches(text, words=(word,)) == there


def test_spans_are_the_terms_alone_also_side_by_side() -> None:
    matcher = Matcher(TermList(label="A", name="l", words=("cat", "dog"), patterns=("\\d+",)), "l")
    text = "cat dog cat 42"
    assert [text[start:end] for start, end in matcher.spans(text)] == ["cat", "dog", "cat", "42"]
    assert matcher.spans("concatenate") == []


def test_patterns_are_linear_and_counted() -> None:
    assert not matches("a" * 50_000 + "!", patterns=("(a+)+$",))
    assert matches("one two", words=("one", "two"), at_least=2)
    assert not matches("one one", words=("one", "two"), at_least=2)


def test_a_pattern_that_is_none_is_named() -> None:
    for pattern in ("(", "(?<=a)b"):
        with pytest.raises(ConfigError, match=r"E_LIST_PATTERN.*l: /"):
            matches("x", patterns=(pattern,))


def test_lists_are_read_from_toml_and_text_files(tmp_path: Path) -> None:
    (tmp_path / "l.toml").write_text('[[list]]\nlabel = "A"\nwords = ["x", "y"]\n')
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "B.txt").write_text("# comment\nword # why\n/p\\d+/\n\n")
    first, second = read_lists(tmp_path / "l.toml")[0], read_lists(folder)[0]
    assert (first.name, first.words) == ("A terms 1", ("x", "y"))
    assert (second.label, second.words, second.patterns) == ("B", ("word",), ("p\\d+",))


@pytest.mark.parametrize(
    ("toml", "code"),
    [
        ("[[list]]\n", "E_CONFIG_MISSING"),
        ('[[list]]\nlabel = "A"\nword = ["x"]\n', "E_CONFIG_KEY"),
        ("[rule]\n", "E_CONFIG_KEY"),
        ("[[list\n", "E_CONFIG_TOML"),
    ],
)
def test_a_wrong_list_file_says_what_is_wrong(tmp_path: Path, toml: str, code: str) -> None:
    (tmp_path / "l.toml").write_text(toml)
    with pytest.raises(ConfigError) as caught:
        read_lists(tmp_path / "l.toml")
    assert caught.value.code == code


def test_a_list_of_an_unknown_class_or_column_is_refused() -> None:
    for terms, code in (
        (TermList(label="AA", name="l"), "E_LF_LABEL"),
        (TermList(label="A", name="l", fields=("txet",)), "E_LIST_FIELD"),
    ):
        with pytest.raises(DataError) as caught:
            check_lists([terms], CLASSES, ["title", "text"])
        assert caught.value.code == code
        assert "did you mean" in caught.value.message
