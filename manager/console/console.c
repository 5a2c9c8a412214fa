/* ota-console: the REST API and the web console, a client of the plugin like any other. */
#include "control.h"
#include "file.h"
#include "http.h"
#include "limit.h"
#include "live.h"
#include "option.h"
#include "own.h"
#include "server.h"
#include "spool.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define WORK_THREADS 4

struct options {
	char *address;
	uint64_t port;
	bool plain;
	char *certificate, *key;
	char *broker, *broker_ca, *broker_certificate, *broker_key;
	char *spool;
	uint64_t spool_bytes, connections;
	uint64_t rate, burst, login_failures, peer_failures, lock_ms;
	char *signer_command;
};

static const struct option_row rows[] = {
	{"address", OPTION_STRING, offsetof(struct options, address), 1, 63, "127.0.0.1", NULL,
	 "numeric address to listen on"},
	{"port", OPTION_NUMBER, offsetof(struct options, port), 0, 65535, "8443", NULL,
	 "TCP port to listen on; 0 takes any free one and says which"},
	{"plain", OPTION_BOOL, offsetof(struct options, plain), 0, 0, "false", NULL,
	 "HTTP without TLS; only on a loopback address"},
	{"certificate", OPTION_PATH, offsetof(struct options, certificate), 0, 0, "", NULL,
	 "PEM certificate chain for HTTPS"},
	{"key", OPTION_PATH, offsetof(struct options, key), 0, 0, "", NULL,
	 "PEM private key for HTTPS"},
	{"broker", OPTION_STRING, offsetof(struct options, broker), 1, 255, NULL, NULL,
	 "host or host:port of the broker"},
	{"broker_ca", OPTION_PATH, offsetof(struct options, broker_ca), 0, 0, NULL, NULL,
	 "PEM file of the CA that signed the broker's certificate"},
	{"broker_certificate", OPTION_PATH, offsetof(struct options, broker_certificate), 0, 0,
	 NULL, NULL, "PEM certificate of this console (OU ota-console)"},
	{"broker_key", OPTION_PATH, offsetof(struct options, broker_key), 0, 0, NULL, NULL,
	 "PEM private key of this console"},
	{"spool", OPTION_PATH, offsetof(struct options, spool), 0, 0, "/var/lib/ota-console",
	 NULL, "directory for images on their way from a browser"},
	{"spool_bytes", OPTION_NUMBER, offsetof(struct options, spool_bytes), 1 << 20,
	 UINT64_C(1) << 50, "8G", NULL, "bytes of such images at most", .bytes = true},
	{"connections", OPTION_NUMBER, offsetof(struct options, connections), 8, 10000, "512",
	 NULL, "HTTP connections at a time"},
	{"rate", OPTION_NUMBER, offsetof(struct options, rate), 1, 100000, "10", NULL,
	 "requests a second of one token"},
	{"burst", OPTION_NUMBER, offsetof(struct options, burst), 1, 100000, "60", NULL,
	 "requests of one token that may come at once"},
	{"login_failures", OPTION_NUMBER, offsetof(struct options, login_failures), 1, 1000,
	 "5", NULL, "failed logins with one token id from one address before it is locked out"},
	{"peer_failures", OPTION_NUMBER, offsetof(struct options, peer_failures), 1, 100000,
	 "50", NULL,
	 "failed logins from one address, whatever the token, before it is locked out"},
	{"lock", OPTION_DURATION, offsetof(struct options, lock_ms), 1000, 86400000, "15m",
	 NULL, "how long a lock-out lasts"},
	{"signer_command", OPTION_STRING, offsetof(struct options, signer_command), 0, 1023, "",
	 NULL,
	 "program that signs releases asked for by scripts: document on its standard input, "
	 "envelope on its output"},
	{0},
};

static int complain(const struct ota_why *why)
{
	fprintf(stderr, "ota-console: %s: %s\n", ota_err_name(why->err), why->text);
	return why->err == OTA_UNREACHABLE ? 3 : 1;
}

static enum ota_err check_listener(const struct options *options, struct ota_why *why)
{
	bool loopback =
		!strncmp(options->address, "127.", 4) || !strcmp(options->address, "::1");

	if (options->plain && !loopback)
		return ota_fail(
			why, OTA_BAD_REQUEST,
			"plain = true is allowed on a loopback address only, not on '%s'",
			options->address);
	if (!options->plain && (!options->certificate || !options->key))
		return ota_fail(why, OTA_BAD_REQUEST,
				"certificate and key are needed (or plain = true on a loopback "
				"address)");
	return OTA_OK;
}

struct running {
	struct server server;
	struct http *http;
	char *certificate, *key;
};

static enum ota_err start(const struct options *options, struct running *running,
			  struct ota_why *why)
{
	struct server *server = &running->server;
	struct control_options control = {
		.broker = options->broker,
		.ca = options->broker_ca,
		.certificate = options->broker_certificate,
		.key = options->broker_key,
		.patient = true,
	};
	struct limit_config limit = {
		.rate = (uint32_t)options->rate,
		.burst = (uint32_t)options->burst,
		.failures = (uint32_t)options->login_failures,
		.peer_failures = (uint32_t)options->peer_failures,
		.lock_ms = options->lock_ms,
	};
	struct http_calls calls = server_calls;
	size_t len;
	enum ota_err err = OTA_OK;

	server->options.signer_command = options->signer_command ? options->signer_command : "";
	if (!options->plain)
		err = file_read(options->certificate, 1 << 20, &running->certificate, &len,
				why);
	if (!err && !options->plain)
		err = file_read(options->key, 1 << 20, &running->key, &len, why);
	if (!err)
		err = control_open(&control, &server->control, why);
	if (!err)
		err = limit_new(&limit, &server->limit, why);
	if (!err)
		err = work_new(WORK_THREADS, &server->work, why);
	if (!err)
		err = spool_new(options->spool, options->spool_bytes, server->work,
				&server->spool, why);
	if (!err)
		err = live_new(server->control, &server->live, why);
	calls.ctx = server;
	struct http_config http = {
		.address = options->address,
		.port = (uint16_t)options->port,
		.certificate_pem = running->certificate,
		.key_pem = running->key,
		.connections_max = (unsigned)options->connections,
	};
	if (!err)
		err = http_new(&http, &calls, &running->http, why);
	return err;
}

/* First no new answers, then no new questions, then nothing that either could touch. */
static void stop(struct running *running)
{
	struct server *server = &running->server;

	if (server->live)
		live_stop(server->live);
	http_free(running->http);
	control_close(server->control);
	work_free(server->work);
	live_free(server->live);
	spool_free(server->spool);
	limit_free(server->limit);
	free(running->certificate);
	free(running->key);
}

static int serve(const struct options *options)
{
	struct running running = {0};
	struct ota_why why = {0};
	sigset_t signals;
	int signal_number, status = 0;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (start(options, &running, &why)) {
		status = complain(&why);
	} else {
		printf("ota-console: listening on %s://%s%s%s:%u\n",
		       options->plain ? "http" : "https",
		       strchr(options->address, ':') ? "[" : "", options->address,
		       strchr(options->address, ':') ? "]" : "", http_port(running.http));
		fflush(stdout);
		sigwait(&signals, &signal_number);
	}
	stop(&running);
	return status;
}

static int usage(FILE *to, int status)
{
	struct text text = {0};

	text_put(&text,
		 "usage: ota-console --config FILE\n"
		 "       ota-console --sample-config\n\n"
		 "The REST API and web console of mosquitto-ota.\n\nKeys of the file:\n");
	option_help(rows, &text);
	if (text.data)
		fputs(text.data, to);
	text_done(&text);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct ota_why why = {0};
	int status;

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout, 0);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("ota-console " OTA_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--sample-config")) {
		struct text text = {0};
		option_sample(rows, &text);
		if (text.data)
			fputs(text.data, stdout);
		text_done(&text);
		return 0;
	}
	if (argc != 3 || strcmp(argv[1], "--config"))
		return usage(stderr, 2);
	if (option_defaults(rows, &options, &why) ||
	    option_read_file(rows, &options, argv[2], &why) ||
	    option_complete(rows, &options, argv[2], &why) || check_listener(&options, &why))
		status = complain(&why);
	else
		status = serve(&options);
	option_done(rows, &options);
	return status;
}
