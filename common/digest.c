#include "digest.h"

#include "own.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

struct digest_stream {
	EVP_MD_CTX *context;
};

static enum ota_err no_hash(struct ota_why *why)
{
	return ota_fail(why, OTA_INTERNAL, "SHA-256 is not available");
}

enum ota_err digest_of(const void *bytes, size_t len, struct digest *ret_digest,
		       struct ota_why *why)
{
	struct digest digest;

	if (EVP_Digest(bytes, len, digest.bytes, NULL, EVP_sha256(), NULL) != 1)
		return no_hash(why);
	*ret_digest = digest;
	return OTA_OK;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

bool digest_is_zero(const struct digest *digest)
{
	static const struct digest zero;

	return digest_equal(digest, &zero);
}

enum ota_err digest_stream_new(struct digest_stream **ret_stream, struct ota_why *why)
{
	struct digest_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a digest");
	stream->context = EVP_MD_CTX_new();
	if (!stream->context || EVP_DigestInit_ex(stream->context, EVP_sha256(), NULL) != 1) {
		digest_stream_free(stream);
		return no_hash(why);
	}
	*ret_stream = stream;
	return OTA_OK;
}

void digest_stream_free(struct digest_stream *stream)
{
	if (!stream)
		return;
	EVP_MD_CTX_free(stream->context);
	free(stream);
}

enum ota_err digest_stream_add(struct digest_stream *stream, const void *bytes, size_t len,
			       struct ota_why *why)
{
	if (EVP_DigestUpdate(stream->context, bytes, len) != 1)
		return no_hash(why);
	return OTA_OK;
}

enum ota_err digest_stream_end(struct digest_stream *stream, struct digest *ret_digest,
			       struct ota_why *why)
{
	struct digest digest;

	if (EVP_DigestFinal_ex(stream->context, digest.bytes, NULL) != 1 ||
	    EVP_DigestInit_ex(stream->context, EVP_sha256(), NULL) != 1)
		return no_hash(why);
	*ret_digest = digest;
	return OTA_OK;
}

static void stream_free(struct digest_stream **stream)
{
	digest_stream_free(*stream);
}

enum ota_err digest_of_fd(int fd, struct digest *ret_digest, uint64_t *ret_size,
			  struct ota_why *why)
{
	enum { BLOCK = 65536 };
	AUTO(stream_free) struct digest_stream *stream = NULL;
	AUTO_FREE uint8_t *block = malloc(BLOCK);
	uint64_t size = 0;
	enum ota_err err = digest_stream_new(&stream, why);

	if (err)
		return err;
	if (!block)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a block");
	for (;;) {
		ssize_t got = read(fd, block, BLOCK);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, errno, "reading at byte %llu",
					      (unsigned long long)size);
		if (got == 0)
			break;
		err = digest_stream_add(stream, block, (size_t)got, why);
		if (err)
			return err;
		size += (uint64_t)got;
	}
	err = digest_stream_end(stream, ret_digest, why);
	if (!err)
		*ret_size = size;
	return err;
}
