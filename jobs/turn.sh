# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# One turn of a run: the part of it that one job does. Job scripts source this after they have
# set home, deck, run, settings and ranks_per_node, threads (README of this folder). turn_begin
# sets program.
#
#   turn_begin ID          checks, and notes the start; ID stays the same when a job is requeued
#   turn_run LAUNCHER...   trains under this launcher until it is done, stopped or failed
#   turn_end               says what comes next: sets turn_next to
#                            over   exit code 0, or nothing was left to do
#                            again  stopped: requeue this job
#                            leave  the same in a chain: its next job goes on
#                            fail   an error, or no progress: nobody should start this again
#                          and turn_exit, with which the job should end
#
# RUN/turns.txt has two lines a turn: `TIME ID start ITERATION`, and `TIME ID end ITERATION CODE
# from ITERATION`.

# Turns of one job that end with exit code 75 at the iteration where they began, one after the
# other, before it is given up.
turn_idle_limit=${TRIREME_IDLE_LIMIT:-2}
# Turns that begin at one iteration: some end without a word (killed, a node lost).
turn_start_limit=${TRIREME_START_LIMIT:-10}

turn_say() { printf 'job %s: %s\n' "${turn_id:-}" "$*" >&2; }

turn_fail() {  # MESSAGE: ends the job
  turn_say "$*"
  exit 1
}

# Where the run stands: the iteration of the checkpoint that `latest` names, or 0.
turn_iteration() {
  local name=
  [ ! -r "$run/latest" ] || read -r name <"$run/latest" || true
  name=${name#global_step}
  [[ $name =~ ^[0-9]+$ ]] || name=0
  echo "$name"
}

turn_note() {  # WORD...
  printf '%s %s %s\n' "$(date +%Y-%m-%dT%H:%M:%S%z)" "$turn_id" "$*" >>"$run/turns.txt" ||
    turn_fail "cannot write $run/turns.txt; is the disk full?"
}

# This job's last turns that began at iteration $1.
turn_starts() {
  awk -v id="$turn_id" -v at="$1" '$2 == id && $3 == "start" { n = $4 == at ? n + 1 : 0 }
    END { print n + 0 }' "$run/turns.txt"
}

# Its last turns that began and were stopped there.
turn_idle() {
  awk -v id="$turn_id" -v at="$1" '
    $2 == id && $3 == "end" { n = $4 == at && $7 == at && $5 ~ /^(75|138)$/ ? n + 1 : 0 }
    END { print n + 0 }' "$run/turns.txt"
}

# Ends a job of a chain whose run is over.
turn_look_back() {
  local code
  code=$(awk -v id="$turn_id" '$2 == id && $3 == "end" { code = $5 } END { print code }' \
    "$run/turns.txt")
  case $code in
    0) turn_say "an earlier job of this chain has finished the run: no work left"; exit 0 ;;
    1 | idle)
      turn_fail "an earlier job of this chain ended with an error, see its log;" \
        "nothing is started" ;;
  esac
}

# TRIREME_PROGRAM, which may be a name on PATH; else the source tree's; else the one that was
# installed with these scripts, which lie in share/trireme/jobs.
turn_program() {
  program=${TRIREME_PROGRAM:-$home/build/trireme}
  [[ $program == */* ]] || program=$(type -P -- "$program") || program=$TRIREME_PROGRAM
  [ -n "${TRIREME_PROGRAM:-}" ] || [ -x "$program" ] || [ ! -x "$home/../../bin/trireme" ] ||
    program=$(cd "$home/../../bin" && pwd)/trireme
  [[ -x $program && $program == */* ]] ||
    turn_fail "no program '$program': build it (make), or set TRIREME_PROGRAM"
}

turn_begin() {
  turn_id=${TRIREME_CHAIN:-$1}
  export OMP_NUM_THREADS=$threads
  turn_program
  local file
  for file in $deck; do
    [ -r "$file" ] || turn_fail "no deck '$file' in $PWD: set TRIREME_DECK"
  done
  mkdir -p "$run" || turn_fail "cannot make the run folder '$run': set TRIREME_RUN"
  touch "$run/turns.txt" || turn_fail "cannot write in the run folder '$run'"
  [ -z "${TRIREME_CHAIN:-}" ] || turn_look_back
  turn_from=$(turn_iteration)
  if [ "$(turn_starts "$turn_from")" -ge "$turn_start_limit" ]; then
    turn_note end "$turn_from" idle from "$turn_from"
    turn_fail "$turn_start_limit turns have begun at iteration $turn_from and none got" \
      "further; is checkpoint_factor too large for what a job lives? Nothing is started"
  fi
  turn_note start "$turn_from"
  turn_say "turn at iteration $turn_from of $run"
}

# Asks the ranks to save and end. Launchers that need another way define this anew.
turn_stop() { kill -USR1 "$turn_pid" 2>/dev/null || true; }

# What decks and settings say last of a KEY with the name of a folder; nothing, or null: none.
turn_folder() {  # KEY
  local value word
  # shellcheck disable=SC2086  # a list of words
  value=$(sed -E 's/(^|[[:space:]])#.*//' $deck |
    grep -oE "(^|[{,])[[:space:]]*[\"']?$1[\"']?[[:space:]]*:[^,}]*" | tail -n 1 |
    sed -E "s/^[^:]*:[[:space:]]*//; s/[[:space:]]+\$//; s/^([\"'])(.*)\1\$/\2/")
  for word in $settings; do
    [[ $word != "$1="* ]] || value=${word#*=}
  done
  case $value in
    null | Null | NULL | '~') ;;
    *) printf '%s' "${value%/}" ;;
  esac
}

# Whether deck or settings say what to begin with. Then the program itself goes on from `save`,
# once there is something in it, and must not be told otherwise. A deck that loads what it saves
# says no more than that it goes on.
turn_has_load() {
  local load
  load=$(turn_folder load)
  [ -n "$load" ] && [ "$load" != "$(turn_folder save)" ]
}

turn_run() {
  local words=() word load=("load=$run")
  ! turn_has_load || load=()
  # shellcheck disable=SC2086
  for word in $settings "save=$run" "run_dir=$run" "${load[@]}"; do
    words+=(--set "$word")
  done
  # To the launcher SIGTERM would be the end, without a checkpoint; to the ranks it is not.
  trap turn_stop USR1 USR2 TERM
  # shellcheck disable=SC2086
  "$@" "$program" train $deck "${words[@]}" &
  turn_pid=$!
  # A signal ends `wait` early; the last one gets the exit code.
  while kill -0 "$turn_pid" 2>/dev/null; do
    wait "$turn_pid" || true
  done
  turn_code=0
  wait "$turn_pid" || turn_code=$?
  trap - USR1 USR2 TERM
}

turn_end() {
  local at
  at=$(turn_iteration)
  turn_note end "$at" "$turn_code" from "$turn_from"
  turn_exit=1 turn_next=fail
  case $turn_code in
    0)
      turn_exit=0 turn_next=over
      turn_say "the run is done, at iteration $at"
      ;;
    1) turn_say "the program ended with an error, see above; not started again" ;;
    # 138: SIGUSR1 came before the ranks were ready for it, so they have done nothing yet.
    75 | 138) turn_stopped "$at" ;;
    *)
      turn_say "the launcher ended with exit code $turn_code, which is not the program's:" \
        "killed, out of memory, or a node lost; the last checkpoint is of iteration $at"
      [ -z "${TRIREME_CHAIN:-}" ] || turn_leave
      ;;
  esac
}

turn_stopped() {  # ITERATION
  if [ "$(turn_idle "$1")" -ge "$turn_idle_limit" ]; then
    turn_note end "$1" idle from "$turn_from"
    turn_say "stopped $turn_idle_limit times at iteration $1 without a step between; not" \
      "started again. Is the job's time limit shorter than start, step and save" \
      "(checkpoint: {time_limit_margin: SECONDS})?"
  elif [ -n "${TRIREME_CHAIN:-}" ]; then
    turn_say "stopped at iteration $1"
    turn_leave
  else
    turn_exit=75 turn_next=again
    turn_say "stopped at iteration $1; to be started again"
  fi
}

# TRIREME_CHAIN_LEFT is how many jobs of the chain follow.
turn_leave() {
  turn_next=leave
  if [ "${TRIREME_CHAIN_LEFT:-0}" -gt 0 ]; then
    turn_exit=0
    turn_say "the next job of the chain goes on ($TRIREME_CHAIN_LEFT left)"
  else
    turn_say "the chain is at its end and the run is not done: submit it again"
  fi
}

# turn_mpirun NODES [HOSTFILE]: sets launcher to the command that starts ranks_per_node ranks on
# each node, each bound to `threads` cores of its own (TRIREME_BIND=none: to none, where ranks
# share cores). HOSTFILE names a host once for each of its ranks. Open MPI, or a launcher with
# Hydra's words (MPICH, Intel MPI, MVAPICH). A node that falls silent is noticed by Open MPI
# after some 20 seconds, not after its usual 8 minutes.
turn_mpirun() {
  local ranks=$(($1 * ranks_per_node)) places=() mpirun=${TRIREME_MPIRUN:-mpirun} version name
  [ -z "${2:-}" ] || places=(--hostfile "$2")
  version=$("$mpirun" --version 2>&1) ||
    turn_fail "'$mpirun' doesn't run ($version): load MPI's module in jobs/site.sh"
  case $version in
    *'Open MPI'* | *OpenRTE* | *PRRTE*)
      launcher=("$mpirun" -np "$ranks" "${places[@]}")
      if [ "${TRIREME_BIND:-core}" = none ]; then
        launcher+=(--map-by "ppr:$ranks_per_node:node" --bind-to none)
      else
        launcher+=(--map-by "ppr:$ranks_per_node:node:PE=$threads" --bind-to core)
      fi
      for name in OMPI PRTE; do  # versions 4 and 5
        export "${name}_MCA_oob_tcp_keepalive_time=10" "${name}_MCA_oob_tcp_keepalive_intvl=3" \
          "${name}_MCA_oob_tcp_keepalive_probes=3"
      done
      # Hydra hands on the whole environment, Open MPI over ssh what it is told.
      for name in $(compgen -e | grep -E -e '^(OMP|NCCL|CUDA|UCX|FI|HDF5|TRIREME)_' \
        -e '^(TMPDIR|LD_LIBRARY_PATH|PBS_WALLTIME)$'); do
        launcher+=(-x "$name")
      done
      ;;
    *)
      launcher=("$mpirun" -n "$ranks" -ppn "$ranks_per_node" "${places[@]}")
      [ "${TRIREME_BIND:-core}" = none ] || launcher+=(-bind-to "core:$threads")
      ;;
  esac
  # shellcheck disable=SC2206  # a list of words
  launcher+=(${TRIREME_MPIRUN_OPTIONS:-})
}
