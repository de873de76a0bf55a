/*
 * What protocol/link.h says of each line of standard input: "good", or what is
 * wrong. For test_links_agree.py, which compares it with publish().
 */
#include "protocol/link.h"
#include <stdio.h>
#include <string.h>

int main(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		const char *problem;

		line[strcspn(line, "\n")] = '\0';
		problem = sb_link_problem(line);
		(void)puts(problem ? problem : "good");
	}
	return 0;
}
