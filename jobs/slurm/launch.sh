# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Functions for train.sbatch: when the job ends, how srun starts its ranks, requeueing.

# A task of an array by its full name. One task's job number is also the number of the whole
# array.
slurm_id=$SLURM_JOB_ID
[ -z "${SLURM_ARRAY_TASK_ID:-}" ] || slurm_id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID

# Slurm before 23.02 doesn't tell jobs when they end. A job without a limit gets no end time.
slurm_end_time() {
  [ -z "${SLURM_JOB_END_TIME:-}${TRIREME_END_TIME:-}" ] || return 0
  local end
  end=$(SLURM_TIME_FORMAT=%s squeue --noheader --jobs="$slurm_id" --states=all \
    --format=%e 2>/dev/null)
  [[ ! $end =~ ^[0-9]+$ ]] || export TRIREME_END_TIME=$end
}

# How Slurm and the program's MPI connect: the first way that both support.
slurm_mpi() {
  local offered library
  offered=" $(srun --mpi=list 2>&1 | tr -s '\n\t, ' ' ') "
  library=$(ldd "$program" 2>/dev/null | awk '/lib(mpi|mpich|mpi_cray)[._]/ { print $1; exit }')
  case $library in
    libmpi.so.40* | libmpi.so.20*)  # Open MPI
      [[ $offered != *' pmix '* ]] || { echo pmix; return; }
      if [[ $offered == *' pmi2 '* ]] && ompi_info --parsable 2>/dev/null |
        grep -qE '^mca:pmix:s2:'; then
        echo pmi2
        return
      fi ;;
    *)  # MPICH and its relatives; a static MPI may be any
      local way
      for way in cray_shasta pmi2 pmix; do
        [ "$way" != cray_shasta ] || [[ $library == libmpi_cray* ]] || continue
        [[ $offered != *" $way "* ]] || { echo "$way"; return; }
      done ;;
  esac
  turn_fail "srun offers$offered, of which the program's MPI (${library:-linked statically})" \
    "knows none: set TRIREME_MPI to what the site's manual says for srun --mpi, or" \
    "TRIREME_LAUNCHER=mpirun"
}

# Each rank gets its own cores. Every rank sees all GPUs of its node, so that ranks can reach
# each other's memory; a rank's number on the node selects its GPU. Exit code 75 of one rank
# must not kill the others, whatever the site's KillOnBadExit. A rank that dies ends all ranks
# through PMI.
slurm_launcher() {
  if [ "${TRIREME_LAUNCHER:-srun}" = mpirun ]; then
    ranks_per_node=${SLURM_NTASKS_PER_NODE:-$((SLURM_NTASKS / SLURM_JOB_NUM_NODES))}
    turn_mpirun "$SLURM_JOB_NUM_NODES"
    return
  fi
  [ -n "$mpi" ] || mpi=$(slurm_mpi) || exit 1
  local bind=cores
  [ "${TRIREME_BIND:-core}" != none ] || bind=none
  launcher=(srun "--mpi=$mpi" "--cpus-per-task=$threads" "--cpu-bind=$bind"
    --kill-on-bad-exit=0)
  [ -z "${SLURM_GPUS_ON_NODE:-}" ] || launcher+=(--gpu-bind=none)
  # shellcheck disable=SC2206  # a list of words
  launcher+=($srun_options)
}

# The job keeps its number and its place in the accounting; Slurm ends this script. Do not
# requeue a job that somebody has cancelled, nor a job that Slurm requeues by itself.
slurm_requeue() {
  case $(scontrol --oneliner show job "$slurm_id" 2>&1) in
    *JobState=RUNNING* | *Reason=TimeLimit*) ;;
    *)
      turn_say "Slurm is ending this job (cancelled or pre-empted): not requeued from here"
      return
      ;;
  esac
  scontrol requeue "$slurm_id" && return
  turn_say "Slurm doesn't requeue this job (JobRequeue, or a reason above);" \
    "to go on: sbatch the same again"
}
