# Every target does its own set-up: nothing but Python 3.11+, pip and make is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SCRATCH ?= .shipped

.PHONY: demo test test-long test-avx2 check audit sbom bench bench-serve docs package clean

$(READY): pyproject.toml setup.py constraints.txt src/honed/index/kernel.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^annoy==' constraints.txt)" 2>/dev/null || echo 'no C++ compiler: Annoy is left out'
	touch $(READY)

demo: $(READY)  ## fine-tune, index, report and look up, on the institutions shipped with the project
	$(BIN)/honed run --project examples/institutions
	@echo
	$(BIN)/honed search "UdeG" -k 3 --project examples/institutions
	$(BIN)/honed search "Guadalajara Univercity" -k 3 --project examples/institutions
	$(BIN)/honed search "University of Guadalajara" -k 3 --target aliases --project examples/institutions

test: $(READY)  ## the default suite; a third of the time its tests wait for servers and pages: more of them than cores
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow"

test-long: $(READY)  ## the long tests: notebooks, examples in full, wheels in empty environments, work that is killed
	$(BIN)/python -m pytest -n 2 -m slow

OLDER := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 OPENBLAS_CORETYPE=Haswell HONED_BF16=off

test-avx2: $(READY)  ## the numeric part of the suite as a CPU with AVX2 alone would run it
	$(OLDER) $(BIN)/python -m pytest -n 2 --dist loadfile tests/encode tests/index tests/train/test_objectives.py \
	  -m "not slow" tests/bundle tests/search/test_answering.py tests/stages/test_labeling.py tests/project/test_update.py

check: $(READY)  ## style, types, and the least versions of packages
	$(BIN)/ruff format --check src tests benchmarks docs setup.py
	$(BIN)/ruff check src tests benchmarks docs setup.py
	$(BIN)/mypy
	$(BIN)/python docs/audit.py

audit: $(READY)  ## known holes of the packages, by the advisory database: what it says changes from day to day
	$(BIN)/python docs/audit.py --tools $(VENV)-audit

sbom: $(READY)  ## the packages of the environment, in dist/sbom.json (CycloneDX)
	$(BIN)/python docs/audit.py --tools $(VENV)-audit --sbom dist/sbom.json

bench: $(READY)  ## speed, side by side with the usual way
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/train.py

bench-serve: $(READY)  ## cold start and load of the demo's bundle (needs make demo)
	rm -rf $(SCRATCH)/hub
	$(BIN)/honed export $(SCRATCH)/bundle --precision int8 --project examples/institutions
	$(BIN)/honed export $(SCRATCH)/hub --to hf --project examples/institutions
	$(BIN)/python benchmarks/cold_start.py $(SCRATCH)/bundle $(SCRATCH)/hub
	$(BIN)/python benchmarks/load.py $(SCRATCH)/bundle

$(READY)-docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $(READY)-docs

docs: $(READY)-docs  ## the site, in site/: the command reference, the picture and the schema of reports made from the code
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_map.py
	$(BIN)/python docs/make_schema.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

package: $(READY)  ## the source archive and the wheel, in dist/
	$(BIN)/python -m build --no-isolation --outdir dist

clean:
	rm -rf $(VENV) $(VENV)-audit dist site examples/*/work
