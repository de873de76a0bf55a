/* What the daemon says of itself, for people. */
#ifndef SB_CTL_STATUS_H
#define SB_CTL_STATUS_H

#include <jansson.h>

/* Prints an answer to "status", a line per thing. */
void sb_status_print(const json_t *status);

/* The sum of an object's numbers. */
long long sb_status_sum(json_t *counts);

#endif
