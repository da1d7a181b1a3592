/*
 * The HTML sanitiser: what stays, what goes, and that the result is a fixed
 * point, also for vectors mutated from a few hundred seeds (threats.md L01 to
 * L10, L18).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"

#include "parse/charset.h"
#include "parse/sanitise.h"
#include "parse/style.h"

enum {
	OUT_MAX = 8 * 1024 * 1024
};

static const struct sanitise_options shown = { true, "/v/1/", "/compose" };
static const struct sanitise_options hidden = { false, NULL, NULL };

static char *
clean(const char *html, const struct sanitise_options *o)
{
	struct sanitise_info info;
	struct buf out;
	char *text;

	buf_init(&out, OUT_MAX);
	sanitise_html(slice_str(html), o, &out, &info);
	text = mem_strdup(out.data);
	buf_release(&out);
	return text;
}

static void
check(const char *html, const char *expected)
{
	char *out = clean(html, &shown);

	assert_string_equal(out, expected);
	free(out);
}

static void
test_kept(void **state)
{
	(void)state;
	check("<p>a<b>b</b></p>", "<p>a<b>b</b></p>");
	check("<P ALIGN=Center>x", "<p align=\"Center\">x</p>");
	/* libxml2 puts bare text into a paragraph */
	check("a &lt; b &amp; c & d &eacute;",
	    "<p>a &lt; b &amp; c &amp; d \xc3\xa9</p>");
	check("<a href='https://a.b/?x=1&amp;y=\"2'>l</a>",
	    "<a href=\"https://a.b/?x=1&amp;y=&quot;2\" rel=\"noopener "
	    "noreferrer nofollow\" target=\"_blank\">l</a>");
	check("<body bgcolor=#ffffff><table width=100%><tr><td>x",
	    "<div bgcolor=\"#ffffff\"><table width=\"100%\"><tr><td>x</td>"
	    "</tr></table></div>");
	check("<font face=\"Arial, sans\" size=+1 color=red>x</font>",
	    "<font color=\"red\" face=\"Arial, sans\" size=\"+1\">x</font>");
	check("<div>x<br>y<hr/>z</div>", "<div>x<br>y<hr>z</div>");
	check("<form><p>kept</p></form>", "<p>kept</p>");
	check("<style>x</style><p>one</p><p>two", "<p>one</p><p>two</p>");
	check("<html><head><title>t</title></head><body><p>a</p></body></html>"
	      "<p>footer",
	    "<p>a</p><p>footer</p>");
}

static void
test_pictures(void **state)
{
	struct sanitise_info info;
	struct buf out;

	(void)state;
	check("<img src=cid:a@b alt='<x>'>",
	    "<img alt=\"&lt;x&gt;\" src=\"/v/1/a%40b\">");
	check("<img src=http://a.b/c.png>", "<img src=\"https://a.b/c.png\">");
	check("<img src=https://a.b/c.png width=1 height=1>",
	    "<img width=\"1\" height=\"1\">");
	check("<img src=https://a.b/c.png style='height: 1px'>",
	    "<img style=\"height:1px;\">");
	check("<img src=https://a.b/c.png style='border-width:0;'>",
	    "<img style=\"border-width:0;\" src=\"https://a.b/c.png\">");
	check("<div style='display: none'><p><img src=https://a.b/c.png></div>"
	      "<img src=https://a.b/c.png>",
	    "<div style=\"display:none;\"><p><img></p></div>"
	    "<img src=\"https://a.b/c.png\">");
	check("<img src='data:image/png;base64,AAAA'>",
	    "<img src=\"data:image/png;base64,AAAA\">");
	check("<img src='data:image/svg+xml;base64,AAAA'>", "<img>");
	check("<img src='/v/1/../../settings'>", "<img>");
	check("<img src=/other>", "<img>");
	buf_init(&out, OUT_MAX);
	sanitise_html(SLICE_LIT("<img src=https://a.b/1><img src=cid:x>"
				"<img data-remote=https://a.b/2>"),
	    &hidden, &out, &info);
	assert_string_equal(out.data,
	    "<img data-remote=\"https://a.b/1\"><img>"
	    "<img data-remote=\"https://a.b/2\">");
	assert_int_equal(info.blocked_pictures, 2);
	assert_int_equal(info.pictures, 3);
	assert_false(info.coloured);
	buf_release(&out);
}

/* What is behind the end of the link's tag and its usual attributes. */
static void
check_link(const char *href, const char *text, const char *real_host)
{
	struct buf html;
	char *out;

	buf_init(&html, OUT_MAX);
	buf_addf(&html, "<a href='%s'>%s</a>", href, text);
	out = clean(html.data, &shown);
	buf_reset(&html);
	buf_addf(&html, "data-host=\"%s\"", real_host);
	if (real_host[0] != '\0')
		assert_non_null(strstr(out, html.data));
	else
		assert_null(strstr(out, "data-host"));
	free(out);
	buf_release(&html);
}

static void
test_links(void **state)
{
	(void)state;
	check_link(
	    "https://evil.example/", "https://bank.example/x", "evil.example");
	check_link(
	    "https://evil.example/", "<b>bank</b>.example", "evil.example");
	check_link("https://bank.example@evil.example/", "www.bank.example",
	    "evil.example");
	check_link("https://a.evil.example:99/", "see www.bank.example now",
	    "a.evil.example");
	check_link(
	    "https://notbank.example/", "bank.example", "notbank.example");
	check_link(
	    "mailto:eve@evil.example", "help@bank.example", "evil.example");
	check_link("https://login.bank.example/", "www.bank.example/x", "");
	check_link("https://BANK.example/", "(bank.example).", "");
	check_link("https://evil.example/", "Click here, e.g. now", "");
	check_link("https://evil.example/", "version 1.2", "");
	check("<a href='https://e.example/' data-host=x>y.z</a>",
	    "<a href=\"https://e.example/\" rel=\"noopener noreferrer "
	    "nofollow\" target=\"_blank\">y.z</a>");
	check("<a href='mailto:a+b@c.d?subject=x%20y&amp;body=<'>m</a>",
	    "<a href=\"/compose?to=a%2Bb%40c.d&amp;subject=x%20y&amp;"
	    "body=%3C\" rel=\"noopener noreferrer nofollow\" "
	    "target=\"_blank\">m</a>");
	check("<a href='/compose?to=x&amp;y=\\z'>m</a>", "<a>m</a>");
	check("<a href='/settings'>m</a>", "<a>m</a>");
	check("<a href='#top'>m</a>", "<a>m</a>");
}

static void
check_style(const char *style, const char *expected)
{
	struct buf out, again;

	buf_init(&out, 1000);
	buf_init(&again, 1000);
	style_filter(slice_str(style), &out);
	assert_string_equal(out.data, expected);
	style_filter(buf_slice(&out), &again);
	assert_string_equal(again.data, expected);
	buf_release(&out);
	buf_release(&again);
}

static void
test_l04_l06_styles(void **state)
{
	(void)state;
	check_style("Color: RED ; font-size:12PX", "color:red;font-size:12px;");
	check_style("color:red !important;width:1px", "color:red;width:1px;");
	check_style("background:url(x);background-color:#FFF",
	    "background-color:#fff;");
	check_style(
	    "color:rgb(1, 2, 3);width:calc(1px)", "color:rgb(1, 2, 3);");
	check_style(
	    "font-family:\"Segoe UI\",Arial", "font-family:'Segoe UI',arial;");
	check_style("color:\\75rl(x);width:e/**/x;c\\6flor:red", "");
	check_style("position:fixed;z-index:9;behavior:url(x)", "");
	check_style("-moz-binding:url(x);width:expression(1)", "");
	check_style("color:var(--x);width:attr(y);height:env(z)", "");
	check_style(
	    "margin:-5px;margin-left:5px;text-indent:-9px", "margin-left:5px;");
	check_style("width:99999999px;height:1e9px", "height:1e9px;");
	check_style("font-family:'a;b';color:red", "color:red;");
	check_style("display:none;display:grid", "display:none;");
	check_style("width:1px}*{color:red", "");
	check_style("background: #EEE url(x) repeat", "background-color:#eee;");
	check_style("background: no-repeat center navy; background:none",
	    "background-color:navy;");
	check_style(
	    "background:rgb(1, 2, 3) none", "background-color:rgb(1, 2, 3);");
	check_style("background-image:image-set('x' 1x)", "");
}

/* One for each published way past other sanitisers, by class. */
static const char *const vectors[] = {
	/* L01 */
	"<script>x</script>",
	"<SCRIPT SRC=//e/x.js></SCRIPT>",
	"<scr<script>ipt>alert(1)</scr</script>ipt>",
	"<img src=x onerror=alert(1)>",
	"<img/src=x/onerror=alert(1)>",
	"<img src=x onerror\n=\nalert(1)>",
	"<b onmouseover=x>t</b>",
	"<a href=javascript:x>",
	"<a href=' \x01javascript:x'>",
	"<a href='java\tscript:x'>",
	"<a href='java&#10;script:x'>",
	"<a href='&#106;avascript:x'>",
	"<a href=vbscript:x>",
	"<a href='data:text/html,<script>x</script>'>",
	"<a href='JaVaScRiPt&colon;x'>",
	"<a href=\"https://a\" onclick=x>",
	"<img src=`x`onerror=x>",
	"<a href=x:javascript:y>",
	"<img src=x:x onerror=x//",
	"<<script>x//<</script>",
	"<img \"\"\"><script>x</script>\">",
	"<body onload=x>",
	"<svg/onload=x>",
	"<details open ontoggle=x>",
	"<marquee onstart=x>",
	"<input autofocus onfocus=x>",
	"<video><source onerror=x>",
	"<isindex type=image src=1 onerror=x>",
	/* L02 */
	"<svg><style><img src=x onerror=x></style></svg>",
	"<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;<x>\">",
	"<noscript><p title=\"</noscript><img src=x onerror=x>\">",
	"<template><img src=x onerror=x></template>",
	"<textarea><img title=\"</textarea><img src=x onerror=x>\"></textarea>",
	"<xmp><p title=\"</xmp><img src=x onerror=x>\">",
	"<title><img title=\"</title><img src=x onerror=x>\">",
	"<!--><img src=x onerror=x>-->",
	"<!-- --!><img src=x onerror=x>",
	"<!---><img src=x onerror=x>",
	"<![CDATA[<img src=x onerror=x>]]>",
	"<?pi <img src=x onerror=x>?>",
	"<!DOCTYPE x [<!ENTITY y 'z'>]>&y;",
	"<form><form><math><img src=x onerror=x></form>",
	"<plaintext><img src=x onerror=x>",
	"<listing>&lt;img onerror=x&gt;",
	"<noembed><img title='</noembed><img onerror=x>'></noembed>",
	"<iframe srcdoc='<script>x</script>'></iframe>",
	"<select><template><img src=x onerror=x></template></select>",
	"<table><a><tr><td></a><img src=x onerror=x>",
	"<a><b><a href=javascript:x></b></a>",
	"<p><table><p></table></p>",
	"<b><p>x</b>y</p>",
	"<i><b>x</i>y</b>",
	"</p></br></x>",
	"<div><button><p>x</button>y</div>",
	"<ul><p><li>x</ul>y",
	/* L03 */
	"<svg><a xlink:href=javascript:x><text>t</text></a></svg>",
	"<svg><animate attributeName=href values=javascript:x /></svg>",
	"<svg><set attributeName=onload to=x></svg>",
	"<svg><use href='data:image/svg+xml,<svg id=x/>#x'></svg>",
	"<svg><image href=https://e/></svg>",
	"<svg><foreignObject><iframe src=javascript:x></svg>",
	"<rect fill=url(https://e/)>",
	"<svg style='fill:url(//e)'>",
	"<math href=javascript:x>t</math>",
	"<mi xlink:href='x'>t</mi>",
	/* L04, L05 */
	"<style>@import 'https://e/';*{color:red}</style>",
	"<link rel=stylesheet href=https://e/>",
	"<p style=\"background:url(https://e/)\">",
	"<p style=\"background:\\75rl(https://e/)\">",
	"<p style=\"background:u/**/rl(https://e/)\">",
	"<p style=\"background:url(https://e/\">",
	"<p style=\"list-style:image-set('https://e/' 1x)\">",
	"<p style=\"--x:url(https://e/);background:var(--x)\">",
	"<p style=\"width:expression(alert(1))\">",
	"<p style=\"-moz-binding:url(//e)\">",
	"<p style='x:y}</style>'>",
	"<p style=\"content:'</p><img onerror=x>'\">",
	"<p style=\"font-family:'x</style><img onerror=x>'\">",
	/* L07 */
	"<img srcset='https://e/ 1x'>",
	"<video poster=https://e/>",
	"<table background=https://e/><td background=https://e/>",
	"<body background=https://e/>",
	"<audio src=https://e/>",
	"<object data=https://e/><param></object>",
	"<embed src=https://e/>",
	"<meta http-equiv=refresh content='0;url=https://e/'>",
	"<base href=https://e/><a href=x>",
	"<input type=image src=https://e/>",
	"<a ping=https://e/ href=https://a/>x</a>",
	"<link rel=dns-prefetch href=//e>",
	"<track src=https://e/>",
	"<img src=//e/x>",
	"<img lowsrc=https://e/ dynsrc=https://e/>",
	"<q cite=https://e/>",
	"<img src=\\\\e\\x>",
	"<frame src=https://e/>",
	"<picture><source srcset=https://e/></picture>",
	"<img data-remote=\"https://e/\" src=\"x\" onerror=\"x\">",
	"<img src='https://e/\"onerror=x'>",
	"<img src=ftp://e/>",
	/* L09, L10 */
	"<form action=https://e/><input name=p type=password></form>",
	"<button formaction=https://e/>x</button>",
	"<a href=https://a target=_self rel=opener>x</a>",
	"<img name=body><a id=x name=parentNode class=btn>x</a>",
	"<form id=x><input name=attributes></form>",
	/* odd bytes */
	"<img src=x\x00onerror=x>",
	"<im\x0bg src=x onerror=x>",
	"<\xc0\xbcscript>",
	"\xff\xfe<\xed\xa0\x80p>",
	"&#0;&#x1F;&#128;&#xD800;",
	"\xef\xb7\x90script\xef\xb7\x91lt;",
	"&lt;script&gt;",
	"&amp;lt;b&amp;gt;",
	"<a href='&#x6A&#x61vascript:x'>",
	"<p title='&quot;><script>'>x",
	"<p title=\"'>\">x</p>",
	"<p =x y=z>",
	"<p/=/x>",
	"</ p>",
	"< p>",
	"<p\n\n\ntitle=x>",
	"<1>",
	"<>",
	"<",
	"&",
	"<!",
	"<?",
	"</",
	"<a",
};

static void
check_harmless(const char *html, const char *out)
{
	static const char *const never[] = { "<script", "<style", "<svg",
		"<math", "<iframe", "<form", "<input", "<object", "<embed",
		"<link", "<meta", "<base", "<!--", "<?", " onerror=", " on",
		" id=", " name=", " class=", " srcset", " background=", "url(",
		"=\"javascript:", "=\"data:text", "src=\"http:" };
	bool in_tag = false, in_value = false;

	for (size_t i = 0; out[i] != '\0'; i++) {
		if (in_tag && !in_value) {
			for (size_t n = 0; n < 25; n++)
				if (slice_istarts(slice_str(out + i), never[n]))
					fail_msg("%s: %s", html, out);
		}
		if (out[i] == '"' && in_tag)
			in_value = !in_value;
		if ((out[i] == '<' && in_tag) ||
		    (out[i] == '>' && (!in_tag || in_value)))
			fail_msg("%s: %s", html, out);
		in_tag = out[i] == '<' || (in_tag && out[i] != '>');
	}
	assert_false(in_tag);
}

static void
check_vector(const char *html)
{
	const struct sanitise_options *const both[] = { &shown, &hidden };

	for (size_t i = 0; i < 2; i++) {
		char *once = clean(html, both[i]);
		char *twice = clean(once, both[i]);

		check_harmless(html, once);
		if (strcmp(once, twice) != 0)
			fail_msg("%s:\n%s\n%s", html, once, twice);
		free(once);
		free(twice);
	}
}

static void
test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		check_vector(vectors[i]);
}

/* Two halves of two vectors, cut anywhere, with something between. */
static void
test_mutations(void **state)
{
	static const char *const between[] = { "", "<p>", "\"", "'", "</b>",
		"<!--", ">", "<table>", "&#", "\t" };
	const uint32_t count = sizeof(vectors) / sizeof(vectors[0]);
	uint32_t seed = 12345;

	(void)state;
	for (int i = 0; i < 1500; i++) {
		const char *a, *b;
		char *mix;

		seed = seed * 1664525 + 1013904223;
		a = vectors[(seed >> 8) % count];
		seed = seed * 1664525 + 1013904223;
		b = vectors[(seed >> 8) % count];
		seed = seed * 1664525 + 1013904223;
		mix =
		    mem_printf("%.*s%s%s", (int)((seed >> 8) % (strlen(a) + 1)),
			a, between[(seed >> 4) % 10],
			b + (seed >> 16) % (strlen(b) + 1));
		check_vector(mix);
		free(mix);
	}
}

static void
test_l18_time(void **state)
{
	static const char *const pieces[] = { "<div>", "<table><td>", "<b><i>",
		"<p a b c d e f>", "&amp;", "<a href='x", "</b>" };

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct sanitise_info info;
		struct buf html, out;
		int64_t started = clock_mono_ms();

		buf_init(&html, OUT_MAX);
		buf_init(&out, OUT_MAX);
		while (html.len < 1000000)
			buf_addstr(&html, pieces[i]);
		sanitise_html(buf_slice(&html), &hidden, &out, &info);
		/* a busy machine and a sanitizer may take their time */
		assert_in_range(clock_mono_ms() - started, 0, 20000);
		buf_release(&html);
		buf_release(&out);
	}
}

static void
test_text(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	sanitise_to_text(SLICE_LIT("<style>x</style><p>one <b>t</b>wo</p><p>a "
				   "&lt; b &amp; c</p><br>end"),
	    &out);
	assert_string_equal(out.data, "one two\na < b & c\nend\n");
	buf_reset(&out);
	sanitise_to_text(SLICE_LIT("<p>my\n   own </p>\n <blockquote>q1 "
				   "<b>x</b><blockquote><p>q2</p></blockquote>"
				   "q1\n</blockquote><pre>a\n  b</pre>c"),
	    &out);
	assert_string_equal(
	    out.data, "my own\n> q1 x\n> > q2\n> q1\na\n  b\nc\n");
	buf_release(&out);
}

static void
check_utf8(
    const char *bytes, size_t len, const char *charset, const char *expected)
{
	struct buf out;

	buf_init(&out, 1000);
	charset_to_utf8(slice_of(bytes, len), charset, &out);
	assert_string_equal(out.data, expected);
	buf_release(&out);
}

/* K10 */
static void
test_k10_charsets(void **state)
{
	(void)state;
	check_utf8("\xe5", 1, "iso-8859-1", "\xc3\xa5");
	check_utf8("\xc3\xa5", 2, "us-ascii", "\xc3\xa5");
	check_utf8("\x80", 1, "unknown", "\xe2\x82\xac");
	check_utf8("+ADw-", 5, "utf-7", "+ADw-");
	check_utf8("a\xff", 2, "utf-8", "a\xef\xbf\xbd");
	check_utf8(
	    "\xed\xa0\x80", 3, "utf-8", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	check_utf8("\xef\xbb\xbfx", 4, "", "x");
	check_utf8("\xff\xfe"
		   "a\0",
	    4, "utf-16", "a");
	check_utf8("\x1b$B", 3, "iso-2022-jp", "");
	check_utf8("", 0, "utf-8", "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_pictures),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_l04_l06_styles),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_l18_time),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_k10_charsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
