# SPDX-License-Identifier: Apache-2.0
# ReFrame's settings for one machine without a batch system.
site_configuration = {
    "systems": [
        {
            "name": "local",
            "descr": "this machine",
            "hostnames": [".*"],
            "modules_system": "nomod",
            "partitions": [
                {
                    "name": "cpus",
                    "descr": "its processors",
                    "scheduler": "local",
                    "launcher": "mpirun",
                    "environs": ["installed"],
                    "max_jobs": 1,  # concurrent checks would share the cores
                    # Open MPI 4 and 5 may start more ranks than there are cores, unbound. To
                    # run as root, ReFrame's own environment must have OMPI_ALLOW_RUN_AS_ROOT=1
                    # and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1.
                    "env_vars": [
                        ["OMPI_MCA_rmaps_base_oversubscribe", "1"],
                        ["OMPI_MCA_hwloc_base_binding_policy", "none"],
                        ["PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"],
                        ["PRTE_MCA_hwloc_default_binding_policy", "none"],
                    ],
                }
            ],
        }
    ],
    "environments": [{"name": "installed", "cc": "cc", "cxx": "c++", "ftn": ""}],
    "logging": [
        {
            "handlers": [
                {"type": "stream", "name": "stdout", "level": "info", "format": "%(message)s"},
            ],
            "handlers_perflog": [
                {
                    "type": "filelog",
                    "prefix": "%(check_system)s/%(check_partition)s",
                    "level": "info",
                    "format": "%(check_job_completion_time)s|%(check_info)s|"
                    "%(check_num_tasks)s|%(check_result)s|%(check_perfvalues)s",
                    "format_perfvars": "%(check_perf_value)s %(check_perf_unit)s|",
                    "append": True,
                }
            ],
        }
    ],
}
