#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs packages of jobs/debian-packages.txt that are missing. The default groups are build,
# data and analysis. Does not call apt if none is missing. Where packages can't be installed (no
# apt, no root), prints what is needed. CMake then decides, as the libraries may come from
# modules. Daemons of the group `test` are not started.
#
#   jobs/install-deps.sh [GROUP...]       TRIREME_SKIP_DEPS=1: install no package
set -euo pipefail

[ "${TRIREME_SKIP_DEPS:-0}" != 1 ] || exit 0
list="$(dirname "$0")/debian-packages.txt"
groups=" ${*:-build data analysis} "
known=$(awk 'NF && !/^#/ && !seen[$1]++ {print $1}' "$list")
for group in $groups; do
  if ! grep -qx -- "$group" <<<"$known"; then
    echo "install-deps: no group '$group'; there are: ${known//$'\n'/ }" >&2
    exit 1
  fi
done

# needed FORMAT_COLUMNS: prints the lines of the chosen groups, without the group.
needed() {
  awk -v groups="$groups" 'NF && !/^#/ && index(groups, " " $1 " ") {
    package = $2; $1 = ""; $2 = ""; sub(/^ +/, ""); print package "\t" $0 }' "$list"
}

ask_for() {  # the missing packages, or none where dpkg is missing
  {
    echo "install-deps: $1. Trireme needs:"
    needed | while IFS=$'\t' read -r package what; do
      if [ $# -lt 2 ] || grep -qxF -- "$package" <<<"$2"; then
        printf '  %-58s (Debian: %s)\n' "$what" "$package"
      fi
    done
    echo "Continuing with the installed packages; CMake reports what is missing." \
      "TRIREME_SKIP_DEPS=1 silences this."
  } >&2
  exit 0
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  ask_for "this machine has no apt, so nothing is installed"
fi

# shellcheck disable=SC2016  # dpkg's own ${...}
present=$(needed | cut -f1 | xargs dpkg-query -W -f '${Package} ${db:Status-Status}\n' \
  2>/dev/null | awk '$2 == "installed" {print $1}' || true)
mapfile -t missing < <(needed | cut -f1 | grep -vxF -e "${present:-none}" || true)
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    ask_for "some packages are missing and only root can install them" \
      "$(printf '%s\n' "${missing[@]}")"
  fi
  as_root=(sudo)
  [ -t 0 ] || as_root=(sudo -n)  # a password can't be typed here
fi

# Debian starts the daemons that it installs, unless this file forbids it; the tests start their
# own. If the file exists already, leave it alone.
policy=${DPKG_ROOT:-}/usr/sbin/policy-rc.d
forbid_daemons() {
  [[ $groups == *' test '* && ! -e $policy ]] || return 0
  # shellcheck disable=SC2064  # these words, now
  trap "$(printf '%q ' "${as_root[@]}" rm -f "$policy")" EXIT
  # shellcheck disable=SC2016  # the inner shell's
  printf '#!/bin/sh\nexit 101\n' |
    "${as_root[@]}" sh -c 'cat >"$1" && chmod 755 "$1"' - "$policy"
}

echo "install-deps: installing ${missing[*]}"
forbid_daemons
as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
"${as_root[@]}" update >/dev/null ||
  echo "install-deps: apt-get update failed; trying anyway" >&2
if ! "${as_root[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null; then
  echo "install-deps: apt-get could not install: ${missing[*]}" >&2
  exit 1
fi
