/* slotbell-plugin(1): behaves as an Outlook plug-in does, with a folder of .ics files for a
 * calendar. */
#include "plugin-stub/app.h"
#include "protocol/process.h"

#include <string.h>

int main(int argc, char *argv[])
{
	struct sb_options options;
	enum sb_exit result;

	sb_process_hide();
	if (!sb_options_parse(argc, argv, stdout, stderr, &options, &result))
		return (int)result;
	if (sb_options_read_token(&options, stderr) < 0)
		return SB_EXIT_CONFIGURATION;
	result = sb_app_run(&options);
	explicit_bzero(options.token, sizeof(options.token));
	return (int)result;
}
