/* How long an image is by its own account: what its first bytes say of where it ends. For the
 * cause of a failure only; an image of a kind that is not known here is opaque. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MEASURE_HEAD 4096u /* first bytes of an image that are enough */

/* Bytes that an image beginning with `head` has at least (ELF, squashfs, ext2 to ext4), 0 when
 * it does not say. */
uint64_t measure_image(const uint8_t *head, size_t len);
