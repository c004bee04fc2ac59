"""The commands that write, each with a small folder to write in; see `tests.faults.harness`."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from honed.bundle.load import read_manifest
from honed.data.datasets import REGISTRY
from honed.index.settings import IndexSettings
from honed.index.store import Store
from honed.label.store import LabelStore
from honed.pipeline.runner import LATEST
from honed.project.store import StoreColumns, StoreModel, create_store
from honed.project.verify import refuse_damaged, verify_path
from honed.project.workspace import Workspace
from tests.conftest import DATA, ROOT
from tests.faults.harness import Scenario

WORDS = [f"{colour} {thing}" for colour in ("red", "green", "blue") for thing in ("lamp", "chair", "cable", "door")]
LOGS = ("work/logs", "work/.lock", "work/cache")  # times and processes are in their names
State = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What scenarios are made of: the tiny model, a project that has run with it, its bundle, its rows."""

    model: Path
    project: Path
    bundle: Path
    rows: Sequence[dict[str, str]]


def scenarios(kit: Kit) -> list[Scenario]:
    """Return all scenarios, those that train last."""
    return [*_stores(kit), *_tables(kit), *_bundles(kit), *_projects(kit), *_labels(kit), *_fetched(), *_long(kit)]


def _file(name: str) -> State:
    """The bytes of a file by their hash; None where it is not there."""

    def state(folder: Path) -> object:
        path = folder / name
        return sha256(path.read_bytes()).hexdigest() if path.exists() else None

    return state


def _files(*names: str) -> State:
    return lambda folder: tuple(_file(name)(folder) for name in names)


# -- stores ----------------------------------------------------------------------------------------


def _rows(path: Path, words: Sequence[str], first: int = 0) -> None:
    rows = [{"id": f"p{at}", "text": text, "price": 10 * at} for at, text in enumerate(words, first)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _stores(kit: Kit) -> Iterator[Scenario]:
    def build(folder: Path) -> None:
        _rows(folder / "rows.jsonl", WORDS)
        _rows(folder / "more.jsonl", ["a green stool", "a desk"], 11)

    def built(folder: Path) -> None:
        build(folder)
        settings = IndexSettings(backend="composed", codes="rabitq", bits=2)
        source = StoreModel(model=str(kit.model))
        create_store(folder / "s", [folder / "rows.jsonl"], source, StoreColumns(), settings, 64)

    def state(folder: Path) -> object:
        if not (folder / "s").exists():
            return None
        refuse_damaged(verify_path(folder / "s"))
        store = Store.open(folder / "s")
        return store.version, sorted(record.doc_id for batch in store.batches() for record in batch.records)

    model = ("--model", str(kit.model))
    for name, made, arguments in (
        ("store create", build, ("create", "s", "rows.jsonl", *model)),
        ("store add", built, ("add", "s", "more.jsonl", "--replace")),
        ("store delete", built, ("delete", "s", "p1", "p2")),
        ("store compact", built, ("compact", "s")),
    ):
        yield Scenario(name=name, build=made, arguments=("store", *arguments), state=state, once=True)


# -- tables ----------------------------------------------------------------------------------------


def _tables(kit: Kit) -> Iterator[Scenario]:
    def build(folder: Path) -> None:
        with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["name", "city"])
            writer.writeheader()
            writer.writerows({"name": row["alias"], "city": row["kind"]} for row in kit.rows[:40])
        for ending in ("csv", "xlsx", "parquet", "jsonl"):
            (folder / f"out.{ending}").write_text("old")
        (folder / "texts.txt").write_text("\n".join(WORDS))

    def sheet(folder: Path) -> object:
        if (folder / "out.xlsx").read_bytes() == b"old":
            return "old"
        from openpyxl import load_workbook

        return [tuple(row) for row in load_workbook(folder / "out.xlsx").active.iter_rows(values_only=True)]

    match = ("match", "t.csv", "--column", "name", "--bundle", str(kit.bundle), "--out")
    for ending in ("csv", "parquet", "xlsx"):
        state = sheet if ending == "xlsx" else _file(f"out.{ending}")
        yield Scenario(name=f"match {ending}", build=build, arguments=(*match, f"out.{ending}"), state=state)
    dedupe = ("dedupe", "t.csv", "--column", "name", "--with", "city", "--out", "out.csv")
    yield Scenario(name="dedupe", build=build, arguments=dedupe, state=_file("out.csv"))
    for ending in ("npy", "safetensors", "parquet"):
        encode = ("encode", "texts.txt", "--model", str(kit.model), "--out", f"v.{ending}")
        yield Scenario(name=f"encode {ending}", build=build, arguments=encode, state=_file(f"v.{ending}"))


# -- bundles ---------------------------------------------------------------------------------------


def _bundles(kit: Kit) -> Iterator[Scenario]:
    def build(folder: Path) -> None:
        from honed.bundle.archive import pack

        shutil.copytree(kit.project, folder / "p")
        shutil.copytree(kit.bundle, folder / "old")
        pack(kit.bundle, folder / "old.zip")

    def state(name: str) -> State:
        def seen(folder: Path) -> object:
            if not (folder / name).exists():
                return None
            refuse_damaged(verify_path(folder / name))
            return read_manifest(folder / name).precision

        return seen

    def hub(folder: Path) -> object:
        return sorted(path.name for path in (folder / "h").rglob("*")) if (folder / "h").exists() else None

    export = ("export", "--project", "p", "--precision", "int8", "--most-flips", "1")
    for name in ("new", "old", "old.zip"):
        yield Scenario(name=f"export {name}", build=build, arguments=(*export, name), state=state(name), left=LOGS)
    arguments = ("export", "h", "--to", "hf", "--project", "p")
    yield Scenario(name="export --to hf", build=build, arguments=arguments, state=hub, left=LOGS, once=True)


# -- projects --------------------------------------------------------------------------------------


def _latest(folder: Path) -> object:
    """What the last run left, every artifact of the folder being whole."""
    file = folder / "work" / LATEST
    if not file.exists():
        return None
    refuse_damaged(verify_path(folder))
    return json.loads(file.read_text(encoding="utf-8")), Workspace(folder).runner.updates()


def _without_results(kit: Kit) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        shutil.copytree(kit.project, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("work"))

    return build


def _projects(kit: Kit) -> Iterator[Scenario]:
    def tables(folder: Path) -> None:
        shutil.copy(kit.project / "names.csv", folder)

    def whole(folder: Path) -> None:
        shutil.copytree(kit.project, folder, dirs_exist_ok=True)

    yield Scenario(name="init", build=tables, arguments=("init", "names.csv"), state=_file("honed.toml"), once=True)
    check = ("run", "--until", "check")
    yield Scenario(name="run check", build=_without_results(kit), arguments=check, state=_latest, left=LOGS)
    again = ("run", "--until", "check", "--from", "check")
    yield Scenario(name="run check anew", build=whole, arguments=again, state=_latest, left=LOGS, same=True)


# -- labels ----------------------------------------------------------------------------------------


def _labels(kit: Kit) -> Iterator[Scenario]:
    said = [{"id": f"r{at:03}", "label": "Harbour"} for at in range(3)]

    def build(folder: Path) -> None:
        shutil.copytree(ROOT / "examples" / "news", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("work"))
        text = (folder / "honed.toml").read_text(encoding="utf-8")
        (folder / "honed.toml").write_text(text.replace('base = "minilm"', f'base = "{kit.model.as_posix()}"'))
        (folder / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")

    def state(folder: Path) -> object:
        """What is kept; a file of which the first lines alone are kept is not done."""
        kept = {entry.id: entry.label for entry in LabelStore(folder / "labels.jsonl").read()}
        return (
            kept if len(kept) == len(said) else sorted(kept.items() - {row["id"]: row["label"] for row in said}.items())
        )

    arguments = ("label", "import", "said.jsonl")
    yield Scenario(name="label import", build=build, arguments=arguments, state=state, left=LOGS)


def _long(kit: Kit) -> Iterator[Scenario]:
    """Those that train: a run from the beginning, and an update of the model that is there."""

    def ran(folder: Path) -> None:
        shutil.copytree(kit.project, folder, dirs_exist_ok=True)
        with (folder / "more.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(kit.rows[0]))
            writer.writeheader()
            writer.writerows({**row, "alias": f"{row['alias']} {at}"} for at, row in enumerate(kit.rows[:40]))

    update = ("update", "more.csv", "--tolerance", "1")
    yield Scenario(name="update", build=ran, arguments=update, state=_latest, left=LOGS, once=True)
    yield Scenario(name="run", build=_without_results(kit), arguments=("run",), state=_latest, left=LOGS)


def _fetched() -> Iterator[Scenario]:
    small = min(REGISTRY, key=lambda dataset: sum(file.size for file in dataset.files))
    if (DATA / small.name).is_dir():
        names = [f"data/{small.name}/{file.name}" for file in small.files]
        arguments = ("datasets", "fetch", small.name, "--from", str(DATA))
        yield Scenario(name="datasets fetch", build=lambda _: None, arguments=arguments, state=_files(*names))
