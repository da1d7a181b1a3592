/*
 * What the certificates of a directory are, for people: only their public
 * side is read, and one that cannot be read is told with the reason.
 */
#include <dirent.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/tls_cert.h"

enum {
	PEM_MAX = 256 * 1024
};

/* All DNS names of the certificate, separated by spaces. */
static void
fill_names(X509 *cert, struct tls_info *out)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	struct buf b;

	buf_init(&b, sizeof(out->names) - 1);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == GEN_DNS)
			buf_addf(&b, "%s%.*s", b.len > 0 ? " " : "",
			    ASN1_STRING_length(n->d.dNSName),
			    (const char *)ASN1_STRING_get0_data(n->d.dNSName));
	}
	GENERAL_NAMES_free(names);
	if (b.len > 0)
		memcpy(out->names, b.data, b.len);
	out->names[b.len] = '\0';
	buf_release(&b);
}

static void
fill(X509 *cert, struct tls_info *out)
{
	X509_NAME *issuer = X509_get_issuer_name(cert);
	int at = X509_NAME_get_index_by_NID(issuer, NID_organizationName, -1);
	char text[sizeof(out->issuer)];

	if (at < 0)
		at = X509_NAME_get_index_by_NID(issuer, NID_commonName, -1);
	if (at >= 0 &&
	    X509_NAME_get_text_by_NID(issuer,
		OBJ_obj2nid(X509_NAME_ENTRY_get_object(
		    X509_NAME_get_entry(issuer, at))),
		text, sizeof(text)) > 0)
		memcpy(out->issuer, text, sizeof(text));
	fill_names(cert, out);
	out->not_before_ms = tls_wall_ms(X509_get0_notBefore(cert));
	out->not_after_ms = tls_wall_ms(X509_get0_notAfter(cert));
	out->self_signed =
	    X509_NAME_cmp(issuer, X509_get_subject_name(cert)) == 0;
}

static void
read_one(int dir_fd, const char *file, struct tls_info *out)
{
	struct buf pem;
	X509 *cert = NULL;
	struct err e;
	BIO *bio;

	buf_init(&pem, PEM_MAX);
	(void)snprintf(out->name, sizeof(out->name), "%.*s",
	    (int)(strlen(file) - 4), file);
	if (file_read(dir_fd, file, &pem, &e) != 0) {
		(void)snprintf(
		    out->error, sizeof(out->error), "%.150s", e.text);
	} else if ((bio = BIO_new_mem_buf(pem.data, (int)pem.len)) != NULL) {
		cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		BIO_free(bio);
		if (cert == NULL)
			(void)snprintf(out->error, sizeof(out->error), "%.150s",
			    tls_reason());
	}
	if (cert != NULL)
		fill(cert, out);
	X509_free(cert);
	buf_release(&pem);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct tls_info *)a)->name,
	    ((const struct tls_info *)b)->name);
}

int
tls_list(int dir_fd, struct tls_info **out, size_t *count_out, struct err *e)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct tls_info *list = NULL;
	size_t count = 0, alloc = 0;
	struct dirent *entry;

	if (dir == NULL) {
		(void)err_errno(e, "directory of certificates");
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	while ((entry = readdir(dir)) != NULL) {
		struct slice name = slice_str(entry->d_name);

		if (entry->d_name[0] == '.' || !slice_ends(name, ".crt") ||
		    name.len >= sizeof(list->name))
			continue;
		list = mem_grow(list, &alloc, count + 1, sizeof(*list));
		memset(&list[count], 0, sizeof(*list));
		read_one(dir_fd, entry->d_name, &list[count++]);
	}
	(void)closedir(dir);
	if (count > 0)
		qsort(list, count, sizeof(*list), by_name);
	*out = list;
	*count_out = count;
	return 0;
}
