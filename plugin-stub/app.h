/* Puts client, calendar, state, transport and report together on one loop. */
#ifndef SB_PLUGIN_APP_H
#define SB_PLUGIN_APP_H

#include "plugin-stub/options.h"

/* Runs until the client ends, or SIGTERM or SIGINT. What the process exits with. */
enum sb_exit sb_app_run(struct sb_options *options);

#endif
