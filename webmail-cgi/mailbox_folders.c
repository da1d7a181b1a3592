/*
 * Folders as the pages name them: in URLs, in words, and in the side bar.
 */
#include <string.h>

#include "base/log.h"
#include "base/num.h"

#include "webmail-cgi/mailbox.h"

enum {
	DEPTH_MAX = 5, /* classes of the style sheet */
};

/* clang-format off */
static const struct special {
	const char *id, *dir, *text, *icon;
} specials[] = {
	{ "inbox",     "",                "folder.inbox",     "inbox" },
	{ "sent",      INDEX_SENT,        "folder.sent",      "send" },
	{ "drafts",    INDEX_DRAFTS,      "folder.drafts",    "file" },
	{ "scheduled", MAILBOX_SCHEDULED, "folder.scheduled", "cal" },
	{ "archive",   INDEX_ARCHIVE,     "folder.archive",   "archive" },
	{ "junk",      INDEX_JUNK,        "folder.junk",      "junk" },
	{ "trash",     INDEX_TRASH,       "folder.trash",     "trash" },
};

/* clang-format on */

const char *
mailbox_host_name(struct web_request *r)
{
	struct settings *all = directory_settings(webmail_of(r)->directory);
	const char *host =
	    pool_strdup(&r->pool, settings_text(all, SET_HOSTNAME));

	settings_free(all);
	return host;
}

static const struct special *
special_of_dir(const char *dir)
{
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		if (strcmp(specials[i].dir, dir) == 0)
			return &specials[i];
	}
	return NULL;
}

const char *
mailbox_dir_of(struct web_request *r, const char *id)
{
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		if (strcmp(specials[i].id, id) == 0)
			return specials[i].dir;
	}
	if (id[0] != '~' || id[1] == '\0' || id[1] == '.' ||
	    strchr(id, '/') != NULL || strlen(id) >= MAILDIR_NAME_SIZE)
		return NULL;
	return pool_printf(&r->pool, ".%s", id + 1);
}

const char *
mailbox_id_of(struct web_request *r, const char *dir)
{
	const struct special *s = special_of_dir(dir);

	return s != NULL ? s->id : pool_printf(&r->pool, "~%s", dir + 1);
}

const char *
mailbox_folder_name(struct web_request *r, const char *dir)
{
	const struct special *s = special_of_dir(dir);
	char name[MAILDIR_NAME_SIZE * 4];

	if (s != NULL)
		return page_text(r, s->text);
	if (maildir_folder_decode(dir, name, sizeof(name)))
		return pool_strdup(&r->pool, name);
	return dir[0] == '.' ? dir + 1 : dir;
}

static json_t *
folder_entry(struct web_request *r, const struct index_folder *f,
    const char *name, const char *icon, const char *current)
{
	/* drafts and waiting mail are counted, of others what is unread */
	bool whole = strcmp(f->dir, INDEX_DRAFTS) == 0 ||
	    strcmp(f->dir, MAILBOX_SCHEDULED) == 0;
	uint64_t count = whole ? f->total : f->unread;
	json_t *entry = json_pack("{ss,ss,ss,sb}", "id",
	    mailbox_id_of(r, f->dir), "name", name, "icon_name", icon,
	    "current", current != NULL && strcmp(current, f->dir) == 0);

	if (count > 0 && strcmp(f->dir, INDEX_TRASH) != 0)
		json_object_set_new(
		    entry, "count", json_integer((json_int_t)count));
	json_object_set_new(entry, "unread_count", json_boolean(!whole));
	return entry;
}

static const struct index_folder *
find_folder(const struct index_folders *all, const char *dir)
{
	for (size_t i = 0; i < all->count; i++) {
		if (strcmp(all->list[i].dir, dir) == 0)
			return &all->list[i];
	}
	return NULL;
}

static bool
lies_within(const char *name, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(name, folder, len) == 0 && name[len] == '/';
}

/*
 * A folder lies below the one it is within, with the rest of its name; a level
 * that is no folder itself is part of that.
 */
static json_t *
own_folders(
    struct web_request *r, const struct index_folders *all, const char *current)
{
	const char **around =
	    pool_alloc(&r->pool, (all->count + 1) * sizeof(*around));
	json_t *array = json_array(), *entry;
	size_t depth = 0;

	for (size_t i = 0; i < all->count; i++) {
		const struct index_folder *f = &all->list[i];
		const char *name = f->name;

		if (special_of_dir(f->dir) != NULL)
			continue;
		while (depth > 0 && !lies_within(name, around[depth - 1]))
			depth--;
		if (depth > 0)
			name += strlen(around[depth - 1]) + 1;
		entry = folder_entry(r, f, name, "folder", current);
		json_object_set_new(entry, "full_name", json_string(f->name));
		json_object_set_new(entry, "depth",
		    json_integer((json_int_t)num_min(depth, DEPTH_MAX)));
		json_array_append_new(array, entry);
		around[depth++] = f->name;
	}
	return array;
}

void
mailbox_describe_folders(
    struct web_request *r, const char *current, json_t *out)
{
	json_t *usual = json_array(), *mine;
	struct index_folders all = { .count = 0 };
	struct index *x;
	struct err e;

	if (mailbox_index(r, "", &x, &e) != 0 ||
	    index_folders(x, &r->pool, &all, &e) != 0)
		log_warning("folders: %s", e.text);
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		const struct index_folder none = { .dir = specials[i].dir,
			.name = "" };
		const struct index_folder *f =
		    find_folder(&all, specials[i].dir);

		if (f == NULL && strcmp(none.dir, MAILBOX_SCHEDULED) == 0)
			continue;
		json_array_append_new(usual,
		    folder_entry(r, f != NULL ? f : &none,
			page_text(r, specials[i].text), specials[i].icon,
			current));
	}
	mine = own_folders(r, &all, current);
	json_object_set_new(out, "folders", usual);
	json_object_set_new(
	    out, "has_own_folders", json_boolean(json_array_size(mine) > 0));
	json_object_set_new(out, "own_folders", mine);
}
