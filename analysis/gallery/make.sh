#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the pictures of this folder from runs of the built program, a few minutes on two cores:
#   analysis/gallery/make.sh [WORK_FOLDER]
# WORK_FOLDER (default runs/gallery) keeps the runs; existing runs are not repeated. Environment
# variables to set: TRIREME (the program), MPIRUN, PYTHON, DATA (a token file).
set -euo pipefail

cd "$(dirname "$0")/../.."
trireme=${TRIREME:-build/trireme}
python=${PYTHON:-python3}
work=${1:-runs/gallery}
pictures=analysis/gallery
read -ra mpirun <<<"${MPIRUN:-mpirun}"

# Open MPI as root, on fewer cores than ranks and unbound: versions 4 and 5.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export PRTE_MCA_hwloc_default_binding_policy=none
export OMP_NUM_THREADS=1

data=${DATA:-data/gcide.h5}
[ -f "$data" ] || make "$data"
mkdir -p "$work"

train() {  # RANKS NAME key=value...: a small run of inputs/gcide.yml
  local ranks=$1 name=$2 settings=()
  shift 2
  [ -f "$work/$name/done" ] && return
  rm -rf "${work:?}/$name"
  for setting in "data_path=$data" "save=$work/$name" "load=$work/$name" hidden_size=128 \
    num_layers=6 seq_length=128 train_iters=150 log_interval=10 eval_interval=50 eval_iters=4 \
    checkpoint_factor=150 "$@"; do
    settings+=(--set "$setting")
  done
  echo "gallery: $name on $ranks rank(s)"
  "${mpirun[@]}" -np "$ranks" "$trireme" train inputs/gcide.yml "${settings[@]}" \
    >"$work/$name.log"
  touch "$work/$name/done"
}

plot() {  # NAME COMMAND arguments...: NAME.png
  local name=$1
  shift
  "$python" analysis/trireme-plot "$@" --dpi 140 --output "$pictures/$name.png" >/dev/null
}

# Three learning rates; the last is too large.
for rate in 1.0e-3 3.0e-3 1.0e-2; do
  train 2 "lr=$rate" "optimizer={type: AdamW, params: {lr: $rate, betas: [0.9, 0.95]}}"
done
plot loss loss "$work"/lr=*/
plot throughput throughput "$work/lr=3.0e-3" --by time
plot compare compare "$work/lr=1.0e-3" "$work/lr=3.0e-3"
plot weights-norms weights "$work/lr=3.0e-3"
plot weights-spectra weights "$work/lr=3.0e-3" --show spectra --names 'layers.*.weight'

# A pipeline of two stages; iteration 16 has neither an evaluation nor a save.
train 2 pipeline pipe_parallel_size=2 gradient_accumulation_steps=8 \
  train_micro_batch_size_per_gpu=2 train_iters=20 eval_interval=10 checkpoint_factor=10 \
  "timeline_iters=[16]"
plot timeline timeline "$work/pipeline"
plot memory memory "$work/pipeline"
plot phases phases "$work/pipeline" --by rank

# One and two ranks of one thread: with equal batches, and with equal batches for each rank.
short=(train_iters=30 eval_interval=30 checkpoint_factor=30)
train 1 one "${short[@]}" train_micro_batch_size_per_gpu=8
train 2 strong "${short[@]}" train_micro_batch_size_per_gpu=4
train 2 weak "${short[@]}" train_micro_batch_size_per_gpu=8
plot scaling scaling "$work/one" "$work/strong" "$work/weak"

ls -s --block-size=1 "$pictures"/*.png
