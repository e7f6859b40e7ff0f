#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the tests of what reads foreign bytes under AddressSanitizer and UBSan, and runs them.
# Then reads decks, tokenizers, data and published models that are changed at random.
#
#   test/sanitized.sh BUILD_FOLDER [GENERATOR]
set -euo pipefail

build=${1:?usage: test/sanitized.sh BUILD_FOLDER [GENERATOR]}
source=$(cd "$(dirname "$0")/.." && pwd)
tests=(core h5 tokenizer data deck published pipeline checkpoint_simulated)

cmake -S "$source" -B "$build" ${2:+-G "$2"} '-DTRIREME_SANITIZE=address;undefined' \
  -DTRIREME_CUDA=OFF -DTRIREME_ARCH= >/dev/null
cmake --build "$build" --parallel "$(nproc)" --target "${tests[@]/#/test_}"
cd "$build"
# Libraries of MPI keep memory until the end, and allocate much at once in tests of limits.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
ctest --output-on-failure --no-tests=error -R "^($(IFS='|' && echo "${tests[*]}"))\$"
for test in deck tokenizer data published; do
  TRIREME_WHOLE_PRODUCTS=1 "test/test_$test" "--run_test=${test}_fuzz" --log_level=message
done
