/*
 * Requests and responses without a web server, and once through FastCGI as a
 * web server speaks it; rows of threats.md group M by name.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/num.h"
#include "web/internal.h"
#include "web/multipart.h"

/* --- a small application ------------------------------------------------------ */

static char secret[] = "a session's secret";
static bool signed_in;
static bool has_role;

static void
show(struct web_request *r, struct web_response *w)
{
	buf_addf(&w->body, "%s %s", r->args[0] ? r->args[0] : "-",
	    r->args[1] ? r->args[1] : "-");
}

static void
post(struct web_request *r, struct web_response *w)
{
	const char *id;

	for (size_t i = 0; (id = web_form_next(r, "id", &i)) != NULL;)
		buf_addf(&w->body, "[%s]", id);
	for (size_t i = 0; i < r->upload_count; i++) {
		char data[32] = "";

		assert_true(read(r->uploads[i].fd, data, 31) >= 0);
		buf_addf(&w->body, "{%s %s %s %llu %s}", r->uploads[i].field,
		    r->uploads[i].name, r->uploads[i].type,
		    (unsigned long long)r->uploads[i].size, data);
	}
}

static void
back(struct web_request *r, struct web_response *w)
{
	web_redirect(w, web_query(r, "next"));
}

static void
download(struct web_request *r, struct web_response *w)
{
	web_download(w, "a\"\r\nb.svg", "image/svg+xml", true);
	assert_true(r->session != NULL);
	buf_addstr(&w->body, "<svg/>");
}

static int
find_session(struct web_request *r, struct web_response *w, struct err *e)
{
	(void)w;
	(void)e;
	r->csrf_secret = secret;
	r->session = signed_in ? secret : NULL;
	return 0;
}

static void
sign_in(struct web_request *r, struct web_response *w)
{
	buf_addf(&w->body, "sign in %s", web_form(r, "id") ? "kept" : "");
}

static bool
may(const struct web_request *r, unsigned roles)
{
	(void)r;
	return has_role && roles == WEB_ROLE_1;
}

/* clang-format off */
static const struct web_route routes[] = {
	{ WEB_GET, "/", WEB_OPEN, show },
	{ WEB_GET, "/v/{}/part/{}", WEB_OPEN, show },
	{ WEB_POST, "/act", WEB_SESSION, post },
	{ WEB_POST, "/up", WEB_SESSION | WEB_UPLOADS, post },
	{ WEB_GET, "/back", WEB_OPEN, back },
	{ WEB_GET, "/file", WEB_SESSION, download },
	{ WEB_GET, "/admin", WEB_SESSION | WEB_ROLE_1, show },
};
/* clang-format on */

static const struct web_asset files[] = {
	{ "static/app.css", "p{}", 3 },
};
static const struct web_assets assets = { files, 1 };
static const struct web_app app = {
	.name = "test",
	.prefix = "/w",
	.routes = routes,
	.route_count = sizeof(routes) / sizeof(routes[0]),
	.assets = &assets,
	.body_max = 100000,
	.form_max = 20000,
	.find_session = find_session,
	.sign_in = sign_in,
	.may = may,
};

/* --- one request ------------------------------------------------------------------ */

static const char *input;
static size_t input_left, step;
static struct buf output;

static ssize_t
read_input(void *io, void *data, size_t size)
{
	size_t n = num_min(num_min(size, input_left), step);

	(void)io;
	if (n > 0)
		memcpy(data, input, n);
	input += n;
	input_left -= n;
	return (ssize_t)n;
}

static int
write_output(void *io, const void *data, size_t len)
{
	(void)io;
	buf_add(&output, data, len);
	return 0;
}

/* `head` is "NAME=value" ended by NULL. */
static const char *
ask(char *const *head, const char *body)
{
	struct web_exchange x = { head, read_input, write_output, NULL };

	buf_reset(&output);
	input = body;
	input_left = body ? strlen(body) : 0;
	web_handle(&app, NULL, &x, "/tmp");
	return output.data;
}

static const char *
get(const char *uri)
{
	char *target = mem_printf("REQUEST_URI=%s", uri);
	char method[] = "REQUEST_METHOD=GET";
	char *head[] = { method, target, NULL };
	const char *answer = ask(head, NULL);

	free(target);
	return answer;
}

static const char *
post_form(
    const char *uri, const char *type, const char *body, const char *extra)
{
	char *target = mem_printf("REQUEST_URI=%s", uri);
	char *content = mem_printf("CONTENT_TYPE=%s", type);
	char *more = mem_strdup(extra ? extra : "X=y");
	char method[] = "REQUEST_METHOD=POST", host[] = "HTTP_HOST=a.example";
	char *head[] = { method, target, content, host, more, NULL };
	const char *answer = ask(head, body);

	free(target);
	free(content);
	free(more);
	return answer;
}

static bool
says(const char *answer, const char *what)
{
	return strstr(answer, what) != NULL;
}

static int
setup(void **state)
{
	(void)state;
	buf_init(&output, 1000000);
	step = SIZE_MAX;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buf_release(&output);
	return 0;
}

/* --- tests ------------------------------------------------------------------------- */

static void
test_routes(void **state)
{
	(void)state;
	assert_true(says(get("/w"), "- -"));
	assert_true(says(get("/w/"), "Status: 200"));
	assert_true(says(get("/w/v/12/part/1.2?x=1"), "12 1.2"));
	assert_true(says(get("/w/v/%41b/part/x%20y"), "Ab x y"));
	assert_true(says(get("/w/v//part/1"), "Status: 404"));
	assert_true(says(get("/w/v/1/part/1/2"), "Status: 404"));
	assert_true(says(get("/w/act"), "Status: 405"));
	assert_true(says(get("/other"), "Status: 404"));
	assert_true(says(get("/wx"), "Status: 404"));
	assert_true(says(get("/w/static/1/app.css"), "p{}"));
	assert_true(says(get("/w/static/1/app.css"), "immutable"));
	assert_true(says(get("/w/static/1/../x"), "Status: 400"));
	assert_true(says(get("/w/static/1/none.css"), "Status: 404"));
}

static void
test_m09_odd_requests(void **state)
{
	static const char *const odd[] = { "/w/..%2f..%2fetc", "/w/%00",
		"/w/a%5cb", "/w/%zz", "/w/%", "/w/%c3%28", "", "w", "/w/?a=%00",
		"/w/?a=%ff", "/w/%0d%0aX:y", "http://a/w/" };
	char uri[] = "REQUEST_URI=/w/", trace[] = "REQUEST_METHOD=TRACE";
	char *head[] = { uri, trace, NULL };

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (!says(get(odd[i]), "Status: 400"))
			fail_msg("%s", odd[i]);
	assert_true(says(ask(head, NULL), "Status: 405"));
	/* decoded once only */
	assert_true(says(get("/w/v/%252e/part/1"), "%2e 1"));
}

static void
test_m12_params(void **state)
{
	static char many[300][32];
	char *head[301] = { NULL };
	char *large = mem_alloc(70000);
	char *big[] = { large, NULL };

	(void)state;
	for (int i = 0; i < 300; i++) {
		(void)snprintf(many[i], sizeof(many[i]), "HTTP_X%d=y", i);
		head[i] = many[i];
	}
	assert_true(says(ask(head, NULL), "Status: 431"));
	memset(large, 'x', 69999);
	large[69999] = '\0';
	assert_true(says(ask(big, NULL), "Status: 431"));
	free(large);
}

static void
test_m05_headers(void **state)
{
	static const char *const wanted[] = { "Content-Security-Policy: ",
		"frame-ancestors 'none'", "X-Content-Type-Options: nosniff",
		"Cache-Control: no-store", "Referrer-Policy: no-referrer",
		"Cross-Origin-Opener-Policy: same-origin" };
	static const char *const pages[] = { "/w/", "/w/none", "/x", "/w/%",
		"/w/back" };

	(void)state;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		const char *answer = get(pages[i]);

		for (size_t n = 0; n < sizeof(wanted) / sizeof(wanted[0]); n++)
			assert_true(says(answer, wanted[n]));
		assert_false(says(answer, "unsafe-inline"));
	}
}

static void
test_m06_redirects(void **state)
{
	static const char *const bad[] = { "//evil", "/\\evil", "https:evil",
		"%2f%2fevil", "/%0d%0aX:y", "evil", "", "/%5cevil" };

	(void)state;
	assert_true(
	    says(get("/w/back?next=/m/1?q=2"), "Location: /w/m/1?q=2\r\n"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *uri = mem_printf("/w/back?next=%s", bad[i]);

		if (!says(get(uri), "Location: /w/\r\n"))
			fail_msg("%s", bad[i]);
		free(uri);
	}
}

static char *
with_token(const char *fields)
{
	struct buf b;

	buf_init(&b, 10000);
	buf_addf(&b, "%s&csrf=", fields);
	web_csrf_token(secret, &b);
	return b.data;
}

static void
test_m01_csrf(void **state)
{
	static const char form[] = "application/x-www-form-urlencoded";
	char *body = with_token("id=1&id=a%20b%26c&x=");
	struct buf other;

	(void)state;
	signed_in = true;
	assert_true(says(post_form("/w/act", form, body, NULL), "[1][a b&c]"));
	assert_true(says(
	    post_form("/w/act", form, body, "HTTP_ORIGIN=https://a.example"),
	    "[1]"));
	assert_true(says(
	    post_form("/w/act", form, body, "HTTP_SEC_FETCH_SITE=same-origin"),
	    "[1]"));
	assert_true(
	    says(post_form("/w/act", form, "id=1", NULL), "Status: 403"));
	assert_true(says(
	    post_form("/w/act", form, "id=1&csrf=AAAA", NULL), "Status: 403"));
	assert_true(says(
	    post_form("/w/act", form, body, "HTTP_ORIGIN=https://evil.example"),
	    "Status: 403"));
	assert_true(says(post_form("/w/act", form, body, "HTTP_ORIGIN=null"),
	    "Status: 403"));
	assert_true(says(
	    post_form("/w/act", form, body, "HTTP_SEC_FETCH_SITE=cross-site"),
	    "Status: 403"));
	assert_true(says(post_form("/w/act", "application/json", "{}", NULL),
	    "Status: 415"));
	assert_true(
	    says(post_form("/w/act", "text/plain", body, NULL), "Status: 415"));
	free(body);
	buf_init(&other, 1000);
	web_csrf_token("another session", &other);
	assert_false(web_csrf_check(secret, other.data));
	assert_false(web_csrf_check(NULL, other.data));
	assert_false(web_csrf_check(secret, NULL));
	assert_false(web_csrf_check(secret, ""));
	buf_release(&other);
}

static void
test_sessions(void **state)
{
	static const char form[] = "application/x-www-form-urlencoded";
	char *body = with_token("id=1");

	(void)state;
	signed_in = false;
	assert_true(says(get("/w/file"), "Status: 401"));
	/* what was typed is there to carry on with */
	assert_true(
	    says(post_form("/w/act", form, body, NULL), "sign in kept"));
	signed_in = true;
	has_role = false;
	assert_true(says(get("/w/admin"), "Status: 404"));
	has_role = true;
	assert_true(says(get("/w/admin"), "Status: 200"));
	free(body);
}

static void
test_l16_downloads(void **state)
{
	const char *answer;

	(void)state;
	signed_in = true;
	answer = get("/w/file");
	assert_true(says(answer, "Content-Type: application/octet-stream\r\n"));
	assert_true(says(answer,
	    "Content-Disposition: attachment; "
	    "filename=\"a___b.svg\"; "
	    "filename*=UTF-8''a%22%0D%0Ab.svg\r\n"));
	assert_true(says(answer, "Content-Security-Policy: sandbox"));
}

static const char type[] = "multipart/form-data; boundary=\"x y\"";

static char *
multipart_body(const char *extra)
{
	struct buf b;

	buf_init(&b, 200000);
	buf_addstr(&b,
	    "--x y\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n");
	web_csrf_token(secret, &b);
	buf_addf(&b, "\r\n%s--x y--\r\n", extra);
	return b.data;
}

static void
test_m10_uploads(void **state)
{
	static const char parts[] =
	    "--x y\r\nContent-Disposition: form-data; name=id\r\n\r\n\r\n"
	    "--x y  \r\ncontent-disposition: form-data; name=\"f\"; "
	    "filename=\"..\\\\a/%22\\\"b.txt\"\r\nContent-Type: text/x\r\n\r\n"
	    "line\r\n--x\r\n"
	    "\r\n--x y\r\nContent-Disposition: form-data; name=\"g\"; "
	    "filename=\"\"\r\n\r\n\r\n";
	char *body = multipart_body(parts);

	(void)state;
	signed_in = true;
	for (step = 1; step < 100; step += step < 40 ? 1 : 30) {
		const char *answer = post_form("/w/up", type, body, NULL);

		if (!says(answer, "[]{f b.txt text/x 11 line\r\n--x\r\n}"))
			fail_msg("step %zu: %s", step, answer);
	}
	step = SIZE_MAX;
	/* files only where they are taken, and only from who is known */
	assert_false(says(post_form("/w/act", type, body, NULL), "{f"));
	signed_in = false;
	assert_true(says(post_form("/w/up", type, body, NULL), "Status: 401"));
	signed_in = true;
	body[strlen(body) - 4] = '\0'; /* cut off */
	assert_true(says(post_form("/w/up", type, body, NULL), "Status: 400"));
	free(body);
}

static void
test_m10_limits(void **state)
{
	static const char *const bad[] = { "multipart/form-data",
		"multipart/form-data; boundary=",
		("multipart/form-data; boundary=0123456789012345678901234567"
		 "8901234567890123456789012345678901234567890123456789") };
	char *large = mem_alloc(150001);
	char *body;

	(void)state;
	signed_in = true;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(says(
		    post_form("/w/up", bad[i], "--\r\n", NULL), "Status: 400"));
	memset(large, 'x', 150000);
	large[150000] = '\0';
	assert_true(says(post_form("/w/up", type, large, NULL), "Status: 413"));
	assert_true(says(post_form("/w/act",
			     "application/x-www-form-urlencoded", large, NULL),
	    "Status: 413"));
	large[30000] = '\0';
	body = mem_printf("--x y\r\nContent-Disposition: form-data; "
			  "name=a\r\n\r\n%s\r\n--x y--",
	    large);
	assert_true(says(post_form("/w/up", type, body, NULL), "Status: 413"));
	free(body);
	free(large);
}

static void
test_m03_cookies(void **state)
{
	const struct web_cookie_options o = { 60, false };
	struct web_app root = { .prefix = "" };
	struct web_request r = { .app = &app, .base = "/w", .https = true };
	struct web_exchange x = { 0 };
	struct web_response w;

	(void)state;
	web_response_init(&w, &r, &x);
	assert_true(web_set_cookie(&w, "wm", "abc", &o));
	assert_string_equal(w.headers.data,
	    "Set-Cookie: __Secure-wm=abc; Path=/w; HttpOnly; SameSite=Lax; "
	    "Secure; Max-Age=60\r\n");
	buf_reset(&w.headers);
	r.base = "";
	r.app = &root;
	assert_true(web_set_cookie(&w, "wm", "abc", &o));
	assert_true(says(w.headers.data, "__Host-wm=abc; Path=/; "));
	assert_false(web_set_cookie(&w, "wm", "a;b", &o));
	r.https = false;
	assert_false(web_set_cookie(&w, "wm", "abc", &o));
	r.loopback = true;
	buf_reset(&w.headers);
	assert_true(web_set_cookie(&w, "wm", "abc", &o));
	assert_true(says(w.headers.data, "Set-Cookie: wm=abc; Path=/; "));
	buf_reset(&w.headers);
	web_add_header(&w, "X", "a\r\nY: b");
	assert_string_equal(w.headers.data, "");
	web_response_release(&w);
	pool_release(&r.pool);
}

static void
test_escaping(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	web_escape_html(SLICE_LIT("<a href='x\">&"), &b);
	assert_string_equal(b.data, "&lt;a href=&#39;x&quot;&gt;&amp;");
	buf_reset(&b);
	web_escape_url(SLICE_LIT("a b/\xc3\xa9?"), &b);
	assert_string_equal(b.data, "a%20b%2F%C3%A9%3F");
	buf_reset(&b);
	web_linkify(SLICE_LIT("see (https://a.b/c?d=1&e), <http://x\"y> "
			      "javascript:z xhttps://no"),
	    &b);
	assert_string_equal(b.data,
	    "see (<a href=\"https://a.b/c?d=1&amp;e\" rel=\"noopener "
	    "noreferrer nofollow\" target=\"_blank\">https://a.b/c?d=1&amp;e"
	    "</a>), &lt;<a href=\"http://x\" rel=\"noopener noreferrer "
	    "nofollow\" target=\"_blank\">http://x</a>&quot;y&gt; "
	    "javascript:z xhttps://no");
	assert_false(web_url_is_safe(SLICE_LIT("javascript:x")));
	assert_false(web_url_is_safe(SLICE_LIT("//evil")));
	assert_true(web_url_is_safe(SLICE_LIT("/own")));
	buf_release(&b);
}

/* --- FastCGI ------------------------------------------------------------------------ */

static void *
serve_one(void *arg)
{
	web_serve(&app, NULL, *(int *)arg, "/tmp", 2000);
	return NULL;
}

static void
add_record(struct buf *b, int kind, const char *data, size_t len)
{
	buf_addc(b, 1);
	buf_addc(b, (char)kind);
	buf_add(b, "\0\1", 2);
	buf_addc(b, (char)(len >> 8));
	buf_addc(b, (char)len);
	buf_add(b, "\0\0", 2);
	buf_add(b, data, len);
}

static void
add_pair(struct buf *b, const char *name, const char *value)
{
	buf_addc(b, (char)strlen(name));
	buf_addc(b, (char)strlen(value));
	buf_addstr(b, name);
	buf_addstr(b, value);
}

/* What comes back for these bytes. */
static void
exchange(const struct buf *request, struct buf *answer)
{
	int ends[2];
	pthread_t thread;
	char chunk[4096];
	ssize_t n;

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve_one, &ends[1]), 0);
	assert_int_equal(
	    write(ends[0], request->data, request->len), request->len);
	while ((n = read(ends[0], chunk, sizeof(chunk))) > 0)
		buf_add(answer, chunk, (size_t)n);
	(void)close(ends[0]);
	(void)pthread_join(thread, NULL);
}

static void
test_fastcgi(void **state)
{
	struct buf params, request, answer;
	struct err e;

	(void)state;
	assert_int_equal(web_start(&app, &e), 0);
	buf_init(&params, 10000);
	buf_init(&request, 10000);
	buf_init(&answer, 100000);
	add_pair(&params, "REQUEST_METHOD", "GET");
	add_pair(&params, "REQUEST_URI", "/w/v/1/part/2");
	add_record(&request, 1, "\0\1\1\0\0\0\0\0", 8);
	add_record(&request, 4, params.data, params.len);
	add_record(&request, 4, "", 0);
	add_record(&request, 5, "", 0);
	exchange(&request, &answer);
	assert_non_null(memmem(answer.data, answer.len, "Status: 200", 11));
	assert_non_null(memmem(answer.data, answer.len, "\r\n\r\n1 2", 7));
	/* M12: nonsense and a client that stops are closed */
	buf_reset(&request);
	buf_reset(&answer);
	buf_addstr(&request, "GET / HTTP/1.1\r\n\r\n");
	exchange(&request, &answer);
	assert_int_equal(answer.len, 0);
	buf_reset(&request);
	add_record(&request, 1, "\0\1\0\0\0\0\0\0", 8);
	exchange(&request, &answer);
	buf_release(&params);
	buf_release(&request);
	buf_release(&answer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_m09_odd_requests),
		cmocka_unit_test(test_m12_params),
		cmocka_unit_test(test_m05_headers),
		cmocka_unit_test(test_m06_redirects),
		cmocka_unit_test(test_m01_csrf),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_l16_downloads),
		cmocka_unit_test(test_m10_uploads),
		cmocka_unit_test(test_m10_limits),
		cmocka_unit_test(test_m03_cookies),
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_fastcgi),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
