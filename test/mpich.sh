#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the program and the tests of communication over MPICH, and runs them, in a folder of
# its own beside a build over another MPI library:
#   test/mpich.sh [FOLDER]           FOLDER: by default build/mpich
# Takes Debian's mpich and libmpich-dev, whose commands end with .mpich. MPICC and MPIRUN name
# other ones. Ends with 77 where there is no MPICH, which CTest counts as skipped.
set -euo pipefail

cd "$(dirname "$0")/.."
folder=${1:-build/mpich}
compiler=$(command -v "${MPICC:-mpicc.mpich}" || true)
launcher=$(command -v "${MPIRUN:-mpirun.mpich}" || true)
if [ -z "$compiler" ] || [ -z "$launcher" ]; then
  echo "mpich.sh: no mpicc.mpich; Debian has it in mpich and libmpich-dev" >&2
  exit 77
fi

# MPICH's ranks poll without yielding, so that more ranks than cores take long.
python=$(command -v "${PYTHON:-python3}")
settings=(-DMPI_C_COMPILER="$compiler" -DMPIEXEC_EXECUTABLE="$launcher" -DTRIREME_CUDA=OFF
  -DPython3_EXECUTABLE="$python")
cmake -S . -B "$folder" "${settings[@]}"
cmake --build "$folder" --parallel "${JOBS:-$(nproc)}" --target trireme test_comm
ctest --test-dir "$folder" --output-on-failure -R '^comm_np[0-9]+$'

# The program knows its library, and a run over it starts, saves and ends.
"$folder/trireme" --version | grep -E '^MPICH [0-9.]+$'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for i in $(seq 400); do
  printf 'document %d says %d again\n\n' "$i" $((i * i))
done >"$work/a.txt"
"$launcher" -np 2 "$folder/trireme" prepare --input "$work/a.txt" --output "$work/a.h5" \
  --document-separator '\n\n'
"$launcher" -np 2 "$folder/trireme" train inputs/gcide.yml --set data_path="$work/a.h5" \
  --set save="$work/run" --set load= --set hidden_size=32 --set num_layers=2 \
  --set seq_length=32 --set train_iters=4 --set eval_interval=2 --set eval_iters=1 \
  --set threads_per_rank=1 | tee "$work/log"
[ "$(head -n 1 "$work/log" | grep -c 'on MPICH [0-9.]*, 2 ranks')" = 1 ]
grep -q '^done ' "$work/log"
echo "mpich.sh: the program and its communication work over MPICH"
