import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from honed import Searcher
from honed.bundle import fastest as fastest_module
from honed.bundle.fastest import TriedModel, fastest, kept_choices
from honed.bundle.layout import beside
from honed.core.errors import ArtifactError
from honed.encode.engines import load_graph
from honed.project.doctor import examine

Measured = Callable[..., tuple[str, bool]]


class Clock:
    """A clock that stands still but for the work of fake encoders."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


class FakeEncoder:
    """An encoder that takes so many seconds for its texts."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds, self.spec = clock, seconds, None

    def encode(self, texts: Sequence[str], role: str) -> np.ndarray:
        self._clock.now += self._seconds
        return np.zeros((len(texts), 1), np.float32)


class Engines:
    """Engines that take so many seconds, or fail with an error; it remembers which were loaded."""

    def __init__(self, clock: Clock, **seconds: float | str) -> None:
        self._clock, self._seconds, self.loaded = clock, seconds, list[str]()

    def load(self, engine: str) -> Any:
        self.loaded.append(engine)
        seconds = self._seconds[engine]
        if isinstance(seconds, str):
            raise ArtifactError("E_BUNDLE_SELFTEST", seconds)
        return FakeEncoder(self._clock, seconds)

    def chosen(self, *, measure: bool = True) -> tuple[str, bool]:
        """The engine that answers, and whether that is settled."""
        model = TriedModel(
            folder=beside(Path("catalogue")),
            sha256="ab",
            precision="int8",
            threads=0,
            engines=list(self._seconds),
            load=self.load,
            golden_texts=["a", "b"],
        )
        engine, _, settled = fastest(model, measure=measure)
        self.loaded, loaded = [], self.loaded
        assert loaded
        self.last = loaded
        return engine, settled


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A fake clock, and an empty cache folder."""
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / "cache"))
    clock = Clock()
    monkeypatch.setattr(fastest_module, "perf_counter", clock)
    return clock


def test_the_fastest_engine_answers_and_is_kept(clock: Clock) -> None:
    engines = Engines(clock, first=0.4, second=0.1, third=0.2)
    assert engines.chosen() == ("second", True)
    assert engines.last == ["first", "second", "third"]
    assert engines.chosen() == ("second", True)
    assert engines.last == ["second"]
    (kept,) = kept_choices()
    assert (kept.bundle, kept.precision, kept.engine) == ("catalogue", "int8", "second")
    assert [speed.texts_per_second > 0 for speed in kept.speeds] == [True, True, True]


def test_an_engine_that_is_about_as_fast_takes_no_place(clock: Clock) -> None:
    assert Engines(clock, first=0.400, second=0.395).chosen() == ("first", True)


def test_an_engine_with_other_vectors_is_passed_over(clock: Clock) -> None:
    assert Engines(clock, first="other vectors", second=0.4, third="no such kernel").chosen() == ("second", True)
    assert [speed.refused for speed in kept_choices()[0].speeds] == ["other vectors", "", "no such kernel"]


def test_where_no_engine_can_the_first_one_says_why(clock: Clock) -> None:
    with pytest.raises(ArtifactError, match="other vectors"):
        Engines(clock, first="other vectors", second="no such kernel").chosen()
    assert kept_choices() == []


def test_a_start_measures_nothing_and_takes_what_is_known(clock: Clock) -> None:
    engines = Engines(clock, first=0.4, second=0.1)
    assert engines.chosen(measure=False) == ("first", False)
    assert engines.last == ["first"]
    engines.chosen()
    assert engines.chosen(measure=False) == ("second", True)


@pytest.mark.parametrize("content", [b"", b"\xff{", b"[]", b'{"engine": "second"}', b'{"engine": 1}'])
def test_a_file_that_is_no_choice_is_measured_anew(clock: Clock, tmp_path: Path, content: bytes) -> None:
    engines = Engines(clock, first=0.4, second=0.1)
    engines.chosen()
    (file,) = (tmp_path / "cache" / "engines").iterdir()
    file.write_bytes(content)
    assert kept_choices() == []
    assert engines.chosen() == ("second", True)
    assert engines.last == ["first", "second"]


def test_a_kept_engine_that_is_not_one_of_them_is_not_loaded(clock: Clock, tmp_path: Path) -> None:
    engines = Engines(clock, first=0.4, second=0.1)
    engines.chosen()
    (file,) = (tmp_path / "cache" / "engines").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"second"', b'"foreign"'))
    assert engines.chosen() == ("second", True)
    assert engines.last == ["first", "second"]


def test_a_kept_engine_that_fails_now_is_measured_again(clock: Clock) -> None:
    Engines(clock, first=0.4, second=0.1).chosen()
    assert Engines(clock, first=0.4, second="gone").chosen() == ("first", True)


@pytest.mark.parametrize("folder", ["/dev/null/honed", "a-file/honed"])
def test_nothing_is_measured_where_nothing_can_be_kept(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / folder))
    engines = Engines(clock, first=0.4, second=0.1)
    assert engines.chosen() == ("first", True)
    assert engines.last == ["first"]


def test_another_setting_of_the_machine_is_measured_for_itself(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    Engines(clock, first=0.4, second=0.1).chosen()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert kept_choices() == []
    assert Engines(clock, first=0.1, second=0.4).chosen() == ("first", True)


class TestOfABundle:
    @pytest.fixture(autouse=True)
    def measured(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """Measure, though in no time, and without what is slow to import."""
        monkeypatch.delenv("HONED_ENGINE", raising=False)
        monkeypatch.setattr("honed.encode.engines.is_installed", lambda part: part == "onnxruntime")

    def test_all_engines_of_its_precision_are_tried(self, made_int8: Path) -> None:
        searcher = Searcher.load(made_int8)
        assert (searcher.encoder.engine, kept_choices()) == ("numpy", [])
        engine = searcher.warm()
        (choice,) = kept_choices()
        assert choice.engine == engine
        assert [speed.engine for speed in choice.speeds] == ["onnxruntime", "onnxruntime-fp32", "numpy"]
        assert not any(speed.refused for speed in choice.speeds)
        again = Searcher.load(made_int8)
        assert again.warm() == engine
        shown = examine(Path("nowhere"))["engines"]
        assert [f"{made_int8}, int8"] == list(shown)
        assert shown[f"{made_int8}, int8"].startswith(f"{engine} (onnxruntime ")

    @pytest.mark.parametrize("engine", ["numpy", "onnxruntime"])
    def test_an_engine_that_is_named_is_not_measured(
        self, made: Path, engine: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert Searcher.load(made, engine=engine).warm() == engine
        monkeypatch.setenv("HONED_ENGINE", engine)
        assert Searcher.load(made).warm() == engine
        assert kept_choices() == []

    def test_many_texts_settle_it(self, made: Path) -> None:
        encoder = Searcher.load(made).encoder
        encoder.encode(["a name"], "query")
        assert kept_choices() == []
        encoder.encode(["a name"] * 40, "query")
        assert len(kept_choices()) == 1


@pytest.mark.parametrize(("engine", "has_bf16"), [("openvino", False), ("openvino-fp32", True)])
def test_openvino_is_told_not_to_use_bf16(engine: str, has_bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    class Core:
        def read_model(self, model: bytes) -> bytes:
            return model

        def compile_model(self, model: bytes, device: str, settings: dict[str, Any]) -> Any:
            told.update(settings)
            return SimpleNamespace(create_infer_request=lambda: None)

    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=Core))
    monkeypatch.setattr("honed.encode.engines.require", lambda part: None)
    monkeypatch.setattr("honed.encode.hardware.cpu_has_bf16", lambda: has_bf16)
    load_graph(b"", engine)
    assert told["INFERENCE_PRECISION_HINT"] == "f32"
