#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Submits a chain of N jobs that train one run. Each job begins when the job before it has
# ended. The first job that finishes the run, or fails, ends the chain: later jobs end at once.
#
#   jobs/slurm/chain.sh N DECK [RUN_FOLDER [KEY=VALUE...]]   also jobs/contrib/{pbs,lsf,flux}
#   TRIREME_SUBMIT="--nodes=4 --time=2:00:00"                options of sbatch, qsub, bsub, flux
#
# --help prints the lines above.
[[ ${1:-} != @(-h|--help) ]] || { awk 'NR > 2 && !/^#( |$)/ { exit } NR > 2' "$0"; exit 0; }
set -euo pipefail

fail() { echo "chain: $*" >&2; exit 1; }
usage="usage: jobs/SYSTEM/chain.sh N DECK [RUN_FOLDER [KEY=VALUE...]]"
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || fail "N is a number of jobs, got '${1:-}'; $usage"
[ $# -ge 2 ] || fail "no deck; $usage"
count=$1
export TRIREME_DECK=$2
export TRIREME_RUN=${3:-runs/$(basename "${TRIREME_DECK%.*}")}

here=$(dirname "$0")  # the folder of the link names the system
system=$(basename "$(cd "$here" && pwd)")
TRIREME_HOME=${TRIREME_HOME:-$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)}
TRIREME_CHAIN=chain-$(date +%Y%m%dT%H%M%S)-$$
export TRIREME_HOME TRIREME_CHAIN
. "$TRIREME_HOME/jobs/turn.sh"
if [ ! -r "$TRIREME_DECK" ]; then
  turn_split "$TRIREME_DECK"
  for file in "${words[@]}"; do
    [ -r "$file" ] || fail "no deck '$file'"
  done
fi
settings=("${@:4}")
turn_settings
TRIREME_SET=$(turn_join "${settings[@]}")
export TRIREME_SET
read -ra options <<<"${TRIREME_SUBMIT:-}"

# submit PREVIOUS: submits one job, after PREVIOUS unless this is empty, and prints its id.
submit() {
  local after=()
  case $system in
    slurm)
      [ -z "$1" ] || after=("--dependency=afterany:$1")
      sbatch --parsable "${options[@]}" "${after[@]}" "$here/train.sbatch" | cut -d';' -f1
      ;;
    pbs)  # passes on only the variables that are named
      [ -z "$1" ] || after=(-W "depend=afterany:$1")
      qsub -v "$(compgen -e TRIREME_ | paste -sd,)" "${options[@]}" "${after[@]}" \
        "$here/train.pbs"
      ;;
    lsf)
      [ -z "$1" ] || after=(-w "ended($1)")
      bsub "${options[@]}" "${after[@]}" <"$here/train.lsf" | sed -nE 's/^Job <([0-9]+)>.*/\1/p'
      ;;
    flux)
      [ -z "$1" ] || after=("--dependency=afterany:$1")
      flux batch "${options[@]}" "${after[@]}" "$here/train.flux"
      ;;
    *) fail "$0: call it as jobs/SYSTEM/chain.sh; SYSTEM: slurm, pbs, lsf or flux" ;;
  esac
}

previous=
for ((left = count - 1; left >= 0; left--)); do
  export TRIREME_CHAIN_LEFT=$left
  job=$(submit "$previous") || job=
  [ -n "$job" ] ||
    fail "$((count - left - 1)) of $count jobs submitted, then $system refused, see above"
  echo "chain: job $((count - left)) of $count is $job"
  previous=$job
done
