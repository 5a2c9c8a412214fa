#!/usr/bin/env bash
# `./dev fleet`: brings docker-compose.yml up, each profile with each docker-compose there is, then
# with a hundred real agents, and asserts what happens to them (scenarios.py). Uses the Docker engine
# that answers, or starts one for the time of the run and puts the machine's network back as it was;
# makes the base image from the machine's own Debian mirror when no registry answers.
# Exits 77, saying so, where no engine can run.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
STATE=${OTA_DEV_DIR:-$PWD/.dev}/docker
SUITE=${SUITE:-bookworm}
PROFILES=(demo fleet faults https)
export SUITE COMPOSE_PROJECT_NAME=mosquitto-ota-fleet
COMPOSE_PROFILES=$(IFS=,; echo "${PROFILES[*]}")
# What is larger than 4 MiB comes from the container nginx, once it is up.
export COMPOSE_PROFILES OTA_SOURCE=https://nginx:8443 OTA_DEVICES=50
export OTA_FLEET_EVIDENCE=$STATE/failed OTA_HEALTH_EVERY=1m
export DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0
# A hundred containers at once are more than a small machine answers for in a minute.
export COMPOSE_HTTP_TIMEOUT=600 COMPOSE_PARALLEL_LIMIT=4
mkdir -p "$STATE"

say() { printf 'fleet: %s\n' "$*"; }
cannot() {
	printf 'fleet: NOT RUN: %s\n' "$*" >&2
	exit 77
}

# Becomes a daemon that holds nothing of ours: a lock that the caller waits on, say.
daemon() { # log, command…
	local log=$1 fd
	shift
	for fd in /proc/"$BASHPID"/fd/*; do
		fd=${fd##*/}
		[ "$fd" -le 2 ] || eval "exec $fd>&-"
	done
	exec setsid "$@" </dev/null >"$log" 2>&1
}

engine_start() {
	if docker info >/dev/null 2>&1; then
		say "using the Docker engine that runs here"
		return
	fi
	[ "$(id -u)" = 0 ] || cannot "no Docker engine answers, and only root can start one"
	command -v dockerd >/dev/null || cannot "there is no dockerd"
	export DOCKER_HOST=unix://$STATE/docker.sock
	if docker info >/dev/null 2>&1; then
		DOCKERD=$(cat "$STATE/dockerd.pid")
		say "using the Docker engine that an interrupted run left, stopped at the end"
		return
	fi
	network_note
	daemon "$STATE/dockerd.log" dockerd --data-root "$STATE/data" --exec-root "$STATE/exec" \
		-H "$DOCKER_HOST" -p "$STATE/dockerd.pid" &
	DOCKERD=$!
	for _ in $(seq 100); do
		docker info >/dev/null 2>&1 && {
			say "started a Docker engine: $(docker version --format '{{.Server.Version}}'), stopped at the end"
			return
		}
		kill -0 "$DOCKERD" 2>/dev/null || break
		sleep 0.3
	done
	tail -n 5 "$STATE/dockerd.log" >&2
	cannot "dockerd does not run on this machine"
}

# What an engine changes of the machine's network, and leaves behind.
network_note() {
	{
		echo "forwarding=$(cat /proc/sys/net/ipv4/ip_forward)"
		echo "policy=$(iptables -S FORWARD | awk '$1 == "-P" { print $3 }')"
		echo "bridge=$([ ! -e /sys/class/net/docker0 ] || echo there)"
	} >"$STATE/network"
}

network_restore() {
	local forwarding policy bridge tables table line
	[ -s "$STATE/network" ] || return 0
	. "$STATE/network"
	rm "$STATE/network"
	[ -z "$bridge" ] || return 0 # another engine's, whose rules look the same
	for tables in iptables ip6tables; do
		for table in filter nat raw; do
			while read -r line; do
				# shellcheck disable=SC2086
				$tables -t "$table" -D ${line#-A }
			done < <($tables -t "$table" -S 2>/dev/null | grep -E '^-A .*(DOCKER|docker0)')
			while read -r line; do
				$tables -t "$table" -X "$line"
			done < <($tables -t "$table" -S 2>/dev/null | sed -n 's/^-N \(DOCKER.*\)/\1/p')
		done
	done
	iptables -P FORWARD "$policy"
	ip link delete docker0 2>/dev/null || true
	echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
}

engine_stop() { # and waits: the next run finds the directory free
	local mount tick
	[ -n "${DOCKERD:-}" ] || return 0
	kill "$DOCKERD" 2>/dev/null || true
	for ((tick = 0; tick < 300; tick++)); do
		kill -0 "$DOCKERD" 2>/dev/null || break
		sleep 0.2
	done
	kill -9 "$DOCKERD" 2>/dev/null && say "NOT ended within 60 s, killed: dockerd" >&2
	awk -v dir="$STATE/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r |
		while read -r mount; do
			umount -l "$mount" || true
		done
	rm -rf --one-file-system "$STATE"/base.* # of an interrupted debootstrap
	network_restore || say "NOT put back: the machine's iptables rules" >&2
}

# The scenarios run with the first that is there, the file comes up with each.
compose_find() {
	export DOCKER_CONFIG=$STATE/config
	COMPOSES=()
	! command -v docker-compose >/dev/null || COMPOSES+=("docker-compose")
	! docker compose version >/dev/null 2>&1 || COMPOSES+=("docker compose")
	[ ${#COMPOSES[@]} -gt 0 ] || cannot "there is neither docker-compose nor docker compose"
	export COMPOSE=${COMPOSES[0]}
}

# What a profile starts.
declare -A SERVICES=(
	[demo]="setup broker otactl agent"
	[fleet]="setup broker otactl fleetsim"
	[faults]="setup broker link faulty-agent"
	[https]="setup broker nginx"
)

containers() { # filter…
	docker ps -a -q --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" "${@/#/--filter=}"
}

# "service state" of each container that is not as it should be: healthy, or running where
# nothing asks after its health, or ended well.
compose_unwell() { # services…
	local ids service
	for service in "$@"; do
		ids=$(containers "label=com.docker.compose.service=$service")
		[ -n "$ids" ] || echo "$service has no container"
		# shellcheck disable=SC2086
		[ -z "$ids" ] || docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{with .State.Health}}{{.Status}}{{end}}' $ids |
			awk -v service="$service" '
				!($1 == "running" && ($3 == "healthy" || $3 == "")) &&
				!($1 == "exited" && $2 == 0) { print service, $0 }'
	done
}

# One profile by itself, as a user would bring it up, beside what runs already.
compose_try() { # command, profile
	local deadline=$((SECONDS + 180)) unwell=- scale=()
	export COMPOSE_PROFILES=$2 OTA_HEALTH_EVERY=2s
	[ "$2" != demo ] || scale=(--scale agent=3)
	$1 up -d --no-build "${scale[@]}" >"$STATE/up.log" 2>&1 || {
		tail -n 20 "$STATE/up.log" >&2
		exit 1
	}
	# shellcheck disable=SC2086
	while unwell=$(compose_unwell ${SERVICES[$2]}) && [ -n "$unwell" ]; do
		[ $SECONDS -lt $deadline ] || {
			say "NOT well within 180 s, profile $2 with $1:" $'\n'"$unwell"
			exit 1
		}
		sleep 1
	done
	say "ok: profile $2 comes up with $($1 version | head -n 1):" \
		"${SERVICES[$2]}, $(containers | wc -l) containers in all"
}

# A base image out of the machine's own mirror, with the machine's way to reach it.
base_make() {
	local codename uri root
	codename=$(. /etc/os-release && printf %s "$VERSION_CODENAME")
	uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk -v release="$codename" '($2 == release || $2 == "stable") && $3 == "main" { print $1; exit }')
	[ -n "$uri" ] || cannot "no registry answers, and apt knows no mirror to make a base image from"
	root=$(mktemp -d "$STATE/base.XXXXXX")
	say "no registry answers: making debian:$SUITE-slim by debootstrap"
	debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$SUITE" "$root" "$uri" >"$STATE/debootstrap.log" 2>&1 || {
		tail -n 5 "$STATE/debootstrap.log" >&2
		rm -rf "$root"
		cannot "debootstrap failed"
	}
	apt-config dump | grep -E '^Acquire::(Check-|https?::)' >"$root/etc/apt/apt.conf.d/99host" || true
	rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/usr/share/doc/* "$root"/usr/share/man/*
	tar -C "$root" -c . | docker import - "debian:$SUITE-slim" >/dev/null
	rm -rf "$root"
}

base_find() {
	docker image inspect "debian:$SUITE-slim" >/dev/null 2>&1 && return
	timeout 60 docker pull -q "debian:$SUITE-slim" >/dev/null 2>&1 && return
	base_make
}

images_build() {
	local target
	for target in broker nginx agent tools; do
		say "building mosquitto-ota/$target:$SUITE"
		docker build -q --target "$target" --build-arg "SUITE=$SUITE" \
			-t "mosquitto-ota/$target:$SUITE" . >"$STATE/build-$target.log" 2>&1 || {
			tail -n 20 "$STATE/build-$target.log" >&2
			exit 1
		}
	done
}

clear_away() {
	docker rm -f "$COMPOSE_PROJECT_NAME-tools" >/dev/null 2>&1 || true
	containers | xargs -r docker rm -f >/dev/null 2>&1 || true
	$COMPOSE down -v --remove-orphans -t 2 >"$STATE/down.log" 2>&1 || true
}

finish() {
	local status=$?
	trap - EXIT
	trap '' INT TERM HUP
	[ -z "${PART:-}" ] || {
		kill -- "-$PART" 2>/dev/null || true
		wait "$PART" || true
	}
	if [ -n "${COMPOSE:-}" ]; then
		[ "$status" = 0 ] || $COMPOSE logs --tail=20 broker >&2 || true
		clear_away
	fi
	engine_stop
	exit "$status"
}

# In a process group of its own, so that an interrupted run ends all of it at once.
apart() {
	local status=0
	set -m
	"$@" &
	PART=$!
	set +m
	wait "$PART" || status=$?
	PART=
	return "$status"
}

main() {
	local one profile
	exec 8>"$STATE/.run"
	flock -n 8 || {
		say "another run has $STATE" >&2
		exit 1
	}
	trap finish EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	engine_start
	compose_find
	apart base_find
	apart images_build
	[ "${1:-}" != --images ] || exit 0
	clear_away # what an interrupted run left
	for one in "${COMPOSES[@]}"; do
		for profile in "${PROFILES[@]}"; do
			apart compose_try "$one" "$profile"
		done
		apart clear_away
	done
	apart /usr/bin/python3 test/fleet/scenarios.py "$@"
}

# All of it is read before it runs: a pull in the meantime changes nothing.
main "$@"; exit
