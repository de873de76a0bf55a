/*
 * slotbellctl as it is, but for one thing: doctor loads the library that the
 * daemon's URL names. For test_ctl_taken_over.py, which shows what such code finds
 * in the process that looks, should it get in there by another way.
 */
#include "daemon/ctl/doctor.h"

bool __wrap_sb_doctor_loads_library(PGconn *database);

bool __wrap_sb_doctor_loads_library(PGconn *database)
{
	(void)database;
	return false;
}
