#ifndef TESTS_LIB_TREE_H
#define TESTS_LIB_TREE_H

#include <sys/stat.h>

#include <ftw.h>
#include <stdio.h>

static inline int
tree_remove_one(
    const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

/* Remove a test's directory and all in it; as nftw(). */
static inline int
tree_remove(const char *path)
{
	return nftw(path, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif /* TESTS_LIB_TREE_H */
