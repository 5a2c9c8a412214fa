/* The heap of ota-agent and ota-slot as the libraries see it: what they ask for is there, or
 * the process ends, by name, and is started again by who started it.
 *
 * Our own code is told of memory that is not there, by NULL, and reports it. Not all libraries
 * check: paho's TLS set-up goes on with a context that could not be made and dies of it, and a
 * signature that OpenSSL had no memory to check is to its caller one that does not fit. An end
 * at such a place is no worse than a power cut, which everything here is made for: the journal
 * and the boot state are on the disk, the application runs on and is adopted.
 *
 * The C library's own heap does the work. All of its functions stand here, so that two heaps
 * cannot be mixed when another one is preloaded. Under a sanitizer, which has a heap of its
 * own, and with another C library than glibc this file is empty. */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __GLIBC__

#	define EXIT_NO_MEMORY 71 /* EX_OSERR */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *old);
extern const char __executable_start[], etext[]; /* of the linker */

static bool is_own(const void *caller)
{
	return (uintptr_t)caller >= (uintptr_t)__executable_start &&
	       (uintptr_t)caller < (uintptr_t)etext;
}

static const char *library_of(const void *caller)
{
	Dl_info info;
	const char *slash;

	if (!dladdr(caller, &info) || !info.dli_fname)
		return "a library";
	slash = strrchr(info.dli_fname, '/');
	return slash ? slash + 1 : info.dli_fname;
}

_Noreturn static void end(const void *caller, size_t size)
{
	char line[256];
	int len = snprintf(line, sizeof(line),
			   "%s: error: memory is exhausted: %s asked for %zu bytes; "
			   "this process ends (out_of_memory)\n",
			   program_invocation_short_name, library_of(caller), size);

	if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0) {
		/* the exit status says it as well */
	}
	_exit(EXIT_NO_MEMORY);
}

/* What was found for `caller`, or its end. A request of no bytes may be answered by NULL. */
static void *given(void *found, const void *caller, size_t size)
{
	if (!found && size && !is_own(caller))
		end(caller, size);
	return found;
}

#	define CALLER __builtin_return_address(0)

#	pragma GCC visibility push(default) /* libraries find these before the C library's */

void *malloc(size_t size)
{
	return given(__libc_malloc(size), CALLER, size);
}

void *calloc(size_t count, size_t size)
{
	return given(__libc_calloc(count, size), CALLER, count ? size : 0);
}

void *realloc(void *old, size_t size)
{
	return given(__libc_realloc(old, size), CALLER, size);
}

void free(void *old)
{
	__libc_free(old);
}

void *memalign(size_t alignment, size_t size)
{
	return given(__libc_memalign(alignment, size), CALLER, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return given(__libc_memalign(alignment, size), CALLER, size);
}

int posix_memalign(void **ret_place, size_t alignment, size_t size)
{
	if (alignment % sizeof(void *) || !alignment || (alignment & (alignment - 1)))
		return EINVAL;
	void *place = given(__libc_memalign(alignment, size), CALLER, size);
	if (!place && size)
		return ENOMEM;
	*ret_place = place;
	return 0;
}

void *valloc(size_t size)
{
	return given(__libc_memalign((size_t)getpagesize(), size), CALLER, size);
}

void *pvalloc(size_t size)
{
	const size_t page = (size_t)getpagesize();
	const size_t whole = (size + page - 1) / page * page;

	return given(whole < size ? NULL : __libc_memalign(page, whole), CALLER, size);
}

#	pragma GCC visibility pop

#endif
