# SPDX-License-Identifier: Apache-2.0
"""Several pretended hosts on one machine. Each host has its own network, host name and
/dev/shm, and a virtual cable connects the hosts. All share the rest of the file system, as a
cluster's nodes do, and process numbers.

Hosts live in namespaces of one process tree. When the tree's first process ends, in whatever
way, the kernel ends all other processes and removes networks and mounts.

"""
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SKIPPED = 77  # CTest's SKIP_RETURN_CODE
INSIDE = "TRIREME_TEST_INSIDE"
NEEDED = ("unshare", "nsenter", "ip")


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def found(command):
    """The path of a tool, also searched where only root looks."""
    for folder in os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/sbin"]:
        if os.access(path := Path(folder, command), os.X_OK):
            return str(path)
    return None


def isolate(as_root=False):
    """Restarts this script once in namespaces of its own; skips the script where namespaces are
    not possible. `as_root`: the script needs the true root, not root of a user namespace."""
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    for command in NEEDED:
        if not found(command):
            skip(f"no command `{command}` (Debian: util-linux, iproute2)")
    if as_root and os.geteuid() != 0:
        skip("only root can start a Slurm whose jobs may have any owner")
    words = [found("unshare"), "--net", "--pid", "--mount", "--uts", "--ipc", "--fork",
             "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        words += ["--user", "--map-root-user"]
    # Lay a cable for trial: some containers allow namespaces, but no networks in them.
    cable = "ip link set lo up && ip link add trial0 type veth peer name trial1"
    trial = subprocess.run([*words, "sh", "-c", cable], capture_output=True, text=True)
    if trial.returncode != 0:
        skip(f"this machine doesn't let us make namespaces: {trial.stderr.strip()}")
    os.environ[INSIDE] = "1"
    os.execv(words[0], [*words, sys.executable, *sys.argv])


class Host:
    """A pretended host. Its processes are those that `command` starts."""

    def __init__(self, name, address, folder):
        self.name, self.address = name, address
        setup = [
            f"hostname {name}",
            "ip link set lo up",
            "mount -t tmpfs tmpfs /dev/shm",
            f"mount --bind {folder / 'hosts'} /etc/hosts",
            "echo ready",
            "exec sleep infinity",
        ]
        words = [found("unshare"), "--net", "--uts", "--mount", "--ipc"]
        self.holder = subprocess.Popen(
            [*words, "sh", "-ec", "\n".join(setup)], stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            raise RuntimeError(f"host {name} did not start")
        self.holder.stdout.close()
        (folder / f"{name}.pid").write_text(f"{self.holder.pid}\n")

    def command(self, *words):
        """The command line that runs these words on this host, in the current folder."""
        spaces = ["--net", "--uts", "--mount", "--ipc"]
        folder = f"--wd={os.getcwd()}"
        return [found("nsenter"), "-t", str(self.holder.pid), *spaces, folder, *map(str, words)]

    def run(self, *words, **options):
        return subprocess.run(self.command(*words), text=True, **options)

    def processes(self):
        """Ids of all processes on this host, except the process that keeps the host alive."""
        own, ids = os.readlink(f"/proc/{self.holder.pid}/ns/net"), []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(entry / "ns" / "net") == own:
                    ids.append(int(entry.name))
        return [i for i in ids if i != self.holder.pid]

    def stop(self):
        """Cuts the host's power: kills all its processes."""
        if self.holder.returncode is not None:
            return
        while ids := self.processes():
            for i in ids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(i, signal.SIGKILL)
            time.sleep(0.05)
        self.holder.kill()
        self.holder.wait()

    def unplug(self):
        """Pulls the host's network cable."""
        self.run("ip", "link", "set", "cable", "down", check=True)


def two_hosts(folder, names):
    """Two hosts, joined by a cable. 192.0.2.0/24 is reserved for documentation, so no real host
    has such an address."""
    addresses = ("192.0.2.1", "192.0.2.2")
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["127.0.0.1 localhost", *(f"{a} {n}" for a, n in zip(addresses, names))]
    (folder / "hosts").write_text("\n".join(lines) + "\n", encoding="utf-8")
    hosts = [Host(n, a, folder) for n, a in zip(names, addresses)]
    ends = [str(host.holder.pid) for host in hosts]
    subprocess.run(["ip", "link", "add", "cable", "netns", ends[0], "type", "veth",
                    "peer", "name", "cable", "netns", ends[1]], check=True)
    for host in hosts:
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "cable", check=True)
        host.run("ip", "link", "set", "cable", "up", check=True)
    return hosts


def wait_for(condition, seconds, what):
    """Waits until the condition holds, and returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return value
