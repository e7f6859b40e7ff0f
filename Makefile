# SPDX-License-Identifier: Apache-2.0
# Each target forwards to CMake, CTest or a script; `make help` lists the targets.
# Variables to set, as in `make run RANKS=4`: BUILD, PREFIX, RANKS, MPIRUN, PYTHON, JOBS,
# CMAKE_ARGS, GCIDE. DISK is a folder for bench-checkpoint and bench-offload. PEER_PYTHON is a
# Python with torch for gpu-bench and bench-generate. GPU_CHECK_ARGS and GPU_BENCH_ARGS are
# options of test/gpu/check.py and test/bench/gpu.py; their --help lists them.

BUILD ?= build
PREFIX ?= /usr/local
RANKS ?= 2
MPIRUN ?= mpirun
JOBS ?= $(shell nproc)
# Debian's Python comes first: Debian's h5py and Matplotlib belong to it.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
GENERATOR ?= $(if $(shell command -v ninja 2>/dev/null),Ninja,Unix Makefiles)
DISK ?= $(BUILD)
PEER_PYTHON ?= python3
GCIDE ?= /usr/share/dictd/gcide.dict.dz

# Open MPI may run as root, on fewer cores than ranks and unbound, so that every machine can run
# this. OMPI_ALLOW is for versions 4 and 5, OMPI_MCA for 4, PRTE for 5; other MPIs ignore all.
export OMPI_ALLOW_RUN_AS_ROOT = 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
export OMPI_MCA_rmaps_base_oversubscribe = 1
export OMPI_MCA_hwloc_base_binding_policy = none
export PRTE_MCA_rmaps_default_mapping_policy = :oversubscribe
export PRTE_MCA_hwloc_default_binding_policy = none

# These install what they miss first; a plain `make` takes the machine as it is.
DEPS := $(if $(filter run test test-all bench bench-zero bench-offload bench-checkpoint bench-plan bench-data bench-generate lint format deps,\
          $(MAKECMDGOALS)),deps)

# Tests count half cores: those that mostly wait are one, others two or four.
CTEST = cd $(BUILD) && ctest --output-on-failure --no-tests=error -j $(shell expr 2 '*' $(JOBS))

.DEFAULT_GOAL := build
.PHONY: build install run test test-all campaign-time bench bench-zero bench-offload bench-checkpoint bench-plan bench-data bench-generate gpu-check gpu-bench help deps format \
        lint clean FORCE
.DELETE_ON_ERROR:

build: $(BUILD)/configured  ## the program, build/trireme (default)
	@cmake --build $(BUILD) --parallel $(JOBS) --target trireme

install: build  ## program, manual page, completions, decks, plots, module files below PREFIX
	@cmake --install $(BUILD) --prefix '$(PREFIX)' --strip

run: data/gcide.h5  ## the demo from scratch: packages, build, English text, training, loss plot
	$(MPIRUN) -np $(RANKS) $(BUILD)/trireme train inputs/gcide.yml
	@$(PYTHON) analysis/trireme-plot loss runs/gcide --output runs/gcide/loss.png >/dev/null
	@echo "metrics     runs/gcide/metrics.h5"
	@echo "checkpoint  runs/gcide/$$(cat runs/gcide/latest)"
	@echo "plot        runs/gcide/loss.png"

test: $(BUILD)/configured  ## builds everything and runs the tests
	@cmake --build $(BUILD) --parallel $(JOBS)
	@$(CTEST) -LE campaign

test-all: campaign-time $(BUILD)/configured  ## the tests and the campaigns: whole products, long series
	@cmake --build $(BUILD) --parallel $(JOBS)
	@$(CTEST)

campaign-time:
	@sed -n '/^The last full run/,/^$$/p' test/README.md

bench: build  ## speed and memory on Pythia-70M's shape; figures to build/bench.json
	@$(PYTHON) test/bench/run.py --build $(BUILD) --mpirun '$(MPIRUN)'
	@$(PYTHON) test/bench/zero.py --build $(BUILD) --mpirun '$(MPIRUN)'

bench-zero: build  ## ZeRO, precision, update; figures to build/bench-zero.json
	@$(PYTHON) test/bench/zero.py --build $(BUILD) --mpirun '$(MPIRUN)'

bench-offload: build  ## the optimizer's state in files beside dd; to build/bench-offload.json
	@$(PYTHON) test/bench/offload.py --build $(BUILD) --mpirun '$(MPIRUN)' --folder $(DISK)

bench-plan: build  ## predicted against measured step times; to build/bench-plan.json
	@$(PYTHON) test/bench/plan_time.py --build $(BUILD) --mpirun '$(MPIRUN)' --fit

bench-checkpoint: $(BUILD)/configured  ## checkpoints against dd and memcpy; to build/bench-checkpoint.json
	@cmake --build $(BUILD) --parallel $(JOBS) --target checkpoint_bench
	@$(PYTHON) test/bench/checkpoint.py --build $(BUILD) --mpirun '$(MPIRUN)' --ranks $(RANKS) \
	  --folder $(DISK)

bench-data: build  ## tokenize and prepare beside tokenizers and tiktoken; to build/bench-data.json
	@$(PYTHON) test/bench/data.py --build $(BUILD)

bench-generate: build  ## generate beside Hugging Face's, PEER_PYTHON's; to build/bench-generate.json
	@$(PYTHON) test/bench/generate.py --build $(BUILD) --peer-python '$(PEER_PYTHON)'

gpu-check:  ## on a GPU machine: builds, tests, benchmarks all; report to build/gpu-report.md
	@$(PYTHON) test/gpu/check.py --build $(BUILD) --mpirun '$(MPIRUN)' --jobs $(JOBS) \
	  --cmake-args='$(CMAKE_ARGS)' --bench-args="--peer-python '$(PEER_PYTHON)'" $(GPU_CHECK_ARGS)

gpu-bench: build  ## speed on a GPU against PyTorch, kernels against floors; to build/gpu-bench.md
	@$(PYTHON) test/bench/gpu.py --build $(BUILD) --mpirun '$(MPIRUN)' \
	  --peer-python '$(PEER_PYTHON)' $(GPU_BENCH_ARGS)

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/  make \1\t\2/p' Makefile | expand -t 24

deps:  ## installs jobs/debian-packages.txt on Debian; elsewhere prints the list
	@jobs/install-deps.sh build data analysis $(if $(filter lint format test-all,$(MAKECMDGOALS)),lint) \
	  $(if $(filter test test-all,$(MAKECMDGOALS)),test)

format: $(DEPS)  ## formats the C++ sources in place
	@find src include test -name '*.[ch]pp' | xargs clang-format -i

lint: $(BUILD)/configured  ## layout, clang-tidy, shell and Python checks
	@test/lint.sh $(BUILD) $(JOBS)

clean:  ## removes build/, not data/ and runs/
	@rm -rf $(BUILD)

$(BUILD)/configured: $(BUILD)/cmake-args | $(DEPS)
	@cmake -S . -B $(BUILD) -G '$(GENERATOR)' -DPython3_EXECUTABLE=$(PYTHON) $(CMAKE_ARGS) \
	  || { echo 'Missing libraries? `make deps` installs or lists what is needed.' >&2; exit 1; }
	@touch $@

# The last CMAKE_ARGS; other values configure anew. CMake remembers its arguments, so empty
# CMAKE_ARGS change nothing.
$(BUILD)/cmake-args: export TOLD = $(CMAKE_ARGS)
$(BUILD)/cmake-args: FORCE
	@mkdir -p $(BUILD)
	@test -e $@ -a -z "$$TOLD" || printf '%s\n' "$$TOLD" | cmp -s - $@ || \
	  printf '%s\n' "$$TOLD" > $@

data/gcide.txt: | $(DEPS)
	@mkdir -p $(@D)
	@test -r $(GCIDE) || { echo "make run: no $(GCIDE): install dict-gcide (make deps), or" \
	  "name the dictionary with GCIDE=FILE" >&2; exit 1; }
	zcat $(GCIDE) > $@.part && mv $@.part $@

# A few of its bytes are no UTF-8: --format text takes them as they are.
data/gcide.h5: data/gcide.txt inputs/gcide-tokenizer.json | build
	$(MPIRUN) -np $(RANKS) $(BUILD)/trireme prepare --input $< --output $@ \
	  --tokenizer inputs/gcide-tokenizer.json --format text --document-separator '\n\n' --overwrite
