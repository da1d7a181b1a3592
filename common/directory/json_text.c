/*
 * JSON from others; see json_text.h.
 */
#include "directory/json_text.h"

static bool
is_too_deep(struct slice text)
{
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < text.len && depth <= JSON_TEXT_DEPTH_MAX; i++) {
		char c = text.data[i];

		if (c == '\\' && quoted)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '[' || c == '{'))
			depth++;
		else if (!quoted && (c == ']' || c == '}'))
			depth--;
	}
	return depth > JSON_TEXT_DEPTH_MAX;
}

json_t *
json_text_parse(struct slice text)
{
	return is_too_deep(text)
	    ? NULL
	    : json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
}
