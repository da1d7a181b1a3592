#ifndef MAILSTEAD_USER_TABLE_H
#define MAILSTEAD_USER_TABLE_H

#include "mailstead/cli.h"

/* `user import FILE|- [--dry-run]` and `user export [DOMAIN]`. */
int user_table_import(struct cli *c);
int user_table_export(struct cli *c);

#endif /* MAILSTEAD_USER_TABLE_H */
