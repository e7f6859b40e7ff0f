#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stands in for ssh: runs a command on a host that the tests pretend. As ssh it is given the
# host's name and the words of a shell command, which sees nothing of our environment;
# TRIREME_TEST_HOSTS is where NAME.pid names who holds it.
set -eu
name=$1
shift
holder=$(cat "$TRIREME_TEST_HOSTS/$name.pid")
exec nsenter -t "$holder" --net --uts --mount --ipc \
  env -i HOME="${HOME:-/}" PATH=/usr/local/bin:/usr/bin:/bin sh -c "$*"
