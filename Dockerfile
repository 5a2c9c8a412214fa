# Images of mosquitto-ota: broker (stock Mosquitto with the plugin), nginx (serves its blobs over
# HTTPS), agent, tools (otactl, fleetsim, the development PKI). SUITE is bookworm or trixie.
#
#   docker build --target broker -t mosquitto-ota/broker .
#   docker build --target agent --build-arg SUITE=trixie -t mosquitto-ota/agent .
ARG SUITE=bookworm

FROM debian:${SUITE}-slim AS build
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get -q update && apt-get -qy --no-install-recommends install \
	build-essential cmake ninja-build pkg-config mosquitto-dev libmosquitto-dev \
	libpaho-mqtt-dev libssl-dev libcjson-dev libsqlite3-dev libzstd-dev uthash-dev \
	libcurl4-openssl-dev libmicrohttpd-dev python3 \
	&& rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt /source/
COPY common /source/common
COPY plugin /source/plugin
COPY agent /source/agent
COPY manager /source/manager
COPY doc /source/doc
COPY test/CMakeLists.txt /source/test/
COPY test/fleet/*.c test/fleet/*.h test/fleet/CMakeLists.txt /source/test/fleet/
RUN cmake -G Ninja -S /source -B /build -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_INSTALL_PREFIX=/usr \
	&& ninja -C /build && DESTDIR=/out ninja -C /build install/strip

FROM debian:${SUITE}-slim AS broker
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get -q update && apt-get -qy --no-install-recommends install \
	mosquitto libsqlite3-0 libcjson1 libzstd1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/usr/lib/mosquitto-ota/mosquitto_ota.so /usr/lib/mosquitto-ota/
COPY test/fleet/docker/mosquitto.conf /etc/mosquitto/ota.conf
COPY test/fleet/docker/broker-start /usr/bin/
EXPOSE 8883
VOLUME /var/lib/mosquitto
HEALTHCHECK --interval=2s --timeout=2s --start-period=30s --retries=30 \
	CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8883"]
ENTRYPOINT ["broker-start"]

FROM debian:${SUITE}-slim AS nginx
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get -q update && apt-get -qy --no-install-recommends install nginx \
	&& rm -rf /var/lib/apt/lists/*
COPY doc/nginx.conf /usr/share/mosquitto-ota/
COPY test/fleet/docker/nginx-start /usr/bin/
EXPOSE 8443
HEALTHCHECK --interval=2s --timeout=2s --start-period=30s --retries=30 \
	CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8443"]
ENTRYPOINT ["nginx-start"]

FROM debian:${SUITE}-slim AS agent
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get -q update && apt-get -qy --no-install-recommends install \
	libpaho-mqtt1.3 libcjson1 libzstd1 libcurl4 openssl && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/usr/bin/ota-agent /usr/bin/
COPY --from=build /out/usr/lib/mosquitto-ota/libotaagent-https.so /usr/lib/mosquitto-ota/
COPY test/fleet/docker/agent-start test/fleet/docker/application /usr/bin/
VOLUME /var/lib/ota-agent
HEALTHCHECK --interval=5s --timeout=2s --start-period=60s --retries=12 \
	CMD ["ota-agent", "--config", "/var/lib/ota-agent/agent.conf", "status"]
ENTRYPOINT ["agent-start"]

FROM debian:${SUITE}-slim AS tools
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get -q update && apt-get -qy --no-install-recommends install \
	libpaho-mqtt1.3 libcjson1 libzstd1 openssl python3-cryptography \
	mosquitto-clients && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/usr/bin/otactl /out/usr/bin/fleetsim /usr/bin/
COPY certs /usr/share/mosquitto-ota/certs
RUN ln -s /usr/share/mosquitto-ota/certs/dev-pki /usr/bin/dev-pki
WORKDIR /work
CMD ["otactl", "--help"]
