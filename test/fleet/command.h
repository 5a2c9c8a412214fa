/* What a test, or a person, tells a running fleet on standard input, one line each:
 *
 *   status                 one line of figures now
 *   mark                   forget the times of the offers so far
 *   fate DEVICE=FATE       from its next release on
 *   cut DEVICE|COUNT       these connections vanish, and come back after their back-off
 *   gate DEVICE|COUNT open|closed    the gate for downloads
 *   flood COUNT            each sends so many reports (raw: messages) now
 *   stop                   ends the simulation
 */
#pragma once

#include "member.h"

/* False: stop. What is wrong with a line is told on standard error. */
bool command_run(struct fleet *fleet, char *line);
/* The figures as one JSON object on one line of standard output. */
void command_print_status(struct fleet *fleet);
