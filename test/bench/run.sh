#!/usr/bin/env bash
# `./dev bench [name…]`: runs these benches, or all, and writes doc/BENCHMARKS.md and its picture
# from the newest result of each. A name is a file test/bench/<name>.py or .sh.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cd "$here/../.."
all=(notify reconnect chunks neighbour reports agent memory publish delta fleet)
[ $# -gt 0 ] || set -- "${all[@]}"
export OTA_BUILD=${OTA_BUILD:-$PWD/build/gcc}
for name in "$@"; do
	if [ -f "$here/$name.py" ]; then
		/usr/bin/python3 "$here/$name.py"
	elif [ -f "$here/$name.sh" ]; then
		bash "$here/$name.sh"
	else
		printf 'bench: there is no bench "%s"; there are: %s\n' "$name" "${all[*]}" >&2
		exit 2
	fi
done
/usr/bin/python3 "$here/tables.py"
