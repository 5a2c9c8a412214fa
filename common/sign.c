#include "sign.h"

#include "file.h"
#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>

/* A SubjectPublicKeyInfo has one form only: this beginning and the key's own bytes. OpenSSL
 * would also take compressed points and explicit parameters, and a key with two forms would
 * have two ids and count twice. */
static const uint8_t ed25519_prefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
					 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t p256_prefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
				      0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
				      0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

static const struct {
	const uint8_t *prefix;
	size_t prefix_len, len;
} forms[] = {
	[SIGN_ED25519] = {ed25519_prefix, sizeof(ed25519_prefix), sizeof(ed25519_prefix) + 32},
	[SIGN_ECDSA_P256] = {p256_prefix, sizeof(p256_prefix), sizeof(p256_prefix) + 64},
};

const char *const sign_algorithm_names[] = {"ed25519", "ecdsa-p256", NULL};

struct sign_key {
	EVP_PKEY *pair;
	struct sign_public public;
};

static void pkey_free(EVP_PKEY **pkey)
{
	EVP_PKEY_free(*pkey);
}

static void context_free(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

static void bio_free(BIO **bio)
{
	BIO_free(*bio);
}

static void ecdsa_free(ECDSA_SIG **signature)
{
	ECDSA_SIG_free(*signature);
}

/* Takes the library's reason along and leaves its queue empty. */
static enum ota_err fail_openssl(struct ota_why *why, enum ota_err err, const char *what)
{
	unsigned long number = ERR_peek_last_error();
	const char *reason = number ? ERR_reason_error_string(number) : NULL;

	ERR_clear_error();
	err = ota_fail(why, err, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
	if (why)
		why->detail = ERR_GET_REASON(number);
	return err;
}

static EVP_PKEY *read_public(const struct sign_public *key)
{
	const unsigned char *at = key->der;
	EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)key->der_len);

	if (pkey && at == key->der + key->der_len)
		return pkey;
	EVP_PKEY_free(pkey);
	return NULL;
}

enum ota_err sign_public_from_der(enum sign_algorithm algorithm, const uint8_t *der, size_t len,
				  struct sign_public *ret_key, struct ota_why *why)
{
	if ((unsigned)algorithm >= SIGN_ALGORITHM_COUNT)
		return ota_fail(why, OTA_MANIFEST_INVALID, "a key of no known algorithm");
	if (len != forms[algorithm].len ||
	    memcmp(der, forms[algorithm].prefix, forms[algorithm].prefix_len) != 0)
		return ota_fail(why, OTA_MANIFEST_INVALID,
				"%zu bytes that are no public key of %s", len,
				sign_algorithm_names[algorithm]);
	struct sign_public key = {.algorithm = algorithm, .der_len = len};

	memcpy(key.der, der, len);
	AUTO(pkey_free) EVP_PKEY *pkey = read_public(&key);

	if (!pkey)
		return fail_openssl(why, OTA_MANIFEST_INVALID, "a public key that is none");
	enum ota_err err = digest_of(der, len, &key.id, why);

	if (!err)
		*ret_key = key;
	return err;
}

/* r‖s of IEEE P1363 to the DER that OpenSSL wants; the result is the caller's to free. */
static int der_from_p1363(const uint8_t signature[SIGN_SIZE], unsigned char **ret_der)
{
	AUTO(ecdsa_free) ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(signature, SIGN_SIZE / 2, NULL);
	BIGNUM *s = BN_bin2bn(signature + SIGN_SIZE / 2, SIGN_SIZE / 2, NULL);

	if (!pair || !r || !s || ECDSA_SIG_set0(pair, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		return 0;
	}
	return i2d_ECDSA_SIG(pair, ret_der);
}

static bool p1363_from_der(const uint8_t *der, size_t len, uint8_t ret_signature[SIGN_SIZE])
{
	const unsigned char *at = der;
	AUTO(ecdsa_free) ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
	const int half = SIGN_SIZE / 2;

	return pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), ret_signature, half) == half &&
	       BN_bn2binpad(ECDSA_SIG_get0_s(pair), ret_signature + half, half) == half;
}

enum ota_err sign_verify(const struct sign_public *key, const void *bytes, size_t len,
			 const uint8_t *signature, size_t signature_len, struct ota_why *why)
{
	AUTO(pkey_free) EVP_PKEY *pkey = read_public(key);
	AUTO(context_free) EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool p256 = key->algorithm == SIGN_ECDSA_P256;
	unsigned char *der = NULL;

	if (signature_len != SIGN_SIZE)
		return ota_fail(why, OTA_SIGNATURE_INVALID,
				"a signature of %zu bytes, but it has %d", signature_len,
				SIGN_SIZE);
	if (!pkey || !context ||
	    EVP_DigestVerifyInit(context, NULL, p256 ? EVP_sha256() : NULL, NULL, pkey) != 1)
		return fail_openssl(why, OTA_INTERNAL, "the key cannot be used");
	if (p256) {
		int der_len = der_from_p1363(signature, &der);

		if (der_len <= 0)
			return fail_openssl(why, OTA_SIGNATURE_INVALID, "no signature");
		signature = der;
		signature_len = (size_t)der_len;
	}
	int verdict = EVP_DigestVerify(context, signature, signature_len, bytes, len);

	OPENSSL_free(der);
	ERR_clear_error();
	if (verdict != 1)
		return ota_fail(why, OTA_SIGNATURE_INVALID, "the signature does not fit");
	return OTA_OK;
}

/* Takes over the pair, also on failure. */
static enum ota_err key_from_pair(EVP_PKEY *pair, struct sign_key **ret_key,
				  struct ota_why *why)
{
	AUTO(pkey_free) EVP_PKEY *own = pair;
	enum sign_algorithm algorithm =
		EVP_PKEY_is_a(pair, "ED25519") ? SIGN_ED25519 : SIGN_ECDSA_P256;
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(pair, &der);

	if (len <= 0)
		return fail_openssl(why, OTA_BAD_REQUEST, "a key without its public half");
	AUTO_FREE struct sign_key *key = calloc(1, sizeof(*key));
	enum ota_err err =
		key ? sign_public_from_der(algorithm, der, (size_t)len, &key->public, why)
		    : ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a key");

	OPENSSL_free(der);
	if (err == OTA_MANIFEST_INVALID)
		return ota_fail(why, OTA_BAD_REQUEST,
				"a key that is neither Ed25519 nor P-256");
	if (err)
		return err;
	key->pair = TAKE(own);
	*ret_key = TAKE(key);
	return OTA_OK;
}

enum ota_err sign_key_generate(enum sign_algorithm algorithm, struct sign_key **ret_key,
			       struct ota_why *why)
{
	EVP_PKEY *pair = algorithm == SIGN_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
						   : EVP_EC_gen("P-256");

	if (!pair)
		return fail_openssl(why, OTA_INTERNAL, "making a key failed");
	return key_from_pair(pair, ret_key, why);
}

/* Without a passphrase the library would ask on the terminal. */
static int give_passphrase(char *to, int size, int writing, void *passphrase)
{
	(void)writing;
	if (!passphrase || strlen(passphrase) > (size_t)size)
		return -1;
	memcpy(to, passphrase, strlen(passphrase));
	return (int)strlen(passphrase);
}

/* scrypt (RFC 7914) instead of the library's 2048 rounds of PBKDF2: these keys lie on disks for
 * years. 16 MiB and some 50 ms a try. */
static bool write_encrypted(BIO *bio, const EVP_PKEY *pair, const char *passphrase)
{
	enum { N = 16384, R = 8, P = 1 };
	PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(pair);
	X509_ALGOR *how = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 16, NULL, N, R, P);
	X509_SIG *encrypted =
		plain && how ? PKCS8_set0_pbe(passphrase, (int)strlen(passphrase), plain, how)
			     : NULL;

	if (!encrypted)
		X509_ALGOR_free(how);
	bool done = encrypted && PEM_write_bio_PKCS8(bio, encrypted) == 1;

	X509_SIG_free(encrypted);
	PKCS8_PRIV_KEY_INFO_free(plain);
	return done;
}

enum ota_err sign_key_save(const struct sign_key *key, const char *path, const char *passphrase,
			   struct ota_why *why)
{
	AUTO(bio_free) BIO *bio = BIO_new(BIO_s_secmem());
	char *pem = NULL;

	if (passphrase && (!*passphrase || strlen(passphrase) > SIGN_PASSPHRASE_MAX))
		return ota_fail(why, OTA_BAD_REQUEST, "a passphrase has 1 to %d bytes",
				SIGN_PASSPHRASE_MAX);
	bool done =
		bio && (passphrase ? write_encrypted(bio, key->pair, passphrase)
				   : PEM_write_bio_PKCS8PrivateKey(bio, key->pair, NULL, NULL,
								   0, NULL, NULL) == 1);
	long len = done ? BIO_get_mem_data(bio, &pem) : 0;

	if (len <= 0)
		return fail_openssl(why, OTA_INTERNAL, "the key cannot be written down");
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return ota_fail_errno(why, errno == EEXIST ? OTA_CONFLICT : OTA_IO_ERROR, errno,
				      "creating '%s'", path);
	enum ota_err err = file_write_all(fd, pem, (size_t)len, why);

	if (!err && fsync(fd))
		err = ota_fail_errno(why, OTA_IO_ERROR, errno, "syncing");
	if (!err)
		return OTA_OK;
	unlink(path);
	return ota_context(why, err, "'%s'", path);
}

enum ota_err sign_key_load(const char *path, const char *passphrase, struct sign_key **ret_key,
			   struct ota_why *why)
{
	enum { KEY_FILE_MAX = 16384 };
	char *pem = NULL, own[SIGN_PASSPHRASE_MAX + 1] = "";
	size_t len = 0;
	enum ota_err err = file_read(path, KEY_FILE_MAX, &pem, &len, why);

	if (err)
		return err;
	if (passphrase && !text_copy(own, sizeof(own), passphrase))
		err = ota_fail(why, OTA_BAD_REQUEST, "the passphrase is too long");
	bool encrypted = strstr(pem, "ENCRYPTED") != NULL;
	AUTO(bio_free) BIO *bio = BIO_new_mem_buf(pem, (int)len);
	EVP_PKEY *pair = err || !bio ? NULL
				     : PEM_read_bio_PrivateKey(bio, NULL, give_passphrase,
							       passphrase ? own : NULL);

	OPENSSL_cleanse(own, sizeof(own));
	OPENSSL_cleanse(pem, len);
	free(pem);
	if (err)
		return err;
	if (!pair && encrypted)
		return fail_openssl(why, OTA_UNAUTHORIZED,
				    passphrase ? "the passphrase does not open the key"
					       : "the key needs its passphrase");
	if (!pair)
		return fail_openssl(why, OTA_BAD_REQUEST, "the file holds no private key");
	err = key_from_pair(pair, ret_key, why);
	return err ? ota_context(why, err, "'%s'", path) : OTA_OK;
}

void sign_key_free(struct sign_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pair);
	free(key);
}

const struct sign_public *sign_key_public(const struct sign_key *key)
{
	return &key->public;
}

enum ota_err sign_make(const struct sign_key *key, const void *bytes, size_t len,
		       uint8_t ret_signature[SIGN_SIZE], struct ota_why *why)
{
	AUTO(context_free) EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool p256 = key->public.algorithm == SIGN_ECDSA_P256;
	uint8_t made[128], signature[SIGN_SIZE];
	size_t made_len = sizeof(made);

	if (!context ||
	    EVP_DigestSignInit(context, NULL, p256 ? EVP_sha256() : NULL, NULL, key->pair) !=
		    1 ||
	    EVP_DigestSign(context, made, &made_len, bytes, len) != 1)
		return fail_openssl(why, OTA_INTERNAL, "signing failed");
	if (p256 && !p1363_from_der(made, made_len, signature))
		return fail_openssl(why, OTA_INTERNAL, "signing gave no signature");
	if (!p256)
		memcpy(signature, made, SIGN_SIZE);
	memcpy(ret_signature, signature, SIGN_SIZE);
	return OTA_OK;
}

enum ota_err sign_random(void *ret_bytes, size_t len, struct ota_why *why)
{
	if (len > INT32_MAX || RAND_bytes(ret_bytes, (int)len) != 1)
		return fail_openssl(why, OTA_INTERNAL, "no random bytes");
	return OTA_OK;
}
