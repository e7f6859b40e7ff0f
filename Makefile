# SPDX-License-Identifier: Apache-2.0
# The front door. Each target forwards to CMake, CTest or a script; `make help` lists them.
# To change: BUILD, PREFIX, RANKS, MPIRUN, PYTHON, JOBS, CMAKE_ARGS, GCIDE, e.g. make run
# RANKS=4; DISK, a folder for bench-checkpoint; PEER_PYTHON, a Python with torch for gpu-bench;
# GPU_CHECK_ARGS and GPU_BENCH_ARGS, what --help of test/gpu/check.py and test/bench/gpu.py
# lists.

BUILD ?= build
PREFIX ?= /usr/local
RANKS ?= 2
MPIRUN ?= mpirun
JOBS ?= $(shell nproc)
# Debian's Python comes first: it is the one that Debian's h5py and Matplotlib belong to.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
GENERATOR ?= $(if $(shell command -v ninja 2>/dev/null),Ninja,Unix Makefiles)
DISK ?= $(BUILD)
PEER_PYTHON ?= python3
GCIDE ?= /usr/share/dictd/gcide.dict.dz

# Open MPI as root, on fewer cores than ranks and unbound, so that every machine can run this
# (first line: versions 4 and 5; second: 4; third: 5; other MPIs take no notice).
export OMPI_ALLOW_RUN_AS_ROOT = 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
export OMPI_MCA_rmaps_base_oversubscribe = 1
export OMPI_MCA_hwloc_base_binding_policy = none
export PRTE_MCA_rmaps_default_mapping_policy = :oversubscribe
export PRTE_MCA_hwloc_default_binding_policy = none

# These install what they miss first; a plain `make` takes the machine as it is.
DEPS := $(if $(filter run test test-all bench bench-zero bench-checkpoint lint format deps,\
          $(MAKECMDGOALS)),deps)

# Tests count half cores: those that mostly wait are one, others two or four.
CTEST = cd $(BUILD) && ctest --output-on-failure --no-tests=error -j $(shell expr 2 '*' $(JOBS))

.DEFAULT_GOAL := build
.PHONY: build install run test test-all campaign-time bench bench-zero bench-checkpoint gpu-check gpu-bench help deps format \
        lint clean FORCE
.DELETE_ON_ERROR:

build: $(BUILD)/configured  ## the program, build/trireme (default)
	@cmake --build $(BUILD) --parallel $(JOBS) --target trireme

install: build  ## program, manual page, completions, decks, plots, module files below PREFIX
	@cmake --install $(BUILD) --prefix '$(PREFIX)' --strip

run: data/gcide.h5  ## everything from nothing: packages, build, English text, training, loss plot
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

bench-zero: build  ## its second part: ZeRO, precision, update; to build/bench-zero.json
	@$(PYTHON) test/bench/zero.py --build $(BUILD) --mpirun '$(MPIRUN)'

bench-checkpoint: $(BUILD)/configured  ## checkpoints beside dd and memcpy; to build/bench-checkpoint.json
	@cmake --build $(BUILD) --parallel $(JOBS) --target checkpoint_bench
	@$(PYTHON) test/bench/checkpoint.py --build $(BUILD) --mpirun '$(MPIRUN)' --ranks $(RANKS) \
	  --folder $(DISK)

gpu-check:  ## on a machine with a GPU: builds, tests, benches all; report to build/gpu-report.md
	@$(PYTHON) test/gpu/check.py --build $(BUILD) --mpirun '$(MPIRUN)' --jobs $(JOBS) \
	  --cmake-args='$(CMAKE_ARGS)' --bench-args="--peer-python '$(PEER_PYTHON)'" $(GPU_CHECK_ARGS)

gpu-bench: build  ## speed on a GPU beside PyTorch's, kernels beside floors; to build/gpu-bench.md
	@$(PYTHON) test/bench/gpu.py --build $(BUILD) --mpirun '$(MPIRUN)' \
	  --peer-python '$(PEER_PYTHON)' $(GPU_BENCH_ARGS)

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/  make \1\t\2/p' Makefile | expand -t 24

deps:  ## installs what jobs/debian-packages.txt names (Debian; elsewhere it lists what to install)
	@jobs/install-deps.sh build data analysis $(if $(filter lint format,$(MAKECMDGOALS)),lint) \
	  $(if $(filter test test-all,$(MAKECMDGOALS)),test)

format: $(DEPS)  ## lays out our C++ in place
	@find src include test -name '*.[ch]pp' | xargs clang-format -i

lint: $(BUILD)/configured  ## layout, clang-tidy, shell and Python checks
	@test/lint.sh $(BUILD) $(JOBS)

clean:  ## removes build/, not data/ and runs/
	@rm -rf $(BUILD)

$(BUILD)/configured: $(BUILD)/cmake-args | $(DEPS)
	@cmake -S . -B $(BUILD) -G '$(GENERATOR)' -DPython3_EXECUTABLE=$(PYTHON) $(CMAKE_ARGS) \
	  || { echo 'Missing libraries? `make deps` installs or lists what is needed.' >&2; exit 1; }
	@touch $@

# The last CMAKE_ARGS: others configure anew. CMake remembers what it was told, so none at all
# leave it at that.
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

data/gcide.h5: data/gcide.txt | build
	$(MPIRUN) -np $(RANKS) $(BUILD)/trireme prepare --input $< --output $@ \
	  --document-separator '\n\n'
