"""Judged search from tables to report, search and bundle; and the hybrid retriever for both shapes that have it."""

import csv
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError
from honed.data.task import load_examples
from honed.project.update import UpdateOptions, update
from tests.data.test_endpoint import Model, said

ACTIONS = ("paint", "repair", "buy", "clean", "carry", "insure")
ASKED = (("xyz", "query"), ("how to paint any boat at home", "document"))
THINGS = ("boat", "fence", "piano", "kettle", "wall", "bicycle", "lamp", "carpet")


@pytest.fixture
def shop(tmp_path: Path, tiny_model: Path) -> Path:
    """48 documents, 96 queries with graded judgements, the tiny model and a quick training."""
    with (tmp_path / "docs.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["doc_id", "title", "text", "brand"])
        for a in ACTIONS:
            for t in THINGS:
                table.writerow([f"{a}-{t}", f"{a} a {t}", f"how to {a} any {t} at home", "acme" if a < "d" else ""])
    with (
        (tmp_path / "queries.csv").open("w", newline="") as file,
        (tmp_path / "qrels.csv").open("w", newline="") as out,
    ):
        queries, qrels = csv.writer(file), csv.writer(out)
        queries.writerow(["query_id", "query"])
        qrels.writerow(["query_id", "doc_id", "relevance"])
        for n, (a, t) in enumerate((a, t) for a in ACTIONS for t in THINGS):
            for form, text in enumerate((f"{t} {a}ing", f"can i {a} my {t}")):
                queries.writerow([f"q{n}-{form}", text])
                qrels.writerow([f"q{n}-{form}", f"{a}-{t}", 3])
                qrels.writerow([f"q{n}-{form}", f"{ACTIONS[(n // 8 + 1) % 6]}-{t}", 1 if form else 0])
    (tmp_path / "honed.toml").write_text(
        f"""
[paths]
input = ["docs.csv"]
[data]
shape = "judgments"
[data.columns]
id = "doc_id"
title = "title"
text = "text"
[model]
base = "{tiny_model.as_posix()}"
[judgments]
queries = ["queries.csv"]
qrels = ["qrels.csv"]
template = "{{brand}} {{title}}: {{text}}"
[judgments.grades]
0 = "wrong"
1 = "of some use"
3 = "right"
[baselines]
[mine]
encoder = "base"
[train]
epochs = 1
batch_size = 16
evaluations = 1
[index]
[hybrid]
[evaluate]
[gate]
gain_over_base = -1.0
"""
    )
    return tmp_path


def test_the_whole_way_of_judgments(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--quiet", "run", "--project", str(shop)]) == 0
    assert "points of nDCG@10" in capsys.readouterr().out
    project = Project(shop)
    report = project.report().as_dict()
    names = [each["name"] for each in report["systems"]]
    assert names[:3] == ["BM25, stemmed words", "TF-IDF, stemmed words", "base model"]
    assert set(names[3:]) == {"fine-tuned", "hybrid, learned", "hybrid, by ranks"}
    measures = report["systems"][0]["measures"]
    assert list(measures)[:2] == ["nDCG@10", "R@1"]
    assert 0 < measures["Judged@10"]["mean"] < 0.5  # two of ten at most
    assert report["gates"][0]["rule"].startswith("low bound of paired nDCG@10")
    assert report["audit"]["grades"] == {"0": 48, "1": 48, "3": 96}
    examples = load_examples(project.runner.latest_of("mine").path("examples.parquet"))
    assert {round(each.weight, 3) for each in examples} == {1.0, 0.333}
    check = {each.anchor: each for each in load_examples(project.runner.latest_of("check").path("examples.parquet"))}
    assert all(set(check[each.anchor].negatives) <= set(each.negatives) for each in examples)  # judged ones are kept
    page = project.runner.latest_of("evaluate").path("report.html").read_text()
    assert "Judged@10 is the share" in page
    assert "best possible" not in page
    (hit,) = project.search("boat painting", 1)
    assert hit.fields["title"]
    assert hit.text.startswith(("acme", hit.fields["title"]))
    bundle = shop / "bundle"
    assert run_command(["--quiet", "export", str(bundle), "--most-flips", "1", "--project", str(shop)]) == 0
    capsys.readouterr()
    assert run_command(["search", "--like", "paint-boat", "-k", "3", "--json", "--bundle", str(bundle)]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3
    assert run_command(["--quiet", "check", "--project", str(shop)]) == 0
    assert "48 documents, 96 queries, 192 judgements" in capsys.readouterr().out


def test_of_a_group_one_is_seen(shop: Path) -> None:
    file = shop / "honed.toml"
    file.write_text(file.read_text().replace("[index]\n", '[index]\ngroup_by = "brand"\n'))
    project = Project(shop)
    project.run(until="hybrid")
    hits = project.search("how to do anything at home", 48)
    brands = [hit.fields["brand"] for hit in hits]
    assert brands.count("acme") == 1
    assert brands.count("") == 48 - sum(a < "d" for a in ACTIONS) * len(THINGS)  # those of no group all stay
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    of_group = next(hit.doc_id for hit in hits if hit.fields["brand"] == "acme")
    like = project.searcher().similar(of_group, 48)
    assert {hit.fields["brand"] for hit in like} == {""}


def test_long_documents_are_searched_as_passages_and_judged_as_documents(shop: Path) -> None:
    table = (shop / "docs.csv").read_text().replace(" at home", " at home. Then rest. " + "Long story of no use. " * 3)
    (shop / "docs.csv").write_text(table)
    file = shop / "honed.toml"
    file.write_text(file.read_text().replace("[judgments]\n", "[judgments]\npassages = 12\noverlap = 3\n"))
    project = Project(shop)
    project.run()
    audit, report = project.audit().data, project.report().as_dict()
    assert audit["documents"] == 48
    assert audit["passages"] > 96
    assert report["n_candidates"] == audit["passages"]
    found = {each["name"]: each["measures"]["R@10"]["mean"] for each in report["systems"]}
    assert found["BM25, stemmed words"] > 0.5  # judgements name documents, and passages find them
    assert found["hybrid, learned"] > 0.5
    hits = project.search("paint my boat", 20)
    parents = [hit.fields["parent"] for hit in hits]
    assert len(set(parents)) == len(parents) == 20
    assert hits[0].doc_id.startswith(parents[0] + "#")
    examples = load_examples(project.runner.latest_of("check").path("examples.parquet"))
    assert not any(each.positive.startswith("Long story") for each in examples)


def test_changed_judgements_are_seen(shop: Path) -> None:
    before = Project(shop).run(until="check")["check"].key
    with (shop / "qrels.csv").open("a") as file:
        file.write("q0-0,insure-lamp,0\n")
    assert Project(shop).run(until="check")["check"].key != before


def test_the_shape_needs_its_section(shop: Path) -> None:
    text = (shop / "honed.toml").read_text()
    (shop / "honed.toml").write_text(text.replace("[judgments]\n", "[server]\n[judgment]\n", 1))
    with pytest.raises(ConfigError, match="judgment"):
        Project(shop)
    (shop / "honed.toml").write_text(text[: text.index("[judgments]")] + "[index]\n")
    with pytest.raises(ConfigError, match=r"\[judgments\] is missing"):
        Project(shop)


def test_names_have_a_hybrid_too(small_project: Path) -> None:
    file = small_project / "honed.toml"
    file.write_text(file.read_text().replace("[evaluate]", "[hybrid]\n[evaluate]"))
    Project(small_project).run()
    report = Project(small_project).report().as_dict()
    systems = {each["name"]: each["measures"]["R@10"]["mean"] for each in report["systems"]}
    lexical = [value for name, value in systems.items() if name.startswith(("BM25", "TF-IDF", "initials"))]
    assert systems["hybrid, learned"] >= max(lexical) - 0.05  # the tiny model knows nothing, and is not trusted
    parts = [
        each["name"] for each in Project(small_project).runner.latest_of("hybrid").read_json("hybrid.json")["parts"]
    ]
    assert parts[:6] == ["words", "TF-IDF", "overlap", "letters", "initials", "beginnings"]
    assert set(parts[6:]) <= {"romanised", "sounds", "translated"}  # some names are in other scripts
    assert {"hybrid, learned + known names", "hybrid, by ranks"} <= set(systems)


def test_of_more_queries_than_asked_for_a_fixed_draw_is_measured(small_project: Path) -> None:
    file, plan = (
        small_project / "honed.toml",
        {stage.stage.name: stage.key.key for stage in Project(small_project).plan()},
    )
    text = file.read_text()
    file.write_text(text.replace("[evaluate]", "[evaluate]\nqueries = 25000"))
    assert {stage.stage.name: stage.key.key for stage in Project(small_project).plan()} == plan  # as usual
    section = text[text.index("[evaluate]") :]
    file.write_text(
        text.replace("[train]\nepochs = 2", "[train]\nepochs = 1").replace(section, "[evaluate]\nqueries = 100\n")
    )
    changed = {
        stage.stage.name for stage in Project(small_project).plan() if stage.key.key != plan.get(stage.stage.name)
    }
    assert {"baselines", "evaluate"} <= changed and "check" not in changed
    Project(small_project).run()
    report = Project(small_project).report()
    assert (report.n_queries, report.drawn_from > 100) == (100, True)
    assert (
        f"a fixed draw of {report.drawn_from}"
        in Project(small_project).runner.latest_of("evaluate").path("report.html").read_text()
    )


def test_whether_there_is_an_answer_stands_in_the_report(
    small_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = small_project / "honed.toml"
    file.write_text(file.read_text().replace("[evaluate]", "[hybrid]\n[answers]\ncoverage = 0.5\n[evaluate]"))
    assert run_command(["--quiet", "run", "--project", str(small_project)]) in (0, 1)
    assert "is there an answer: AUROC" in capsys.readouterr().out
    known = Project(small_project).report().as_dict()["answers"]
    assert 0.5 < known["auroc"] <= 1
    assert known["sets"]["mean_size"] >= 1
    assert "Is there an answer?" in Project(small_project).runner.latest_of("evaluate").path("report.html").read_text()


def test_a_language_model_may_write_queries_and_passages(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model()
    threading.Thread(target=model.serve_forever, daemon=True).start()
    model.answers = [said("a thing to mend\nhelp for it")]
    file = shop / "honed.toml"
    written = 'synthetic = 2\nsynthetic_kinds = ["endpoint"]\nsynthetic_documents = 5\n'
    section = f'[endpoint]\nurl = "{model.url}"\nmodel = "m"\n'
    text = file.read_text().replace("[judgments]\n", f"{section}[judgments]\n{written}")
    file.write_text(text)
    project = Project(shop)
    assert run_command(["--quiet", "check", "--project", str(shop)]) == 0
    assert model.asked == []  # an audit asks nobody
    capsys.readouterr()
    made = project.run(until="queries")["queries"]
    assert made.manifest.facts["spent"].startswith("endpoint: 5 requests")
    examples = load_examples(made.path("examples.parquet"))
    assert sum(example.source == "synthetic" for example in examples) == 10
    project.run(until="hybrid")
    model.answers = [said("how to paint any boat at home")]
    assert run_command(["search", "xyz", "--hyde", "--project", str(shop), "--json", "-k", "3"]) == 0
    found = capsys.readouterr()
    assert "endpoint: 1 requests" in found.err
    query, passage = (project.searcher().encoder.encode([text], role)[0] for text, role in ASKED)
    middle = (query + passage) / np.linalg.norm(query + passage)
    hits = {hit["doc_id"]: hit["cosine"] for hit in json.loads(found.out)}
    assert hits  # cosines with the middle of query and passage
    for doc_id, cosine in hits.items():
        text_of = next(hit.text for hit in project.search("home", 48) if hit.doc_id == doc_id)
        vector = project.searcher().encoder.encode([text_of], "document")[0]
        assert cosine == pytest.approx(float(vector @ middle), abs=1e-3)
    file.write_text(text.replace(section, ""))
    with pytest.raises(ConfigError, match=r"needs \[endpoint\]"):
        Project(shop)
    model.shutdown()
    model.server_close()


def test_the_report_says_that_a_query_s_own_document_is_left_out(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (shop / "docs.csv").open("a", newline="") as documents, (shop / "queries.csv").open() as queries:
        csv.writer(documents).writerows([row["query_id"], "", row["query"], ""] for row in csv.DictReader(queries))
    file = shop / "honed.toml"
    before, _, after = file.read_text().partition("[mine]")
    file.write_text(f"{before.replace('{brand} {title}: {text}', '{title} {text}')}[evaluate]\n")
    assert after
    assert run_command(["--quiet", "run", "--project", str(shop)]) == 0
    project = Project(shop)
    report = project.report().as_dict()
    line = (
        f"{report['n_queries']} of {report['n_queries']} test queries are documents themselves: each query's own "
        "document is left out of its ranking"
    )
    assert report["own_documents"] == report["n_queries"] > 0
    assert line in capsys.readouterr().out
    page = project.runner.latest_of("evaluate").path("report.html").read_text()
    assert line.replace("'", "&#39;") in page


def test_new_documents_queries_and_judgements_are_taught(shop: Path) -> None:
    project = Project(shop)
    project.run()
    before = project.runner.latest_of("train").key
    new = {
        "docs2.csv": [
            "doc_id,title,text,brand",
            *(f"wash-{t},wash a {t},how to wash any {t} at home," for t in THINGS),
        ],
        "queries2.csv": ["query_id,query", *(f"w{n},{t} washing" for n, t in enumerate(THINGS))],
        "qrels2.csv": ["query_id,doc_id,relevance", *(f"w{n},wash-{t},3" for n, t in enumerate(THINGS))],
    }
    for name, lines in new.items():
        (shop / name).write_text("\n".join(lines) + "\n")
    done = update(project, [shop / name for name in new], UpdateOptions(tolerance=0.9))
    assert done.new_examples >= 4
    assert all(gate.passed for gate in done.gates)
    assert project.runner.latest_of("train").key != before
    assert project.search("wash a boat", 48)
    assert any(hit.doc_id == "wash-boat" for hit in project.search("washing a boat", 20))
    with pytest.raises(ConfigError, match=r"has learned docs2\.csv, queries2\.csv, qrels2\.csv by  honed update"):
        Project(shop).run()
    text = (shop / "honed.toml").read_text()
    for name in new:
        old = name.replace("2", "")
        text = text.replace(f'["{old}"]', f'["{old}", "{name}"]')
    (shop / "honed.toml").write_text(text)
    assert Project(shop).plan()
