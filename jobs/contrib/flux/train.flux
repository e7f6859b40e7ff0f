#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains a deck under Flux. Before the time limit the run saves, and a next job is submitted
# and resumes (jobs/README.md). From the folder of the source tree:
#
#   flux batch -N4 jobs/contrib/flux/train.flux [DECK [RUN_FOLDER [KEY=VALUE...]]]
#
# --help prints the lines above. --dry-run, or TRIREME_DRY_RUN=1, prints what would be started.
# flux: --job-name=trireme
# flux: --nodes=1
# flux: --time-limit=24h
# flux: --output=trireme-{{id}}.log

[[ ${1:-} != @(-h|--help) ]] || { awk 'NR > 2 && !/^#( |$)/ { exit } NR > 2' "$0"; exit 0; }
[[ ${1:-} != --dry-run ]] || { export TRIREME_DRY_RUN=1; shift; }
flux getattr jobid >/dev/null 2>&1 || {
  echo "train.flux: not in a job of Flux: submit it with flux batch (--help)," \
    "or use jobs/local/run.sh" >&2
  exit 1
}
deck=${1:-${TRIREME_DECK:-inputs/gcide.yml}}           # "a.yml b.yml": b over a
run=${2:-${TRIREME_RUN:-runs/$(basename "${deck%.*}")}}  # output folder; an old run resumes
settings=("${@:3}")                                    # key=value, over the deck
home=${TRIREME_HOME:-$PWD}                             # the source tree
ranks_per_node=${TRIREME_RANKS_PER_NODE:-4}            # a job has whole nodes
threads=${TRIREME_THREADS:-8}                          # cores of each rank
gpus=${TRIREME_GPUS_PER_RANK:-0}
flux_options=${TRIREME_FLUX_OPTIONS:-}                 # options of flux run, e.g. -o pmi=pmix
batch_options=${TRIREME_SUBMIT:-}                      # options of flux batch, for the next job

set -uo pipefail
[ -r "$home/jobs/turn.sh" ] || {
  echo "$home is no source tree of Trireme: set TRIREME_HOME" >&2
  exit 1
}
. "$home/jobs/site.sh"
. "$home/jobs/turn.sh"

# Flux knows how long this job has left. A job without a limit has a number beyond all dates.
set_end_time() {
  [ -z "${TRIREME_END_TIME:-}" ] || return 0
  local left
  left=$(flux job timeleft 2>/dev/null) || left=
  if [[ $left =~ ^[0-9]+$ ]]; then
    [ "$left" -ge 4294967295 ] || export TRIREME_END_TIME=$(($(date +%s) + left))
  else
    turn_say "no time limit is known from flux job timeleft: only signals will end the run" \
      "in time"
  fi
}

# Prints the whole seconds that the enclosing instance gave this job; prints none without a
# limit.
time_limit() {
  local seconds
  seconds=$(flux --parent jobs -n --format='{duration}' "$(flux getattr jobid)" 2>/dev/null)
  seconds=${seconds%.*}
  [[ ! $seconds =~ ^[1-9][0-9]*$ ]] || echo "$seconds"
}

# Runs as a job of its own, whose ranks can be sent a signal.
# shellcheck disable=SC2317  # turn_run calls it
flux_run() {
  local job='' code=0 pid
  trap '[ -z "$job" ] || flux job kill --signal=SIGUSR1 "$job"' USR1
  job=$(flux submit "${flux_words[@]}" "$@") || return 1
  flux job attach "$job" &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    wait "$pid" || true
  done
  wait "$pid" || code=$?
  return "$code"
}

# Flux has no requeue. The enclosing instance gets a next job with equal size and time limit.
submit_next() {
  unset TRIREME_END_TIME
  TRIREME_SET=$(turn_join "${settings[@]}")
  export TRIREME_SET TRIREME_JOB=$turn_id
  local options next limit
  read -ra options <<<"$batch_options"
  limit=$(time_limit)
  if next=$(flux --parent batch "--nodes=$nodes" ${limit:+"--time-limit=${limit}s"} \
    "${options[@]}" "$home/jobs/contrib/flux/train.flux" "$deck" "$run"); then
    turn_say "goes on as job $next"
    turn_exit=0
  else
    turn_say "flux batch refuses the next job, see above; to go on, submit again"
  fi
}

nodes=$(flux resource list --states=up --no-header --format='{nnodes}') || nodes=1
affinity=per-task
[ "${TRIREME_BIND:-core}" != none ] || affinity=off
flux_words=("--nodes=$nodes" "--ntasks=$((nodes * ranks_per_node))" "--cores-per-task=$threads"
  -o "cpu-affinity=$affinity" -o gpu-affinity=off)
[ "$gpus" = 0 ] || flux_words+=("--gpus-per-task=$gpus")
# shellcheck disable=SC2206  # a list of words
flux_words+=($flux_options)

turn_begin "${TRIREME_JOB:-$(flux getattr jobid)}"
set_end_time
turn_dry flux submit "${flux_words[@]}"
turn_run flux_run
turn_end
[ "$turn_next" != again ] || submit_next
exit "$turn_exit"
