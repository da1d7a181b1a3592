/* The template language: escaping, sections, look-up, checks, languages. */
#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "web/template.h"

#define ASSET(name, text)                    \
	{                                    \
		name, text, sizeof(text) - 1 \
	}

static const struct web_asset list[] = {
	ASSET(
	    "lang/ar.json", "{\"n\": {\"two\": \"TWO\", \"other\": \"{n}\"}}"),
	ASSET("lang/en.json",
	    "{\"hi\": \"Hello <{who}> {x}\", \"n\": {\"one\": \"{n} thing\", "
	    "\"other\": \"{n} things\"}, \"date.time\": \"{time}\", "
	    "\"date.long\": \"{weekday} {d} {month} {y}, {time}\", "
	    "\"date.exact\": \"{d} {month} {y}, {clock}\", "
	    "\"date.day\": \"{d} {month}\", \"date.year\": \"{d} {month} {y}\", "
	    "\"month.7\": \"July\", \"weekday.4\": \"Thursday\"}"),
	ASSET("templates/loop.html", "{{>loop}}"),
	ASSET("templates/row.html", "[{{name}}]"),
};
static const struct web_assets assets = { list, 4 };
static char dir[] = "/tmp/test_template.XXXXXX";
static struct template_set *set;

static void
put(const char *path, const char *text)
{
	struct err e;

	assert_int_equal(
	    file_replace(AT_FDCWD, path, 0600, text, strlen(text), &e), 0);
}

static void
render(const char *text, const char *values, const char *want)
{
	static int number;
	struct template_env env = { .domain = "",
		.lang = "en",
		.zone = "",
		.base = "/webmail",
		.static_url = "/webmail/static/1",
		.now_ms = 1784203200000 };
	json_t *json = json_loads(values, 0, NULL);
	char path[128], name[32];
	struct buf out;
	struct err e;

	snprintf(name, sizeof(name), "t%d", number++);
	snprintf(path, sizeof(path), "%s/web/templates/%s.html", dir, name);
	put(path, text);
	buf_init(&out, 10000);
	if (template_render(set, name, json, &env, &out, &e) != 0)
		fail_msg("%s: %s", text, e.text);
	assert_string_equal(out.data, want);
	buf_release(&out);
	json_decref(json);
}

static void
prints_values(void **state)
{
	(void)state;
	render("a {{x}} {{y.z}} {{n}} {{none}}{{y}}.",
	    "{\"x\": \"<i>'\\\"&\", \"y\": {\"z\": 1}, \"n\": 5}",
	    "a &lt;i&gt;&#39;&quot;&amp; 1 5 .");
	render("{{x|url}}{{! nothing }}", "{\"x\": \"a b&\"}", "a%20b%26");
	render("<a href=\"{{u}}\">", "{\"u\": \"javascript:x\"}",
	    "<a href=\"#\">");
	render("<a href=\"{{u}}\">", "{\"u\": \"/x?a=1&b\"}",
	    "<a href=\"/x?a=1&amp;b\">");
	render("{{base}} {{lang}} {{dir}} {{num n}} {{size n}}",
	    "{\"n\": 1234567}",
	    "/webmail en ltr 1\xe2\x80\xaf"
	    "234\xe2\x80\xaf"
	    "567 1.2 MB");
	render("{{icon \"pen\"}}", "{}",
	    "<svg class=\"i\" aria-hidden=\"true\"><use "
	    "href=\"/webmail/static/1/icons.svg#i-pen\"/></svg>");
}

static void
repeats_sections(void **state)
{
	(void)state;
	render("{{#l}}<{{n}}{{o}}>{{/l}}{{^l}}none{{/l}}",
	    "{\"o\": \"!\", \"l\": [{\"n\": 1}, {\"n\": 2}]}", "<1!><2!>");
	render("{{#l}}x{{/l}}{{^l}}none{{/l}}", "{\"l\": []}", "none");
	render("{{#l}}{{.}},{{/l}}", "{\"l\": [\"a\", 2]}", "a,2,");
	render("{{#s}}yes{{/s}}{{#e}}no{{/e}}{{#f}}no{{/f}}{{#z}}no{{/z}}",
	    "{\"s\": \"x\", \"e\": \"\", \"f\": false, \"z\": 0}", "yes");
	render("{{#u}}{{>row}}{{/u}}", "{\"u\": {\"name\": \"Ann\"}}", "[Ann]");
}

static void
translates(void **state)
{
	(void)state;
	render("{{t \"hi\" who=w}}", "{\"w\": \"a&b\"}",
	    "Hello &lt;a&amp;b&gt; {x}");
	render("{{t \"n\" n=c}}, {{t \"n\" n=d}}", "{\"c\": 1, \"d\": 2}",
	    "1 thing, 2 things");
	render("{{t \"unknown\"}}", "{}", "unknown");
	render("{{date d \"long\"}}|{{date d \"short\"}}",
	    "{\"d\": 1784203200000}",
	    "<time datetime=\"2026-07-16T12:00:00.000Z\">Thursday 16 July "
	    "2026, 12:00</time>|<time datetime=\"2026-07-16T12:00:00.000Z\">"
	    "12:00</time>");
	render("{{date d \"exact\"}}", "{\"d\": 1784203207000}",
	    "<time datetime=\"2026-07-16T12:00:07.000Z\">16 July 2026, "
	    "12:00:07</time>");
	assert_string_equal(
	    template_choose_lang(set, "xx, ar-EG;q=0.8, en;q=0.5"), "ar");
	assert_string_equal(template_choose_lang(set, "xx"), "en");
	assert_true(template_is_rtl("ar"));
}

static void
keeps_html_apart(void **state)
{
	struct template_env env = { .domain = "",
		.lang = "en",
		.zone = "",
		.base = "",
		.static_url = "",
		.csrf_secret = "s" };
	json_t *values =
	    json_pack("{so}", "name", template_html(SLICE_LIT("<b>x</b>")));
	struct buf out;
	struct err e;

	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(
	    template_render(set, "row", values, &env, &out, &e), 0);
	assert_string_equal(out.data, "[<b>x</b>]");
	assert_int_equal(
	    template_render(set, "loop", values, &env, &out, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_string_equal(out.data, "[<b>x</b>]");
	assert_int_equal(
	    template_render(set, "nothing", values, &env, &out, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	buf_release(&out);
	json_decref(values);
}

/* A domain's file comes first, a broken one is passed over. */
static void
finds_the_nearest_file(void **state)
{
	struct template_env env = { .domain = "example.org",
		.lang = "en",
		.zone = "",
		.base = "",
		.static_url = "" };
	json_t *values = json_pack("{ss}", "name", "x");
	char path[128];
	struct buf out;
	struct err e;

	(void)state;
	snprintf(path, sizeof(path),
	    "%s/domains/example.org/templates/row.html", dir);
	put(path, "domain {{name}}");
	buf_init(&out, 1000);
	assert_int_equal(
	    template_render(set, "row", values, &env, &out, &e), 0);
	assert_string_equal(out.data, "domain x");
	put(path, "broken {{#name}}");
	(void)sleep(2); /* files are looked at once a second */
	buf_reset(&out);
	assert_int_equal(
	    template_render(set, "row", values, &env, &out, &e), 0);
	assert_string_equal(out.data, "[x]");
	buf_release(&out);
	json_decref(values);
}

static void
refuses_bad_templates(void **state)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{ "\n{{#a}}", "t:2: a section is not closed" },
		{ "{{/a}}", "t:1: nothing to close here" },
		{ "{{#a}}{{/b}}",
		    "t:1: this closes another section than was opened" },
		{ "{{a", "t:1: {{ without }}" },
		{ "{{{a}}}", "t:1: there is no unescaped form" },
		{ "{{&a}}", "t:1: there is no unescaped form" },
		{ "{{>../x}}", "t:1: not a part's name" },
		{ "{{a b}}", "t:1: no such function" },
		{ "<a href={{x}}>", "t:1: attribute value without quotes" },
		{ "<p onclick=\"x\">", "t:1: on...= attribute" },
		{ "<p {{#a}}style=\"x\"{{/a}}>", "t:1: style= attribute" },
		{ "<script>x</script>", "t:1: script body" },
		{ "<form method=\"post\"></form>",
		    "t:1: POST form without {{csrf}}" },
		{ "\xff", "t:1: not UTF-8 text" },
	};

	static const char good[] =
	    "<!-- <p style=x> --><form method=\"post\" action=\"{{base}}/x\">"
	    "{{csrf}}<b {{#a}}class=\"x\"{{/a}}>1 < 2</b></form>"
	    "<form action=\"/\"></form><script src=\"a.js\" defer></script>";
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(
		    template_check("t", slice_str(bad[i].text), &e), -1);
		assert_int_equal(e.kind, ERR_SYNTAX);
		assert_string_equal(e.text, bad[i].error);
	}
	if (template_check("t", SLICE_LIT(good), &e) != 0)
		fail_msg("%s", e.text);
}

static int
begin(void **state)
{
	static const char *const folders[] = { "web", "web/templates",
		"domains", "domains/example.org",
		"domains/example.org/templates" };
	char path[128];

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
		if (mkdir(path, 0700) != 0)
			return -1;
	}
	set = template_set_new(dir, &assets);
	return 0;
}

static int
finish(void **state)
{
	char command[128];

	(void)state;
	template_set_free(set);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command); /* NOLINT */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_values),
		cmocka_unit_test(repeats_sections),
		cmocka_unit_test(translates),
		cmocka_unit_test(keeps_html_apart),
		cmocka_unit_test(finds_the_nearest_file),
		cmocka_unit_test(refuses_bad_templates),
	};

	return cmocka_run_group_tests(tests, begin, finish);
}
