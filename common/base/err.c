/*
 * Filling in error values.
 *
 * Each text is made in a local array first, because the arguments may well
 * point into the error that is being replaced, and control characters and what
 * is no UTF-8 are taken out: the text may quote a stranger or was cut, and it
 * goes into logs and into JSON, which takes no other.
 *
 * Runs in any thread.
 */
#define BASE_ERR_IMPLEMENTATION
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/slice.h"

/* How many bytes the character takes that begins here; 0: none does. */
static size_t
character(const char *p)
{
	size_t left = strnlen(p, 4), n = 1;

	while (n <= left && !utf8_is_valid(slice_of(p, n)))
		n++;
	return n <= left ? n : 0;
}

static void
err_store(struct err *e, enum err_kind kind, const char *text)
{
	size_t i, n;

	for (i = 0; text[i] != '\0'; i += n) {
		n = character(text + i);
		if (i + n >= sizeof(e->text))
			break;
		memcpy(e->text + i, text + i, n);
		if (n == 0 || (unsigned char)text[i] < 0x20 ||
		    text[i] == 0x7f) {
			e->text[i] = '?';
			n = 1;
		}
	}
	e->text[i] = '\0';
	e->kind = kind;
}

int
err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	err_store(e, kind, text);
	return -1;
}

/*
 * A system never says "never": a missing directory may be a disk that is not
 * mounted yet, and mail must not bounce for it.  A caller who knows better
 * looks at errno itself.
 */
static enum err_kind
err_kind_of_errno(int error)
{
	switch (error) {
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
	case ENOTCONN:
		return ERR_CLOSED;
	case ENAMETOOLONG:
		return ERR_PERM;
	default:
		return ERR_TEMP;
	}
}

/* "LABEL: REASON"; an over-long label is cut before the reason is. */
PRINTF_LIKE(4, 0)

static void
err_store_labelled(struct err *e, enum err_kind kind, const char *reason,
    const char *fmt, va_list args)
{
	char text[2 * sizeof(e->text)];
	int len = vsnprintf(text, sizeof(e->text), fmt, args);

	if (len < 0)
		len = 0;
	if ((size_t)len > sizeof(e->text) / 2)
		len = (int)(sizeof(e->text) / 2);
	(void)snprintf(text + len, sizeof(text) - (size_t)len, ": %s", reason);
	err_store(e, kind, text);
}

int
err_errno(struct err *e, const char *fmt, ...)
{
	int error = errno;
	char words[128];
	va_list args;

	va_start(args, fmt);
	err_store_labelled(e, err_kind_of_errno(error),
	    strerror_r(error, words, sizeof(words)), fmt, args);
	va_end(args);
	errno = error;
	return -1;
}

int
err_prefix(struct err *e, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	err_store_labelled(e, e->kind, e->text, fmt, args);
	va_end(args);
	return -1;
}
