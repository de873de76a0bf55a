/*
 * A disk that fails, or a process that dies, at a chosen call: the linker sends
 * the tested code's calls here first (--wrap, see sb_faulty_test in
 * plugin.cmake). Only those that change the disk are steps: to create, write,
 * fsync, close what was written, and rename.
 */
#ifndef SB_TEST_FAULTS_H
#define SB_TEST_FAULTS_H

#include <stdbool.h>

#define FAULTS_DIED 42 /* exit code of a process that died at its step */

struct faults {
	int steps;	   /* so far */
	int fail_at;	   /* this step fails; 0: none */
	int error;	   /* with this errno */
	int die_at;	   /* the process ends before this step; 0: never */
	bool short_writes; /* each write takes half of what it is given */
	char did[8192];	   /* "create a.*.tmp; write; fsync file; close; rename a.*.tmp a; fsync
			      folder" */
};
extern struct faults faults;

/* No faults, no steps. */
void faults_clear(void);
/* Something that is no step, to be found among them in `did`. */
void faults_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A new empty folder, for the test's end to remove with all that is in it. */
char *folder_new(void);
void folder_free(char *folder);
/* FOLDER/NAME, in a buffer that the call after the next one overwrites. */
const char *in_folder(const char *folder, const char *name);
void file_put(const char *folder, const char *name, const char *text);
/* What is in a file, to be freed; NULL when there is none. */
char *file_get(const char *folder, const char *name);
/* Entries of the folder; ".", ".." and a calendar's lock are not counted. */
int folder_count(const char *folder);

#endif
