/*
 * Values of settings: the first byte chooses the setting, the rest is the
 * text.  What is accepted is canonical: it checks again and stays the same,
 * and a set can be built from it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "directory/settings.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char first[SETTING_VALUE_SIZE], second[SETTING_VALUE_SIZE];
	const struct setting *s;
	const char *value = first;
	struct settings *set;
	struct err e;
	char *text;

	if (size == 0)
		return 0;
	s = &setting_table[data[0] % SETTING_COUNT];
	text = mem_strndup((const char *)data + 1, size - 1);
	if (setting_check(s, text, first, sizeof(first), &e) == 0) {
		assert(
		    setting_check(s, first, second, sizeof(second), &e) == 0);
		assert(strcmp(first, second) == 0);
		set = settings_build(&s->name, &value, 1);
		assert(
		    strcmp(settings_text(set, setting_id_of(s)), first) == 0);
		settings_free(set);
	}
	free(text);
	return 0;
}
