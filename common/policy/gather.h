#ifndef POLICY_GATHER_H
#define POLICY_GATHER_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/mem.h"
#include "directory/directory.h"
#include "directory/settings.h"
#include "mail/address.h"
#include "policy/policy.h"

/*
 * Where the facts of policy/policy.h come from: settings and the directory.
 * Shared by whoever judges (the SMTP server, `mailstead check route`), so
 * that all judge the same.
 *
 * A fact that cannot be had is a fact too (sender_unknown, POLICY_RCPT_TEMP);
 * *e then says why, for the log, and the functions return -1; the verdict is
 * a temporary one.
 */

/* Clear `in` and fill in all that follows from client and settings. */
void policy_gather_client(struct policy_input *in, const struct settings *set,
    const struct ip *client, enum policy_listener listener);

/* `user` NULL = not signed in.  `in->sender` is the caller's. */
int policy_gather_sender(struct policy_input *in, struct directory *d,
    const struct dir_account *user, const struct address *sender,
    struct pool *pool, struct err *e);

/*
 * Ask DNS about the sender's domain, where the settings want it and nothing
 * else speaks for the sender.  Waits for the answer.
 */
void policy_gather_dns(struct policy_input *in, const struct settings *set,
    const struct address *sender, struct pool *pool);

struct policy_addresses {
	const struct address *recipient, *sender;
	/* is the recipient's address literal one of ours?  Its domain is then
	 * the default domain */
	bool literal_is_own;
};

/*
 * *target_out is what the directory found; its
 * domain.name is set when the recipient is local.
 */
int policy_gather_recipient(struct policy_input *in, struct directory *d,
    const struct policy_addresses *a, struct pool *pool,
    struct dir_target *target_out, struct err *e);

/*
 * Could the recipient be a return path we gave to forwarded mail (mail/srs.h)?
 * After policy_gather_recipient(); then the key is needed.
 */
bool policy_is_return_path(const struct policy_input *in,
    const struct address *recipient, const struct dir_target *target);

/*
 * Read it with accountd's key, NULL: cannot be had now.  *original_out is whom
 * a good one was made of.
 */
void policy_gather_return_path(struct policy_input *in,
    const struct settings *set, const uint8_t *key,
    const struct address *recipient, struct pool *pool, char **original_out);

#endif /* POLICY_GATHER_H */
