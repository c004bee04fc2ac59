"""Slices by script: which there are, and that page and command line show them."""

import numpy as np
import pytest

from honed.cli.terminal import print_scripts
from honed.core.records import JudgedTask
from honed.evaluate.page import environment, slices_shown
from honed.evaluate.results import Interval, SystemResult
from honed.evaluate.slices import FEW, script_slices, scripts_shown
from honed.shapes.judgments.compile import judged_task
from honed.shapes.judgments.config import JudgmentsConfig
from honed.shapes.judgments.read import Judgments
from honed.shapes.report_facts import scores_of_classes


def test_latin_is_a_slice_beside_others() -> None:
    texts = {"a": "Kyoto University", "b": "京都大学", "c": "МГУ (MSU)", "d": "2024", "e": "IBM 研究"}
    assert {name: sorted(ids) for name, ids in script_slices(texts).items()} == {
        "script:cyrillic": ["c"],
        "script:han": ["b"],
        "script:latin": ["a", "e"],
        "script:none": ["d"],
    }


@pytest.mark.parametrize(
    ("texts", "names"),
    [({}, []), ({"a": "one"}, []), ({"a": "one", "b": "7"}, ["script:none"]), ({"a": "Ω"}, ["script:greek"])],
)
def test_all_latin_has_no_slice_of_it(texts: dict[str, str], names: list[str]) -> None:
    assert list(script_slices(texts)) == names


def system(name: str, **sizes: int) -> SystemResult:
    value = Interval(mean=0.25, low=0.2, high=0.3)
    slices = {key.replace("_", ":"): {"n": size, "R@1": value} for key, size in sizes.items()}
    return SystemResult(name=name, measures={"R@1": value}, slices=slices)


def test_scripts_are_shown_apart_from_other_slices(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {f"city{n}": 1000 + n for n in range(20)}
    systems = [system("words", script_latin=FEW, script_han=FEW + 5, script_thai=FEW - 1, **sizes)]
    assert scripts_shown(systems) == [("script:han", FEW + 5), ("script:latin", FEW)]
    assert not [name for name, _ in slices_shown(systems) if name.startswith("script:")]
    assert len(slices_shown(systems)) == 12
    print_scripts(systems, "R@1")
    shown = capsys.readouterr().out
    assert "R@1 by script" in shown
    assert f"han (n={FEW + 5})" in shown
    assert f"latin (n={FEW})" in shown
    assert "25.0" in shown
    assert "thai" not in shown
    print_scripts([system("words", script_thai=3)], "R@1")
    assert capsys.readouterr().out == ""


def test_the_page_has_a_table_by_script() -> None:
    page = environment("honed.shapes").from_string(
        "{% import 'parts.html.j2' as parts with context %}{{ parts.slices(report, names, 'R@1', 20, 'script') }}"
    )
    systems = [system("words", script_latin=30, script_han=40)]
    shown = page.render(report={"systems": systems}, names=scripts_shown(systems), ours=None)
    assert "R@1 by script, in percent" in shown
    assert "script:han <small>n=40</small>" in shown
    assert "most letters" in shown


def judged(**queries: str) -> JudgedTask:
    judgments = Judgments(
        documents={}, queries=queries, grades={name: {} for name in queries}, splits=dict.fromkeys(queries, "test")
    )
    return judged_task(judgments, JudgmentsConfig(queries=("q.csv",), qrels=("r.csv",)), "t", "test")


def test_judged_queries_and_labelled_texts_have_slices_of_scripts() -> None:
    assert set(judged(a="大学", b="school").slices) == {"script:han", "script:latin"}
    assert judged(a="university", b="school").slices == {}
    scores = scores_of_classes("t", ["大学", "school"], np.array([0, 1]), ["one", "two"], [], 0)
    assert set(scores.task.slices) == {"one", "two", "script:han", "script:latin"}
