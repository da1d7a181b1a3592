/*
 * A disk that remembers: a FUSE file system with two files.
 *
 *	powercut_disk IMAGE LOG MOUNTPOINT
 *
 * `disk` starts as IMAGE, which is never changed; each write to it and each
 * flush of it is appended to LOG in the order in which they were served.  What
 * is written to `mark` goes to LOG too: "this was promised by now".  So LOG
 * tells what a real disk could hold at any instant, and what it must.
 *
 * A record is {type 'W' 'F' or 'M', length, offset}, in the byte order of the
 * machine, and the bytes.  Invariant: a request is answered after its record is
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

struct record {
	uint32_t type;
	uint32_t len;
	uint64_t offset;
};

static uint8_t *disk;
static size_t disk_size;
static int log_fd;

static int
note(char type, const void *data, size_t len, off_t offset)
{
	struct record r = { (uint32_t)type, (uint32_t)len, (uint64_t)offset };
	struct iovec v[2] = { { &r, sizeof(r) },
		{ (void *)(uintptr_t)data, len } };

	if (writev(log_fd, v, 2) != (ssize_t)(sizeof(r) + len))
		return -EIO;
	return 0;
}

static int
is_disk(const char *path)
{
	return strcmp(path, "/disk") == 0;
}

static int
disk_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, "/") == 0) {
		st->st_mode = S_IFDIR | 0700;
		st->st_nlink = 2;
		return 0;
	}
	if (!is_disk(path) && strcmp(path, "/mark") != 0)
		return -ENOENT;
	st->st_mode = S_IFREG | 0600;
	st->st_nlink = 1;
	if (is_disk(path))
		st->st_size = (off_t)disk_size;
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
	size_t at = (size_t)offset;

	(void)fi;
	if (!is_disk(path) || at >= disk_size)
		return 0;
	if (size > disk_size - at)
		size = disk_size - at;
	memcpy(buf, disk + at, size);
	return (int)size;
}

static int
disk_write(const char *path, const char *buf, size_t size, off_t offset,
    struct fuse_file_info *fi)
{
	size_t at = (size_t)offset;

	(void)fi;
	if (!is_disk(path))
		return note('M', buf, size, 0) == 0 ? (int)size : -EIO;
	if (at > disk_size || size > disk_size - at)
		return -ENOSPC;
	memcpy(disk + at, buf, size);
	return note('W', buf, size, offset) == 0 ? (int)size : -EIO;
}

static int
disk_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	return is_disk(path) ? note('F', NULL, 0, 0) : 0;
}

static const struct fuse_operations operations = {
	.getattr = disk_getattr,
	.open = disk_open,
	.read = disk_read,
	.write = disk_write,
	.fsync = disk_fsync,
};

int
main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], (char[]){ "-f" }, (char[]){ "-s" },
		argc == 4 ? argv[3] : NULL, NULL };
	struct stat st;
	int fd;

	if (argc != 4) {
		(void)fprintf(
		    stderr, "usage: %s IMAGE LOG MOUNTPOINT\n", argv[0]);
		return 2;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	log_fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || log_fd < 0 || fstat(fd, &st) != 0) {
		perror(argv[0]);
		return 1;
	}
	disk_size = (size_t)st.st_size;
	disk =
	    mmap(NULL, disk_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (disk == MAP_FAILED) {
		perror(argv[0]);
		return 1;
	}
	return fuse_main(4, fuse_argv, &operations, NULL);
}
