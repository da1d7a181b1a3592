/* A template: checked, compiled and rendered as a part of itself. */
#include <stdlib.h>

#include "base/log.h"
#include "web/template_internal.h"

#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of((const char *)data, size);
	struct web_asset asset = { "templates/x.html", text.data, size };
	struct web_assets assets = { &asset, 1 };
	struct template_env env = { .domain = "",
		.lang = "en",
		.zone = "",
		.base = "",
		.static_url = "",
		.csrf_secret = "s",
		.now_ms = 1 };
	struct template_set *set;
	struct template *t;
	struct buf out;
	struct err e;
	json_t *values;

	if (size > 4096 || template_compile("x", text, &t, &e) != 0)
		return 0;
	template_free(t);
	(void)!template_check("x", text, &e);
	set = template_set_new("/", &assets);
	values =
	    json_pack("{s[iii]s{si}ss}", "l", 1, 2, 3, "o", "n", 1, "s", "<");
	buf_init(&out, 100000);
	(void)!template_render(set, "x", values, &env, &out, &e);
	buf_release(&out);
	json_decref(values);
	template_set_free(set);
	return 0;
}
