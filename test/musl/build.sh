#!/usr/bin/env bash
# build.sh TREE SOURCES OUT: a static ota-agent and ota-slot of musl. SOURCES holds Debian's source
# packages of OpenSSL, paho and zstd, unpacked; what is built of them goes to OUT/root, the programs
# to OUT/build/agent. libubootenv is left out: boot_state = uboot is refused by name.
set -euo pipefail
TREE=$1 SOURCES=$2 OUT=$3
ROOT=$OUT/root
JOBS=${JOBS:-$(nproc)}
mkdir -p "$ROOT/include" "$ROOT/lib" "$OUT/build"

# musl-gcc looks for no headers but musl's; the kernel's are the system's.
ARCH=$(gcc -print-multiarch)
ln -sfn /usr/include/linux "$ROOT/include/linux"
ln -sfn /usr/include/asm-generic "$ROOT/include/asm-generic"
ln -sfn "/usr/include/$ARCH/asm" "$ROOT/include/asm"
export CC=musl-gcc
SMALL="-Os -ffunction-sections -fdata-sections -fPIC -I$ROOT/include"

source_of() { # package: its unpacked directory
	local found=("$SOURCES/$1"-[0-9]*/)
	[ -d "${found[0]}" ] || { printf 'no source of %s in %s\n' "$1" "$SOURCES" >&2; exit 1; }
	printf '%s\n' "${found[0]%/}"
}

build_openssl() {
	local dir=$OUT/openssl from target
	from=$(source_of openssl)
	case $ARCH in
	x86_64-*) target=linux-x86_64 ;;
	aarch64-*) target=linux-aarch64 ;;
	arm-*) target=linux-armv4 ;;
	*) target=linux-generic64 ;;
	esac
	mkdir -p "$dir"
	cd "$dir"
	# What TLS 1.2 and 1.3, Ed25519, ECDSA and RSA certificates need; no more.
	perl "$from/Configure" "$target" --prefix="$ROOT" --libdir=lib --openssldir=/etc/ssl --release \
		no-shared no-tests no-engine no-dso no-module no-legacy no-comp no-async no-afalgeng \
		no-ssl3 no-tls1 no-tls1_1 no-dtls no-srp no-ct no-cms no-ts no-dsa no-aria no-bf no-blake2 no-camellia \
		no-cast no-idea no-md4 no-mdc2 no-rc2 no-rc4 no-rmd160 no-seed no-sm2 no-sm3 no-sm4 no-whirlpool no-gost $SMALL >"$OUT/openssl.log" 2>&1 ||
		{ tail -n 20 "$OUT/openssl.log" >&2; return 1; }
	make -j"$JOBS" build_libs >>"$OUT/openssl.log" 2>&1 || { tail -n 20 "$OUT/openssl.log" >&2; return 1; }
	make install_dev >>"$OUT/openssl.log" 2>&1
}

build_paho() {
	cmake -G Ninja -S "$(source_of paho.mqtt.c)" -B "$OUT/paho" -DCMAKE_C_COMPILER=musl-gcc \
		-DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS="$SMALL -w" -DCMAKE_INSTALL_PREFIX="$ROOT" \
		-DCMAKE_INSTALL_LIBDIR=lib -DPAHO_WITH_SSL=ON -DPAHO_BUILD_STATIC=ON -DPAHO_BUILD_SHARED=OFF \
		-DPAHO_ENABLE_TESTING=OFF -DPAHO_BUILD_SAMPLES=OFF -DPAHO_HIGH_PERFORMANCE=ON \
		-DOPENSSL_ROOT_DIR="$ROOT" -DOPENSSL_USE_STATIC_LIBS=ON >"$OUT/paho.log" 2>&1 &&
		ninja -C "$OUT/paho" -j"$JOBS" install >>"$OUT/paho.log" 2>&1 || { tail -n 20 "$OUT/paho.log" >&2; return 1; }
}

# Not every mirror has the source of paho. Debian's static archive was compiled for glibc; its calls
# are those of POSIX, with the kernel's and the processor's own types, but for a few checked functions.
borrow_paho() {
	echo "NOT REACHED: the source of paho.mqtt.c; Debian's archive, made for glibc, is linked instead" >&2
	cp /usr/include/MQTT*.h "$ROOT/include/"
	cp "/usr/lib/$ARCH/libpaho-mqtt3as.a" "$OUT/libpaho-mqtt3as.a"
	musl-gcc -Os -c -o "$OUT/fortify.o" "$TREE/test/musl/fortify.c"
	ar r "$OUT/libpaho-mqtt3as.a" "$OUT/fortify.o"
	mv "$OUT/libpaho-mqtt3as.a" "$ROOT/lib/"
}

build_zstd() { # only what reads
	make -C "$(source_of libzstd)/lib" -j"$JOBS" CC=musl-gcc CFLAGS="$SMALL" PREFIX="$ROOT" BUILD_DIR="$OUT/zstd" \
		ZSTD_LIB_COMPRESSION=0 ZSTD_LIB_DICTBUILDER=0 ZSTD_LIB_DEPRECATED=0 ZSTD_LEGACY_SUPPORT=0 \
		ZSTD_LIB_MINIFY=1 install-static install-includes install-pc >"$OUT/zstd.log" 2>&1 ||
		{ tail -n 20 "$OUT/zstd.log" >&2; return 1; }
}

build_agent() { # musl's ioctl() takes an int, which the kernel's numbers do not fit
	PKG_CONFIG_LIBDIR="$ROOT/lib/pkgconfig" cmake -G Ninja -S "$TREE" -B "$OUT/build" \
		-DCMAKE_C_COMPILER=musl-gcc -DCMAKE_BUILD_TYPE=Release -DOTA_AGENT_ONLY=ON -DOTA_HTTPS=OFF -DOTA_TESTS=OFF \
		-DCMAKE_C_FLAGS="-I$ROOT/include -Wno-sign-conversion" -DCMAKE_EXE_LINKER_FLAGS="-static -L$ROOT/lib" \
		-DCMAKE_POSITION_INDEPENDENT_CODE=OFF -DOPENSSL_ROOT_DIR="$ROOT" -DOPENSSL_USE_STATIC_LIBS=ON >"$OUT/build.log" 2>&1 ||
		{ tail -n 20 "$OUT/build.log" >&2; return 1; }
	ninja -C "$OUT/build" -j"$JOBS" --quiet ota-agent ota-slot
}

[ -s "$ROOT/lib/libssl.a" ] || (build_openssl)
if [ ! -s "$ROOT/lib/libpaho-mqtt3as.a" ]; then
	if compgen -G "$SOURCES/paho.mqtt.c-[0-9]*" >/dev/null; then build_paho; else borrow_paho; fi
fi
[ -s "$ROOT/lib/libzstd.a" ] || build_zstd
build_agent
for program in ota-agent ota-slot; do
	strip -o "$OUT/$program" "$OUT/build/agent/$program"
	printf '%s: %s bytes, stripped, static\n' "$program" "$(stat -c %s "$OUT/$program")"
done
