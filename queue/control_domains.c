/*
 * Whether mail to a domain has any way, for who is writing it; the verb
 * "domains" of control.h.
 *
 * What it tells is what a bounce would: whether a domain exists and takes mail,
 * never an address or a name behind it.  Where mail would go to a smart host,
 * which we do not ask the DNS about, nothing is looked up.  Look-ups of an
 * account are counted by the minute, few run at a time (a connection thread
 * waits in each), and all of a request's have one limit in time; what cannot
 * be known so is not said.  Runs on the connection threads.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "mail/address.h"
#include "net/dns.h"

#include "queue/control_owner.h"
#include "queue/route.h"

enum {
	DOMAINS_MAX = 20, /* of a request */
	LIMIT_MS = 2000,  /* of a request; a look-up begun may take longer */
	AT_ONCE = 4,      /* requests that look up */
	PER_MINUTE = 60,  /* look-ups of an account */
	ACCOUNTS = 64,    /* counters; accounts may share one */
	KEPT = 128,       /* answers */
	GOOD_MS = 300000,
	BAD_MS = 60000, /* a domain may be new */
	MINUTE_MS = 60000,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned looking; /* requests, under lock like the two below */

static struct {
	int64_t minute;
	unsigned count;
} asked[ACCOUNTS];

static struct {
	char domain[ADDRESS_DOMAIN_MAX + 1];
	uint32_t servers; /* who said so */
	int64_t until_ms;
	enum dns_mail verdict;
} kept[KEPT];

static size_t
place(const char *text, size_t count)
{
	return crc32c(0, text, strlen(text)) % count;
}

/* False: this account asked enough in this minute. */
static bool
may_look_up(const char *account)
{
	int64_t minute = clock_mono_ms() / MINUTE_MS;
	size_t i = place(account, ACCOUNTS);
	bool may;

	pthread_mutex_lock(&lock);
	if (asked[i].minute != minute)
		asked[i].count = 0;
	asked[i].minute = minute;
	may = asked[i].count++ < PER_MINUTE;
	pthread_mutex_unlock(&lock);
	return may;
}

static enum dns_mail
remembered(const char *domain, uint32_t servers)
{
	size_t i = place(domain, KEPT);
	enum dns_mail v = DNS_MAIL_UNKNOWN;

	pthread_mutex_lock(&lock);
	if (kept[i].until_ms > clock_mono_ms() && kept[i].servers == servers &&
	    strcmp(kept[i].domain, domain) == 0)
		v = kept[i].verdict;
	pthread_mutex_unlock(&lock);
	return v;
}

static void
remember(const char *domain, uint32_t servers, enum dns_mail v)
{
	size_t i = place(domain, KEPT);

	pthread_mutex_lock(&lock);
	snprintf(kept[i].domain, sizeof(kept[i].domain), "%s", domain);
	kept[i].servers = servers;
	kept[i].until_ms =
	    clock_mono_ms() + (v == DNS_MAIL_GOOD ? GOOD_MS : BAD_MS);
	kept[i].verdict = v;
	pthread_mutex_unlock(&lock);
}

static enum dns_mail
judge(const struct settings *s, const struct dns_config *dns,
    const char *account, const char *domain)
{
	const char *text = settings_text(s, SET_DNS_SERVERS);
	uint32_t servers = crc32c(0, text, strlen(text));
	enum dns_mail v = remembered(domain, servers);
	struct pool pool = { 0 };
	struct route route;

	route_plan(s, account, domain, 0, &route);
	if (v != DNS_MAIL_UNKNOWN || route.host[0] != '\0' || domain[0] == '[')
		return route.host[0] != '\0' ? DNS_MAIL_UNKNOWN : v;
	if (!may_look_up(account))
		return DNS_MAIL_UNKNOWN;
	v = dns_takes_mail(dns, domain, &pool);
	pool_release(&pool);
	if (v != DNS_MAIL_UNKNOWN)
		remember(domain, servers, v);
	return v;
}

static json_t *
judge_all(const struct settings *s, const char *account, const json_t *domains)
{
	static const char *const words[] = { [DNS_MAIL_NO_DOMAIN] = "nowhere",
		[DNS_MAIL_NO_HOST] = "no-server",
		[DNS_MAIL_NULL_MX] = "refuses" };
	int64_t until = clock_mono_ms() + LIMIT_MS;
	json_t *bad = json_array();
	struct dns_config dns;
	struct err e;

	if (dns_config_parse(settings_text(s, SET_DNS_SERVERS), &dns, &e) !=
	    0) {
		log_warning("dns.servers: %s", e.text);
		return bad;
	}
	dns.timeout_s = 1;
	dns.tries = 1;
	for (size_t i = 0; i < json_array_size(domains) && i < DOMAINS_MAX &&
	     clock_mono_ms() < until;
	     i++) {
		const char *text =
		    json_string_value(json_array_get(domains, i));
		char domain[ADDRESS_DOMAIN_MAX + 1];
		enum dns_mail v;

		if (text == NULL ||
		    domain_normalise(slice_str(text), domain, &e) != 0)
			continue;
		v = judge(s, &dns, account, domain);
		if (v > DNS_MAIL_GOOD)
			json_array_append_new(bad,
			    json_pack(
				"{s:s, s:s}", "domain", text, "why", words[v]));
	}
	return bad;
}

json_t *
control_domains(
    struct control_session *s, const char *account, const json_t *request)
{
	struct settings *all;
	json_t *bad;
	bool busy;

	pthread_mutex_lock(&lock);
	busy = looking >= AT_ONCE;
	looking += !busy;
	pthread_mutex_unlock(&lock);
	if (busy)
		return json_pack("{s:b, s:[]}", "ok", 1, "bad");
	all = directory_settings(s->runner->directory);
	bad = judge_all(all, account, json_object_get(request, "domains"));
	settings_free(all);
	pthread_mutex_lock(&lock);
	looking--;
	pthread_mutex_unlock(&lock);
	return json_pack("{s:b, s:o}", "ok", 1, "bad", bad);
}
