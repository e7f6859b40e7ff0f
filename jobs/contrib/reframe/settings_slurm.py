# SPDX-License-Identifier: Apache-2.0
# ReFrame's settings for a cluster under Slurm, never tried: a template. Fill in what stands in
# <>; the checks are in jobs/reframe.
site_configuration = {
    "systems": [
        {
            "name": "<cluster>",
            "descr": "<what it is>",
            "hostnames": [r"<login\d+>"],
            "modules_system": "lmod",
            "partitions": [
                {
                    "name": "cpus",
                    "descr": "nodes without GPUs",
                    "scheduler": "slurm",
                    "launcher": "srun",
                    "access": ["--partition=<cpus>", "--account=<account>"],
                    "environs": ["installed"],
                    "max_jobs": 8,
                    "modules": ["trireme"],
                    # Use pmix if Trireme's MPI supports it, else pmi2. `srun --mpi=list` shows
                    # what Slurm offers.
                    "env_vars": [["SLURM_MPI_TYPE", "pmix"], ["SLURM_CPU_BIND", "cores"]],
                },
                {
                    "name": "gpus",
                    "descr": "a rank for each GPU",
                    "scheduler": "slurm",
                    "launcher": "srun",
                    "access": [
                        "--partition=<gpus>",
                        "--account=<account>",
                        "--gpus-per-task=1",
                    ],
                    "environs": ["installed"],
                    "max_jobs": 8,
                    "modules": ["trireme"],
                    # Each rank sees all GPUs of its node, and its number on the node selects
                    # its GPU.
                    "env_vars": [["SLURM_MPI_TYPE", "pmix"], ["SLURM_GPU_BIND", "none"]],
                },
            ],
        }
    ],
    "environments": [{"name": "installed", "cc": "cc", "cxx": "CC", "ftn": ""}],
}
