/* The daemon as a whole: its parts put together, run, and taken apart in reverse. */
#ifndef SB_APP_APP_H
#define SB_APP_APP_H

#include "daemon/app/settings.h"

/*
 * Runs until it is told to end: the process' exit status. Takes `settings`,
 * and borrows `source` to read them anew when a reload asks for it.
 */
int sb_app_run(const struct sb_settings_source *source, struct sb_settings *settings);

#endif
