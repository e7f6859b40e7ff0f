# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Settings that all jobs of a site share: modules, threads, network. Each job script reads this
# file; edit it once.

# Modules of the compiler, MPI and HDF5 that built the program, in order.
modules=${TRIREME_MODULES:-}
if [ -n "$modules" ]; then
  # If the batch shell doesn't know `module`, read the site's file of functions.
  # shellcheck disable=SC1091
  type module >/dev/null 2>&1 || . "${LMOD_PKG:-${MODULESHOME:-/usr/share/lmod/lmod}}/init/bash"
  # shellcheck disable=SC2086  # one word a module
  module load $modules || {
    echo "jobs/site.sh: module load $modules failed, see above; the job ends" >&2
    exit 1
  }
fi

# Threads stay on the cores to which the launcher has bound their rank. If ranks are not bound,
# OpenMP places would be equal for all ranks. Each rank would then put its threads on the node's
# first cores.
if [ "${TRIREME_BIND:-core}" = none ]; then
  export OMP_PROC_BIND=${OMP_PROC_BIND:-false}
else
  export OMP_PLACES=${OMP_PLACES:-cores} OMP_PROC_BIND=${OMP_PROC_BIND:-close}
fi

# The folder of MPI's sockets and shared memory. Choose a folder local to the node with a short
# path: 108 characters at most, the socket's own name included. Checkpoints and tokens belong on
# the parallel file system: `run` and the deck's data_path.
export TMPDIR=${TRIREME_SCRATCH:-${TMPDIR:-/tmp}}

# The program itself locks checkpoints. HDF5's own locks fail on some Lustre and NFS.
export HDF5_USE_FILE_LOCKING=${HDF5_USE_FILE_LOCKING:-FALSE}

# --- GPUs ------------------------------------------------------------------------------------
# NCCL finds its network by itself. Set one of these if NCCL_DEBUG=INFO shows the wrong network,
# or if the start hangs between nodes.
#
# export NCCL_DEBUG=INFO             # prints the choice, per rank, once
# export NCCL_SOCKET_IFNAME=ib0      # bootstrap goes over an interface that nodes can't reach;
#                                    # `^docker,lo` excludes, `=hsn0` takes that name alone
# export NCCL_IB_HCA=mlx5_0,mlx5_3   # some adapters are for storage or Ethernet
# export NCCL_IB_GID_INDEX=3         # RoCE v2, where index 0 isn't routable
# export NCCL_NET_GDR_LEVEL=PHB      # adapter and GPU sit on different switches of PCIe
# export NCCL_CROSS_NIC=0            # adapters of one node are on separate networks (rails)
# export FI_PROVIDER=cxi NCCL_NET="AWS Libfabric"   # Slingshot, with that plugin loaded
#
# MPI carries decks, values of the log and checkpoints; with `communication: staged` all data.
#
# export UCX_NET_DEVICES=mlx5_0:1    # UCX takes a port that is down, or Ethernet
# export OMPI_MCA_btl_tcp_if_include=10.0.0.0/8     # Open MPI over TCP, several interfaces
# export MPICH_GPU_SUPPORT_ENABLED=0 # Cray MPICH: no buffer of a GPU is handed to MPI
