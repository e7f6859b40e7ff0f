#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains a deck by mpirun, without a batch system, on this machine or on a list of hosts. ssh
# must reach these hosts without a password, and all hosts must see one file system. On Ctrl-C,
# SIGTERM, SIGUSR1 and the end of the terminal, the run saves and ends with exit code 75. Repeat
# the command to resume. From the folder of the source tree:
#
#   TRIREME_HOSTS=node1,node2 jobs/local/run.sh [DECK [RUN_FOLDER [KEY=VALUE...]]]
#
# --help prints the lines above. --dry-run, or TRIREME_DRY_RUN=1, prints what would be started.

[[ ${1:-} != @(-h|--help) ]] || { awk 'NR > 2 && !/^#( |$)/ { exit } NR > 2' "$0"; exit 0; }
[[ ${1:-} != --dry-run ]] || { export TRIREME_DRY_RUN=1; shift; }
deck=${1:-${TRIREME_DECK:-inputs/gcide.yml}}           # "a.yml b.yml": b over a
run=${2:-${TRIREME_RUN:-runs/$(basename "${deck%.*}")}}  # output folder; an old run resumes
settings=("${@:3}")                                    # key=value, over the deck
home=${TRIREME_HOME:-$(cd "$(dirname "$0")/../.." && pwd)}  # the source tree
hosts=${TRIREME_HOSTS:-}                               # node1,node2; empty: this machine
ranks_per_node=${TRIREME_RANKS_PER_NODE:-2}
threads=${TRIREME_THREADS:-1}                          # cores of each rank

set -uo pipefail
[ -r "$home/jobs/turn.sh" ] || {
  echo "$home is no source tree of Trireme: set TRIREME_HOME" >&2
  exit 1
}
. "$home/jobs/site.sh"
. "$home/jobs/turn.sh"

# Ctrl-C reaches all that the terminal runs; in a session of its own mpirun doesn't notice.
# shellcheck disable=SC2317  # turn_run calls it
detached() { exec setsid "$@"; }

turn_begin "local-$$"
nodes=1 hostfile=
if [ -n "$hosts" ]; then
  place=$run
  [ -d "$place" ] || place=$TMPDIR  # a dry run makes no folder
  hostfile=$(mktemp "$place/hosts.XXXXXX") || turn_fail "cannot write in $place"
  trap 'rm -f "$hostfile"' EXIT
  nodes=0
  for host in ${hosts//,/ }; do
    nodes=$((nodes + 1))
    for ((rank = 0; rank < ranks_per_node; rank++)); do echo "$host"; done
  done >"$hostfile"
fi
turn_mpirun "$nodes" "$hostfile"
turn_dry "${launcher[@]}"
trap 'turn_stop' INT HUP
turn_run detached "${launcher[@]}"
turn_end
again=$(printf ' %q' "$0" "$deck" "$run" "${settings[@]}")
[ "$turn_next" != again ] || turn_say "to go on:$again"
exit "$turn_exit"
