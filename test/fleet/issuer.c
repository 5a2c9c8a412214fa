#include "issuer.h"

#include "own.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define VALID_S (30L * 86400)

struct issuer {
	X509 *ca;
	EVP_PKEY *ca_key, *key;
	SSL_CTX *context;
	long serial;
};

static enum ota_err read_files(struct issuer *issuer, const char *ca_path,
			       const char *ca_key_path, struct ota_why *why)
{
	AUTO_FCLOSE FILE *ca = fopen(ca_path, "re");
	if (!ca)
		return ota_fail_errno(why, OTA_NOT_FOUND, errno, "'%s'", ca_path);
	AUTO_FCLOSE FILE *key = fopen(ca_key_path, "re");
	if (!key)
		return ota_fail_errno(why, OTA_NOT_FOUND, errno, "'%s'", ca_key_path);
	issuer->ca = PEM_read_X509(ca, NULL, NULL, NULL);
	if (!issuer->ca)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' holds no certificate", ca_path);
	issuer->ca_key = PEM_read_PrivateKey(key, NULL, NULL, NULL);
	if (!issuer->ca_key)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' holds no private key", ca_key_path);
	return OTA_OK;
}

static enum ota_err make_context(struct issuer *issuer, struct ota_why *why)
{
	issuer->context = SSL_CTX_new(TLS_client_method());
	if (!issuer->context)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no TLS context");
	X509_STORE *store = SSL_CTX_get_cert_store(issuer->context);
	if (X509_STORE_add_cert(store, issuer->ca) != 1 ||
	    SSL_CTX_set_min_proto_version(issuer->context, TLS1_2_VERSION) != 1)
		return ota_fail(why, OTA_INTERNAL, "the CA cannot be trusted");
	SSL_CTX_set_verify(issuer->context, SSL_VERIFY_PEER, NULL);
	/* Thousands of idle sessions: their buffers are given back between records. */
	SSL_CTX_set_mode(issuer->context, SSL_MODE_RELEASE_BUFFERS |
						  SSL_MODE_ENABLE_PARTIAL_WRITE |
						  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(issuer->context, SSL_SESS_CACHE_OFF);
	return OTA_OK;
}

enum ota_err issuer_open(const char *ca_path, const char *ca_key_path,
			 struct issuer **ret_issuer, struct ota_why *why)
{
	struct issuer *issuer = calloc(1, sizeof(*issuer));
	if (!issuer)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "the issuer");
	enum ota_err err = read_files(issuer, ca_path, ca_key_path, why);
	if (!err)
		err = make_context(issuer, why);
	if (!err) {
		issuer->key = EVP_EC_gen("P-256");
		issuer->serial = 1;
		if (!issuer->key)
			err = ota_fail(why, OTA_INTERNAL, "no key could be made");
	}
	if (err) {
		issuer_free(issuer);
		return err;
	}
	*ret_issuer = issuer;
	return OTA_OK;
}

void issuer_free(struct issuer *issuer)
{
	if (!issuer)
		return;
	SSL_CTX_free(issuer->context);
	EVP_PKEY_free(issuer->key);
	EVP_PKEY_free(issuer->ca_key);
	X509_free(issuer->ca);
	free(issuer);
}

SSL_CTX *issuer_context(struct issuer *issuer)
{
	return issuer->context;
}

static bool fill_certificate(struct issuer *issuer, const char *name, X509 *certificate)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	const unsigned char *cn = (const unsigned char *)name;
	const unsigned char *ou = (const unsigned char *)"ota-device";
	return X509_set_version(certificate, X509_VERSION_3) &&
	       ASN1_INTEGER_set(X509_get_serialNumber(certificate), issuer->serial++) &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, cn, -1, -1, 0) &&
	       X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_ASC, ou, -1, -1, 0) &&
	       X509_set_issuer_name(certificate, X509_get_subject_name(issuer->ca)) &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) &&
	       X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_S) &&
	       X509_set_pubkey(certificate, issuer->key) &&
	       X509_sign(certificate, issuer->ca_key, EVP_sha256()) > 0;
}

enum ota_err issuer_equip(struct issuer *issuer, const char *name, SSL *ssl,
			  struct ota_why *why)
{
	X509 *certificate = X509_new();
	bool done = certificate && fill_certificate(issuer, name, certificate) &&
		    SSL_use_certificate(ssl, certificate) == 1 &&
		    SSL_use_PrivateKey(ssl, issuer->key) == 1;
	X509_free(certificate);
	if (!done)
		return ota_fail(why, OTA_INTERNAL, "no certificate for '%s'", name);
	return OTA_OK;
}
