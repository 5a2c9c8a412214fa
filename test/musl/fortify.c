/* The checked functions that objects compiled for glibc call and musl has not: for a paho that
 * was not compiled for musl (build.sh). The sizes are known to be large enough there. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int __fprintf_chk(FILE *to, int flag, const char *format, ...);
int __printf_chk(int flag, const char *format, ...);
int __snprintf_chk(char *to, size_t max, int flag, size_t size, const char *format, ...);
int __sprintf_chk(char *to, int flag, size_t size, const char *format, ...);
int __vsnprintf_chk(char *to, size_t max, int flag, size_t size, const char *format,
		    va_list args);
char *__strcpy_chk(char *to, const char *from, size_t size);

int __vsnprintf_chk(char *to, size_t max, int flag, size_t size, const char *format,
		    va_list args)
{
	(void)flag;
	return vsnprintf(to, max < size ? max : size, format, args);
}

int __snprintf_chk(char *to, size_t max, int flag, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = __vsnprintf_chk(to, max, flag, size, format, args);
	va_end(args);
	return n;
}

int __sprintf_chk(char *to, int flag, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = __vsnprintf_chk(to, size, flag, size, format, args);
	va_end(args);
	return n;
}

int __fprintf_chk(FILE *to, int flag, const char *format, ...)
{
	va_list args;

	(void)flag;
	va_start(args, format);
	int n = vfprintf(to, format, args);
	va_end(args);
	return n;
}

int __printf_chk(int flag, const char *format, ...)
{
	va_list args;

	(void)flag;
	va_start(args, format);
	int n = vprintf(format, args);
	va_end(args);
	return n;
}

char *__strcpy_chk(char *to, const char *from, size_t size)
{
	size_t len = strlen(from);

	if (len >= size)
		__builtin_trap();
	return memcpy(to, from, len + 1);
}
