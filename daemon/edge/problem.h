/* What a start or a reload that failed should tell its operator. */
#ifndef SB_EDGE_PROBLEM_H
#define SB_EDGE_PROBLEM_H

struct sb_server_problem {
	const char *key; /* the configuration's: "listen.address" */
	char detail[240];
};

#endif
