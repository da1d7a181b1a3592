/*
 * DNS look-ups by libresolv.
 *
 * A call makes its own resolver state (res_ninit() costs a microsecond; a
 * state shared by threads loses answers), asks, and takes the answer apart.
 * Asking and parsing are separate, so that the second can be fed anything.
 * The resolver checks that an answer fits the question; here only records of
 * the name in question, or of the end of its CNAME chain, are taken.
 *
 * Nothing is cached here: that is the local resolver's job.  No state; any
 * thread, also those with small stacks: answers are on the heap.
 */
#include "net/dns.h"

#include <sys/socket.h>

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/wait.h"

enum {
	ANSWER_SIZE = 65536,
	NAME_MAX_LEN = 253,
	LABEL_MAX_LEN = 63,
	CNAME_LINKS_MAX = 8,
	MX_MAX = 100,
	IP_MAX = 200,
	TEXT_MAX = 100,
	CONFIRM_MAX = 5,
	DEFAULT_TIMEOUT_S = 5,
	DEFAULT_TRIES = 2,
	DEFAULT_PORT = 53,
};

/* --- who to ask ----------------------------------------------------------- */

/* "1.2.3.4", "1.2.3.4:53", "::1", "[::1]:53". */
static bool
parse_server(struct slice s, struct ip *ip_out, uint16_t *port_out)
{
	ptrdiff_t colon = slice_rchr(s, ':');
	struct slice host = s;
	uint64_t port = DEFAULT_PORT;

	if (colon >= 0 &&
	    (slice_starts(s, "[") || slice_chr(s, ':') == colon)) {
		host.len = (size_t)colon;
		if (slice_ends(s, "]"))
			host = s;
		else if (!num_parse(
			     slice_skip(s, host.len + 1), UINT16_MAX, &port) ||
		    port == 0)
			return false;
	}
	if (slice_starts(host, "[") && slice_ends(host, "]"))
		host = slice_of(host.data + 1, host.len - 2);
	if (!ip_parse(host, ip_out))
		return false;
	*port_out = (uint16_t)port;
	return true;
}

int
dns_config_parse(const char *text, struct dns_config *out, struct err *e)
{
	struct dns_config c = { 0 };
	struct slice rest = slice_str(text), item;

	while (rest.data != NULL) {
		rest = slice_cut(rest, ',', &item);
		item = slice_trim(item);
		if (item.len == 0)
			continue;
		if (c.server_count == ARRAY_LEN(c.servers))
			return err_set(e, ERR_SYNTAX,
			    "more than %zu DNS servers", ARRAY_LEN(c.servers));
		if (!parse_server(item, &c.servers[c.server_count].ip,
			&c.servers[c.server_count].port))
			return err_set(e, ERR_SYNTAX,
			    "\"%.*s\" is not the address of a DNS server",
			    (int)num_min(item.len, 64), item.data);
		c.server_count++;
	}
	*out = c;
	return 0;
}

/* --- names ---------------------------------------------------------------- */

/* Letters, digits, '-' and '_' in labels of 1 to 63, 253 in all. */
static bool
name_is_valid(const char *name)
{
	size_t label = 0, len = strlen(name);

	if (len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (ascii_is_alnum(c) || c == '-' || c == '_') {
			if (++label > LABEL_MAX_LEN)
				return false;
		} else {
			return false;
		}
	}
	return label > 0;
}

/* A name as the question has it: no dot at the end. */
static bool
question_name(const char *name, char out[NAME_MAX_LEN + 1])
{
	struct slice s = slice_str(name);

	if (s.len > 1 && slice_ends(s, "."))
		s.len--;
	return slice_copy(s, out, NAME_MAX_LEN + 1) && name_is_valid(out);
}

/* --- asking --------------------------------------------------------------- */

static void
set_server(struct __res_state *st, int i, const struct ip *ip, uint16_t port)
{
	struct sockaddr_in6 *v6;

	memset(&st->nsaddr_list[i], 0, sizeof(st->nsaddr_list[i]));
	if (ip_is_v4(ip)) {
		st->nsaddr_list[i].sin_family = AF_INET;
		st->nsaddr_list[i].sin_port = htons(port);
		memcpy(&st->nsaddr_list[i].sin_addr, ip->bytes + 12, 4);
		return;
	}
	/* family 0 sends glibc to its extension, which res_nclose() frees */
	v6 = mem_zalloc(sizeof(*v6));
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, ip->bytes, 16);
	st->_u._ext.nsaddrs[i] = v6;
}

static void
configure(struct __res_state *st, const struct dns_config *c)
{
	/* the name as it is, no search list */
	st->options &= ~(u_long)(RES_DNSRCH | RES_DEFNAMES);
	st->options |= RES_USE_EDNS0;
	st->retrans = c->timeout_s != 0 ? (int)c->timeout_s : DEFAULT_TIMEOUT_S;
	st->retry = c->tries != 0 ? (int)c->tries : DEFAULT_TRIES;
	if (c->server_count == 0)
		return;
	for (size_t i = 0; i < MAXNS; i++) {
		free(st->_u._ext.nsaddrs[i]);
		st->_u._ext.nsaddrs[i] = NULL;
		st->_u._ext.nssocks[i] = -1;
	}
	st->_u._ext.nscount = 0; /* glibc fills in the rest when it sends */
	for (size_t i = 0; i < c->server_count; i++)
		set_server(st, (int)i, &c->servers[i].ip, c->servers[i].port);
	st->nscount = (int)c->server_count;
}

static enum dns_status
status_of(int h_error)
{
	switch (h_error) {
	case HOST_NOT_FOUND:
		return DNS_NXDOMAIN;
	case NO_DATA:
		return DNS_NODATA;
	default: /* also FORMERR and its like: the server's trouble */
		return DNS_TEMP;
	}
}

/* Ask; with DNS_OK the caller frees *answer_out's data. */
static enum dns_status
ask(const struct dns_config *c, const char *name, int type,
    unsigned char **answer_out, size_t *len_out)
{
	struct __res_state st;
	enum dns_status status = DNS_OK;
	unsigned char *answer;
	int n;

	memset(&st, 0, sizeof(st));
	if (!wait_begins() || res_ninit(&st) != 0)
		return DNS_TEMP;
	configure(&st, c);
	answer = mem_alloc(ANSWER_SIZE);
	n = res_nquery(&st, name, ns_c_in, type, answer, ANSWER_SIZE);
	if (n < 0)
		status = status_of(st.res_h_errno);
	if (c->server_count > 0 && st._u._ext.nscount == 0)
		st._u._ext.nscount = (uint16_t)st.nscount; /* never sent */
	res_nclose(&st);
	if (status != DNS_OK) {
		free(answer);
		return status;
	}
	*answer_out = answer;
	*len_out = num_min((size_t)n, ANSWER_SIZE);
	return DNS_OK;
}

/* --- answers -------------------------------------------------------------- */

/* A walk over the records that count. */
struct walk {
	ns_msg msg;
	int index;
	char name[NAME_MAX_LEN + 1]; /* the end of the chain */
	uint32_t ttl_s;
	bool skipped; /* a record of the type did not parse */
	bool broken;  /* the message did not */
	ns_rr rr;
};

static uint32_t
ttl_of(const ns_rr *rr)
{
	uint32_t ttl = ns_rr_ttl(*rr);

	return ttl > INT32_MAX ? 0 : ttl; /* RFC 2181 8 */
}

/* A name inside a record that must fill it up to its end. */
static bool
record_name(const struct walk *w, size_t skip, char out[NAME_MAX_LEN + 1])
{
	char name[NS_MAXDNAME];
	int n;

	if (ns_rr_rdlen(w->rr) <= skip)
		return false;
	n = ns_name_uncompress(ns_msg_base(w->msg), ns_msg_end(w->msg),
	    ns_rr_rdata(w->rr) + skip, name, sizeof(name));
	if (n < 0 || (size_t)n != ns_rr_rdlen(w->rr) - skip)
		return false;
	if (strcmp(name, ".") == 0) {
		out[0] = '\0';
		return true;
	}
	if (!name_is_valid(name))
		return false;
	ascii_lower_str(name);
	return slice_copy(slice_str(name), out, NAME_MAX_LEN + 1);
}

/* The next record of this type that belongs to the name. */
static bool
walk_next(struct walk *w, int type)
{
	int count = ns_msg_count(w->msg, ns_s_an);

	while (!w->broken && w->index < count) {
		if (ns_parserr(&w->msg, ns_s_an, w->index++, &w->rr) != 0) {
			w->broken = true;
			return false;
		}
		if (ns_rr_class(w->rr) == ns_c_in &&
		    (int)ns_rr_type(w->rr) == type &&
		    ascii_casecmp(ns_rr_name(w->rr), w->name) == 0)
			return true;
	}
	return false;
}

static void
walk_used(struct walk *w)
{
	uint32_t ttl = ttl_of(&w->rr);

	if (ttl < w->ttl_s)
		w->ttl_s = ttl;
}

/* Go from the name in question to the end of its CNAME chain. */
static bool
follow_chain(struct walk *w)
{
	for (int links = 0; links <= CNAME_LINKS_MAX; links++) {
		char next[NAME_MAX_LEN + 1];

		w->index = 0;
		if (!walk_next(w, ns_t_cname)) {
			w->index = 0;
			return !w->broken;
		}
		if (!record_name(w, 0, next) || next[0] == '\0')
			return false;
		walk_used(w);
		memcpy(w->name, next, sizeof(next));
	}
	return false;
}

static bool
walk_start(struct walk *w, struct slice answer, const char *name)
{
	memset(w, 0, sizeof(*w));
	w->ttl_s = UINT32_MAX;
	if (!question_name(name, w->name) || answer.len > ANSWER_SIZE ||
	    answer.len < NS_HFIXEDSZ)
		return false;
	if (ns_initparse((const unsigned char *)answer.data, (int)answer.len,
		&w->msg) != 0)
		return false;
	return follow_chain(w);
}

static enum dns_status
walk_end(const struct walk *w, size_t count, uint32_t *ttl_out)
{
	if (w->broken || (count == 0 && w->skipped))
		return DNS_TEMP;
	if (count == 0)
		return DNS_NODATA;
	*ttl_out = w->ttl_s;
	return DNS_OK;
}

static size_t
most_records(const struct walk *w, size_t max)
{
	return num_min((size_t)ns_msg_count(w->msg, ns_s_an), max);
}

/* Keep the list sorted; equal ones stay as they came. */
static void
insert_mx(struct dns_mx_list *list, struct dns_mx mx)
{
	size_t i = list->count;

	if (i == MX_MAX) {
		if (list->items[i - 1].preference <= mx.preference)
			return;
		i--;
	} else {
		list->count++;
	}
	for (; i > 0 && list->items[i - 1].preference > mx.preference; i--)
		list->items[i] = list->items[i - 1];
	list->items[i] = mx;
}

enum dns_status
dns_parse_mx(struct slice answer, const char *name, struct pool *pool,
    struct dns_mx_list *out)
{
	struct dns_mx_list list = { 0 };
	char host[NAME_MAX_LEN + 1];
	enum dns_status status;
	struct walk w;

	if (!walk_start(&w, answer, name))
		return DNS_TEMP;
	list.items =
	    pool_alloc(pool, most_records(&w, MX_MAX) * sizeof(*list.items));
	while (walk_next(&w, ns_t_mx)) {
		if (!record_name(&w, 2, host)) {
			w.skipped = true;
			continue;
		}
		insert_mx(&list,
		    (struct dns_mx){
			.preference = (uint16_t)ns_get16(ns_rr_rdata(w.rr)),
			.name = pool_strdup(pool, host),
		    });
		walk_used(&w);
	}
	status = walk_end(&w, list.count, &list.ttl_s);
	if (status == DNS_OK)
		*out = list;
	return status;
}

enum dns_status
dns_parse_ip(struct slice answer, const char *name, bool v6, struct pool *pool,
    struct dns_ip_list *out)
{
	static const struct ip v4_zero = { .bytes = {
					       [10] = 0xff, [11] = 0xff } };
	int type = v6 ? ns_t_aaaa : ns_t_a;
	size_t len = v6 ? 16 : 4;
	struct dns_ip_list list = { 0 };
	enum dns_status status;
	struct walk w;

	if (!walk_start(&w, answer, name))
		return DNS_TEMP;
	list.items =
	    pool_alloc(pool, most_records(&w, IP_MAX) * sizeof(*list.items));
	while (list.count < IP_MAX && walk_next(&w, type)) {
		struct ip ip = v4_zero;

		if (ns_rr_rdlen(w.rr) != len) {
			w.skipped = true;
			continue;
		}
		memcpy(ip.bytes + 16 - len, ns_rr_rdata(w.rr), len);
		list.items[list.count++] = ip;
		walk_used(&w);
	}
	status = walk_end(&w, list.count, &list.ttl_s);
	if (status == DNS_OK)
		*out = list;
	return status;
}

/* RFC 1035 3.3.14: character-strings, a length byte before each. */
static char *
text_of_record(const struct walk *w, struct pool *pool)
{
	const unsigned char *p = ns_rr_rdata(w->rr);
	const unsigned char *end = p + ns_rr_rdlen(w->rr);
	char *text = pool_alloc(pool, ns_rr_rdlen(w->rr) + 1U);
	size_t len = 0;

	if (p == end)
		return NULL;
	while (p < end) {
		size_t part = *p++;

		/* a NUL would hide what stands behind it */
		if (part > (size_t)(end - p) || memchr(p, '\0', part) != NULL)
			return NULL;
		memcpy(text + len, p, part);
		len += part;
		p += part;
	}
	text[len] = '\0';
	return text;
}

static char *
name_of_record(const struct walk *w, struct pool *pool)
{
	char name[NAME_MAX_LEN + 1];

	if (!record_name(w, 0, name) || name[0] == '\0')
		return NULL;
	return pool_strdup(pool, name);
}

enum dns_status
dns_parse_text(struct slice answer, const char *name, bool ptr,
    struct pool *pool, struct dns_text_list *out)
{
	int type = ptr ? ns_t_ptr : ns_t_txt;
	struct dns_text_list list = { 0 };
	enum dns_status status;
	struct walk w;

	if (!walk_start(&w, answer, name))
		return DNS_TEMP;
	list.items =
	    pool_alloc(pool, most_records(&w, TEXT_MAX) * sizeof(*list.items));
	while (list.count < TEXT_MAX && walk_next(&w, type)) {
		char *text =
		    ptr ? name_of_record(&w, pool) : text_of_record(&w, pool);

		if (text == NULL) {
			w.skipped = true;
			continue;
		}
		list.items[list.count++] = text;
		walk_used(&w);
	}
	status = walk_end(&w, list.count, &list.ttl_s);
	if (status == DNS_OK)
		*out = list;
	return status;
}

/* --- both halves together ------------------------------------------------- */

/* Ask for a name; *answer_out's data is the caller's to free. */
static enum dns_status
look_up(const struct dns_config *c, const char *name, int type,
    struct slice *answer_out)
{
	char question[NAME_MAX_LEN + 1];
	unsigned char *answer = NULL;
	enum dns_status status;
	size_t len = 0;

	if (!question_name(name, question))
		return DNS_NXDOMAIN;
	status = ask(c, question, type, &answer, &len);
	*answer_out = slice_of((char *)answer, len);
	return status;
}

static void
free_answer(struct slice answer)
{
	union {
		const char *from;
		void *to;
	} cast = { .from = answer.data };

	free(cast.to);
}

enum dns_status
dns_mx(const struct dns_config *c, const char *domain, struct pool *pool,
    struct dns_mx_list *out)
{
	struct slice answer;
	enum dns_status status = look_up(c, domain, ns_t_mx, &answer);

	if (status == DNS_OK) {
		status = dns_parse_mx(answer, domain, pool, out);
		free_answer(answer);
	}
	return status;
}

enum dns_status
dns_ip(const struct dns_config *c, const char *name, bool v6, struct pool *pool,
    struct dns_ip_list *out)
{
	struct slice answer;
	enum dns_status status =
	    look_up(c, name, v6 ? ns_t_aaaa : ns_t_a, &answer);

	if (status == DNS_OK) {
		status = dns_parse_ip(answer, name, v6, pool, out);
		free_answer(answer);
	}
	return status;
}

enum dns_mail
dns_takes_mail(
    const struct dns_config *c, const char *domain, struct pool *pool)
{
	struct dns_mx_list mx;
	struct dns_ip_list ips;
	bool failed = false;

	switch (dns_mx(c, domain, pool, &mx)) {
	case DNS_OK:
		return mx.count == 1 && mx.items[0].name[0] == '\0'
		    ? DNS_MAIL_NULL_MX
		    : DNS_MAIL_GOOD;
	case DNS_NXDOMAIN:
		return DNS_MAIL_NO_DOMAIN;
	case DNS_TEMP:
		return DNS_MAIL_UNKNOWN;
	case DNS_NODATA:
		break;
	}
	for (int v6 = 0; v6 <= 1; v6++) {
		enum dns_status status = dns_ip(c, domain, v6 != 0, pool, &ips);

		if (status == DNS_OK)
			return DNS_MAIL_GOOD;
		failed = failed || status == DNS_TEMP;
	}
	return failed ? DNS_MAIL_UNKNOWN : DNS_MAIL_NO_HOST;
}

static enum dns_status
look_up_text(const struct dns_config *c, const char *name, bool ptr,
    struct pool *pool, struct dns_text_list *out)
{
	struct slice answer;
	enum dns_status status =
	    look_up(c, name, ptr ? ns_t_ptr : ns_t_txt, &answer);

	if (status == DNS_OK) {
		status = dns_parse_text(answer, name, ptr, pool, out);
		free_answer(answer);
	}
	return status;
}

enum dns_status
dns_txt(const struct dns_config *c, const char *name, struct pool *pool,
    struct dns_text_list *out)
{
	return look_up_text(c, name, false, pool, out);
}

/* RFC 1035 3.5, RFC 3596 2.5 */
static char *
reverse_name(const struct ip *ip, struct pool *pool)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = ip->bytes;
	char nibbles[16 * 4 + 1], *p = nibbles;

	if (ip_is_v4(ip))
		return pool_printf(pool, "%u.%u.%u.%u.in-addr.arpa", b[15],
		    b[14], b[13], b[12]);
	for (size_t i = sizeof(ip->bytes); i-- > 0;) {
		*p++ = digits[b[i] & 15];
		*p++ = '.';
		*p++ = digits[b[i] >> 4];
		*p++ = '.';
	}
	*p = '\0';
	return pool_printf(pool, "%sip6.arpa", nibbles);
}

enum dns_status
dns_ptr(const struct dns_config *c, const struct ip *ip, struct pool *pool,
    struct dns_text_list *out)
{
	return look_up_text(c, reverse_name(ip, pool), true, pool, out);
}

enum dns_status
dns_confirmed_name(const struct dns_config *c, const struct ip *ip,
    struct pool *pool, char **name_out)
{
	struct dns_text_list names;
	enum dns_status status = dns_ptr(c, ip, pool, &names);
	bool unsure = false;

	if (status != DNS_OK)
		return status == DNS_TEMP ? DNS_TEMP : DNS_NODATA;
	for (size_t i = 0; i < num_min(names.count, CONFIRM_MAX); i++) {
		struct dns_ip_list ips = { 0 };

		status = dns_ip(c, names.items[i], !ip_is_v4(ip), pool, &ips);
		unsure = unsure || status == DNS_TEMP;
		for (size_t j = 0; j < ips.count; j++) {
			if (ip_eq(&ips.items[j], ip)) {
				*name_out = names.items[i];
				return DNS_OK;
			}
		}
	}
	return unsure ? DNS_TEMP : DNS_NODATA;
}

/* --- for a person --------------------------------------------------------- */

static int
type_number(const char *word)
{
	static const struct {
		const char *word;
		int number;
	} types[] = {
		{ "A", ns_t_a },
		{ "AAAA", ns_t_aaaa },
		{ "ANY", ns_t_any },
		{ "CAA", 257 },
		{ "CNAME", ns_t_cname },
		{ "DNSKEY", ns_t_dnskey },
		{ "DS", ns_t_ds },
		{ "MX", ns_t_mx },
		{ "NS", ns_t_ns },
		{ "PTR", ns_t_ptr },
		{ "SOA", ns_t_soa },
		{ "SRV", ns_t_srv },
		{ "TLSA", 52 },
		{ "TXT", ns_t_txt },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (slice_ieq_str(slice_str(word), types[i].word))
			return types[i].number;
	}
	return -1;
}

/* glibc calls it old, and offers nothing instead */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static bool
print_record(ns_msg *msg, int i, char *out, size_t size)
{
	ns_rr rr;

	return ns_parserr(msg, ns_s_an, i, &rr) == 0 &&
	    ns_sprintrr(msg, &rr, NULL, NULL, out, size) > 0;
}

#pragma GCC diagnostic pop

enum dns_status
dns_any(const struct dns_config *c, const char *name, const char *type,
    struct pool *pool, struct dns_text_list *out)
{
	int number = type_number(type);
	struct dns_text_list list = { 0 };
	struct slice answer;
	enum dns_status status;
	char text[4096];
	struct ip ip;
	ns_msg msg;

	if (number < 0)
		return DNS_NXDOMAIN;
	if (number == ns_t_ptr && ip_parse(slice_str(name), &ip))
		name = reverse_name(&ip, pool);
	status = look_up(c, name, number, &answer);
	if (status != DNS_OK)
		return status;
	list.items = pool_alloc(pool, TEXT_MAX * sizeof(*list.items));
	if (ns_initparse((const unsigned char *)answer.data, (int)answer.len,
		&msg) == 0) {
		for (int i = 0;
		     i < ns_msg_count(msg, ns_s_an) && list.count < TEXT_MAX;
		     i++) {
			if (print_record(&msg, i, text, sizeof(text)))
				list.items[list.count++] =
				    pool_strdup(pool, text);
		}
	}
	free_answer(answer);
	*out = list;
	return list.count > 0 ? DNS_OK : DNS_NODATA;
}
