"""The stages: each a name, a version, what it reads, and one ``run``."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from honed.config.sections import Config, GateSection
from honed.core.artifacts import Artifact, write_json
from honed.core.errors import DataError
from honed.core.fingerprint import sha256_file
from honed.core.records import JudgedTask, Run
from honed.data import importer, task
from honed.data.endpoint import Endpoint, written_queries
from honed.data.tables import table_files
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.html import render_report
from honed.evaluate.measures import DEFAULT_MEASURES, JUDGED_MEASURES, REVERSE_MEASURES, Measure
from honed.evaluate.runs import load_runs, save_run
from honed.evaluate.score import Gate, TaskScores, agreement, judge_limit, task_ceiling
from honed.project.endpoint import open_endpoint
from honed.search.measure import index_recall, query_times
from honed.shapes.aliases import audit
from honed.shapes.aliases import catalogue as aliases
from honed.shapes.judgments.judgments import (
    JudgmentsConfig,
    audit_judgments,
    judged_examples,
    judged_task,
    read_judgments,
)
from honed.shapes.judgments.passages import PARENT
from honed.shapes.judgments.synthetic import Write
from honed.shapes.labels import labeling as labelling
from honed.shapes.labels import similar
from honed.shapes.labels.records import whole_text
from honed.shapes.relations import compile as relations
from honed.shapes.relations import explain as explaining
from honed.shapes.relations import retrieval
from honed.shapes.relations.sentences import audit_sentences
from honed.stages import distil as distilling
from honed.stages import hybrid, training
from honed.stages.distil import STUDENT_FILE
from honed.stages.headroom import HEADROOM, headroom, headroom_key, judged_after
from honed.stages.latency import QUERIES, latencies
from honed.stages.reports import BASE, NAMES, RERANKED, STUDENT, TUNED, depth_of, language_of, made, seed_of
from honed.stages.searching import open_searcher
from honed.stages.stage import (
    SHIPPED,
    Stage,
    Work,
    base_encoder,
    judged,
    model_key,
    sampled,
    stored_vectors,
    trained_encoder,
)
from honed.stages.systems import encoder_run, lexical_runs, reranked, with_known_names, word_runs

_TELL_EVERY = 50
log = logging.getLogger("honed")
_SLICE = 100  # queries that a slice needs for a gate
R1 = Measure("R", 1)


# -- import --------------------------------------------------------------------------------------


def input_files(config: Config, root: Path) -> list[Path]:
    """Return the user's files, in a stable order."""
    return [file for each in config.paths.input for file in table_files(root / each)]


def _import_key(config: Config, root: Path) -> Mapping[str, Any]:
    paths = input_files(config, root)
    files = [(Path(os.path.relpath(path, root)).as_posix(), sha256_file(path)) for path in paths]
    for name, expected in config.data.sha256.items():
        found = [digest for path, digest in files if name in (path, Path(path).name)]
        if found != [expected]:
            shown = " and ".join(found) or "of no input file"
            raise DataError("E_CHECKSUM", f"{name}: sha256 is {shown}, data.sha256 says {expected}")
    return {"files": files, **config.data.import_config().key()}


def _import(work: Work) -> Mapping[str, Any]:
    config = work.config.data.import_config()
    paths = [work.root / each for each in work.config.paths.input]
    output = work.root / work.config.paths.output
    try:
        books = importer.Importer(config).run(paths, work.folder)
    except DataError as error:
        rejects = output / importer.REJECTS
        if (work.folder / importer.REJECTS).is_file():
            (work.folder / importer.REJECTS).replace(rejects)
        shutil.rmtree(work.folder)
        raise DataError(error.code, error.message.replace(str(work.folder / importer.REJECTS), str(rejects))) from None
    return {"rows_in": books.rows_in, "accepted": books.accepted, "rejected": books.rejected}


# -- check ---------------------------------------------------------------------------------------


def _check_key(config: Config, root: Path) -> Mapping[str, Any]:
    return {
        "shape": config.data.shape,
        "has_ids": "id" in config.data.columns,
        "has_splits": "split" in config.data.columns,
        "quarantine": config.data.on_bad_row == "quarantine",
        "declared": bool(config.data.labels),
        "weak": config.label is not None,
        "slice_by": list(config.data.slice_by),
        "split": asdict(config.split),
        "base": config.model.base,
        **_judgments_key(config, root),
    }


def _judgments_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the judgements: the section, and what is in its files."""
    if config.judgments is None:
        return {}
    files = [root / each for each in (*config.judgments.queries, *config.judgments.qrels)]
    found = [file for each in files for file in (table_files(each) if each.is_dir() else [each])]
    settings = asdict(config.judgments)
    if not config.judgments.passages:  # as before there were any
        del settings["passages"], settings["overlap"]
    if not config.judgments.synthetic_documents:
        del settings["synthetic_documents"]
    if config.writes_queries and config.endpoint is not None:
        asked = ("url", "model", "answer_tokens", "temperature")
        settings["endpoint"] = {name: getattr(config.endpoint, name) for name in asked}
    return {"judgments": settings, "files": [(file.name, sha256_file(file)) for file in found]}


def _check(work: Work) -> Mapping[str, Any]:
    imported, unknown = work.inputs["import"].folder, _unknown_to(work.config)
    if work.config.data.shape == "labels":
        records = importer.each_record(imported)
        found = audit.audit_labels(
            ({**record, "text": whole_text(record["title"], record["text"])} for record in records),
            has_splits="split" in work.config.data.columns,
            declared=bool(work.config.data.labels),
            unknown=unknown,
            weak=work.config.label is not None,
        )
    elif work.config.judgments is not None:
        found = _check_judgments(work, work.config.judgments)
    elif work.config.data.shape == "relations":
        sentences = relations.sentences_of(work)
        found = audit_sentences(sentences)
        ids, texts = [each.sentence_id for each in sentences], [each.text for each in sentences]
        task.save_records(work.folder, ids, texts, [{"label": each.relation} for each in sentences])
    else:
        found = _check_aliases(work, importer.read_records(imported), unknown)
    accounting = work.inputs["import"].read_json(importer.ACCOUNTING)
    write_json(work.folder / "audit.json", {"import": accounting, **found})
    return {"findings": {name: each["count"] for name, each in found["findings"].items()}}


def _check_aliases(work: Work, records: list[dict[str, str]], unknown: Callable[[str], bool] | None) -> dict[str, Any]:
    data = work.config.data
    catalogue = aliases.build_catalogue(
        records, has_ids="id" in data.columns, quarantine=data.on_bad_row == "quarantine"
    )
    if not catalogue.pairs:
        raise DataError("E_EMPTY", "no usable (alias, label) pair in the data; see the findings of  honed check")
    aliases.check_slices(catalogue, data.slice_by)
    given = aliases.given_splits(records, catalogue) if "split" in data.columns else None
    splits = aliases.split_pairs(catalogue, work.config.split.split_config(), given)
    task.save_examples(work.folder / "examples.parquet", task.alias_examples(catalogue, splits))
    task.save_names(work.folder, catalogue, task.alias_names(catalogue, splits))
    for (_, split), each in task.alias_tasks(catalogue, splits, data.slice_by).items():
        task.save_task(work.folder, each, split)
    return audit.audit_aliases(catalogue, splits, data.slice_by, unknown)


def _check_judgments(work: Work, config: JudgmentsConfig) -> dict[str, Any]:
    form = work.config.data.import_config().format
    records = importer.each_record(work.inputs["import"].folder)
    found = read_judgments(records, config, work.root, form, work.config.split.split_config(), work.config.data.columns)
    endpoint = open_endpoint(work.config, work.root) if work.config.writes_queries else None
    write = _told(endpoint) if endpoint else None
    task.save_examples(work.folder / "examples.parquet", judged_examples(found, config, write))
    task.save_documents(work.folder, list(found.documents.values()))
    for split in ("dev", "test"):
        task.save_task(work.folder, judged_task(found, config, task.FORWARD, split), split)
    asked = {"endpoint": str(endpoint.spent)} if endpoint else {}
    return {**audit_judgments(found), **asked}


def _told(endpoint: Endpoint) -> Write:
    """Return what writes queries for a text, and tells every now and then what that took so far."""

    def write(text: str, n: int) -> list[str]:
        found = written_queries(endpoint, text, n)
        done = endpoint.spent.requests + endpoint.spent.kept
        if done % _TELL_EVERY == 0:
            log.info("%s", endpoint.spent)
        return found

    return write


def _unknown_to(config: Config) -> Callable[[str], bool] | None:
    """Return a test for texts that the base model's tokenizer knows nothing of, where the model is on disk."""
    from honed.encode.base_models import local_folder
    from honed.encode.wordpieces import unknown_text

    folder = local_folder(config.model.base)
    return unknown_text(folder) if folder else None


# -- baselines -----------------------------------------------------------------------------------


def _baselines_key(config: Config, root: Path) -> Mapping[str, Any]:
    baselines = asdict(config.baselines) if config.baselines else {}
    return {**baselines, "k": depth_of(config), "model": model_key(config, root)}


def _directions(config: Config) -> tuple[str, ...]:
    return (task.FORWARD,) if config.data.shape == "judgments" else task.DIRECTIONS


def _baselines(work: Work) -> Mapping[str, Any]:
    encoder, k = base_encoder(work.config), depth_of(work.config)
    for direction in _directions(work.config):
        test = judged(work, direction, "test")
        if direction == task.FORWARD:
            runs = _lexical(work, test, k)
        else:
            runs = lexical_runs(test, (), language_of(work.config), k)
        for run in [*runs, encoder_run(BASE, encoder, test, k)]:
            save_run(work.folder / "runs" / direction, run)
    return {"base": encoder.spec.as_dict()}


def _lexical(work: Work, asked: JudgedTask, k: int) -> list[Run]:
    """Return the runs of the systems that need no model."""
    language = language_of(work.config)
    if work.config.data.shape == "judgments":
        return word_runs(asked, language, k)
    return lexical_runs(asked, task.load_names(work.inputs["check"].folder), language, k)


# -- index ---------------------------------------------------------------------------------------


def _index_key(config: Config, root: Path) -> Mapping[str, Any]:
    return {"index": config.index.settings() if config.index else None, "model": model_key(config, root)}


def _index(work: Work) -> Mapping[str, Any]:
    source_of_names = next(work.inputs[name] for name in ("retrieval", "label", "check") if name in work.inputs).folder
    names = task.load_names(source_of_names)
    texts = list(dict.fromkeys(name.text for name in names))
    encoder = trained_encoder(work.config, work.inputs)
    vectors = encoder.encode(texts, "document")
    np.save(work.folder / "vectors.npy", vectors, allow_pickle=False)
    task.write_rows(work.folder / "texts.parquet", [{"text": text} for text in texts], task.TEXTS)
    for file in ("names.parquet", "entities.parquet"):
        shutil.copyfile(source_of_names / file, work.folder / file)
    source: dict[str, Any] = {"base": asdict(work.config.model)}
    made = next((name for name in SHIPPED if name in work.inputs), None)
    if made:
        model = f"../../{made}/{work.inputs[made].key}/model"
        source = {"model": model, "precision": work.config.model.precision}
    write_json(work.folder / "encoder.json", {**source, "spec": encoder.spec.as_dict()})
    settings = work.config.index.settings() if work.config.index else {}
    if work.config.judgments is not None and work.config.judgments.passages:
        settings.setdefault("group_by", PARENT)
    write_json(work.folder / "index.json", settings)
    return {"strings": len(texts), "dim": encoder.spec.dim}


# -- evaluate ------------------------------------------------------------------------------------


def _evaluate_key(config: Config, root: Path) -> Mapping[str, Any]:
    return {
        "retrieval": asdict(config.retrieval) if config.retrieval else None,
        "answers": asdict(config.answers) if config.answers else None,
        "language": language_of(config),
        "evaluate": asdict(config.evaluate) if config.evaluate else None,
        "gate": asdict(config.gate) if config.gate else None,
        "protocol": config.split.protocol,
        "model": model_key(config, root),
    }


def _evaluate(work: Work) -> Mapping[str, Any]:
    if retrieval.is_retrieval(work.config):
        return retrieval.evaluate(work)
    if work.config.data.shape == "labels":
        return similar.evaluate(work)
    directions = {name: _evaluate_direction(work, name) for name in _directions(work.config)}
    main, mined = directions[task.FORWARD], ("rescore", "mine")
    report = {
        **made(work, work.config.split.protocol),
        "direction": "query-to-document" if work.config.data.shape == "judgments" else task.FORWARD,
        "headline": [str(_measures(work.config, task.FORWARD)[0])],
        **main,
        "reverse": {"direction": task.REVERSE, **directions[task.REVERSE]} if task.REVERSE in directions else None,
        **_asked_one_by_one(work),
        "headroom": _headroom_after(work, main),
        "mining": next((work.inputs[each].read_json("mining.json") for each in mined if each in work.inputs), None),
        "model": work.inputs["baselines"].manifest.facts["base"] if "baselines" in work.inputs else None,
    }
    write_json(work.folder / "report.json", report)
    (work.folder / "report.html").write_text(render_report(report), encoding="utf-8")
    return {"gates": report["gates"]}


def _asked_one_by_one(work: Work) -> dict[str, Any]:
    """Return how well it is known whether a first hit is right, and what a query takes."""
    if "index" not in work.inputs:
        return {"answers": None, "latency": None}
    settings, test = work.config.answers, judged(work, task.FORWARD, "test")
    fused, timed = "hybrid" in work.inputs, work.config.evaluate is not None and work.config.evaluate.latency
    searcher = hybrid.searcher_of(work) if fused else open_searcher(work.inputs["index"].folder)
    seed, known = seed_of(work.config), hybrid.known_names(work.inputs["check"].folder)
    texts = [query.text for query in sampled(test, QUERIES, seed).queries]
    return {
        "answers": hybrid.judged_answers(searcher, test, settings, seed, known) if settings and fused else None,
        "latency": latencies(searcher, work.inputs, hybrid.LEARNED, texts) if timed else None,
    }


def _headroom_after(work: Work, report: Mapping[str, Any]) -> dict[str, Any] | None:
    if "headroom" not in work.inputs:
        return None
    before = work.inputs["headroom"].read_json(HEADROOM)
    gains = [
        each["difference"]
        for each in report["comparisons"]
        if (each["candidate"], each["reference"], each["measure"]) == (TUNED, BASE, str(R1))
    ]
    return judged_after(before, gains[0]) if gains else dict(before)


def _measures(config: Config, direction: str) -> tuple[Measure, ...]:
    if config.data.shape == "judgments":
        return JUDGED_MEASURES
    return DEFAULT_MEASURES if direction == task.FORWARD else REVERSE_MEASURES


def _evaluate_direction(work: Work, direction: str) -> dict[str, Any]:
    k = depth_of(work.config)
    test = judged(work, direction, "test")
    forward = direction == task.FORWARD
    measures = _measures(work.config, direction)
    scores = TaskScores(test, measures, seed=seed_of(work.config))
    baselines = load_runs(work.inputs["baselines"].folder / "runs" / direction) if "baselines" in work.inputs else []
    ours = _our_runs(work, test, k, forward=forward)
    if forward and "hybrid" in work.inputs:
        ours += hybrid.hybrid_runs(work, test, k)
        if work.config.data.shape == "aliases":
            learned = next(run for run in ours if run.name == hybrid.LEARNED)
            names = task.load_names(work.inputs["check"].folder)
            ours.append(with_known_names(learned.name + NAMES, learned, test, names, k))
    for run in [*baselines, *ours]:
        scores.add(run)
    for run in ours:
        save_run(work.folder / "runs" / direction, run)
    if forward:
        scores.save(work.folder)
    lexical = [run.name for run in baselines if run.name != BASE]
    by_name = {run.name: run for run in ours}
    same = agreement(by_name[TUNED], by_name[STUDENT], scores.query_ids) if forward and STUDENT in by_name else None
    return {
        "n_queries": len(test.queries),
        "n_candidates": len(test.corpus),
        "ceiling": round(task_ceiling(test), 5) if forward and work.config.data.shape == "aliases" else None,
        "systems": scores.systems(),
        "comparisons": _comparisons(scores, lexical, measures),
        "student": None if same is None else _student(work, scores, same),
        "gates": _gates(work, scores, lexical, same) if forward else [],
    }


def _our_runs(work: Work, test: JudgedTask, k: int, *, forward: bool) -> list[Run]:
    """Return the runs of what was trained: the teacher, the student, and what is shipped with its known names."""
    if "index" not in work.inputs or "train" not in work.inputs:
        return []
    vectors = stored_vectors(work.inputs["index"].folder)
    runs = []
    if "distil" in work.inputs:
        runs.append(encoder_run(TUNED, trained_encoder(work.config, work.inputs, stages=("train",)), test, k))
    shipped = trained_encoder(work.config, work.inputs)
    runs.append(encoder_run(STUDENT if runs else TUNED, shipped, test, k, stored=vectors))
    first = runs[-1]
    if forward and "cross_encoder" in work.inputs and work.config.cross_encoder:
        scorer = hybrid.cross_encoder_of(work)
        depth = work.config.cross_encoder.depth
        wide = first if depth <= k else encoder_run(first.name, shipped, test, depth, stored=vectors)
        runs.append(reranked(first.name + RERANKED, wide, test, scorer, depth))
    if forward and work.config.data.shape == "aliases":
        names = task.load_names(work.inputs["check"].folder)
        runs.append(with_known_names(first.name + NAMES, first, test, names, k))
    return runs


def _comparisons(scores: TaskScores, lexical: list[str], measures: Any) -> list[dict[str, Any]]:
    first = measures[0]
    references = [name for name in (BASE, scores.best(lexical, first) if lexical else "") if name in scores.scores]
    pairs = [(TUNED, name) for name in references if TUNED in scores.scores]
    pairs += [(name, name.removesuffix(RERANKED)) for name in scores.scores if name.endswith(RERANKED)]
    if STUDENT in scores.scores:
        pairs += [(STUDENT, name) for name in (TUNED, *references)]
    if hybrid.LEARNED in scores.scores:
        shipped = [name for name in (STUDENT, TUNED) if name in scores.scores][:1]
        pairs += [(hybrid.LEARNED, name) for name in (*shipped, *references, hybrid.RANKS)]
    return [scores.compare(*pair, measure) for pair in pairs for measure in measures]


def _student(work: Work, scores: TaskScores, same: Any) -> dict[str, Any]:
    """Return how the student stands to its teacher: agreement of first hits, sizes, times, and how it was chosen."""
    return {
        "agreement": scores.bootstrap.intervals(same[:, None])[0].as_dict(),
        **work.inputs["distil"].read_json(STUDENT_FILE),
    }


def _gates(work: Work, scores: TaskScores, lexical: list[str], same: Any) -> list[dict[str, Any]]:
    """Return the judged gates; ``same`` tells for each query whether student and teacher share the first hit."""
    rules = work.config.gate
    if rules is None:
        return []
    first = scores.measures[0]
    gates = [Gate(name="gain over base", candidate=TUNED, reference=BASE, measure=first, bound=rules.gain_over_base)]
    if rules.gain_over_best_baseline is not None and lexical:
        bound, best = rules.gain_over_best_baseline, scores.best(lexical, first)
        gates.append(Gate(name="gain over best baseline", candidate=TUNED, reference=best, measure=first, bound=bound))
    ship, reference = (TUNED, BASE) if same is None else (STUDENT, TUNED)
    if same is not None:
        gates.append(Gate.at_most_lost("student", ship, reference, first, rules.student_gap))
    if rules.slice_gap is not None:
        for part, ids in scores.task.slices.items():
            if len(ids) >= _SLICE:
                gates.append(Gate.at_most_lost(f"slice {part}", ship, reference, first, rules.slice_gap, part=part))
    found = scores.judge(gates)
    if same is not None:
        what = "the share of first hits that student and teacher share"
        found.append(scores.judge_mean("agreement", what, same, at_least=rules.agreement))
    return found + _shipping_gates(work, rules, scores)


def _shipping_gates(work: Work, rules: GateSection, scores: TaskScores) -> list[dict[str, Any]]:
    """Return the gates on what is shipped: the size of its weights, the time of a query, the index."""
    if rules.size_mb is None and rules.latency_ms is None and rules.index_recall is None:
        return []
    found = []
    index = open_searcher(work.inputs["index"].folder)
    if rules.size_mb is not None:
        from honed.train.students import size_in_mb

        model: Any = index.encoder
        found.append(judge_limit("size", "MB of weights in int8", size_in_mb(model.model), at_most=rules.size_mb))
    if rules.latency_ms is not None:
        times = query_times(index, [query.text for query in scores.task.queries[:200]])
        found.append(
            judge_limit(
                "latency",
                "ms from text to 10 hits, with PyTorch on this machine (mean of 200 queries)",
                float(times.mean()),
                at_most=rules.latency_ms,
                high=Bootstrap([str(row) for row in range(len(times))]).intervals(times[:, None])[0].high,
            )
        )
    if rules.index_recall is not None:
        vectors = index.encoder.encode([query.text for query in scores.task.queries], "query")
        shares = index_recall(index, vectors, 10)
        what = "index recall, the share of the exact 10 nearest that the index finds"
        found.append(scores.judge_mean("index recall", what, shares, at_least=rules.index_recall))
    return found


def _always(_: Config) -> bool:
    return True


def _labels(config: Config) -> bool:
    learns = config.train is not None or config.index is not None
    return config.label is not None or (config.data.shape == "labels" and learns)


def _searches(config: Config) -> bool:
    return retrieval.is_retrieval(config) and config.index is not None


def _drafts(config: Config) -> bool:
    return config.mine is not None and config.mine.encoder == "tuned" and config.train is not None


def _forecast(config: Config) -> bool:
    return config.train is not None and config.baselines is not None and config.data.shape == "aliases"


def _encodes(config: Config) -> bool:
    return config.label is not None and (config.label.learner != "none" or config.evaluate is not None)


def _pairs(section: str) -> Callable[[Config], bool]:
    return lambda config: getattr(config, section) is not None and config.data.shape in ("aliases", "judgments")


def _has(section: str) -> Callable[[Config], bool]:
    return lambda config: getattr(config, section) is not None


def _stage(name: str, needs: str, key: Any, run: Any, **more: Any) -> Stage:
    return Stage(**{"name": name, "version": 1, "needs": tuple(needs.split()), "key": key, "run": run, **more})


STAGES: tuple[Stage, ...] = (
    _stage("import", "", _import_key, _import, wanted=_always),
    _stage("check", "import", _check_key, _check, wanted=_always),
    _stage("encode", "import check", labelling.vectors_key, labelling.vectors, wanted=_encodes),
    _stage("label", "import check encode", labelling.label_key, labelling.label, wanted=_labels),
    _stage("triplets", "import check", relations.triplets_key, relations.triplets, wanted=_has("triplets")),
    _stage("retrieval", "import check label", retrieval.texts_key, retrieval.texts, wanted=_searches),
    _stage("baselines", "check", _baselines_key, _baselines, version=2, wanted=_pairs("baselines")),
    _stage("headroom", "check", headroom_key, headroom, wanted=_forecast),
    _stage("draft", "check", training.draft_key, training.draft, wanted=_drafts, resumes=True),
    _stage("mine", "check draft", training.mine_key, training.mine, wanted=_has("mine")),
    _stage(
        "cross_encoder",
        "check draft mine",
        training.cross_encoder_key,
        training.cross_encoder,
        wanted=_has("cross_encoder"),
        resumes=True,
    ),
    _stage(
        "rescore",
        "check mine cross_encoder",
        training.rescore_key,
        training.rescore,
        wanted=lambda config: config.wants_scores,
    ),
    _stage(
        "train",
        "import check encode label triplets mine rescore",
        training.train_key,
        training.train,
        version=3,
        wanted=_has("train"),
        resumes=True,
    ),
    _stage(
        "distil",
        "check mine rescore train",
        distilling.distil_key,
        distilling.distil,
        wanted=_has("distil"),
        resumes=True,
    ),
    _stage("index", "check label retrieval train distil", _index_key, _index, wanted=_has("index")),
    _stage(
        "hybrid",
        "check cross_encoder train distil index",
        hybrid.hybrid_key,
        hybrid.hybrid,
        version=3,
        wanted=_pairs("hybrid"),
    ),
    _stage("explain", "import check train", explaining.changed_key, explaining.changed, wanted=_has("explain")),
    _stage(
        "evaluate",
        "check encode label triplets retrieval baselines headroom mine cross_encoder rescore train distil index "
        "explain hybrid",
        _evaluate_key,
        _evaluate,
        version=3,
        wanted=_has("evaluate"),
    ),
)


def read_report(artifact: Artifact) -> dict[str, Any]:
    """Return the report of an evaluation."""
    return dict(json.loads(artifact.path("report.json").read_text(encoding="utf-8")))
