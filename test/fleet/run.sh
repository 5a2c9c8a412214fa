#!/usr/bin/env bash
# `./dev fleet`: brings docker-compose.yml up with a hundred real agents and asserts what happens
# to them (scenarios.py). Uses the Docker engine that answers, or starts one for the time of the
# run, brings the file up with each docker-compose there is; makes the base image from the machine's own Debian mirror when no registry answers.
# Exits 77, saying so, where no engine can run.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
STATE=${OTA_DEV_DIR:-$PWD/.dev}/docker
SUITE=${SUITE:-bookworm}
export SUITE COMPOSE_PROJECT_NAME=mosquitto-ota-fleet COMPOSE_PROFILES=demo,fleet,faults
export DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0
# A hundred containers at once are more than a small machine answers for in a minute.
export COMPOSE_HTTP_TIMEOUT=600 COMPOSE_PARALLEL_LIMIT=4
mkdir -p "$STATE"

say() { printf 'fleet: %s\n' "$*"; }
cannot() {
	printf 'fleet: NOT RUN: %s\n' "$*" >&2
	exit 77
}

engine_start() {
	if docker info >/dev/null 2>&1; then
		say "using the Docker engine that runs here"
		return
	fi
	[ "$(id -u)" = 0 ] || cannot "no Docker engine answers, and only root can start one"
	command -v dockerd >/dev/null || cannot "there is no dockerd"
	export DOCKER_HOST=unix://$STATE/docker.sock
	dockerd --data-root "$STATE/data" --exec-root "$STATE/exec" -H "$DOCKER_HOST" \
		-p "$STATE/dockerd.pid" >"$STATE/dockerd.log" 2>&1 &
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

engine_stop() { # and waits: the next run finds the directory free
	[ -z "${DOCKERD:-}" ] || {
		kill "$DOCKERD" 2>/dev/null || true
		wait "$DOCKERD" 2>/dev/null || true
	}
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

# A few agents, seen healthy, and gone again.
compose_try() { # command
	local deadline=$((SECONDS + 180)) healthy=0
	$1 up -d --no-build --scale agent=3 broker agent >"$STATE/up.log" 2>&1 || {
		tail -n 20 "$STATE/up.log" >&2
		exit 1
	}
	while [ "$healthy" != 3 ]; do
		[ $SECONDS -lt $deadline ] || {
			$1 ps >&2
			say "NOT within 180 s: three healthy agents with $1"
			exit 1
		}
		sleep 1
		healthy=$($1 ps -q agent | xargs -r docker inspect -f '{{.State.Health.Status}}' | grep -cx healthy || true)
	done
	$1 down -v --remove-orphans -t 2 >"$STATE/down.log" 2>&1
	say "ok: the file comes up with $($1 version | head -n 1)"
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
	for target in broker agent tools; do
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
	$COMPOSE down -v --remove-orphans -t 2 >"$STATE/down.log" 2>&1 || true
}

finish() {
	local status=$?
	trap - EXIT
	if [ -n "${COMPOSE:-}" ]; then
		[ "$status" = 0 ] || $COMPOSE logs --tail=20 broker >&2 || true
		clear_away
	fi
	engine_stop
	exit "$status"
}

trap finish EXIT
engine_start
compose_find
base_find
images_build
[ "${1:-}" != --images ] || exit 0
clear_away # what an interrupted run left
for one in "${COMPOSES[@]}"; do
	compose_try "$one"
done
/usr/bin/python3 test/fleet/scenarios.py "$@"
