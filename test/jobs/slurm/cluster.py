# SPDX-License-Identifier: Apache-2.0
"""A Slurm of two nodes on one machine: munge, slurmctld and two slurmd, without systemd and
cgroups. All files are in one folder. The nodes are hosts of test/jobs/hosts.

"""
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hosts"))
import hosts

NEEDED = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "munged")
PACKAGES = "Debian: slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins"
STATES_OF_END = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"}
# Two partitions over two shared nodes: `high` pre-empts `low`. Jobs of `low` get `GraceTime`
# and are then requeued. A requeued job must also wait for cred_expire; 5 s is the least.
CONFIGURATION = """
ClusterName=trireme
SlurmctldHost=node1
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin={task}
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=10
NodeName=node[1-2] CPUs=2 RealMemory=1000
PartitionName=low Nodes=node[1-2] Default=YES MaxTime=60 PriorityTier=1 GraceTime=20 State=UP
PartitionName=high Nodes=node[1-2] MaxTime=60 PriorityTier=2 State=UP
"""


def need():
    """Skips the script where Slurm can't be run."""
    missing = [command for command in NEEDED if not hosts.found(command)]
    if missing:
        hosts.skip(f"no Slurm here: {' '.join(missing)} missing ({PACKAGES})")


class Cluster:
    def __init__(self, folder, binds):
        """`binds`: ranks are bound to cores of their own, of the two on each node."""
        self.folder, self.daemons = folder, []
        self.nodes = hosts.two_hosts(folder, ("node1", "node2"))
        for name in ("munge", "state", "spool/node1", "spool/node2", "tmp/node1",
                     "tmp/node2"):
            (folder / name).mkdir(parents=True)
        (folder / "munge").chmod(0o711)  # munged insists that everyone can reach its socket
        key = folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        configuration = folder / "slurm.conf"
        task = "task/affinity" if binds else "task/none"
        text = CONFIGURATION.format(folder=folder, task=task)
        configuration.write_text(text, encoding="utf-8")
        # Jobs inherit the submitter's environment; variables that steer the tests are removed.
        own = {k: v for k, v in os.environ.items() if not k.startswith(("TRIREME_", "OMP_"))}
        # Nodes of two such clusters have equal names: keep MPI's folders apart.
        own["TMPDIR"] = str(folder / "tmp")
        # Else a rank may die in MPI_Init over PMIx's shared memory (jobs/README.md).
        own["PMIX_MCA_gds"] = "hash"
        self.environment = {**own, "SLURM_CONF": str(configuration)}
        munge = folder / "munge"
        self.start(0, "munged", "--foreground", "--force", f"--socket={munge / 'socket'}",
                   f"--key-file={key}", f"--log-file={munge / 'log'}",
                   f"--pid-file={munge / 'pid'}", f"--seed-file={munge / 'seed'}")
        hosts.wait_for((munge / "socket").exists, 10, "munge")
        self.start(0, "slurmctld", "-D")
        for node in (0, 1):
            self.start(node, "slurmd", "-D", "-N", f"node{node + 1}")
        hosts.wait_for(self.idle, 20, "nodes of Slurm")

    def start(self, node, *words):
        words = [hosts.found(words[0]), *words[1:]]
        with (self.folder / "daemons.log").open("a") as log:
            self.daemons.append(subprocess.Popen(
                self.nodes[node].command(*words), env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def stop(self):
        for node in self.nodes:
            node.stop()
        for daemon in self.daemons:
            daemon.wait()

    def idle(self):
        asked = self.ask("sinfo", "--noheader", "--Node", "--format=%N %T", check=False)
        return sorted(set(asked.splitlines())) == ["node1 idle", "node2 idle"]

    def ask(self, *words, check=True, more=None):
        """Runs a command on the first node, with `more` environment, and returns its output."""
        environment = {**self.environment, **(more or {})}
        done = self.nodes[0].run(*words, env=environment, capture_output=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{words}: exit code {done.returncode}: {done.stderr}")
        return done.stdout

    def submit(self, *words):
        return self.ask("sbatch", "--parsable", *words).strip()

    def job(self, number):
        """What Slurm knows about a job: {key: value}."""
        shown = self.ask("scontrol", "--oneliner", "show", "job", str(number))
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)

    def state(self, number):
        return self.job(number)["JobState"]

    def ended(self, number, seconds):
        """Waits for the end of a job; (state, exit code, number of requeues)."""
        end = time.monotonic() + seconds
        while (job := self.job(number))["JobState"] not in STATES_OF_END:
            if time.monotonic() > end:
                raise AssertionError(f"job {number} is {job['JobState']} after {seconds} s")
            time.sleep(0.1)
        return job["JobState"], int(job["ExitCode"].split(":")[0]), int(job["Restarts"])

    def logs(self):
        """The last lines of the daemons' logs, for a test that has failed."""
        said = [f"{path.name}:\n" + "\n".join(path.read_text().splitlines()[-25:])
                for path in sorted(self.folder.glob("slurm*.log"))]
        return "\n".join(said)
