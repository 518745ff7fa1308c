#!/usr/bin/env bash
# Installs what `make bench-peers` measures: libraries into a virtual environment of their own,
# servers by apt where this runs as root on Debian or Ubuntu. What can't be installed is named;
# the benchmark passes over the peers that need it.
#
#     benchmarks/install_peers.sh PYTHON VENV
set -euo pipefail
python=$1
venv=$2
here=$(dirname "${BASH_SOURCE[0]}")

echo "Installing the peers into $venv"
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/peers.txt"

packages=()
command -v redis-server >/dev/null || packages+=(redis-server)
command -v gearmand >/dev/null || [ -x /usr/sbin/gearmand ] || packages+=(gearman-job-server)
command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ||
  packages+=(postgresql)
[ ${#packages[@]} -eq 0 ] && exit

echo "The peers need ${packages[*]}, which this machine lacks."
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "remedy: sudo apt-get install ${packages[*]}   (they may start as services; stop those)"
  exit
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
for package in "${packages[@]}"; do
  echo "Installing $package"
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
    echo "apt-get could not install $package; what needs it will be passed over"
done
