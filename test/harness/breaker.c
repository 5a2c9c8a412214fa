/* Loaded before the C library into a program under test: counts its calls and breaks one.
 *
 *   BREAK_WHAT  kill-before, kill-after: SIGKILL of the program at the call
 *               short: half of the bytes are written
 *               lie: none are, and the call says that all were
 *               memory: an allocation fails; memory-own: one that the program itself asked for
 *               a number: the call fails with that errno
 *   BREAK_WHEN  which one, from 1; 0: none, for counting
 *   BREAK_LAST  up to which one (default: BREAK_WHEN)
 *   BREAK_UNDER storage calls are those on files below this directory
 *   BREAK_LOG   file that the broken calls' names and, at the end, the count are written to
 *
 * A kill counts every call below, an error those on storage, `short` writes. What the program
 * starts is left alone. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern int __open64_2(const char *path, int flags);

enum what {
	WHAT_NOTHING = 0,
	WHAT_KILL_BEFORE,
	WHAT_KILL_AFTER,
	WHAT_SHORT,
	WHAT_LIE,
	WHAT_MEMORY,
	WHAT_MEMORY_OWN,
	WHAT_ERRNO,
};

enum kind {
	KIND_OTHER = 0,
	KIND_STORAGE,
	KIND_STORAGE_WRITE,
};

static enum what what;
static int error_number;
static pid_t self;
static unsigned long first, last;
static atomic_ulong count;
static char under[1024];
static int log_fd = -1;
static uintptr_t own_from, own_to;

/* is_own_call, memory_fails, __libc_malloc, the agent's malloc, its caller */
#define FRAMES_TO_CALLER 5

/* The next one of the same name, whose address is looked up once. */
#define REAL(name)                                                                             \
	__extension__({                                                                        \
		static __typeof__(&name) real;                                                 \
		if (!real)                                                                     \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                             \
		real;                                                                          \
	})

static void note(const char *name, unsigned long number)
{
	char line[96];
	int len = snprintf(line, sizeof(line), "%s %lu\n", name, number);

	if (log_fd >= 0 && len > 0)
		syscall(SYS_write, log_fd, line, (size_t)len);
}

/* Counts one; true when it is to be broken. */
static bool strikes(const char *name)
{
	const unsigned long number = atomic_fetch_add(&count, 1) + 1;

	if (!first || number < first || number > last)
		return false;
	note(name, number);
	return true;
}

static bool is_kill(void)
{
	return what == WHAT_KILL_BEFORE || what == WHAT_KILL_AFTER;
}

static void die(void)
{
	syscall(SYS_kill, self, SIGKILL);
}

/* 0: go on; 1: kill afterwards; 2: half of it; 3: none of it; -1: fail with errno. */
static int enter(enum kind kind, const char *name)
{
	if (!what || getpid() != self)
		return 0;
	if (is_kill()) {
		if (!strikes(name))
			return 0;
		if (what == WHAT_KILL_BEFORE)
			die();
		return 1;
	}
	if (what == WHAT_SHORT || what == WHAT_LIE) {
		if (kind != KIND_STORAGE_WRITE || !strikes(name))
			return 0;
		return what == WHAT_SHORT ? 2 : 3;
	}
	if (what != WHAT_ERRNO || kind == KIND_OTHER || !strikes(name))
		return 0;
	errno = error_number;
	return -1;
}

static enum kind kind_of_path(const char *path)
{
	return under[0] && !strncmp(path, under, strlen(under)) ? KIND_STORAGE : KIND_OTHER;
}

static enum kind kind_of_fd(int fd)
{
	char link[64], path[1024];

	if (!what || is_kill())
		return KIND_OTHER; /* all are counted alike */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = syscall(SYS_readlink, link, path, sizeof(path) - 1);
	if (len <= 0)
		return KIND_OTHER;
	path[len] = '\0';
	return kind_of_path(path);
}

static enum kind kind_of_write(int fd)
{
	return kind_of_fd(fd) == KIND_STORAGE ? KIND_STORAGE_WRITE : KIND_OTHER;
}

#define BROKEN(kind, name, call, failed)                                                       \
	do {                                                                                   \
		const int how = enter(kind, name);                                             \
		if (how < 0)                                                                   \
			return failed;                                                         \
		__auto_type result = call;                                                     \
		if (how == 1)                                                                  \
			die();                                                                 \
		return result;                                                                 \
	} while (0)

/* --- storage --- */

ssize_t write(int fd, const void *bytes, size_t len)
{
	const int how = enter(kind_of_write(fd), "write");

	if (how < 0)
		return -1;
	if (how == 3)
		return (ssize_t)len;
	ssize_t done = REAL(write)(fd, bytes, how == 2 ? (len + 1) / 2 : len);
	if (how == 1)
		die();
	return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
	const int how = enter(kind_of_write(fd), "pwrite");

	if (how < 0)
		return -1;
	if (how == 3)
		return (ssize_t)len;
	ssize_t done = REAL(pwrite64)(fd, bytes, how == 2 ? (len + 1) / 2 : len, at);
	if (how == 1)
		die();
	return done;
}

int fsync(int fd)
{
	BROKEN(kind_of_fd(fd), "fsync", REAL(fsync)(fd), -1);
}

int fdatasync(int fd)
{
	BROKEN(kind_of_fd(fd), "fdatasync", REAL(fdatasync)(fd), -1);
}

int ftruncate64(int fd, off64_t size)
{
	BROKEN(kind_of_fd(fd), "ftruncate", REAL(ftruncate64)(fd, size), -1);
}

int fallocate64(int fd, int mode, off64_t at, off64_t len)
{
	BROKEN(kind_of_fd(fd), "fallocate", REAL(fallocate64)(fd, mode, at, len), -1);
}

int fchmod(int fd, mode_t mode)
{
	BROKEN(kind_of_fd(fd), "fchmod", REAL(fchmod)(fd, mode), -1);
}

int rename(const char *from, const char *to)
{
	BROKEN(kind_of_path(to), "rename", REAL(rename)(from, to), -1);
}

int unlink(const char *path)
{
	BROKEN(kind_of_path(path), "unlink", REAL(unlink)(path), -1);
}

int symlink(const char *target, const char *path)
{
	BROKEN(kind_of_path(path), "symlink", REAL(symlink)(target, path), -1);
}

int mkdir(const char *path, mode_t mode)
{
	BROKEN(kind_of_path(path), "mkdir", REAL(mkdir)(path, mode), -1);
}

int open64(const char *path, int flags, ...)
{
	const bool writes = flags & (O_CREAT | O_WRONLY | O_RDWR);
	mode_t mode = 0;
	va_list args;

	if (flags & O_CREAT) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	BROKEN(writes ? kind_of_path(path) : KIND_OTHER, "open",
	       REAL(open64)(path, flags, mode), -1);
}

int __open64_2(const char *path, int flags)
{
	return open64(path, flags);
}

/* --- everything else that can be cut at --- */

ssize_t read(int fd, void *bytes, size_t len)
{
	BROKEN(KIND_OTHER, "read", REAL(read)(fd, bytes, len), -1);
}

ssize_t pread64(int fd, void *bytes, size_t len, off64_t at)
{
	BROKEN(KIND_OTHER, "pread", REAL(pread64)(fd, bytes, len, at), -1);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
	BROKEN(KIND_OTHER, "send", REAL(send)(fd, bytes, len, flags), -1);
}

ssize_t sendto(int fd, const void *bytes, size_t len, int flags, const struct sockaddr *to,
	       socklen_t size)
{
	BROKEN(KIND_OTHER, "sendto", REAL(sendto)(fd, bytes, len, flags, to, size), -1);
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
	BROKEN(KIND_OTHER, "recv", REAL(recv)(fd, bytes, len, flags), -1);
}

ssize_t writev(int fd, const struct iovec *parts, int count_of)
{
	BROKEN(KIND_OTHER, "writev", REAL(writev)(fd, parts, count_of), -1);
}

int connect(int fd, const struct sockaddr *to, socklen_t size)
{
	BROKEN(KIND_OTHER, "connect", REAL(connect)(fd, to, size), -1);
}

int socket(int domain, int type, int protocol)
{
	BROKEN(KIND_OTHER, "socket", REAL(socket)(domain, type, protocol), -1);
}

int close(int fd)
{
	BROKEN(KIND_OTHER, "close", REAL(close)(fd), -1);
}

int poll(struct pollfd *set, nfds_t size, int timeout)
{
	BROKEN(KIND_OTHER, "poll", REAL(poll)(set, size, timeout), -1);
}

int flock(int fd, int operation)
{
	BROKEN(KIND_OTHER, "flock", REAL(flock)(fd, operation), -1);
}

ssize_t readlink(const char *path, char *target, size_t size)
{
	BROKEN(KIND_OTHER, "readlink", REAL(readlink)(path, target, size), -1);
}

pid_t fork(void)
{
	BROKEN(KIND_OTHER, "fork", REAL(fork)(), -1);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	BROKEN(KIND_OTHER, "waitpid", REAL(waitpid)(pid, status, options), -1);
}

int kill(pid_t pid, int number)
{
	BROKEN(KIND_OTHER, "kill", REAL(kill)(pid, number), -1);
}

int nanosleep(const struct timespec *pause, struct timespec *left)
{
	BROKEN(KIND_OTHER, "nanosleep", REAL(nanosleep)(pause, left), -1);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		struct addrinfo **list)
{
	BROKEN(KIND_OTHER, "getaddrinfo", REAL(getaddrinfo)(host, service, hints, list),
	       EAI_SYSTEM);
}

/* --- memory ---
 * The agent has a heap of its own (agent/heap.c) over these: whoever called that asks for
 * memory. */

struct seen {
	int depth;
	uintptr_t caller;
};

static _Unwind_Reason_Code find_caller(struct _Unwind_Context *context, void *arg)
{
	struct seen *seen = arg;

	seen->caller = _Unwind_GetIP(context);
	return ++seen->depth < FRAMES_TO_CALLER ? _URC_NO_REASON : _URC_END_OF_STACK;
}

__attribute__((noinline)) static bool is_own_call(void)
{
	struct seen seen = {0};

	_Unwind_Backtrace(find_caller, &seen);
	return seen.caller >= own_from && seen.caller < own_to;
}

__attribute__((noinline)) static bool memory_fails(void)
{
	if ((what != WHAT_MEMORY && what != WHAT_MEMORY_OWN) || syscall(SYS_getpid) != self ||
	    (what == WHAT_MEMORY_OWN && !is_own_call()) || !strikes("memory"))
		return false;
	errno = ENOMEM;
	return true;
}

void *__libc_malloc(size_t size)
{
	return memory_fails() ? NULL : REAL(__libc_malloc)(size);
}

void *__libc_calloc(size_t number, size_t size)
{
	return memory_fails() ? NULL : REAL(__libc_calloc)(number, size);
}

void *__libc_realloc(void *old, size_t size)
{
	return memory_fails() ? NULL : REAL(__libc_realloc)(old, size);
}

void *__libc_memalign(size_t alignment, size_t size)
{
	return memory_fails() ? NULL : REAL(__libc_memalign)(alignment, size);
}

/* --- life --- */

static void on_crash(int number)
{
	void *frames[32];
	const int depth = backtrace(frames, 32);

	dprintf(STDERR_FILENO, "crashed with signal %d\n", number);
	backtrace_symbols_fd(frames, depth, STDERR_FILENO);
	signal(number, SIG_DFL);
	syscall(SYS_kill, self, number);
}

static int find_own(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
			continue;
		own_from = (uintptr_t)info->dlpi_addr + part->p_vaddr;
		own_to = own_from + part->p_memsz;
	}
	return 1; /* the first is the program itself */
}

static enum what what_of(const char *name)
{
	static const char *const names[] = {[WHAT_KILL_BEFORE] = "kill-before",
					    [WHAT_KILL_AFTER] = "kill-after",
					    [WHAT_SHORT] = "short",
					    [WHAT_LIE] = "lie",
					    [WHAT_MEMORY] = "memory",
					    [WHAT_MEMORY_OWN] = "memory-own"};

	for (unsigned i = 1; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(name, names[i]))
			return (enum what)i;
	}
	error_number = (int)strtol(name, NULL, 10);
	return WHAT_ERRNO;
}

static unsigned long number_of(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("BREAK_WHAT"), *path = getenv("BREAK_LOG");
	void *frames[1];

	if (!name)
		return;
	dl_iterate_phdr(find_own, NULL);
	if (getenv("BREAK_UNDER"))
		snprintf(under, sizeof(under), "%s", getenv("BREAK_UNDER"));
	if (path)
		log_fd = (int)syscall(SYS_openat, AT_FDCWD, path,
				      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	first = number_of("BREAK_WHEN", 0);
	last = number_of("BREAK_LAST", first);
	self = getpid();
	unsetenv("LD_PRELOAD");
	unsetenv("BREAK_WHAT");
	backtrace(frames, 1); /* what it needs is loaded now */
	signal(SIGSEGV, on_crash);
	signal(SIGABRT, on_crash);
	what = what_of(name); /* from here on calls count */
}

__attribute__((destructor)) static void end(void)
{
	if (what && getpid() == self)
		note("count", atomic_load(&count));
}
