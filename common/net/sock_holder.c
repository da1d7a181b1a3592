/*
 * The holder of a taken port, found as `ss -lp` does: the listening socket's
 * inode in /proc/net/tcp and tcp6, then the process that has it open.
 *
 * Best effort: descriptors of other users' processes are visible to root
 * alone.  Runs once, when a server cannot start.
 */
#include "net/sock_holder.h"

#include <sys/types.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/slice.h"

enum {
	TCP_STATE_LISTEN = 0x0a
};

struct holder {
	unsigned long inode, uid;
};

/* "0100007F" or 32 digits: words in the machine's own order. */
static bool
parse_proc_ip(const char *hex, struct ip *out)
{
	size_t words = strlen(hex) / 8;
	struct ip ip = { .bytes = { [10] = 0xff, [11] = 0xff } };

	if (words != 1 && words != 4)
		return false;
	for (size_t i = 0; i < words; i++) {
		char digits[9];
		uint32_t word;

		memcpy(digits, hex + i * 8, 8);
		digits[8] = '\0';
		word = (uint32_t)strtoul(digits, NULL, 16);
		memcpy(ip.bytes + 16 - 4 * (words - i), &word, 4);
	}
	*out = ip;
	return true;
}

static bool
is_any(const struct ip *ip)
{
	static const struct ip any_v4 = { .bytes = {
					      [10] = 0xff, [11] = 0xff } };

	return ip_eq(ip, &any_v4) || ip_eq(ip, &(struct ip){ 0 });
}

/* A line of the table: is it who listens there? */
static bool
parse_line(
    const char *line, const struct ip *ip, uint16_t port, struct holder *out)
{
	char local[48], state[8], uid[16], inode[24];
	struct ip bound;
	char *colon;

	if (sscanf(line, " %*s %47s %*s %7s %*s %*s %*s %15s %*s %23s", local,
		state, uid, inode) != 4)
		return false;
	colon = strchr(local, ':');
	if (colon == NULL)
		return false;
	*colon = '\0';
	out->uid = strtoul(uid, NULL, 10);
	out->inode = strtoul(inode, NULL, 10);
	return strtoul(state, NULL, 16) == TCP_STATE_LISTEN &&
	    strtoul(colon + 1, NULL, 16) == port &&
	    parse_proc_ip(local, &bound) &&
	    (is_any(ip) || is_any(&bound) || ip_eq(ip, &bound));
}

static bool
find_in_table(
    const char *table, const struct ip *ip, uint16_t port, struct holder *out)
{
	bool found = false;
	char line[512];
	FILE *f;

	f = fopen(table, "re");
	if (f == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = parse_line(line, ip, port, out);
	(void)fclose(f);
	return found;
}

static bool
process_has_socket(const char *pid, unsigned long inode)
{
	char path[64], want[64], link[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	(void)snprintf(want, sizeof(want), "socket:[%lu]", inode);
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(
		    dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		if (n < 0)
			continue;
		link[n] = '\0';
		found = strcmp(link, want) == 0;
	}
	(void)closedir(dir);
	return found;
}

static void
process_name(const char *pid, char out[SOCK_HOLDER_SIZE])
{
	char path[64], name[32] = "process";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fgets(name, sizeof(name), f) != NULL)
			name[strcspn(name, "\n")] = '\0';
		(void)fclose(f);
	}
	(void)snprintf(out, SOCK_HOLDER_SIZE, "%s (pid %.20s)", name, pid);
}

static bool
find_process(unsigned long inode, char out[SOCK_HOLDER_SIZE])
{
	struct dirent *entry;
	bool found = false;
	DIR *proc;

	proc = opendir("/proc");
	if (proc == NULL)
		return false;
	while (!found && (entry = readdir(proc)) != NULL) {
		if (!ascii_is_digit((unsigned char)entry->d_name[0]) ||
		    !process_has_socket(entry->d_name, inode))
			continue;
		process_name(entry->d_name, out);
		found = true;
	}
	(void)closedir(proc);
	return found;
}

void
sock_holder_find(const struct ip *ip, uint16_t port, char out[SOCK_HOLDER_SIZE])
{
	struct holder h;

	(void)snprintf(out, SOCK_HOLDER_SIZE, "another process");
	if (!find_in_table("/proc/net/tcp", ip, port, &h) &&
	    !find_in_table("/proc/net/tcp6", ip, port, &h))
		return;
	if (!find_process(h.inode, out))
		(void)snprintf(
		    out, SOCK_HOLDER_SIZE, "a process of uid %lu", h.uid);
}
