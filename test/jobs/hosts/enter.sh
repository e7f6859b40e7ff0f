#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stands in for ssh: runs a command on a pretended host of the tests. Like ssh, it gets the
# host's name and a shell command. The command sees none of our environment. TRIREME_TEST_HOSTS
# is a folder where NAME.pid holds the process that keeps host NAME alive.
set -eu
name=$1
shift
holder=$(cat "$TRIREME_TEST_HOSTS/$name.pid")
exec nsenter -t "$holder" --net --uts --mount --ipc \
  env -i HOME="${HOME:-/}" PATH=/usr/local/bin:/usr/bin:/bin sh -c "$*"
