/*
 * Disks that remember: a FUSE file system with a file for each, and one more.
 *
 *	powercut_disk LOG MOUNTPOINT IMAGE...
 *
 * `disk0`, `disk1`... start as the IMAGEs, which are never changed; each write
 * to one and each flush of one is appended to LOG in the order in which they
 * were served.  What is written to `mark` goes to LOG too: "this was promised
 * by now".  So LOG tells what real disks could hold at any instant, and what
 * they must.
 *
 * A record is {type 'W' 'F' or 'M', disk, length, offset}, in the byte order
 * of the machine, and the bytes.  Invariant: a request is answered after its record is
 * written, and one thread serves them all, so what a caller knows to be done
 * stands before what it asks for next.  Nothing here survives the power; it
 * need not, only the order counts.
 */
#define FUSE_USE_VERSION 31

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	DISKS_MAX = 4
};

struct record {
	uint32_t type;
	uint32_t disk;
	uint32_t zero;
	uint32_t len;
	uint64_t offset;
};

static struct disk {
	uint8_t *data;
	size_t size;
} disks[DISKS_MAX];

static unsigned disk_count;
static int log_fd;

static int
note(char type, unsigned disk, const void *data, size_t len, off_t offset)
{
	struct record r = { (uint32_t)type, disk, 0, (uint32_t)len,
		(uint64_t)offset };
	struct iovec v[2] = { { &r, sizeof(r) },
		{ (void *)(uintptr_t)data, len } };

	if (writev(log_fd, v, 2) != (ssize_t)(sizeof(r) + len))
		return -EIO;
	return 0;
}

static struct disk *
find_disk(const char *path)
{
	if (strncmp(path, "/disk", 5) != 0 || path[5] < '0' ||
	    path[5] >= '0' + (int)disk_count || path[6] != '\0')
		return NULL;
	return &disks[path[5] - '0'];
}

static int
disk_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	const struct disk *d = find_disk(path);

	(void)fi;
	if (strcmp(path, "/") == 0) {
		st->st_mode = S_IFDIR | 0700;
		st->st_nlink = 2;
		return 0;
	}
	if (d == NULL && strcmp(path, "/mark") != 0)
		return -ENOENT;
	st->st_mode = S_IFREG | 0600;
	st->st_nlink = 1;
	if (d != NULL)
		st->st_size = (off_t)d->size;
	return 0;
}

static int
disk_open(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	fi->direct_io = 1;
	return 0;
}

static int
disk_read(const char *path, char *buf, size_t size, off_t offset,
    struct fuse_file_info *fi)
{
	const struct disk *d = find_disk(path);
	size_t at = (size_t)offset;

	(void)fi;
	if (d == NULL || at >= d->size)
		return 0;
	if (size > d->size - at)
		size = d->size - at;
	memcpy(buf, d->data + at, size);
	return (int)size;
}

static int
disk_write(const char *path, const char *buf, size_t size, off_t offset,
    struct fuse_file_info *fi)
{
	struct disk *d = find_disk(path);
	size_t at = (size_t)offset;
	unsigned number;

	(void)fi;
	if (d == NULL)
		return note('M', 0, buf, size, 0) == 0 ? (int)size : -EIO;
	if (at > d->size || size > d->size - at)
		return -ENOSPC;
	memcpy(d->data + at, buf, size);
	number = (unsigned)(d - disks);
	return note('W', number, buf, size, offset) == 0 ? (int)size : -EIO;
}

static int
disk_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	const struct disk *d = find_disk(path);

	(void)datasync;
	(void)fi;
	return d != NULL ? note('F', (unsigned)(d - disks), NULL, 0, 0) : 0;
}

static const struct fuse_operations operations = {
	.getattr = disk_getattr,
	.open = disk_open,
	.read = disk_read,
	.write = disk_write,
	.fsync = disk_fsync,
};

static int
load(struct disk *d, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0) {
		(void)close(fd);
		return -1;
	}
	d->size = (size_t)st.st_size;
	d->data =
	    mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	return d->data == MAP_FAILED ? -1 : 0;
}

int
main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], (char[]){ "-f" }, (char[]){ "-s" },
		argc > 3 ? argv[2] : NULL, NULL };

	if (argc < 4 || argc > 3 + DISKS_MAX) {
		(void)fprintf(
		    stderr, "usage: %s LOG MOUNTPOINT IMAGE...\n", argv[0]);
		return 2;
	}
	log_fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (int i = 3; i < argc; i++) {
		if (log_fd < 0 || load(&disks[disk_count], argv[i]) != 0) {
			perror(argv[i]);
			return 1;
		}
		disk_count++;
	}
	return fuse_main(4, fuse_argv, &operations, NULL);
}
