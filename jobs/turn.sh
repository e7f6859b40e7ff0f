# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# One turn of a run: the share of the run that one job does. Job scripts set home, deck, run,
# ranks_per_node, threads and the array settings (README of this folder), and source this file
# afterwards. turn_begin sets program and the array decks.
#
#   turn_settings          takes TRIREME_SET if settings is empty, and checks key=value
#   turn_begin ID          checks, and records the start; a requeued job keeps its ID
#   turn_dry LAUNCHER...   with TRIREME_DRY_RUN, prints the line that would be run, and ends
#   turn_run LAUNCHER...   trains under this launcher until it is done, stopped or failed
#   turn_end               decides what comes next: sets turn_next to
#                            over   exit code 0, or no work was left
#                            again  stopped: requeue this job
#                            leave  stopped in a chain: its next job resumes
#                            fail   an error, or no progress: nobody should start this again
#                          and turn_exit, with which the job should end
#
# RUN/turns.txt has two lines a turn: `TIME ID start ITERATION`, and `TIME ID end ITERATION CODE
# from ITERATION`.

# A job is given up after this many of its turns in a row ended with exit code 75 at the
# iteration where they began.
turn_idle_limit=${TRIREME_IDLE_LIMIT:-2}
# A job is given up after this many turns that began at one iteration. Some turns end without a
# message: killed, or a node lost.
turn_start_limit=${TRIREME_START_LIMIT:-10}

turn_say() { printf 'job %s: %s\n' "${turn_id:-trireme}" "$*" >&2; }

turn_fail() {  # MESSAGE: ends the job
  turn_say "$*"
  exit 1
}

# Splits a text at blanks and line ends into the array words. Quotes keep blanks, as in a shell.
turn_split() {  # TEXT
  local text
  words=()
  text=$(xargs -r printf '%s\n' <<<"$1" 2>&1) || turn_fail "a quote has no end: $1"
  [ -z "$text" ] || readarray -t words <<<"$text"
}

# Prints words as one text that turn_split divides alike.
turn_join() {  # WORD...
  local word text=
  for word in "$@"; do
    if [[ $word == *[[:space:]\"\'\\]* || -z $word ]]; then
      word="\"${word//\"/\"\'\"\'\"}\""
    fi
    text+="${text:+ }$word"
  done
  printf '%s' "$text"
}

turn_settings() {
  local words word
  if [ "${#settings[@]}" -eq 0 ]; then
    turn_split "${TRIREME_SET:-}"
    settings=("${words[@]}")
  fi
  for word in "${settings[@]}"; do
    [[ $word =~ ^[A-Za-z_][A-Za-z0-9_.-]*= ]] ||
      turn_fail "the setting '$word' is not key=value; quote a value with blanks:" \
        "'split=97, 2, 1' as a word, or \"split='97, 2, 1' lr=1e-3\" in TRIREME_SET"
  done
}

# Prints the run's iteration: that of the checkpoint which `latest` names, or 0.
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

# Ends the run's log with a line that no rank could write.
turn_log() {  # MESSAGE
  [ ! -f "$run/log.txt" ] || printf 'job %s: %s\n' "$turn_id" "$1" >>"$run/log.txt" || true
}

# Counts this job's last turns that began at iteration $1.
turn_starts() {
  awk -v id="$turn_id" -v at="$1" '$2 == id && $3 == "start" { n = $4 == at ? n + 1 : 0 }
    END { print n + 0 }' "$run/turns.txt"
}

# Counts this job's last turns that began at iteration $1 and were stopped there.
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

# Finds the program: TRIREME_PROGRAM, which may be a name on PATH. Next is the source tree's
# program. Last is the program installed with these scripts, which are in share/trireme/jobs.
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
  local file words
  decks=("$deck")  # one deck whose name has blanks, or a list
  if [ ! -r "$deck" ]; then
    turn_split "$deck"
    decks=("${words[@]}")
  fi
  for file in "${decks[@]}"; do
    [ -r "$file" ] || turn_fail "no deck '$file' in $PWD: set TRIREME_DECK"
  done
  turn_settings
  [ -z "${TRIREME_DRY_RUN:-}" ] || return 0
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

# Asks the ranks to save and end. Launchers that need another way redefine this function.
turn_stop() { kill -USR1 "$turn_pid" 2>/dev/null || true; }

# Prints the last value that decks and settings give KEY, a folder's name; prints none for null.
turn_folder() {  # KEY
  local value word
  value=$(sed -E 's/(^|[[:space:]])#.*//' "${decks[@]}" |
    grep -oE "(^|[{,])[[:space:]]*[\"']?$1[\"']?[[:space:]]*:[^,}]*" | tail -n 1 |
    sed -E "s/^[^:]*:[[:space:]]*//; s/[[:space:]]+\$//; s/^([\"'])(.*)\1\$/\2/")
  for word in "${settings[@]}"; do
    [[ $word != "$1="* ]] || value=${word#*=}
  done
  case $value in
    null | Null | NULL | '~') ;;
    *) printf '%s' "${value%/}" ;;
  esac
}

# Whether deck or settings say what to begin with. If so, the program resumes from `save` by
# itself once `save` holds a checkpoint, and needs no `load`. A deck with equal `load` and
# `save` doesn't count.
turn_has_load() {
  local load
  load=$(turn_folder load)
  [ -n "$load" ] && [ "$load" != "$(turn_folder save)" ]
}

# Sets train to the program's words.
turn_words() {
  local word load=("load=$run")
  ! turn_has_load || load=()
  train=("$program" train "${decks[@]}")
  for word in "${settings[@]}" "save=$run" "run_dir=$run" "${load[@]}"; do
    train+=(--set "$word")
  done
}

turn_dry() {
  [ -n "${TRIREME_DRY_RUN:-}" ] || return 0
  local train
  turn_words
  printf '%q ' "$@" "${train[@]}"
  echo
  exit 0
}

turn_run() {
  local train
  turn_words
  # SIGTERM would end the launcher without a checkpoint; the ranks save first.
  trap turn_stop USR1 USR2 TERM
  "$@" "${train[@]}" &
  turn_pid=$!
  # A signal ends `wait` early; the last `wait` gets the exit code.
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
    # 138: SIGUSR1 came before the ranks could handle signals, so no work was done yet.
    75 | 138) turn_stopped "$at" ;;
    *)
      local why
      why="the launcher ended with exit code $turn_code, which is not the program's: killed,"
      why+=" out of memory, or a node lost; the last checkpoint is of iteration $at"
      turn_say "$why"
      turn_log "$why"
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

# TRIREME_CHAIN_LEFT is the number of jobs in the chain that follow.
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
# each node. Each rank is bound to `threads` cores of its own, or unbound with
# TRIREME_BIND=none, for ranks that share cores. HOSTFILE names a host once for each of its
# ranks. Supports Open MPI and launchers with Hydra's options (MPICH, Intel MPI, MVAPICH). Open
# MPI is set to notice a silent node after some 20 seconds, not after its usual 8 minutes.
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
      # Hydra passes on the whole environment; Open MPI over ssh passes on only named variables.
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
