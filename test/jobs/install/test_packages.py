#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""jobs/install-deps.sh with stand-ins for apt-get and dpkg-query: no package is installed."""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]
STAND_INS = {
    "dpkg-query": "exit 1",
    "id": "echo $USER_ID",
    "sudo": """
while [ "${1#-}" != "$1" ]; do shift; done
echo "sudo $1" >> "$CALLS"
exec "$@"
""",
    "apt-get": """
echo "$@" >> "$CALLS"
case " $* " in *' install '*) ;; *) exit 0 ;; esac
policy=$DPKG_ROOT/usr/sbin/policy-rc.d
! test -e $policy || { sh $policy; echo "policy $?" >> "$CALLS"; }
! test -e "$CALLS.waits" || { touch "$CALLS.ready"; sleep 1; }
! test -e "$CALLS.fails"
""",
}


class Daemons(unittest.TestCase):
    """Daemons of Slurm and MUNGE, which Debian would start, stay stopped."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="packages-"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "bin").mkdir()
        for name, body in STAND_INS.items():
            path = self.folder / "bin" / name
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        self.calls = self.folder / "calls"
        self.policy = self.folder / "usr" / "sbin" / "policy-rc.d"
        self.policy.parent.mkdir(parents=True)

    def start(self, *groups, user=0):
        self.calls.write_text("")
        kept = {k: v for k, v in os.environ.items() if k != "TRIREME_SKIP_DEPS"}
        return subprocess.Popen(
            [SOURCE / "jobs" / "install-deps.sh", *groups], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**kept, "PATH": f"{self.folder / 'bin'}:{kept['PATH']}", "USER_ID": str(user),
                 "CALLS": str(self.calls), "DPKG_ROOT": str(self.folder)})

    def install(self, *groups, code=0, user=0):
        """The calls of apt-get and sudo, and the policy at that time."""
        process = self.start(*groups, user=user)
        said, _ = process.communicate(timeout=30)
        self.assertEqual(process.returncode, code, said)
        return self.calls.read_text()

    def test_forbidden(self):
        for user in (0, 1000):
            called = self.install("build", "test", user=user)
            self.assertIn("slurmctld", called)
            self.assertIn("policy 101", called)
            self.assertEqual("sudo rm" in called, user != 0)
            self.assertFalse(self.policy.exists())

    def test_allowed(self):
        called = self.install("build", "data")
        self.assertIn("install -y", called)
        self.assertNotIn("policy", called)

    def test_failure(self):
        (self.folder / "calls.fails").touch()
        self.assertIn("policy 101", self.install("test", code=1))
        self.assertFalse(self.policy.exists())

    def test_ended(self):
        (self.folder / "calls.waits").touch()
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.start("test")
            end = time.monotonic() + 30
            while not (self.folder / "calls.ready").exists():
                self.assertLess(time.monotonic(), end)
                time.sleep(0.02)
            (self.folder / "calls.ready").unlink()
            process.send_signal(number)
            process.communicate(timeout=30)
            self.assertFalse(self.policy.exists(), number)

    def test_a_policy_stays(self):
        self.policy.write_text("exit 7\n")
        self.assertIn("policy 7", self.install("test"))
        self.assertEqual(self.policy.read_text(), "exit 7\n")


if __name__ == "__main__":
    unittest.main()
