/*
 * The schema of directory.db.  One step a version; a step that has been
 * released is never edited, a change is a new step.  The queries of the
 * readers stand in common/directory/store.c, those of the verbs with them.
 *
 * Invariants beyond the constraints: account.roles is the sum of what the
 * role rows say (kept so that a login costs one row); setting.domain_id 0 is
 * the server.  No secret ever comes here: every daemon reads this file.
 */
#include "store_directory.h"

#include <stdlib.h>

#include "base/mem.h"
#include "directory/store.h"

/* clang-format off */
static const char *const steps[] = {
	/* 1 */
	"CREATE TABLE domain ("
	" id INTEGER PRIMARY KEY,"
	" name TEXT NOT NULL UNIQUE,"
	" alias_of INTEGER REFERENCES domain(id) ON DELETE CASCADE,"
	" is_default INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),"
	" disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),"
	" catch_all TEXT NOT NULL DEFAULT '',"
	" forward_to TEXT NOT NULL DEFAULT '',"
	" max_accounts INTEGER NOT NULL DEFAULT 0 CHECK (max_accounts >= 0),"
	" max_lists INTEGER NOT NULL DEFAULT 0 CHECK (max_lists >= 0),"
	" created_ms INTEGER NOT NULL"
	") STRICT;"
	"CREATE UNIQUE INDEX domain_default ON domain(is_default)"
	" WHERE is_default = 1;"
	"CREATE INDEX domain_alias ON domain(alias_of)"
	" WHERE alias_of IS NOT NULL;"

	"CREATE TABLE account ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT," /* never used twice */
	" domain_id INTEGER NOT NULL REFERENCES domain(id),"
	" local TEXT NOT NULL COLLATE NOCASE,"
	" name TEXT NOT NULL DEFAULT '',"
	" disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),"
	" disabled_until INTEGER NOT NULL DEFAULT 0," /* wall ms; 0 = for good */
	" pop3 INTEGER NOT NULL DEFAULT 1 CHECK (pop3 IN (0, 1)),"
	" smtp INTEGER NOT NULL DEFAULT 1 CHECK (smtp IN (0, 1)),"
	" web INTEGER NOT NULL DEFAULT 1 CHECK (web IN (0, 1)),"
	" may_change_password INTEGER NOT NULL DEFAULT 1"
	"  CHECK (may_change_password IN (0, 1)),"
	" quota_bytes INTEGER NOT NULL DEFAULT 0 CHECK (quota_bytes >= 0),"
	" quota_messages INTEGER NOT NULL DEFAULT 0"
	"  CHECK (quota_messages >= 0),"
	" quota_full INTEGER NOT NULL DEFAULT 0 CHECK (quota_full IN (0, 1)),"
	" used_bytes INTEGER NOT NULL DEFAULT 0," /* as last reported */
	" used_messages INTEGER NOT NULL DEFAULT 0,"
	" forward TEXT NOT NULL DEFAULT ''," /* addresses, one a line */
	" forward_keep INTEGER NOT NULL DEFAULT 1"
	"  CHECK (forward_keep IN (0, 1)),"
	" roles INTEGER NOT NULL DEFAULT 0,"
	" created_ms INTEGER NOT NULL,"
	" UNIQUE (domain_id, local)"
	") STRICT;"

	"CREATE TABLE alias ("
	" id INTEGER PRIMARY KEY,"
	" domain_id INTEGER NOT NULL REFERENCES domain(id) ON DELETE CASCADE,"
	" local TEXT NOT NULL COLLATE NOCASE,"
	" UNIQUE (domain_id, local)"
	") STRICT;"
	"CREATE TABLE alias_target ("
	" alias_id INTEGER NOT NULL REFERENCES alias(id) ON DELETE CASCADE,"
	" target TEXT NOT NULL COLLATE NOCASE,"
	" PRIMARY KEY (alias_id, target)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX alias_target_target ON alias_target(target);"

	"CREATE TABLE list ("
	" id INTEGER PRIMARY KEY,"
	" domain_id INTEGER NOT NULL REFERENCES domain(id) ON DELETE CASCADE,"
	" local TEXT NOT NULL COLLATE NOCASE,"
	" name TEXT NOT NULL DEFAULT '',"
	" members_only INTEGER NOT NULL DEFAULT 0"
	"  CHECK (members_only IN (0, 1)),"
	" auth_required INTEGER NOT NULL DEFAULT 0"
	"  CHECK (auth_required IN (0, 1)),"
	" UNIQUE (domain_id, local)"
	") STRICT;"
	"CREATE TABLE list_member ("
	" list_id INTEGER NOT NULL REFERENCES list(id) ON DELETE CASCADE,"
	" address TEXT NOT NULL COLLATE NOCASE,"
	" PRIMARY KEY (list_id, address)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE role (" /* server admin: both ids 0 */
	" account_id INTEGER NOT NULL REFERENCES account(id)"
	"  ON DELETE CASCADE,"
	" role INTEGER NOT NULL CHECK (role IN (1, 2, 4)),"
	" domain_id INTEGER NOT NULL DEFAULT 0,"
	" list_id INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY (account_id, role, domain_id, list_id)"
	") STRICT, WITHOUT ROWID;"

	"CREATE TABLE setting ("
	" name TEXT NOT NULL,"
	" domain_id INTEGER NOT NULL DEFAULT 0,"
	" value TEXT NOT NULL,"
	" PRIMARY KEY (name, domain_id)"
	") STRICT, WITHOUT ROWID;",
	/* 2: storage of a domain, its name as a login, defaults of new users */
	"ALTER TABLE domain ADD COLUMN max_bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE domain ADD COLUMN admin_login TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE domain ADD COLUMN new_quota_bytes INTEGER NOT NULL"
	" DEFAULT 0;"
	"ALTER TABLE domain ADD COLUMN new_quota_messages INTEGER NOT NULL"
	" DEFAULT 0;"
	"ALTER TABLE domain ADD COLUMN new_may_change_password INTEGER"
	" NOT NULL DEFAULT 1;"
	"ALTER TABLE domain ADD COLUMN new_pop3 INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE domain ADD COLUMN new_smtp INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE domain ADD COLUMN new_web INTEGER NOT NULL DEFAULT 1;"
	"CREATE INDEX account_roles ON account(domain_id, local)"
	" WHERE roles <> 0;",
	/* 3: so that searching all users reads no more than it shows */
	"CREATE INDEX account_search ON account(domain_id, local, name);",
	/* 4: what the users of a domain may use at all */
	"ALTER TABLE domain ADD COLUMN pop3 INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE domain ADD COLUMN smtp INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE domain ADD COLUMN web INTEGER NOT NULL DEFAULT 1;",
	/* 5: what settings on trial were before; one time for all */
	"CREATE TABLE trial ("
	" name TEXT PRIMARY KEY,"
	" value TEXT NOT NULL,"
	" was_set INTEGER NOT NULL CHECK (was_set IN (0, 1)),"
	" since_ms INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;",
	/* 6: made by sign-up, and nobody decided yet */
	"ALTER TABLE account ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX account_waiting ON account(domain_id, local)"
	" WHERE waiting <> 0;",
	/* 7: counts what makes names.c read again; the few who are disabled */
	"CREATE TABLE account_names (changes INTEGER NOT NULL) STRICT;"
	"INSERT INTO account_names VALUES (0);"
	"CREATE TRIGGER account_names_insert AFTER INSERT ON account BEGIN"
	" UPDATE account_names SET changes = changes + 1; END;"
	"CREATE TRIGGER account_names_delete AFTER DELETE ON account BEGIN"
	" UPDATE account_names SET changes = changes + 1; END;"
	"CREATE TRIGGER account_names_update"
	" AFTER UPDATE OF domain_id, local, name ON account BEGIN"
	" UPDATE account_names SET changes = changes + 1; END;"
	"CREATE INDEX account_disabled ON account(domain_id, local)"
	" WHERE disabled <> 0;",
	/* 8: how webmail begins with somebody, and the biggest he may send */
	"ALTER TABLE account ADD COLUMN lang TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE account ADD COLUMN zone TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE account ADD COLUMN max_message_bytes INTEGER NOT NULL"
	" DEFAULT 0;",
	/* 9: whose names changed last, for names.c; never empty */
	"DROP TRIGGER account_names_insert;"
	"DROP TRIGGER account_names_delete;"
	"DROP TRIGGER account_names_update;"
	"DROP TABLE account_names;"
	"CREATE TABLE account_change (n INTEGER PRIMARY KEY,"
	" account_id INTEGER NOT NULL) STRICT;"
	"INSERT INTO account_change VALUES (1, 0);"
	"CREATE TRIGGER account_change_insert AFTER INSERT ON account BEGIN"
	" INSERT INTO account_change (account_id) VALUES (NEW.id); END;"
	"CREATE TRIGGER account_change_delete AFTER DELETE ON account BEGIN"
	" INSERT INTO account_change (account_id) VALUES (OLD.id); END;"
	"CREATE TRIGGER account_change_update"
	" AFTER UPDATE OF domain_id, local, name ON account BEGIN"
	" INSERT INTO account_change (account_id) VALUES (NEW.id); END;"
	"CREATE TRIGGER account_change_end AFTER INSERT ON account_change BEGIN"
	" DELETE FROM account_change WHERE n <= NEW.n - 50; END;",
};
/* clang-format on */

_Static_assert(
    ARRAY_LEN(steps) == DIRECTORY_VERSION, "a new step is a new version");

/* An empty file that is not new has lost what was in it. */
static int
open_file(const char *state_dir, bool is_new, struct sql **out, struct err *e)
{
	char *path = mem_printf("%s/directory/directory.db", state_dir);
	struct sql *db;
	int r = sql_open(path, SQL_WRITE, &db, e);

	if (r == 0) {
		if (!is_new)
			r = sql_check_version(
			    db, DIRECTORY_APPLICATION, 1, DIRECTORY_VERSION, e);
		if (r == 0)
			r = sql_migrate(db, DIRECTORY_APPLICATION, steps,
			    (int)ARRAY_LEN(steps), e);
		if (r == 0)
			*out = db;
		else
			sql_close(db);
	}
	free(path);
	return r;
}

int
store_directory_open(const char *state_dir, struct sql **out, struct err *e)
{
	return open_file(state_dir, false, out, e);
}

int
store_directory_create(const char *state_dir, struct err *e)
{
	char *path = mem_printf("%s/directory/directory.db", state_dir);
	struct sql *db;
	int r = sql_create(path, 0640, e);

	if (r == 0)
		r = open_file(state_dir, true, &db, e);
	if (r == 0)
		sql_close(db);
	free(path);
	return r;
}
