/*
 * slotbellctl as it is, but for one thing: whoever is to give his rights up only
 * changes his effective ids, as doctor once did. For test_ctl_taken_over.py, which
 * shows what that is worth.
 */
#include "daemon/ctl/shed.h"
#include <grp.h>
#include <unistd.h>

int __wrap_sb_shed(const struct sb_identity *identity);

int __wrap_sb_shed(const struct sb_identity *identity)
{
	return !identity || (setgroups(0, NULL) == 0 && setegid(identity->gid) == 0 &&
			     seteuid(identity->uid) == 0)
		       ? 0
		       : -1;
}
