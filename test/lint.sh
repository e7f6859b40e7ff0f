#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What needs no program: layout, clang-tidy, shell and Python syntax. All are run even if one
# fails; the last line says which did.
#
#   test/lint.sh BUILD_FOLDER [JOBS]
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
build=${1:?usage: test/lint.sh BUILD_FOLDER [JOBS]}
jobs=${2:-$(nproc)}
failed=()

check() {  # NAME COMMAND...
  local name=$1 start=$SECONDS
  shift
  if "$@"; then
    echo "lint: $name ok ($((SECONDS - start)) s)"
  else
    failed+=("$name")
  fi
}

layout() {
  find src include test -name '*.[ch]pp' -print0 | xargs -0 clang-format --dry-run -Werror
}

tidy() {
  python3 test/tidy.py "$build" "$jobs"
}

shell() {
  find jobs test .ci \( -name '*.sh' -o -path .ci/run -o -name '*.sbatch' -o -name '*.pbs' \
    -o -name '*.lsf' -o -name '*.flux' \) -type f -print0 | xargs -0 shellcheck
}

python() {  # compiled in memory: no __pycache__ is left behind
  find analysis jobs test \( -name '*.py' -o -path 'analysis/trireme-*' -type f \) -print0 |
    xargs -0 python3 -c '
import sys
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        compile(file.read(), name, "exec")
'
}

check layout layout
check language python3 test/language.py --pages --headers --sources
check shell shell
check python python
check clang-tidy tidy
[ ${#failed[@]} = 0 ] || { echo "lint: FAILED: ${failed[*]}"; exit 1; }
