#include "wire.h"

#include "own.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

#define READ_PIECE (64u << 10)
#define READ_TURN  (512u << 10) /* then another device has its turn */

enum ota_err wire_peer_find(const char *host, const char *port, struct wire_peer *ret_peer,
			    struct ota_why *why)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int status = getaddrinfo(host, port, &hints, &found);
	if (status)
		return ota_fail(why, OTA_UNREACHABLE, "'%s': %s", host, gai_strerror(status));
	struct wire_peer peer = {0};
	memcpy(&peer.address, found->ai_addr, sizeof(peer.address));
	freeaddrinfo(found);
	if (!text_copy(peer.host, sizeof(peer.host), host))
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' is too long for a host", host);
	*ret_peer = peer;
	return OTA_OK;
}

static void spread(int fd, const struct sockaddr_in *to, unsigned number)
{
	if (ntohl(to->sin_addr.s_addr) >> 24 != 127)
		return;
	struct sockaddr_in from = {.sin_family = AF_INET};
	from.sin_addr.s_addr =
		htonl(0x7f000000u | (1 + number / 250 % 250) << 8 | (1 + number % 250));
	int on = 1;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)))
		return; /* not on this system: the kernel chooses */
}

static enum ota_err start_tcp(const struct wire_peer *peer, unsigned number, int *ret_fd,
			      struct ota_why *why)
{
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "no socket");
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	spread(fd, &peer->address, number);
	if (connect(fd, (const struct sockaddr *)&peer->address, sizeof(peer->address)) &&
	    errno != EINPROGRESS)
		return ota_fail_errno(why, OTA_CONNECTION_LOST, errno, "connect");
	*ret_fd = TAKE_FD(fd);
	return OTA_OK;
}

static bool expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *rules = SSL_get0_param(ssl);
	struct in_addr address;
	if (inet_pton(AF_INET, host, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(rules, host) == 1;
	return X509_VERIFY_PARAM_set1_host(rules, host, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, host) == 1;
}

enum ota_err wire_open(struct wire *wire, const struct wire_peer *peer, struct issuer *issuer,
		       const char *name, unsigned number, struct ota_why *why)
{
	*wire = (struct wire){.state = WIRE_CONNECTING, .fd = -1, .wants_write = true};
	enum ota_err err = start_tcp(peer, number, &wire->fd, why);
	if (!err) {
		wire->ssl = SSL_new(issuer_context(issuer));
		if (!wire->ssl || !expect_host(wire->ssl, peer->host) ||
		    SSL_set_fd(wire->ssl, wire->fd) != 1)
			err = ota_fail(why, OTA_OUT_OF_MEMORY, "no TLS session");
	}
	if (!err)
		err = issuer_equip(issuer, name, wire->ssl, why);
	if (err)
		wire_close(wire);
	return err;
}

void wire_close(struct wire *wire)
{
	SSL_free(wire->ssl);
	if (wire->state != WIRE_CLOSED && wire->fd >= 0)
		close(wire->fd);
	text_done(&wire->in);
	text_done(&wire->out);
	*wire = (struct wire){.state = WIRE_CLOSED, .fd = -1};
}

static enum ota_err tls_failed(struct wire *wire, int result, const char *what,
			       struct ota_why *why)
{
	int reason = SSL_get_error(wire->ssl, result);
	if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
		wire->wants_write = reason == SSL_ERROR_WANT_WRITE;
		return OTA_BUSY;
	}
	unsigned long code = ERR_get_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	return ota_fail(why, OTA_CONNECTION_LOST, "%s: %s", what, text ? text : "closed");
}

enum ota_err wire_connect(struct wire *wire, bool *ret_open, struct ota_why *why)
{
	ERR_clear_error();
	int result = SSL_connect(wire->ssl);
	if (result == 1) {
		wire->state = WIRE_OPEN;
		wire->wants_write = false;
		*ret_open = true;
		return OTA_OK;
	}
	*ret_open = false;
	enum ota_err err = tls_failed(wire, result, "handshake", why);
	return err == OTA_BUSY ? OTA_OK : err;
}

enum ota_err wire_read(struct wire *wire, struct ota_why *why)
{
	static char piece[READ_PIECE]; /* one thread; moved out before the next device reads */
	size_t turn = 0;
	do {
		ERR_clear_error();
		int got = SSL_read(wire->ssl, piece, (int)sizeof(piece));
		if (got <= 0) {
			enum ota_err err = tls_failed(wire, got, "read", why);
			if (err == OTA_BUSY)
				break;
			return err;
		}
		text_add(&wire->in, piece, (size_t)got);
		turn += (size_t)got;
	} while (turn < READ_TURN || SSL_pending(wire->ssl));
	if (wire->in.failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "what was read");
	return OTA_OK;
}

enum packet_found wire_next(struct wire *wire, size_t *place, struct packet *ret_packet)
{
	size_t used;
	enum packet_found found = packet_next((const uint8_t *)wire->in.data + *place,
					      wire->in.len - *place, ret_packet, &used);
	if (found == PACKET_WHOLE)
		*place += used;
	return found;
}

void wire_forget(struct wire *wire, size_t place)
{
	if (place >= wire->in.len) {
		text_done(&wire->in);
		return;
	}
	wire->in.len -= place;
	memmove(wire->in.data, wire->in.data + place, wire->in.len);
}

enum ota_err wire_flush(struct wire *wire, struct ota_why *why)
{
	if (wire->out.failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "what goes out");
	wire->wants_write = false;
	while (wire->out_at < wire->out.len) {
		size_t left = wire->out.len - wire->out_at;
		ERR_clear_error();
		int sent = SSL_write(wire->ssl, wire->out.data + wire->out_at,
				     left > READ_PIECE ? (int)READ_PIECE : (int)left);
		if (sent <= 0) {
			enum ota_err err = tls_failed(wire, sent, "write", why);
			if (err == OTA_BUSY)
				wire->wants_write = true;
			return err == OTA_BUSY ? OTA_OK : err;
		}
		wire->out_at += (size_t)sent;
	}
	text_done(&wire->out);
	wire->out_at = 0;
	return OTA_OK;
}
