/*
 * File names in a mailbox: what others may have put there.  A UIDL is always
 * 1 to 70 printable bytes; changing flags keeps the base and can be undone;
 * folder names translate both ways or not at all.
 */
#include <assert.h>
#include <string.h>

#include "maildir/name.h"

#include "tests/fuzz/fuzz.h"

static void
check_name(const char *name)
{
	char uidl[MAILDIR_UIDL_SIZE], changed[MAILDIR_NAME_SIZE];
	struct maildir_entry entry, after;
	size_t len;

	maildir_uidl(name, uidl);
	len = strlen(uidl);
	assert(len >= 1 && len <= 70);
	for (size_t i = 0; i < len; i++)
		assert(uidl[i] >= 0x21 && uidl[i] <= 0x7e);
	(void)maildir_parse_name(name, &entry);
	assert(entry.arrived_ms >= 0);
	if (!maildir_with_flags(name, MAILDIR_SEEN, changed))
		return;
	assert(strlen(changed) < sizeof(changed));
	assert(slice_eq(maildir_base_name(name), maildir_base_name(changed)));
	(void)maildir_parse_name(changed, &after);
	assert(after.flags == MAILDIR_SEEN);
	assert(maildir_order(name, changed) == 0);
}

static void
check_folder(struct slice text, const char *dir)
{
	char again[MAILDIR_NAME_SIZE], name[4 * MAILDIR_NAME_SIZE];

	if (maildir_folder_encode(text, again)) {
		assert(again[0] == '.' && again[1] != '.' && again[1] != '\0');
		assert(strchr(again, '/') == NULL);
		assert(maildir_folder_decode(again, name, sizeof(name)));
		assert(slice_eq_str(text, name));
	}
	if (maildir_folder_decode(dir, name, sizeof(name))) {
		assert(maildir_folder_encode(slice_str(name), again));
		assert(strcmp(again, dir) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[MAILDIR_NAME_SIZE];
	struct slice text = slice_of((const char *)data, size);

	if (slice_copy(text, name, sizeof(name))) {
		check_name(name);
		check_folder(text, name);
	} else {
		check_folder(text, "");
	}
	return 0;
}
