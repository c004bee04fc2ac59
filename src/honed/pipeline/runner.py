"""Runs the stages in order: finished artifacts are reused, those that depend on a change are made anew."""

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from honed.config.config import Config
from honed.core.artifacts import PARTIAL, A, Artifact, ArtifactStore, StageKey
from honed.core.errors import ConfigError, HonedError, StorageError, did_you_mean
from honed.core.fingerprint import canonical_json
from honed.core.stage import Inputs, Stage, Work
from honed.core.writing import write_json
from honed.encode.candidates import provisional
from honed.encode.models import encoder_source
from honed.pipeline.executors import LocalExecutor
from honed.pipeline.unfinished import UnfinishedRun
from honed.shapes.registry import shape_of
from honed.stages.all import stages_of

Listener = Callable[[str, str, float], None]
LATEST, UPDATES = "latest.json", "updates.json"


def before_choice(config: Config) -> Config:
    """Return a configuration with what counts before the base model is chosen; itself where one is named."""
    return replace(config, model=provisional(config.model)) if config.model.is_open else config


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run would do with one stage."""

    stage: Stage[Config]
    key: StageKey
    stands: bool


class Runner:
    """All stages of one workspace. ``listener(stage, state, seconds)`` hears "stands", "runs" and "done".

    ``asked`` is the configuration as it was written. What it leaves open is settled by a stage; until then ``config``
    has what counts provisionally, then what was settled last.
    """

    def __init__(
        self,
        config: Config,
        root: Path,
        listener: Listener | None = None,
        *,
        stages: tuple[Stage[Config], ...] = (),
        executor: LocalExecutor | None = None,
    ) -> None:
        self.asked, self.root = config, root
        self.config = before_choice(config)
        self.all = stages or stages_of(shape_of(config))
        self.output = root / config.paths.output
        self.executor = executor or LocalExecutor(self.output)
        self.store, self.unfinished = ArtifactStore(self.output), UnfinishedRun(self.output)
        self.tell: Listener = listener or (lambda *_: None)
        self._own_latest: dict[str, str] | None = None
        self._settle_by_latest()

    def keep_latest_apart(self) -> None:
        """Take as the latest what this runner makes from now on, and leave what the folder remembers as it is."""
        self._own_latest = {}

    def stages(self, until: str | None = None) -> list[Stage[Config]]:
        """Return the wanted stages, up to and with ``until``."""
        wanted = [stage for stage in self.all if stage.wanted(self.asked)]
        if until is None:
            return wanted
        names = [stage.name for stage in self.all]
        if until not in names:
            raise ConfigError("E_STAGE", f"no stage {until}{did_you_mean(until, names)} (known: {', '.join(names)})")
        if until not in {stage.name for stage in wanted}:
            raise ConfigError("E_STAGE", f"the stage {until} is left out: honed.toml has no section [{until}]")
        return [stage for stage in wanted if names.index(stage.name) <= names.index(until)]

    def plan(self, *, start: str | None = None, until: str | None = None) -> list[Plan]:
        """Return what `run` would do, without doing it; keys follow from keys, so nothing has to exist.

        Where something is still to be settled, what follows does not stand, and its keys are provisional.
        """
        plans: list[Plan] = []
        keys: dict[str, str] = {}
        config, is_open, forced = before_choice(self.asked), False, self._forced(start)
        for stage in self.stages(until):
            key = self._key(stage, keys, self._given(stage, config))
            keys[stage.name] = key.key
            stored = None if is_open or stage.name in forced else self.store.find(key, stage.artifact)
            plans.append(Plan(stage=stage, key=key, stands=stored is not None))
            if stage.settle is not None:
                is_open = stored is None
                config = self.config = stage.settle(self.asked, stored) if stored else config
        return plans

    def _given(self, stage: Stage[Config], config: Config) -> Config:
        """Return the configuration that a stage gets: one that settles it gets it as it was written."""
        return config if stage.settle is None else self.asked

    def _settle_by_latest(self) -> None:
        """Take what the last run settled, until a plan or a run says otherwise."""
        for stage in self.stages():
            if stage.settle is not None and (artifact := self.latest_inputs().find(stage.artifact)):
                self.config = stage.settle(self.asked, artifact)

    def run(self, *, start: str | None = None, until: str | None = None) -> dict[str, Artifact]:
        """Run the stages without a finished artifact; returns the artifact by stage and makes them the latest."""
        read = shape_of(self.config).input_files(self.config)
        if left_out := [file for file in self.updates() if file not in read]:
            raise ConfigError(
                "E_UPDATED",
                f"the model in use has learned {', '.join(left_out)} by  honed update; a run would go back before "
                f"that: add them to honed.toml, or remove {self.output / UPDATES} to forget them",
            )
        artifacts = self.make(start=start, until=until)
        self.remember(artifacts)
        return artifacts

    def make(self, *, start: str | None = None, until: str | None = None) -> dict[str, Artifact]:
        """Do what `run` does without making the artifacts the latest."""
        artifacts: dict[str, Artifact] = {}
        with self._locked():
            config, forced = before_choice(self.asked), self._forced(start)
            for stage in self.stages(until):
                given = self._given(stage, config)
                key = self._key(stage, {name: artifact.key for name, artifact in artifacts.items()}, given)
                stored = None if stage.name in forced else self.store.find(key, stage.artifact)
                artifacts[stage.name] = stored or self._make(stage, key, artifacts, given)
                if stored:
                    self.tell(stage.name, "stands", 0.0)
                if stage.settle is not None:
                    config = self.config = stage.settle(self.asked, artifacts[stage.name])
            if self._own_latest is None:
                self.unfinished.end(artifacts, all_of_them=until is None)
            self._prune_vectors()
        return artifacts

    def _prune_vectors(self) -> None:
        """Remove vectors of models that neither an artifact nor honed.toml speaks of, and those over the size."""
        try:
            base = str(encoder_source(self.config.model).identity()["weights"])
        except HonedError:  # not to be had here, and whose vectors these are is not known
            return
        self.executor.vectors.prune(self.store.weights() | {base}, round(self.config.paths.cache_gb * 1e9))

    def updates(self) -> list[str]:
        """Return the files that the model in use has learned by updates since the last full run."""
        if self._own_latest is not None:
            return []
        return self._updates_by_model().get(self._latest().get("train", ""), [])

    def _updates_by_model(self) -> dict[str, list[str]]:
        """Return the files that updates have taught a model, by its key; earlier versions kept those of the latest."""
        try:
            kept = json.loads((self.output / UPDATES).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return dict(kept) if isinstance(kept, dict) else {self._latest().get("train", ""): list(kept)}

    def remember(self, artifacts: Mapping[str, Artifact], *, updates: Sequence[str] = ()) -> None:
        """Make artifacts the latest: what is searched, shown and exported. ``updates`` are the files learned since."""
        latest = {name: artifact.key for name, artifact in artifacts.items()}
        if self._own_latest is not None:
            self._own_latest |= latest
            return
        if updates:  # under the new model's key, so that the file counts from the moment at which that is the latest
            write_json(self.output / UPDATES, {**self._updates_by_model(), latest["train"]: list(updates)})
        if self._latest() != latest:
            write_json(self.output / LATEST, {**self._latest(), **latest})
        if "train" in artifacts and not updates:
            (self.output / UPDATES).unlink(missing_ok=True)

    def rewind(self, stage: str, step: int) -> Path:
        """Remove the checkpoints after ``step`` of a training that was broken off; `ConfigError` without that one."""
        plan = next((plan for plan in self.plan(until=stage) if plan.stage.name == stage), None)
        folder = self.store.folder(plan.key) if plan else self.output
        checkpoints = folder.with_name(folder.name + PARTIAL) / "checkpoints"
        steps = {int(path.name.split("-")[-1]): path for path in checkpoints.glob("checkpoint-*")}
        if step not in steps:
            there = ", ".join(str(number) for number in sorted(steps)) or "none"
            raise ConfigError("E_CHECKPOINT", f"no checkpoint {step} of an unfinished {stage}; there are: {there}")
        with self._locked():
            for number, path in steps.items():
                if number > step:
                    shutil.rmtree(path)
        return steps[step]

    def latest(self, kind: type[A]) -> A:
        """Return the artifact of a kind from the last run; `ConfigError` when there is none."""
        artifact = self.find_latest(kind)
        if artifact is None:
            return cast(A, self.latest_of(next(stage.name for stage in self.all if issubclass(stage.artifact, kind))))
        return artifact

    def latest_of(self, stage: str) -> Artifact:
        """Return the artifact of a stage from the last run; `ConfigError` when there is none."""
        artifact = self.latest_inputs().by_stage().get(stage)
        if artifact is None:
            raise ConfigError(
                "E_NOT_RUN",
                f"nothing of the stage {stage} in {self.output} yet; make it with  honed run  (Project.run)",
            )
        return artifact

    def find_latest(self, kind: type[A]) -> A | None:
        """Return the artifact of a kind from the last run, of several stages that of the last one; None without."""
        return self.latest_inputs().find(kind)

    def latest_inputs(self) -> Inputs:
        """Return all artifacts of the last run that are still there.

        Where no run has ended yet they are those that stand for the present settings, left by a run that broke off.
        """
        keys = self._latest() or self._standing()
        places = {stage.name: self.output / stage.name / keys[stage.name] for stage in self.all if stage.name in keys}
        kinds = {stage.name: stage.artifact for stage in self.all}
        return Inputs({name: kinds[name].at(folder) for name, folder in places.items() if folder.is_dir()})

    def _latest(self) -> dict[str, str]:
        if self._own_latest is not None:
            return self._own_latest
        try:
            return dict(json.loads((self.output / LATEST).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return {}

    def _standing(self) -> dict[str, str]:
        if not self.unfinished.stages():
            return {}
        return {plan.stage.name: plan.key.key for plan in self.plan() if plan.stands}

    def _forced(self, start: str | None) -> set[str]:
        if start is None:
            return set()
        names = [stage.name for stage in self.all]
        if start not in names:
            raise ConfigError("E_STAGE", f"no stage {start}{did_you_mean(start, names)} (known: {', '.join(names)})")
        return set(names[names.index(start) :])

    def _key(self, stage: Stage[Config], keys: Mapping[str, str], given: Config) -> StageKey:
        inputs = {other.name: keys[other.name] for other in self.all if other.name in keys and stage.reads(other)}
        config = json.loads(canonical_json(stage.settings(given, self.root)))
        return StageKey(stage=stage.name, version=stage.version, config=config, inputs=inputs)

    def _make(self, stage: Stage[Config], key: StageKey, artifacts: Mapping[str, Artifact], given: Config) -> Artifact:
        self.tell(stage.name, "runs", 0.0)
        if self._own_latest is None:
            self.unfinished.begin(stage.name)
        started = time.monotonic()
        inputs = stage.inputs(artifacts, self.all)
        with self.store.staging(key) as folder:
            if not stage.resumes:
                shutil.rmtree(folder)
                folder.mkdir()
            work = Work(
                config=given,
                root=self.root,
                inputs=Inputs(inputs),
                folder=folder,
                logs=self.output / "logs" / f"{stage.name}-{key.key}",
                executor=self.executor,
            )
            try:
                facts = stage.run(work)
            finally:
                self.executor.close()
            artifact = self.store.commit(key, folder, facts, stage.artifact)
        self.tell(stage.name, "done", time.monotonic() - started)
        return artifact

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.output.mkdir(parents=True, exist_ok=True)
        with (self.output / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StorageError("E_LOCKED", f"{self.output}: another honed is at work here") from None
            yield
