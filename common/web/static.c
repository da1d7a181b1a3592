/*
 * Built-in files: found by name, served for good under a path that carries the
 * hash of them all, so a new version is a new address.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/crc32c.h"
#include "web/internal.h"

static const struct {
	const char *suffix, *type;
} types[] = { { ".css", "text/css; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".svg", "image/svg+xml" }, { ".png", "image/png" },
	{ ".ico", "image/x-icon" }, { ".jpg", "image/jpeg" },
	{ ".gif", "image/gif" }, { ".webp", "image/webp" },
	{ ".webmanifest", "application/manifest+json" },
	{ ".txt", "text/plain; charset=utf-8" }, { ".woff2", "font/woff2" } };

const struct web_asset *
web_asset_find(const struct web_assets *a, const char *name)
{
	for (size_t i = 0; a != NULL && i < a->count; i++) {
		if (strcmp(a->list[i].name, name) == 0)
			return &a->list[i];
	}
	return NULL;
}

const char *
web_static_url(struct web_request *r)
{
	const struct web_assets *a = r->app->assets;
	uint32_t sum = 0;

	for (size_t i = 0; a != NULL && i < a->count; i++) {
		if (strncmp(a->list[i].name, "static/", 7) == 0)
			sum = crc32c(sum, a->list[i].data, a->list[i].len);
	}
	return pool_printf(&r->pool, "%s/static/%08x", r->base, sum);
}

const char *
web_file_type(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (slice_ends(name, types[i].suffix))
			return types[i].type;
	}
	return "application/octet-stream";
}

void
web_static(struct web_request *r, struct web_response *w)
{
	const char *name = strchr(r->path + strlen("/static/"), '/');
	const struct web_asset *asset = name == NULL
	    ? NULL
	    : web_asset_find(
		  r->app->assets, pool_printf(&r->pool, "static%s", name));

	if (asset == NULL) {
		web_error(w, 404, "There is no such file.");
		return;
	}
	w->type = web_file_type(slice_str(asset->name));
	w->cache = "public, max-age=31536000, immutable";
	/* the sprite is an SVG: nothing in it may run by itself */
	w->csp = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
	buf_add(&w->body, asset->data, asset->len);
}
