# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What all jobs of a site share: modules, threads, network. Each job script reads it; edit it
# once.

# Modules of the compiler, MPI and HDF5 that built the program, in order.
modules=${TRIREME_MODULES:-}
if [ -n "$modules" ]; then
  # A batch shell doesn't always know `module`: then the site's file of functions is read.
  # shellcheck disable=SC1091
  type module >/dev/null 2>&1 || . "${LMOD_PKG:-${MODULESHOME:-/usr/share/lmod/lmod}}/init/bash"
  # shellcheck disable=SC2086  # one word a module
  module load $modules
fi

# Threads stay where the launcher has bound their rank. Where it binds none, places would be the
# same for all ranks: each would put its threads on the node's first cores.
if [ "${TRIREME_BIND:-core}" = none ]; then
  export OMP_PROC_BIND=${OMP_PROC_BIND:-false}
else
  export OMP_PLACES=${OMP_PLACES:-cores} OMP_PROC_BIND=${OMP_PROC_BIND:-close}
fi

# Where MPI keeps its sockets and shared memory: local to the node, short (108 characters at
# most, the socket's own name included). Checkpoints and tokens belong on the parallel file
# system: `run` and the deck's data_path.
export TMPDIR=${TRIREME_SCRATCH:-${TMPDIR:-/tmp}}

# Checkpoints lock their files in the program; HDF5's own locks fail on some Lustre and NFS.
export HDF5_USE_FILE_LOCKING=${HDF5_USE_FILE_LOCKING:-FALSE}

# --- GPUs ------------------------------------------------------------------------------------
# NCCL finds its network by itself. Set one of these where its first lines (NCCL_DEBUG=INFO)
# name the wrong one, or where the start hangs between nodes.
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
# MPI carries decks, sums of the log and checkpoints; with `communication: staged` all else too.
#
# export UCX_NET_DEVICES=mlx5_0:1    # UCX takes a port that is down, or Ethernet
# export OMPI_MCA_btl_tcp_if_include=10.0.0.0/8     # Open MPI over TCP, several interfaces
# export MPICH_GPU_SUPPORT_ENABLED=0 # Cray MPICH: no buffer of a GPU is handed to MPI
